"""Tests of declared preprocessing."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import StandardScaler, normalize

from common.data import scaling
from common.data.scaling import (
    STEPS,
    apply_scaling,
    check_counts,
    fit_scaling,
    parse_scaling,
    scaled_blocks,
)

VECTOR, PICTURE = (30,), (4, 5, 3)
TRAIN = np.random.default_rng(9).permutation(60)[:41]


def make_counts():
    draw = np.random.default_rng(0)
    counts = draw.poisson(0.4, (60, 30)) * draw.integers(1, 9, 30)
    counts[:, 3] = 0
    counts[:, 4] = 7
    # An example without a word, and a word that no training example has.
    counts[TRAIN[5]] = 0
    counts[TRAIN, 6] = 0
    return counts.astype(np.uint8)


COUNTS = make_counts()


def scaled(name, images=COUNTS, maximum=1.0, rows=TRAIN):
    """Returns all inputs, scaled by what is fitted to the training rows."""
    fitted = fit_scaling(parse_scaling(name, images.shape[1:]), images, rows, maximum)
    return np.asarray(apply_scaling(fitted, jnp.asarray(images / maximum, jnp.float32)))


def tf_idf(known, asked):
    transformer: Any = TfidfTransformer().fit(scipy.sparse.csr_array(known.astype(np.float64)))
    return transformer.transform(scipy.sparse.csr_array(asked.astype(np.float64))).toarray()


def standardized(known, asked):
    return StandardScaler().fit(known.astype(np.float64)).transform(asked.astype(np.float64))


LOG = np.log(1.0 + COUNTS)
EXPECTED = {
    "binary": COUNTS != 0,
    "log": LOG,
    "tf_idf": tf_idf(COUNTS[TRAIN], COUNTS),
    "unit_length": normalize(COUNTS.astype(np.float64)),
    "standardize": standardized(COUNTS[TRAIN], COUNTS),
    "log+tf_idf": tf_idf(LOG[TRAIN], LOG),
    "log+standardize": standardized(LOG[TRAIN], LOG),
    "binary+tf_idf": tf_idf(COUNTS[TRAIN] > 0, COUNTS > 0),
    "standardize+unit_length": normalize(standardized(COUNTS[TRAIN], COUNTS)),
    "log+unit_length": normalize(LOG),
}


@pytest.mark.parametrize("block", [7, 1024])
@pytest.mark.parametrize("name", EXPECTED)
def test_steps_are_those_of_scikit_learn(name, block, monkeypatch):
    monkeypatch.setattr(scaling, "BLOCK", block)
    np.testing.assert_allclose(scaled(name), EXPECTED[name], 2e-5, 1e-6)


def test_the_order_of_the_steps_counts():
    assert not np.allclose(scaled("log+unit_length"), scaled("unit_length+log"), atol=1e-2)


@pytest.mark.parametrize("name", EXPECTED)
def test_nothing_but_the_training_rows_decides(name):
    others = COUNTS.copy()
    others[np.setdiff1d(np.arange(60), TRAIN)] = 9
    np.testing.assert_array_equal(scaled(name, others)[TRAIN], scaled(name)[TRAIN])


def test_rarity_is_that_of_the_formula():
    (own,) = fit_scaling(("tf_idf",), COUNTS, TRAIN, 1.0)
    rarity = own["tf_idf"]["rarity"]
    assert rarity.shape == (1, 30) and rarity.dtype == np.float32
    for word in range(30):
        present = sum(1 for row in TRAIN if COUNTS[row, word] > 0)
        np.testing.assert_allclose(rarity[0, word], np.log(42 / (1 + present)) + 1, 1e-6)


@pytest.mark.parametrize("value", [0.1, 1e4 / 3, -1e-5])
def test_an_input_that_never_changes_is_only_centred(value):
    images = np.full((3000, 3), value, np.float32)
    images[:, 1] = np.random.default_rng(0).normal(size=3000)
    images[:, 2] = 0
    images[7, 2] = 1e-44
    (own,) = fit_scaling(("standardize",), images, np.arange(3000), 1.0)
    assert own["standardize"]["deviation"][0, 0] == own["standardize"]["deviation"][0, 2] == 1
    np.testing.assert_allclose(own["standardize"]["deviation"][0, 1], images[:, 1].std(), 1e-5)


def test_a_large_mean_costs_no_precision():
    images: Any = (1000 + np.random.default_rng(0).normal(size=(500, 2))).astype(np.float32)
    rows = np.arange(500)
    inputs = scaled("standardize", images, rows=rows)
    expected = np.asarray(standardized(images, images))
    np.testing.assert_allclose(inputs, expected, 1e-3, 1e-4)


def test_pictures_are_standardized_by_channel():
    draw = np.random.default_rng(1)
    images = (draw.integers(0, 256, (60, *PICTURE)) * [1.0, 0.5, 0.1]).astype(np.uint8)
    inputs = scaled("standardize", images, 255.0)
    values = images[TRAIN] / 255
    for channel in range(3):
        own = values[..., channel]
        expected = (images[..., channel] / 255 - own.mean()) / own.std()
        np.testing.assert_allclose(inputs[..., channel], expected, 1e-4, 1e-5)


def test_scaling_is_a_tree_that_programs_take():
    fitted = fit_scaling(("log", "tf_idf"), COUNTS, TRAIN, 1.0)
    assert [list(own) for own in fitted] == [["log"], ["tf_idf"]]
    compiled = jax.jit(apply_scaling)(fitted, jnp.asarray(COUNTS, jnp.float32))
    np.testing.assert_allclose(compiled, EXPECTED["log+tf_idf"], 2e-5, 1e-6)
    assert fit_scaling((), COUNTS, TRAIN, 1.0) == ()
    inputs = jnp.ones((2, 3))
    assert apply_scaling((), inputs) is inputs


def test_examples_of_a_store_are_read_by_blocks(monkeypatch):
    monkeypatch.setattr(scaling, "BLOCK", 8)
    sizes = []

    class Store:
        shape, dtype = COUNTS.shape, COUNTS.dtype

        def __getitem__(self, rows):
            sizes.append(len(rows))
            return COUNTS[rows]

    fitted = fit_scaling(("log", "standardize"), Store(), TRAIN, 1.0)
    assert sizes == [8, 8, 8, 8, 8, 1] * 2
    blocks = np.concatenate(list(scaled_blocks(Store(), TRAIN, 1.0, fitted)))
    np.testing.assert_allclose(blocks, EXPECTED["log+standardize"][TRAIN], 2e-5, 1e-6)


def test_no_step_leaves_the_inputs_alone():
    assert parse_scaling("none", VECTOR) == parse_scaling("none", PICTURE) == ()
    assert parse_scaling("log+tf_idf", VECTOR) == ("log", "tf_idf")
    assert parse_scaling("standardize", PICTURE) == ("standardize",)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("tfidf", VECTOR, "scaling is 'tfidf'; did you mean 'tf_idf'.* binary, .* joined by '.'"),
        ("log+none", VECTOR, "is 'log.none'; legal are binary, .*, or none alone"),
        ("", VECTOR, "scaling is ''; legal are binary"),
        ("log+log", VECTOR, "it must name log once"),
        ("standardize+log", VECTOR, "log takes no negative values, so it must stand before"),
        ("log", PICTURE, "the examples are pictures; legal are none, standardize"),
        ("standardize+unit_length", PICTURE, "the examples are pictures"),
    ],
)
def test_a_scaling_that_cannot_be_is_refused(name, shape, message):
    with pytest.raises(ValueError, match=message):
        parse_scaling(name, shape)


def test_negative_values_are_no_counts():
    images = np.zeros((3000, 2), np.float32)
    images[2999, 1] = -1
    with pytest.raises(ValueError, match="step log, which .*; config.target 'npz:x' holds some"):
        check_counts(("unit_length", "log"), images, "config.target 'npz:x'")
    check_counts(("standardize", "unit_length"), images, "")
    check_counts(("log",), images[:2000], "")
    check_counts(tuple(STEPS), COUNTS, "")
