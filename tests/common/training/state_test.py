"""Tests of the state of a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Method, Outputs
from common.training.optimizer import make_optimizer
from common.training.state import HEALTHY, create, evaluated_variables_of, keep, variables_of
from configs import base

METHOD = Method(
    init=lambda key, batch: {
        "params": {
            "a": {"kernel": jax.random.normal(key, (3,))},
            "b": {"kernel": jnp.ones(2)},
        },
        "batch_stats": {"mean": jnp.zeros(3)},
        "method_state": {"count": jnp.zeros(())},
    },
    phases=(),
    predict=lambda variables, images, domain: Outputs(images, images),
    needs={"source": ("image",)},
)
RULES = ("early", "late")


def make_state(*, average, freeze=(), seed=0):
    config = base.get_config().optimizer.to_dict() | {"freeze": freeze}
    optimizer = make_optimizer(config, METHOD.init(jax.random.key(0), {})["params"])
    hparams = {"seed": jnp.uint32(seed)}
    return create(METHOD, optimizer, jnp.uint32(seed), {}, hparams, average=average, rules=RULES)


def test_a_run_starts_healthy_with_nothing_chosen():
    state = make_state(average=False)
    assert int(state.step) == 0 and int(state.health) == HEALTHY
    assert [int(state.best[rule]["step"]) for rule in RULES] == [-1, -1]
    assert state.ema == {} and "ema" not in variables_of(state)
    assert "ema" in variables_of(make_state(average=True))


def test_the_seed_decides_every_random_number():
    first, again, other = (make_state(average=False, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.params["a"]["kernel"], again.params["a"]["kernel"])
    assert (first.params["a"]["kernel"] != other.params["a"]["kernel"]).all()
    assert (jax.random.key_data(first.key) != jax.random.key_data(other.key)).any()


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("freeze", [(), ("a/.*",)])
def test_frozen_parameters_are_among_those_used_and_evaluated(average, freeze):
    state = make_state(average=average, freeze=freeze)
    assert set(state.params) == ({"b"} if freeze else {"a", "b"})
    for variables in (variables_of(state), evaluated_variables_of(state)):
        assert set(variables["params"]) == {"a", "b"}
    assert set(evaluated_variables_of(state)) == {"params", "batch_stats", "method_state"}


def test_averages_are_evaluated_and_the_latest_weights_are_trained_on():
    state = make_state(average=True)
    state = state._replace(
        params=jax.tree.map(lambda leaf: leaf * 0 + 5, state.params),
        batch_stats={"mean": jnp.full(3, 7.0)},
    )
    evaluated = evaluated_variables_of(state)
    np.testing.assert_array_equal(evaluated["params"]["b"]["kernel"], np.ones(2))
    np.testing.assert_array_equal(evaluated["batch_stats"]["mean"], np.zeros(3))
    np.testing.assert_array_equal(variables_of(state)["params"]["b"]["kernel"], np.full(2, 5))


def test_each_rule_keeps_the_variables_of_the_step_it_chose():
    state = make_state(average=True)
    for step in range(4):
        averages = {"params": {"a": {"kernel": jnp.full(3, step)}, "b": {"kernel": jnp.ones(2)}}}
        state = state._replace(step=jnp.int32(step), ema={**state.ema, **averages})
        state = keep(state, {"early": jnp.array(step == 1), "late": jnp.array(step in (1, 3))})
    for rule, chosen in (("early", 1), ("late", 3)):
        assert int(state.best[rule]["step"]) == chosen
        kept = state.best[rule]["variables"]["params"]["a"]["kernel"]
        np.testing.assert_array_equal(kept, np.full(3, chosen))


def test_a_choice_is_not_spoilt_by_later_values_that_are_not_finite():
    state = keep(make_state(average=False), {rule: jnp.array(True) for rule in RULES})
    sick = state._replace(params=jax.tree.map(lambda leaf: leaf * jnp.nan, state.params))
    sick = keep(sick, {rule: jnp.array(False) for rule in RULES})
    jax.tree.map(np.testing.assert_array_equal, sick.best, state.best)
