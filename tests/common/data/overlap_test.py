"""Tests of the test examples that are trained on."""

import numpy as np
import pytest

from common.data.domain import Domain
from common.data.example import Examples
from common.data.overlap import count_shared
from common.data.picture_store import Pictures

SPLITS = {"train": np.arange(10), "val": np.arange(10, 14), "test": np.arange(14, 20)}


def make_domain(images, splits=None):
    examples = Examples(images, np.zeros(len(images), np.int32), ("a", "b"), 255.0)
    return Domain("one", examples, splits or SPLITS)


def draw(seed, kind=np.uint8):
    return np.random.default_rng(seed).integers(0, 256, (20, 3, 3, 1)).astype(kind)


def as_store(images):
    return Pictures(lambda row: images[row], len(images), images.shape[1:])


@pytest.mark.parametrize("stored", [np.asarray, as_store])
def test_test_examples_that_stand_in_a_training_split_are_counted(stored):
    source, target = draw(0), draw(1)
    target[16] = target[14]
    # Two of them are one picture, which the source trains on; a third stands in its test split.
    source[3], source[15] = target[14], target[17]
    target[2], target[5], target[11] = target[18], target[18], target[19]
    task = {"source": make_domain(stored(source)), "target": make_domain(stored(target))}
    assert count_shared(task) == {"source_train": 2, "target_train": 1}


def test_domains_that_share_nothing_are_clean():
    task = {"source": make_domain(draw(0)), "target": make_domain(draw(1))}
    assert count_shared(task) == {"source_train": 0, "target_train": 0}


def test_a_domain_adapted_to_itself_shares_what_its_splits_share():
    other = {"train": np.arange(15), "val": np.arange(15, 17), "test": np.arange(17, 20)}
    images = draw(0)
    task = {"source": make_domain(images, other), "target": make_domain(images)}
    assert count_shared(task) == {"source_train": 1, "target_train": 0}


def test_a_transductive_target_is_exempt_but_for_copies():
    target = draw(1)
    seen = SPLITS | {"train": np.r_[0:10, 14:20]}
    task = {"source": make_domain(draw(0)), "target": make_domain(target, seen)}
    assert count_shared(task) == {"source_train": 0, "target_train": 0}
    copied = target.copy()
    copied[4] = copied[15]
    task["target"] = make_domain(copied, seen)
    assert count_shared(task) == {"source_train": 0, "target_train": 1}


def test_vectors_are_compared_whatever_their_type():
    vectors = draw(0).reshape(20, 9)
    target = vectors.astype(np.float32)[::-1]
    task = {"source": make_domain(vectors), "target": make_domain(target)}
    assert count_shared(task) == {"source_train": 6, "target_train": 0}
