"""Tests of the schedules of the reversed gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dann.schedule import SCHEDULES, constant, ramp


@pytest.mark.parametrize("gamma", [10.0, 2.5])
@pytest.mark.parametrize("progress", [0.0, 0.01, 0.1, 0.25, 0.5, 0.9, 1.0])
def test_ramp_is_the_papers(progress, gamma):
    expected = 2 / (1 + np.exp(-gamma * progress)) - 1
    np.testing.assert_allclose(ramp(progress, gamma), expected, 1e-6)


def test_ramp_begins_at_zero_and_does_not_overflow():
    assert ramp(0.0, 10.0) == 0
    assert ramp(1.0, 1e6) == 1


def test_ramp_rises_all_the_way():
    values = np.asarray([ramp(progress, 10.0) for progress in np.linspace(0, 1, 51)])
    assert (np.diff(values) > 0).all()


def test_constant_is_one_from_the_first_step():
    assert [float(constant(progress, 10.0)) for progress in (0.0, 0.5, 1.0)] == [1, 1, 1]


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_take_traced_values(name):
    progress, gamma = jnp.array([0.0, 0.5, 1.0]), jnp.array([10.0, 10.0, 2.0])
    together = jax.jit(jax.vmap(SCHEDULES[name]))(progress, gamma)
    alone = [SCHEDULES[name](*pair) for pair in zip(progress, gamma, strict=True)]
    np.testing.assert_allclose(together, alone, 1e-6)
    assert (together >= 0).all() and (together <= 1).all()
