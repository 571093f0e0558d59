"""The one training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from common.training.population import Program, Tables
from common.training.state import State


class Boundary(NamedTuple):
    """What is known between two chunks of steps.

    Attributes:
        step: Training steps taken.
        state: The state after them.
        train: Training metrics by name, `[member]`: means over the steps since the last boundary.
        evaluation: What `Program.evaluate` returned, as NumPy arrays, where an evaluation was
            due, otherwise None.
        health: First non-finite step of each member, or `HEALTHY`.
    """

    step: int
    state: State
    train: Mapping[str, np.ndarray]
    evaluation: Mapping[str, Any] | None
    health: np.ndarray


def next_boundary(step: int, num_steps: int, cadences: tuple[int, ...]) -> int:
    """Finds where the next chunk ends.

    Args:
        step: Steps taken.
        num_steps: Steps of the run.
        cadences: Chunks end at multiples of these; 0 is left out.

    Returns:
        The number of steps at the end of the next chunk.
    """
    return min([num_steps, *((step // cadence + 1) * cadence for cadence in cadences if cadence)])


def run_loop(
    program: Program,
    state: State,
    tables: Tables,
    *,
    first_step: int,
    num_steps: int,
    log_every: int,
    evaluate_every: int,
    choose: Callable[[int, Mapping[str, np.ndarray], Mapping[str, Any]], Mapping[str, np.ndarray]],
    stopped: Callable[[], np.ndarray] | None = None,
) -> Iterator[Boundary]:
    """Trains a population, and hands over at every boundary.

    Between two boundaries nothing leaves the device.

    Args:
        program: The compiled functions.
        state: The state at `first_step`.
        tables: The data.
        first_step: Steps that were taken before, in an earlier process.
        num_steps: Steps of the whole run.
        log_every: Steps in one dispatch.
        evaluate_every: Steps between two evaluations; the last step is always evaluated.
        choose: `(step, train, evaluation) -> {rule: [member] bool}`: for which members the current
            step is a rule's choice so far.
        stopped: None, or `() -> [member] bool`: which members have stopped early. They stay as
            they are while others go on, and the loop ends with the last.

    Yields:
        A boundary after each chunk. The state of the last one is donated to the next chunk.
    """
    step = first_step
    while step < num_steps:
        done = stopped() if stopped else np.zeros(1, bool)
        if done.all():
            return
        # A chunk consumes the state that it is given.
        before = jax.tree.map(jnp.copy, state._replace(key=())) if done.any() else None
        if program.refresh_every and step % program.refresh_every == 0:
            state = program.refresh(state, tables)
        stop = next_boundary(step, num_steps, (log_every, evaluate_every, program.refresh_every))
        state, metrics = program.chunk(state, tables, step, stop - step)
        if before is not None:
            state = program.hold(state, before, done)
        train = {
            name: np.asarray(values, np.float64).mean(axis=1) for name, values in metrics.items()
        }
        step, evaluation = stop, None
        if step % evaluate_every == 0 or step == num_steps:
            evaluation = program.evaluate(state, tables)
            evaluation = {
                split: {name: np.asarray(value) for name, value in values.items()}
                for split, values in evaluation.items()
            }
            state = program.keep(state, choose(step, train, evaluation))
        yield Boundary(step, state, train, evaluation, np.asarray(state.health))
