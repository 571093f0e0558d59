"""The state of a run: all that a checkpoint holds and a step changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, UInt

from common.method import CACHE, Method, Variables
from common.training.optimizer import Optimizer, merge

HEALTHY = -1
# The step of a choice that was never made.
NO_STEP = -1


class State(NamedTuple):
    """The state of one run; in a population every leaf has a leading axis of members.

    Attributes:
        step: Training steps taken.
        params: The trainable parameters.
        frozen: The other parameters; they have no gradient and no optimizer state.
        batch_stats: Running statistics.
        method_state: Arrays of the method, neither trained nor statistics.
        ema: `{}`, or averages of `params` and `batch_stats`.
        optimizer: Optimizer state by parameter root.
        hparams: Traced values of the config.
        key: The root of every random number of the run.
        best: By selection rule, `step` and the `variables` kept at that step.
        health: The first step with a non-finite value, or `HEALTHY`.
    """

    step: Int[Array, "*member"]
    params: Any
    frozen: Any
    batch_stats: Any
    method_state: Any
    ema: Any
    optimizer: Any
    hparams: Any
    key: Key[Array, "*member"]
    best: Any
    health: Int[Array, "*member"]


def variables_of(state: State) -> Variables:
    """Returns what the loss sees.

    Args:
        state: The state of one run.

    Returns:
        `params`, `batch_stats`, `method_state`, and `ema` where weights are averaged.
    """
    variables = {
        "params": merge(state.params, state.frozen),
        "batch_stats": state.batch_stats,
        "method_state": state.method_state,
    }
    if state.ema:
        variables["ema"] = {**state.ema, "params": merge(state.ema["params"], state.frozen)}
    return variables


def evaluated_variables_of(state: State) -> Variables:
    """Returns what is evaluated: averaged weights and statistics where the run averages them.

    Args:
        state: The state of one run.

    Returns:
        `params`, `batch_stats`, and `method_state` without what only training reads.
    """
    source = state.ema if state.ema else {"params": state.params, "batch_stats": state.batch_stats}
    return {
        "params": merge(source["params"], state.frozen),
        "batch_stats": source["batch_stats"],
        "method_state": {name: own for name, own in state.method_state.items() if name != CACHE},
    }


def create(
    method: Method,
    optimizer: Optimizer,
    seed: UInt[Array, ""],
    batch: Mapping[str, Mapping[str, Array]],
    hparams: Mapping[str, Array],
    *,
    average: bool,
    rules: Sequence[str],
) -> State:
    """Draws the initial state of one run.

    Args:
        method: The method.
        optimizer: Its optimizer.
        seed: The run's seed.
        batch: A batch as the first step will see it; only shapes matter.
        hparams: Traced values of the config.
        average: Whether an average of the weights is kept.
        rules: Selection rules for which the chosen variables are kept.

    Returns:
        The state before step 0.
    """
    key = jax.random.key(seed)
    drawn = method.init(key, batch)
    params, frozen = optimizer.split(drawn["params"])
    state = State(
        step=jnp.zeros((), jnp.int32),
        params=params,
        frozen=frozen,
        batch_stats=drawn["batch_stats"],
        method_state=drawn["method_state"],
        ema={"params": params, "batch_stats": drawn["batch_stats"]} if average else {},
        optimizer=optimizer.init(params),
        hparams=dict(hparams),
        key=key,
        best={},
        health=jnp.full((), HEALTHY, jnp.int32),
    )
    kept = evaluated_variables_of(state)
    unset = jnp.full((), NO_STEP, jnp.int32)
    return state._replace(best={rule: {"step": unset, "variables": kept} for rule in rules})


def keep(state: State, take: Mapping[str, Array]) -> State:
    """Keeps the current variables for the rules that choose this step.

    Args:
        state: The state of one run.
        take: By rule, whether the current step is its choice so far.

    Returns:
        The state with `best` updated.
    """
    now = {"step": state.step, "variables": evaluated_variables_of(state)}
    best = {
        rule: jax.tree.map(
            lambda new, old, chosen=take[rule]: jnp.where(chosen, new, old), now, old_choice
        )
        for rule, old_choice in state.best.items()
    }
    return state._replace(best=best)
