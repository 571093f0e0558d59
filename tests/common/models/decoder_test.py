"""Tests of the decoder: every shape of code and picture fits, and every value has a say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.models.decoder import Decoder, count_doublings
from tests import tiny


@pytest.fixture(autouse=True, scope="module")
def quick():
    with tiny.quick_compilation():
        yield


@pytest.mark.parametrize(
    ("shape", "code", "doublings"),
    [
        ((8, 8, 1), (3, 64), 1),
        ((4, 4, 1), (3, 8), 0),
        ((3, 2, 1), (3, 8), 0),
        ((28, 28, 1), (3, 48), 2),
        ((28, 30, 3), (3, 4, 4, 48), 2),
        ((8, 8, 1), (3, 4, 4, 24), 1),
        ((8, 8, 1), (3, 8, 8, 24), 0),
        ((224, 224, 3), (3, 7, 7, 16), 5),
    ],
)
def test_pictures_have_their_shape(shape, code, doublings):
    assert count_doublings(shape, code) == doublings
    decoder = Decoder(shape, 4)
    pictures, variables = jax.eval_shape(
        decoder.init_with_output, jax.random.key(0), jax.ShapeDtypeStruct(code, jnp.float32)
    )
    assert pictures.shape == (3, *shape)
    layers = {"dense" if len(code) == 2 else "entry", "picture"}
    layers |= {f"convolution_{index}" for index in range(doublings)}
    assert set(variables["params"]) == layers


@pytest.mark.parametrize("code", [(2, 6), pytest.param((2, 3, 3, 2), marks=pytest.mark.matrix)])
def test_every_part_of_the_code_moves_the_picture_of_its_own_example_alone(code):
    decoder = Decoder((7, 7, 2), 16)
    values = jnp.asarray(np.random.default_rng(0).normal(size=code), jnp.float32)

    @jax.jit
    def gradient(params, values):
        return jax.grad(lambda own: decoder.apply(params, own)[0].sum())(values)

    found = np.asarray(gradient(decoder.init(jax.random.key(0), values), values))
    assert np.all(found[0] != 0)
    assert not np.any(found[1])


def test_it_computes_in_bfloat16_and_answers_in_single_precision():
    decoder = Decoder((8, 8, 1), 4, "bfloat16")
    picture, variables = jax.eval_shape(
        decoder.init_with_output, jax.random.key(0), jax.ShapeDtypeStruct((2, 6), jnp.float32)
    )
    assert picture.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
