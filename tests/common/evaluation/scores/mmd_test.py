"""Tests of the maximum mean discrepancy as a score."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.evaluation.evidence import Evidence
from common.evaluation.scores import mmd as module
from common.method import Outputs, View
from configs.catalogue import TERMS
from dann.alignment.mmd import mmd as term
from tests.made_up_evidence import collapse, evidence_of, make_parts, on_device, score

NAME = "mmd"


def term_of(source, target):
    """Computes the term of the same name, which takes differences where the score multiplies."""
    own, other = (
        Outputs(jnp.asarray(part, jnp.float32), jnp.zeros((len(part), 4)))
        for part in (source, target)
    )
    view = View(own, other, {}, lambda *_: own)
    loss, *_ = term(TERMS[NAME][1]).loss(
        {}, {}, view, key=jax.random.key(0), progress=jnp.float32(0), hparams={}
    )
    return float(loss)


@pytest.mark.parametrize(("shift", "offset"), [(0.0, 0.0), (0.5, 0.0), (0.5, 100.0)])
def test_it_is_the_term_of_the_same_name_on_training_features(shift, offset):
    parts = make_parts(shift=shift)
    expected = term_of(parts["source_train"]["features"], parts["target_train"]["features"])
    for name in ("source_train", "target_train"):
        parts[name]["features"] += offset
    assert score(parts)[NAME] == pytest.approx(expected, abs=2e-4)


def test_it_grows_with_the_distance_of_the_domains_and_is_zero_for_equal_features():
    near, middle, far = (score(make_parts(shift=shift))[NAME] for shift in (0.0, 1.0, 3.0))
    assert abs(near) < 0.1 < middle < far - 0.5
    # As its docstring warns.
    assert score(collapse(make_parts()))[NAME] == pytest.approx(0, abs=1e-5)


def test_of_large_parts_examples_are_taken_evenly(monkeypatch):
    monkeypatch.setattr(module, "EXAMPLES", 25)
    parts = make_parts()
    source, target = (parts[name]["features"] for name in ("source_train", "target_train"))
    evidence: Evidence = evidence_of(on_device(parts))
    found = jax.jit(lambda: module.mmd(evidence, jax.random.key(0)))()
    assert float(found) == pytest.approx(term_of(source[::3], target[::2]), abs=2e-4)
    assert not np.isclose(float(found), term_of(source, target), atol=1e-3)
