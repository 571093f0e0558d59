"""Small domains and the config of a task on them."""

import numpy as np

from common.data.example import Examples
from common.experiment import folder
from configs import base

LETTERS = ("a", "b", "c")


def examples_of(classes, labels, splits=None, shape=(2, 2, 1)):
    labels = np.asarray(labels, np.int32)
    # Each picture carries its own row, so that a mix-up shows.
    images = np.broadcast_to(np.arange(len(labels), dtype=np.uint8), (*shape[::-1], len(labels))).T
    return Examples(np.ascontiguousarray(images), labels, tuple(classes), 255.0, splits)


def make_config(**changes):
    config = base.get_config()
    config.source, config.target = "folder:left", "folder:right"
    config.update_from_flattened_dict(changes)
    return folder.resolve(config)


def names_of(loaded, rows):
    return [loaded.examples.classes[label] for label in loaded.examples.labels[rows]]
