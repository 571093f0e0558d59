"""Tests of the largest norm of a unit's incoming weights, which every update keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.training.optimizer import limit_units, make_optimizer, paths_of
from tests.common.training.three_steps import (
    GRADIENTS,
    PARAMS,
    PATHS,
    hparams_of,
    make_config,
    run,
    single,
)

LIMIT = 1.5


def norms_of(kernel):
    """The norm of each unit's incoming weights."""
    return np.sqrt((np.asarray(kernel, np.float64) ** 2).sum(tuple(range(np.ndim(kernel) - 1))))


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_units_beyond_the_largest_norm_are_scaled_back_after_every_update(name):
    plain = run(make_config(name=name), GRADIENTS[:1])
    limited = run(make_config(name=name, max_norm=LIMIT), GRADIENTS[:1])
    for path in PATHS:
        before, after = np.asarray(plain[path]), np.asarray(limited[path])
        if path.endswith("bias"):
            np.testing.assert_array_equal(after, before)
            continue
        norms = norms_of(before)
        expected = before * np.minimum(1, LIMIT / norms)[None]
        np.testing.assert_allclose(after, expected, 1e-6, 1e-6)
        np.testing.assert_array_equal(after[:, norms < LIMIT], before[:, norms < LIMIT])
    kernels = [norms_of(plain[path]) for path in PATHS if path.endswith("kernel")]
    # There are units of both kinds.
    assert (np.concatenate(kernels) < LIMIT).any() and (np.concatenate(kernels) > LIMIT).any()
    for path, leaf in run(make_config(name=name, max_norm=LIMIT)).items():
        assert path.endswith("bias") or (norms_of(leaf) <= LIMIT * (1 + 1e-6)).all()


@pytest.mark.parametrize("radius", [0.1, 1 / 3, 1.7])
def test_units_within_the_ball_are_kept_bit_for_bit(radius):
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(3, 3, 2, 40)), jnp.float32)
    weights = weights * radius / 5
    limited = jax.jit(lambda weights: limit_units(weights, radius))(weights)
    norms = norms_of(weights)
    assert (norms < radius).any() and (norms > radius).any()
    inside = norms < radius * (1 - 1e-6)
    np.testing.assert_array_equal(limited[..., inside], weights[..., inside])
    np.testing.assert_allclose(norms_of(limited), np.minimum(norms, radius), 1e-6)


def test_members_are_limited_as_alone_and_zeros_stay():
    weights = jnp.asarray(np.random.default_rng(2).normal(size=(2, 5, 5, 3, 4)), jnp.float32)
    weights = weights.at[0, ..., 1].set(0.0)
    limited = jax.jit(jax.vmap(lambda weights: limit_units(weights, 2.0)))(weights)
    for member in range(2):
        norms = norms_of(weights[member])
        expected = np.asarray(weights[member]) * np.minimum(1, 2.0 / np.maximum(norms, 2.0))
        np.testing.assert_allclose(limited[member], expected, 1e-6)
    assert not np.asarray(limited[0, ..., 1]).any()


def test_only_the_parameters_of_the_pattern_are_limited_and_the_summary_names_them():
    pattern = r"task_head/.*"
    plain = run(make_config(), GRADIENTS[:1])
    config = make_config(max_norm=0.25, max_norm_pattern=pattern)
    limited = run(config, GRADIENTS[:1])
    for path in PATHS:
        changed = not np.array_equal(limited[path], plain[path])
        assert changed == path.startswith("task_head"), path
    # Of a bias each unit has one number.
    assert abs(limited["task_head/logits/bias"]).max() <= 0.25
    for line in make_optimizer(config, single(PARAMS)).summary:
        assert line.endswith(", each unit's norm at most 0.25") == line.startswith("task_head")


def test_without_a_largest_norm_there_is_none_and_the_pattern_is_not_read():
    config = make_config(max_norm=0.0, max_norm_pattern="nothing/.*")
    assert make_config()["max_norm"] == 0.0
    for path, leaf in run(make_config(max_norm=1e6)).items():
        np.testing.assert_array_equal(run(config)[path], leaf)
    assert not any("norm" in line for line in make_optimizer(config, single(PARAMS)).summary)


def test_frozen_parameters_and_roots_without_a_gradient_are_not_limited():
    config = make_config(max_norm=0.1, freeze=(r"feature_extractor/dense_0/.*",))
    path = "feature_extractor/dense_0/kernel"
    with pytest.raises(ValueError, match="max_norm_pattern.*matches no parameter"):
        make_optimizer(config | {"max_norm_pattern": path}, single(PARAMS))
    np.testing.assert_array_equal(run(config)[path], paths_of(single(PARAMS))[path])
    optimizer = make_optimizer(config, single(PARAMS))
    params, _ = optimizer.split(single(PARAMS))
    gradient = {"task_head": single(GRADIENTS[0]["task_head"])}
    after, _ = optimizer.update(
        gradient, optimizer.init(params), params, progress=0.0, hparams=hparams_of(config)
    )
    jax.tree.map(
        np.testing.assert_array_equal, after["feature_extractor"], params["feature_extractor"]
    )
    assert norms_of(after["task_head"]["logits"]["kernel"]).max() <= 0.1 * (1 + 1e-6)
