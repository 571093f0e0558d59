"""Tests of the protocol's two functions."""

import jax
import numpy as np
import pytest

from common.method import check_needs, fold_in_name

KEY = jax.random.key(0)


def data(name, key=KEY):
    return jax.random.key_data(fold_in_name(key, name)).tolist()


def test_a_name_gives_the_same_key_in_every_process():
    """With `hash(name)` these numbers would change from process to process."""
    assert data("source") == [3147146236, 206793467]
    # The checksum of this name does not fit into a signed 32-bit integer.
    assert data("task_head") == [3981962977, 2265959674]


def test_a_traced_key_gives_the_same():
    traced = jax.jit(lambda key: jax.random.key_data(fold_in_name(key, "task_head")))(KEY)
    np.testing.assert_array_equal(traced, data("task_head"))


def test_names_and_keys_differ():
    names = ("source", "target", "target_labelled", "", "s")
    drawn = [data(name) for name in names] + [data(names[0], jax.random.key(1))]
    assert len({tuple(key) for key in drawn}) == len(drawn)


@pytest.mark.parametrize(
    "needs",
    [
        {"source": ("image", "label")},
        {"source": ("image", "label"), "target": ("image", "strong_image", "index")},
        {"target_labelled": ("image", "label", "domain")},
    ],
)
def test_legal_needs_pass(needs):
    check_needs(needs)


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        ({"source": ("image", "label"), "target": ("image", "label")}, "target_labelled"),
        ({"target": ("label",)}, "target labels never enter a training batch"),
        (
            {"source": ("image",), "targets": ("image",)},
            "'targets'; legal are source, target_labelled, target",
        ),
        (
            {"source": ("image", "labels")},
            r"needs\['source'\] names 'labels'; legal fields are image, strong_image, label",
        ),
        ({}, "at least one domain"),
    ],
)
def test_illegal_needs_are_refused(needs, message):
    with pytest.raises(ValueError, match=message):
        check_needs(needs)
