"""What tests of run folders share: a run small enough to train in a second."""

from typing import Any

from common.experiment import folder
from dann.method import make_method as make_adaptation
from finetune.method import make_method as make_plain
from tests.config import tiny_digits


def make_method(config, num_classes):
    makers = {"dann": make_adaptation, "finetune": make_plain}
    return makers[config["package"]](config, num_classes)


def tiny(workdir, method="dann", /, **changes: Any):
    config = tiny_digits.get_config(f"method={method}")
    config.runtime.workdir = str(workdir)
    config.runtime.tensorboard = False
    config.runtime.progress = False
    config.update_from_flattened_dict(changes)
    return folder.resolve(config)
