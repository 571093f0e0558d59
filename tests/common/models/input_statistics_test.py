"""Tests of what pretrained networks are given."""

import jax.numpy as jnp
import numpy as np
import pytest

from common.models.input_statistics import INPUT_STATISTICS, standardize

PICTURES = np.random.default_rng(0).random((2, 3, 4, 3)).astype(np.float32)


@pytest.mark.parametrize("name", list(INPUT_STATISTICS))
def test_each_channel_is_standardised_by_its_own_numbers(name):
    mean, deviation = {
        "none": ([0, 0, 0], [1, 1, 1]),
        "imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        "symmetric": ([0.5] * 3, [0.5] * 3),
    }[name]
    expected = (PICTURES - np.asarray(mean)) / np.asarray(deviation)
    np.testing.assert_allclose(
        standardize(jnp.asarray(PICTURES), name), expected, rtol=1e-5, atol=1e-6
    )


def test_grey_pictures_are_refused():
    grey = jnp.asarray(PICTURES[..., :1])
    message = "input_statistics is 'imagenet', which is of three colours, but the pictures have 1"
    with pytest.raises(ValueError, match=message):
        standardize(grey, "imagenet")
    assert standardize(grey, "none") is grey
