"""Tests of methods made of terms, beside plain training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.training.hparam import make_hparams
from configs.catalogue import PLAIN, TERMS
from dann.method import ALIGNMENTS, METHODS
from dann.method import make_method as make_adaptation
from finetune.method import make_method as make_plain
from tests import tiny

# Bits of different programs are compared.
pytestmark = pytest.mark.usefixtures("optimized")

STRENGTH = "alignment.domain_adversarial.strength"


@functools.cache
def run_of(row, maker):
    config = tiny.make_config(row)
    return tiny.make_run(config, method=maker(config, tiny.NUM_CLASSES))


def train(row, maker, changes=None):
    """Returns the parameters by path after five steps."""
    return tiny.params_of(tiny.train(run_of(row, maker), 5, changes))


def adversarial(strength):
    return train("dann", make_adaptation, {STRENGTH: [strength]})


@pytest.mark.parametrize("row", ["source_only", "statistics_only"])
def test_without_a_term_the_run_is_that_of_plain_training_bit_for_bit(row):
    adapted, plain = train(row, make_adaptation), train(row, make_plain)
    assert set(adapted) == set(plain)
    for path, value in plain.items():
        np.testing.assert_array_equal(adapted[path], value, err_msg=path)


def test_under_group_target_pictures_that_are_only_passed_through_change_nothing():
    plain, passed = train("source_only", make_plain), train("statistics_only", make_plain)
    for path, value in plain.items():
        np.testing.assert_array_equal(passed[path], value, err_msg=path)


def test_at_strength_zero_the_network_is_that_of_source_only():
    plain, adapted = train("source_only", make_plain), adversarial(0.0)
    for path, value in plain.items():
        np.testing.assert_array_equal(adapted[path], value, err_msg=path)


SCHEDULE = "alignment.coral.weight_schedule"


def loss_at(progress, schedule, row="coral"):
    """The total, the task loss and the term's loss of a row at one share of the run."""
    config = tiny.make_config(row, {SCHEDULE: schedule, "alignment.coral.weight": 3.0})
    method = make_adaptation(config, tiny.NUM_CLASSES)
    draw = np.random.default_rng(0)
    batch = {
        domain: {"image": jnp.asarray(draw.random((6, 4, 4, 1)), jnp.float32)}
        for domain in ("source", "target")
    }
    batch["source"]["label"] = jnp.asarray([0, 1, 2, 0, 1, 2], jnp.int32)
    variables = jax.jit(method.init)(jax.random.key(0), batch)
    hparams = {key: jnp.asarray(value) for key, value in make_hparams(config).items()}
    key, now = jax.random.key(0), jnp.float32(progress)
    loss = jax.jit(method.phases[0].loss)
    total, aux = loss(variables, batch, key=key, progress=now, hparams=hparams)
    return total, aux.metrics["task_loss"], aux.metrics["coral/loss"]


@pytest.mark.parametrize("progress", [0.0, 0.1, 1.0])
def test_a_weight_rises_as_the_strength_of_dann_does(progress):
    total, task_loss, coral = loss_at(progress, "ramp")
    factor = 2 / (1 + np.exp(-10 * progress)) - 1
    assert coral > 1e-4
    np.testing.assert_allclose(total, task_loss + 3 * factor * coral, 1e-5)
    total, task_loss, coral = loss_at(progress, "constant")
    np.testing.assert_allclose(total, task_loss + 3 * coral, 1e-5)


def test_a_schedule_that_is_none_and_one_that_would_do_nothing_are_refused():
    with pytest.raises(ValueError, match=f"config.{SCHEDULE} is 'rise'; legal are ramp, constant"):
        loss_at(0.0, "rise")
    for row, term in (("importance_weighting",) * 2, ("pada", "partial_adversarial")):
        key = f"alignment.{term}.weight_schedule"
        with pytest.raises(ValueError, match=f"config.{key} is 'ramp', but the term weighs"):
            make_adaptation(tiny.make_config(row, {key: "ramp"}), tiny.NUM_CLASSES)


def test_at_a_strength_above_zero_the_network_is_another():
    plain, adapted = train("source_only", make_plain), adversarial(1.0)
    for path, value in plain.items():
        assert np.abs(adapted[path] - value).max() > 1e-4, path


def test_the_terms_gradient_reaches_the_features_through_the_strength_alone():
    config = tiny.make_config("dann")
    method = make_adaptation(config, tiny.NUM_CLASSES)
    draw = np.random.default_rng(0)
    batch = {
        "source": {
            "image": jnp.asarray(draw.random((8, 4, 4, 1)), jnp.float32),
            "label": jnp.zeros(8, jnp.int32),
        },
        "target": {"image": jnp.asarray(draw.random((8, 4, 4, 1)), jnp.float32)},
    }
    variables = jax.jit(method.init)(jax.random.key(0), batch)

    @jax.jit
    @jax.grad
    def gradient(params, strength):
        values = {"weight": 1.0, "strength": strength, "gamma": 10.0}
        _, aux = method.phases[0].loss(
            {**variables, "params": params},
            batch,
            key=jax.random.key(0),
            progress=jnp.float32(0.5),
            hparams={
                f"alignment.domain_adversarial.{name}": jnp.asarray(value)
                for name, value in values.items()
            },
        )
        return aux.metrics["domain_adversarial/loss"]

    for strength in (0.0, 0.5):
        largest = {
            root: max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))
            for root, tree in gradient(variables["params"], jnp.float32(strength)).items()
        }
        assert (largest["feature_extractor"] == 0) == (strength == 0)
        assert largest["task_head"] == 0
        assert largest["domain_discriminator"] > 0


def test_an_unknown_term_is_refused_with_the_legal_ones():
    config = tiny.make_config("dann")
    config["alignment"]["domain_adversaril"] = config["alignment"].pop("domain_adversarial")
    with pytest.raises(ValueError, match="config.alignment.domain_adversaril is unknown") as caught:
        make_adaptation(config, tiny.NUM_CLASSES)
    assert all(name in str(caught.value) for name in ALIGNMENTS)


@pytest.mark.parametrize("row", [row for row, domains in PLAIN.items() if "target" not in domains])
def test_a_term_without_target_pictures_is_refused(row):
    config = tiny.make_config("dann", {"domains": PLAIN[row]})
    with pytest.raises(ValueError, match="compare source and target"):
        make_adaptation(config, tiny.NUM_CLASSES)


def test_a_teacher_without_averaged_weights_is_refused():
    config = tiny.make_config("dann+mean_teacher")
    assert make_adaptation(config, tiny.NUM_CLASSES).phases
    config = tiny.make_config("dann+mean_teacher", {"optimizer.ema_decay": 0.0})
    with pytest.raises(ValueError, match="ema_decay is 0, but the term mean_teacher") as caught:
        make_adaptation(config, tiny.NUM_CLASSES)
    assert "such as 0.99" in str(caught.value)


PARTIAL = {"data.target_classes": ("0", "1")}


# Of each row that is refused there, the term that is to blame.
REFUSED = {
    "dann": "domain_adversarial",
    "cdan": "conditional_adversarial",
    "cdane": "conditional_adversarial",
    "multi_source_dann": "multi_source_adversarial",
    "mdd": "margin_disparity",
    "coral": "coral",
    "mmd": "mmd",
    "joint_mmd": "joint_mmd",
    "optimal_transport": "optimal_transport",
    "information_maximization": "information_maximization",
    "nuclear_norm": "nuclear_norm",
    "mcc+dann": "domain_adversarial",
    "coral+importance_weighting": "coral",
    "pada+coral": "coral",
    "cdan+pada": "conditional_adversarial",
    "pada+information_maximization": "information_maximization",
    "adamatch": "adamatch",
    "mcd": "mcd",
    "shot": "shot",
}


@pytest.mark.parametrize("row", REFUSED)
def test_on_a_partial_target_a_term_that_is_not_weighted_itself_needs_leave(row):
    term = REFUSED[row]
    wants_all = term in ("information_maximization", "nuclear_norm", "shot")
    said = "wants predictions of all classes" if wants_all else "which does not weigh the source"
    with pytest.raises(ValueError, match=rf"2 classes, and {term},? {said}") as caught:
        make_adaptation(tiny.make_config(row, PARTIAL), tiny.NUM_CLASSES)
    assert "config.runtime.allow_unweighted" in str(caught.value)
    allowed = {**PARTIAL, "runtime.allow_unweighted": True}
    assert make_adaptation(tiny.make_row_config(row, allowed), tiny.NUM_CLASSES).phases


FREE = ("mcc", "entropy", "fixmatch", "mean_teacher", "virtual_adversarial", "mcc+entropy")
SOURCE_FREE = ("tent", "adapt_batch_norm")
WEIGHTED = ("pada", "importance_weighting", "pada+mcc", "importance_weighting+entropy")


@pytest.mark.parametrize("row", [*PLAIN, *FREE, *SOURCE_FREE, *WEIGHTED])
def test_on_a_partial_target_rows_that_match_no_domains_or_weigh_the_source_are_free(row):
    config = tiny.make_row_config(row, PARTIAL)
    made = tiny.MAKERS[config["package"]](config, tiny.NUM_CLASSES)
    assert made.phases or made.refresh


def test_every_row_of_adaptation_is_free_weighted_or_refused_on_a_partial_target():
    assert {*REFUSED, *FREE, *SOURCE_FREE, *WEIGHTED} >= {*TERMS, *METHODS}


def test_weights_of_a_term_are_enough_for_itself(monkeypatch):
    build = ALIGNMENTS["coral"]

    def weighted(config):
        return build(config)._replace(source_weight=lambda state, view: jnp.ones(8))

    monkeypatch.setitem(ALIGNMENTS, "coral", weighted)
    assert make_adaptation(tiny.make_config("coral+mcc", PARTIAL), tiny.NUM_CLASSES).phases
    with pytest.raises(ValueError, match="and mmd, which does not weigh the source"):
        make_adaptation(tiny.make_config("coral+mmd", PARTIAL), tiny.NUM_CLASSES)


def test_a_whole_method_on_a_partial_target_needs_leave(monkeypatch):
    built = make_plain(tiny.make_config(), tiny.NUM_CLASSES)
    monkeypatch.setitem(METHODS, "own", lambda config, num_classes: built)
    config = {**tiny.make_config("dann", PARTIAL), "method": "own"}
    with pytest.raises(ValueError, match="and own, which does not weigh the source"):
        make_adaptation(config, tiny.NUM_CLASSES)
    config["data"]["target_classes"] = []
    assert make_adaptation(config, tiny.NUM_CLASSES) is built


@pytest.mark.parametrize("option", ["label_smoothing", "mixup"])
@pytest.mark.parametrize("row", METHODS)
def test_a_whole_method_has_no_shared_task_loss_to_change(row, option):
    config = tiny.make_row_config(row)
    config["objective"] = {**config["objective"], option: 0.1}
    with pytest.raises(ValueError, match=f"config.objective.{option} is 0.1, an option of the"):
        tiny.MAKERS["dann"](config, tiny.NUM_CLASSES)
