"""Tests of what all scores have in common."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.evaluation.evidence import Evidence
from common.evaluation.scores.fact import FACTS
from common.evaluation.scores.score import SCORES, compute_scores
from dann.method import ALIGNMENTS, METHODS
from tests.made_up_evidence import (
    NUM_CLASSES,
    NUM_FEATURES,
    SIZES,
    all_scores,
    collapse,
    evidence_of,
    make_parts,
    on_device,
    score,
)

# What a collapsed network does to a score, as the docstrings say; MMD and A-distance of good
# features are above 0, which is what equal features have.
REWARD_COLLAPSE = ("entropy", "soft_neighborhood_density", "mmd", "proxy_a_distance")


def saturated(parts):
    logits = {name: {"logits": 1e4 * np.sign(parts[name]["logits"])} for name in SIZES}
    return parts | {name: parts[name] | logits[name] for name in SIZES}


def without_a_class(parts):
    """The source has no example of class 0, and the target is taken for no other."""
    labels = {name: np.maximum(parts[name], 1) for name in parts if name.endswith("label")}
    logits = {"logits": parts["target_val"]["logits"] * 0 + np.eye(NUM_CLASSES)[0]}
    return parts | labels | {"target_val": parts["target_val"] | logits}


def with_features(change):
    def changed(parts):
        return parts | {
            name: parts[name] | {"features": change(parts[name]["features"])} for name in SIZES
        }

    return changed


MEMBERS = {
    "good": make_parts(),
    "other": make_parts(seed=1, noise=1.0),
    "collapsed": collapse(make_parts()),
    "saturated": saturated(make_parts()),
    "far": make_parts(shift=1e4),
    "zero": with_features(np.zeros_like)(make_parts()),
    "large": with_features(lambda own: own * 1e6)(make_parts()),
    "small": with_features(lambda own: own * 1e-12)(make_parts()),
    "equal_and_large": with_features(lambda own: np.full_like(own, 1234.567))(make_parts()),
    "without_a_class": without_a_class(make_parts()),
}


@pytest.fixture(scope="module")
def together():
    """All scores of a population, in one compiled call."""
    members = [on_device(own) for own in MEMBERS.values()]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    found = jax.jit(jax.vmap(all_scores))(stacked)
    return jax.tree.map(np.asarray, found)


@pytest.mark.parametrize("name", SCORES)
def test_every_score_of_every_member_is_finite(name, together):
    assert together[name].shape == (len(MEMBERS),)
    assert dict(zip(MEMBERS, np.isfinite(together[name]), strict=True)) == dict.fromkeys(
        MEMBERS, True
    )


@pytest.mark.parametrize("member", ["good", "other", "collapsed", "without_a_class"])
def test_a_member_has_the_scores_that_it_has_alone(member, together):
    alone = score(MEMBERS[member])
    place = list(MEMBERS).index(member)
    for name in SCORES:
        np.testing.assert_allclose(together[name][place], alone[name], 1e-3, 1e-4, err_msg=name)


@pytest.mark.parametrize("name", SCORES)
def test_a_good_network_is_better_than_a_collapsed_one_where_the_score_says_so(name, together):
    sign = 1 if FACTS[name].higher_is_better else -1
    good, collapsed = sign * together[name][0], sign * together[name][2]
    assert (good > collapsed) == (name not in REWARD_COLLAPSE)


def test_tiny_parts_have_finite_scores():
    parts = on_device(make_parts(sizes=dict.fromkeys(SIZES, 1)))
    found = jax.jit(lambda parts: compute_scores(evidence_of(parts), jax.random.key(0)))(parts)
    assert set(found) == set(SCORES)
    assert all(np.isfinite(value) for value in found.values())


def test_no_label_of_the_target_can_reach_a_score():
    """The evidence has no room for one, and a score gets nothing else than it and a key."""
    labels = [name for name in Evidence._fields if "label" in name]
    assert labels == ["source_train_label", "source_val_label"]
    for own in SCORES.values():
        assert list(inspect.signature(own).parameters) == ["evidence", "key"]
    with pytest.raises(ValueError, match="target_val_label"):
        evidence_of(on_device(make_parts()))._replace(target_val_label=np.zeros(3))


def test_the_program_calls_no_lapack():
    """Whose calls may wait for each other where a population is spread over several devices."""
    program = jax.jit(all_scores).lower(on_device(MEMBERS["good"])).as_text()
    assert "lapack" not in program
    solve = jax.jit(jnp.linalg.eigvalsh).lower(jnp.eye(NUM_FEATURES)).as_text()
    assert "lapack" in solve


@pytest.mark.parametrize("name", SCORES)
def test_a_score_says_what_it_is(name):
    fact = FACTS[name]
    text = " ".join((inspect.getdoc(SCORES[name]) or "").split())
    assert f"{'Higher' if fact.higher_is_better else 'Lower'} is better" in text
    assert "assum" in text and "References:" in text
    assert fact.reference and set(fact.optimised_by) <= {*ALIGNMENTS, *METHODS}
