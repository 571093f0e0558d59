"""Networks of texts: padding never counts, and a recurrent layer by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.models.lstm import LSTM
from common.models.mode import EVALUATION, TRAINING
from common.models.text_transformer import TextTransformer

KEY = jax.random.key(0)
WORDS = 11
MODULES: dict[str, Any] = {
    "text_transformer": TextTransformer(WORDS, blocks=2, width=8, heads=2, hidden=8),
    "lstm": LSTM(WORDS, width=5, units=(4, 3), hidden=(6,), normalization="none"),
}


def draw_texts(length=5):
    """Three texts of 3, 5 and 1 words."""
    texts = np.random.default_rng(0).integers(1, WORDS, (3, length))
    texts[0, 3:], texts[2, 1:] = 0, 0
    return jnp.asarray(texts, jnp.float32)


def draw_params(module, texts):
    """Parameters none of which is zero."""
    generator = np.random.default_rng(1)
    params = jax.eval_shape(lambda: module.init(KEY, texts, mode=EVALUATION))["params"]
    return jax.tree.map(
        lambda leaf: jnp.asarray(generator.normal(size=leaf.shape), leaf.dtype), params
    )


def runner(module):
    return jax.jit(lambda params, texts: module.apply({"params": params}, texts, mode=EVALUATION))


@pytest.mark.parametrize("name", MODULES)
def test_padding_changes_nothing(name):
    module, texts = MODULES[name], draw_texts()
    filled = jnp.concatenate([texts, jnp.zeros((3, 3))], axis=1)
    params, run = draw_params(module, filled), runner(module)
    features = np.asarray(run(params, filled))
    short = dict(params)
    if "positions" in params:
        short["positions"] = params["positions"][:5]
    np.testing.assert_allclose(run(short, texts), features, rtol=1e-4, atol=1e-5)
    # A text is what it is, whatever stands beside it.
    together = run(params, filled[jnp.asarray([2, 2, 0])])
    np.testing.assert_allclose(together, features[[2, 2, 0]], rtol=1e-4, atol=1e-5)
    # Whatever vector padding has, nobody reads it; negative control: that of a word is read.
    embedding = params["embedding"]["words"]["embedding"]
    for word, is_read in ((0, False), (int(texts[0, 0]), True)):
        other = {**params, "embedding": {"words": {"embedding": embedding.at[word].set(9.0)}}}
        moved = np.abs(run(other, filled) - features).max()
        assert (moved > 1e-2) == is_read, word


def read_by_hand(cell, values):
    """Hochreiter and Schmidhuber's cell with forget gate, a text at a time."""
    sigmoid = lambda value: 1 / (1 + np.exp(-value))  # noqa: E731
    hidden = memory = np.zeros(cell["hi"]["bias"].shape)
    outputs = []
    for value in values:
        gate = {
            name: value @ np.asarray(cell[f"i{name}"]["kernel"], np.float64)
            + hidden @ np.asarray(cell[f"h{name}"]["kernel"], np.float64)
            + np.asarray(cell[f"h{name}"]["bias"], np.float64)
            for name in "ifgo"
        }
        memory = sigmoid(gate["f"]) * memory + sigmoid(gate["i"]) * np.tanh(gate["g"])
        hidden = sigmoid(gate["o"]) * np.tanh(memory)
        outputs.append(hidden)
    return np.asarray(outputs)


def test_a_recurrent_layer_reads_both_ways_from_the_first_and_the_last_word():
    module, texts = MODULES["lstm"], draw_texts()
    params = draw_params(module, texts)
    _, kept = jax.jit(
        lambda params: module.apply({"params": params}, texts, mode=EVALUATION, mutable=["layers"])
    )(params)
    layer = np.asarray(kept["layers"]["stage_1"][0])
    vectors = np.asarray(params["embedding"]["words"]["embedding"], np.float64)
    for row, length in enumerate((3, 5, 1)):
        values = vectors[np.asarray(texts[row, :length], int)]
        forward = read_by_hand(params["forward_0"], values)
        backward = read_by_hand(params["backward_0"], values[::-1])[::-1]
        expected = np.concatenate([forward, backward], axis=1)
        np.testing.assert_allclose(layer[row, :length], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["text_transformer", "lstm"])
def test_gradients_reach_every_parameter_also_in_half_precision_and_computed_again(name):
    module = MODULES[name].clone(dtype="bfloat16", remat=True, dropout=0.1)
    texts = draw_texts()

    def gradient():
        params = module.init(KEY, texts, mode=EVALUATION)["params"]
        rngs = {"dropout": KEY}

        def total(params):
            return module.apply({"params": params}, texts, mode=TRAINING, rngs=rngs).sum()

        return params, jax.grad(total)(params)

    params, gradients = jax.eval_shape(gradient)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, gradients)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {"float32"}
