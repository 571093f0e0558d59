"""Tests of the loop, with a program that only counts."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.training.loop import next_boundary, run_loop
from common.training.population import Program
from common.training.state import State

CADENCES = st.lists(st.integers(0, 12), max_size=4).map(tuple)


def make_state(step, refreshed=(), kept=()):
    """A state that knows the steps it took, and when it was refreshed and kept."""
    fields: dict[str, Any] = {name: {} for name in State._fields}
    own = {"step": step, "method_state": refreshed, "best": kept, "health": np.array([-1, 3])}
    return State(**{**fields, **own})


def make_program(refresh_every=0):
    def chunk(state, tables, first_step, num_steps):
        assert state.step == first_step, "the loop lost count"
        taken = np.arange(first_step, first_step + num_steps, dtype=np.float32)
        metrics = {"loss": np.stack([taken, -taken])}
        return state._replace(step=first_step + num_steps), metrics

    def refresh(state, tables):
        return state._replace(method_state=(*state.method_state, state.step))

    def keep(state, take):
        return state._replace(best=(*state.best, state.step)) if take["rule"] else state

    def evaluate(state, tables):
        return {"source_val": {"loss": [state.step, 0.0]}}

    fields: dict[str, Any] = {name: None for name in Program._fields}
    own = {"chunk": chunk, "evaluate": evaluate, "keep": keep, "refresh": refresh}
    return Program(**{**fields, **own, "refresh_every": refresh_every})


def boundaries(first_step=0, state=None, *, num_steps=20, log=5, evaluate=8, refresh=0):
    loop = run_loop(
        make_program(refresh),
        state or make_state(first_step),
        {},
        first_step=first_step,
        num_steps=num_steps,
        log_every=log,
        evaluate_every=evaluate,
        choose=lambda step, train, evaluation: {"rule": np.array(step % 16 == 0)},
    )
    return list(loop)


def boundaries_while(stopped):
    """The boundaries as they come, so that what was seen may decide on the next."""
    return run_loop(
        *(make_program(), make_state(0), {}),
        **{"first_step": 0, "num_steps": 20, "log_every": 5, "evaluate_every": 8},
        choose=lambda step, train, evaluation: {"rule": np.array(False)},
        stopped=stopped,
    )


@given(st.integers(1, 60), CADENCES, st.data())
def test_next_boundary_is_the_first_multiple_or_the_end(num_steps, cadences, data):
    step = data.draw(st.integers(0, num_steps - 1))
    due = [
        later
        for later in range(step + 1, num_steps + 1)
        if later == num_steps or any(cadence and later % cadence == 0 for cadence in cadences)
    ]
    assert next_boundary(step, num_steps, cadences) == due[0]


@given(
    st.integers(1, 40),
    *(st.integers(1, 12),) * 2,
    st.integers(0, 12),
)
def test_boundaries_are_the_union_of_the_cadences_and_the_end(num_steps, log, evaluate, refresh):
    every = (log, evaluate) + ((refresh,) if refresh else ())
    steps = [
        boundary.step
        for boundary in boundaries(num_steps=num_steps, log=log, evaluate=evaluate, refresh=refresh)
    ]
    multiples = {step for cadence in every for step in range(cadence, num_steps, cadence)}
    assert steps == sorted(multiples | {num_steps})


@pytest.mark.parametrize("refresh", [0, 6])
def test_a_run_resumed_at_any_boundary_goes_on_alike(refresh):
    whole = boundaries(refresh=refresh)
    for place, boundary in enumerate(whole):
        rest = boundaries(boundary.step, boundary.state, refresh=refresh)
        assert [later.step for later in rest] == [later.step for later in whole[place + 1 :]]
        for again, before in zip(rest, whole[place + 1 :], strict=True):
            assert again.state.method_state == before.state.method_state
            assert again.state.best == before.state.best
            np.testing.assert_equal(again.evaluation, before.evaluation)


def test_refresh_comes_before_the_first_step_and_at_its_cadence():
    assert boundaries(refresh=6)[-1].state.method_state == (0, 6, 12, 18)
    assert boundaries(refresh=20)[-1].state.method_state == (0,)
    assert boundaries()[-1].state.method_state == ()


def test_evaluation_is_at_its_cadence_and_at_the_end():
    evaluated = {
        boundary.step: boundary.evaluation["source_val"]["loss"]
        for boundary in boundaries()
        if boundary.evaluation is not None
    }
    np.testing.assert_equal(evaluated, {step: np.array([step, 0.0]) for step in (8, 16, 20)})
    assert boundaries()[-1].state.best == (16,)


def test_metrics_are_means_over_the_steps_since_the_last_boundary():
    first, second = boundaries()[:2]
    np.testing.assert_array_equal(first.train["loss"], [2, -2])
    np.testing.assert_array_equal(second.train["loss"], [6, -6])


def test_a_finished_run_has_no_boundary_left():
    assert boundaries(20) == []


def test_the_loop_ends_once_all_members_have_stopped():
    steps = []

    def stopped():
        return np.full(2, len(steps) >= 3)

    for boundary in boundaries_while(stopped):
        steps.append(boundary.step)
    assert steps == [5, 8, 10]
    assert list(boundaries_while(lambda: np.ones(2, bool))) == []


def test_health_is_handed_over():
    np.testing.assert_array_equal(boundaries()[0].health, [-1, 3])
