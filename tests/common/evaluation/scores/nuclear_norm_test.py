"""Tests of the nuclear norm score."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from common.method import Outputs, View
from configs.catalogue import TERMS
from dann.alignment.nuclear_norm import nuclear_norm as term
from tests.made_up_evidence import collapse, make_parts, score

NAME = "nuclear_norm"


def test_it_is_the_sum_of_singular_values_and_minus_the_term_of_the_same_name():
    parts = make_parts(noise=0.8)
    parts["target_val"]["logits"] *= 0.2
    logits, found = parts["target_val"]["logits"], score(parts)[NAME]
    expected = np.linalg.norm(softmax(logits, axis=1), "nuc") / len(logits)
    assert found == pytest.approx(expected, rel=1e-4)

    target = Outputs(jnp.zeros((40, 1)), jnp.asarray(logits, jnp.float32))
    view = View(target, target, {}, lambda *_: target)
    loss, *_ = term(TERMS[NAME][1]).loss(
        {}, {}, view, key=jax.random.key(0), progress=jnp.float32(0), hparams={}
    )
    assert found == pytest.approx(-float(loss), rel=1e-4)


def test_sure_and_balanced_predictions_are_best_and_collapse_is_worse():
    parts = make_parts()
    parts["target_val"]["logits"] *= 10
    assert score(parts)[NAME] == pytest.approx(np.sqrt(4 / 40), rel=1e-3)
    assert score(collapse(parts))[NAME] == pytest.approx(1 / np.sqrt(40), rel=1e-3)
    parts["target_val"]["logits"] *= 0
    assert score(parts)[NAME] == pytest.approx(1 / np.sqrt(4 * 40), rel=1e-3)
