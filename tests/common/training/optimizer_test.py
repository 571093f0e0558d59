"""Tests of the optimizer against updates written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Group
from common.training.optimizer import make_optimizer, merge, paths_of
from tests.common.training.three_steps import (
    BETAS,
    DECAY,
    EPSILON,
    GRADIENTS,
    PARAMS,
    PATHS,
    PROGRESS,
    hparams_of,
    make_config,
    run,
    single,
)


def by_hand(name, rates, decayed):
    """The same steps in NumPy."""
    params = dict(paths_of(PARAMS))
    momentum = {path: 0.0 for path in params}
    first, second = dict(momentum), dict(momentum)
    for number, (gradient, rate) in enumerate(zip(GRADIENTS, rates, strict=True), start=1):
        for path, slope in paths_of(gradient).items():
            decay = DECAY * params[path] if path in decayed else 0.0
            if name != "adamw":
                slope = slope + decay
            momentum[path] = slope + 0.9 * momentum[path]
            first[path] = BETAS[0] * first[path] + (1 - BETAS[0]) * slope
            second[path] = BETAS[1] * second[path] + (1 - BETAS[1]) * slope**2
            mean = first[path] / (1 - BETAS[0] ** number)
            spread = second[path] / (1 - BETAS[1] ** number)
            adaptive = mean / (np.sqrt(spread) + EPSILON)
            step = {"sgd": momentum[path], "adam": adaptive, "adamw": adaptive + decay}[name]
            params[path] = params[path] - rate * step
    return params


def assert_close(params, expected):
    assert set(params) == set(expected)
    for path in expected:
        np.testing.assert_allclose(params[path], expected[path], 1e-5, 1e-6, err_msg=path)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("decay", ["", r".*/kernel", r"task_head/.*"])
def test_three_steps_are_those_computed_by_hand(name, decay):
    decayed = {
        "": (),
        r".*/kernel": [path for path in PATHS if path.endswith("kernel")],
        r"task_head/.*": ["task_head/logits/bias", "task_head/logits/kernel"],
    }[decay]
    params = run(make_config(name=name, decay=decay, weight_decay=DECAY))
    assert_close(params, by_hand(name, [0.1] * 3, decayed))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", np.ones(3)),
        ("inverse_power", (1 + 10 * np.array(PROGRESS)) ** -0.75),
        ("cosine", (1 + np.cos(np.pi * np.array(PROGRESS))) / 2),
    ],
)
@pytest.mark.parametrize("warmup", [0.0, 0.4])
def test_rates_follow_the_schedule_and_the_warmup(schedule, expected, warmup):
    config = make_config(name="sgd", schedule=schedule, warmup=warmup)
    rising = np.minimum(1, np.array(PROGRESS) / warmup) if warmup else 1.0
    rates = 0.1 * rising * expected
    optimizer = make_optimizer(config, single(PARAMS))
    own = [optimizer.learning_rate(progress, hparams_of(config)) for progress in PROGRESS]
    np.testing.assert_allclose(own, rates, 1e-6)
    assert_close(run(config), by_hand("sgd", rates, ()))


def test_schedules_start_at_the_full_rate_and_warmup_at_zero():
    for schedule in ("constant", "inverse_power", "cosine"):
        for warmup, expected in ((0.0, 0.1), (0.5, 0.0)):
            config = make_config(schedule=schedule, warmup=warmup)
            optimizer = make_optimizer(config, single(PARAMS))
            rate = optimizer.learning_rate(jnp.zeros(()), hparams_of(config))
            np.testing.assert_allclose(rate, expected, 1e-6)


def test_each_root_is_clipped_by_its_own_norm():
    config = make_config(name="sgd", momentum=0.0, learning_rate=1.0, clip_norm=1.0)
    huge = {
        "feature_extractor": jax.tree.map(lambda g: 1e6 * g, GRADIENTS[0]["feature_extractor"]),
        "task_head": jax.tree.map(lambda g: 1e-2 * g, GRADIENTS[0]["task_head"]),
    }
    params, before = run(config, [huge]), paths_of(PARAMS)
    steps = {path: before[path] - np.asarray(params[path]) for path in PATHS}
    own = [steps[path] for path in PATHS if path.startswith("feature_extractor")]
    np.testing.assert_allclose(np.sqrt(sum(np.sum(step**2) for step in own)), 1, 1e-5)
    for path in PATHS:
        if path.startswith("task_head"):
            np.testing.assert_allclose(steps[path], paths_of(huge)[path], 1e-3, 1e-6)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_factor_scales_the_steps_of_its_group_and_of_no_other(name):
    pattern = r"feature_extractor/dense_1/.*"
    groups = {"late": {"pattern": pattern, "learning_rate_factor": 3.0}}
    before = paths_of(PARAMS)
    plain = run(make_config(name=name), GRADIENTS[:1])
    scaled = run(make_config(name=name, groups=groups), GRADIENTS[:1])
    for path in PATHS:
        if "dense_1" in path:
            expected = before[path] + 3 * (np.asarray(plain[path]) - before[path])
            np.testing.assert_allclose(scaled[path], expected, 1e-5, 1e-5)
        else:
            np.testing.assert_array_equal(scaled[path], plain[path])


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_frozen_parameters_stay_and_take_no_state(name):
    freeze = (r"feature_extractor/dense_0/.*", r".*/bias")
    config = make_config(name=name, freeze=freeze, weight_decay=DECAY, decay=".*")
    params = run(config)
    free = {"feature_extractor/dense_1/kernel", "task_head/logits/kernel"}
    for path, before in paths_of(single(PARAMS)).items():
        assert np.array_equal(params[path], before) == (path not in free), path

    optimizer = make_optimizer(config, single(PARAMS))
    trainable, frozen = optimizer.split(single(PARAMS))
    assert set(paths_of(trainable)) == free
    assert set(paths_of(frozen)) == set(PATHS) - free
    shapes = {leaf.shape for leaf in jax.tree.leaves(optimizer.init(trainable)) if leaf.ndim}
    assert shapes == {(4, 2), (2, 3)}
    assert sum("frozen" in line for line in optimizer.summary) == len(PATHS) - len(free)


def test_a_root_without_a_gradient_keeps_its_parameters_and_its_state():
    config = make_config(name="adam")
    optimizer = make_optimizer(config, single(PARAMS))
    state = optimizer.init(single(PARAMS))
    assert set(state) == set(PARAMS)
    gradient = {"task_head": single(GRADIENTS[0]["task_head"])}
    params, after = optimizer.update(
        gradient, state, single(PARAMS), progress=0.0, hparams=hparams_of(config)
    )
    kept = "feature_extractor"
    jax.tree.map(np.testing.assert_array_equal, params[kept], single(PARAMS)[kept])
    jax.tree.map(np.testing.assert_array_equal, after[kept], state[kept])
    assert any((leaf != 0).any() for leaf in jax.tree.leaves(after["task_head"]))


LATE = r"feature_extractor/dense_0/.*"


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_group_that_starts_later_takes_the_steps_of_a_run_that_begins_there(name):
    config = make_config(name=name, weight_decay=DECAY, decay=".*")
    plain, late = run(config), run(config, GRADIENTS[1:], PROGRESS[1:])
    groups = (Group(LATE, start=PROGRESS[1]), Group(".*"))
    params = run(config, groups=groups)
    for path in PATHS:
        np.testing.assert_array_equal(params[path], (late if "dense_0" in path else plain)[path])
    before = run(config, GRADIENTS[:1], groups=groups)
    for path, leaf in paths_of(single(PARAMS)).items():
        assert np.array_equal(before[path], leaf) == ("dense_0" in path)
    # Folk version: the steps alone are left out, and what is remembered of gradients is not.
    held = (Group(LATE, lambda hparams: 0.0),)
    optimizer = make_optimizer(config, single(PARAMS), own_groups=held)
    _, state = optimizer.update(
        *(single(GRADIENTS[0]), optimizer.init(single(PARAMS)), single(PARAMS)),
        progress=PROGRESS[0],
        hparams=hparams_of(config),
    )
    assert set(state) == set(PARAMS)
    assert any((leaf != 0).any() for leaf in jax.tree.leaves(state["feature_extractor"]))


def test_a_gradient_of_what_has_not_started_shrinks_no_step():
    config = make_config(name="sgd", momentum=0.0, learning_rate=1.0, clip_norm=1.0)
    gradient = jax.tree.map(lambda leaf: 1e-2 * leaf, GRADIENTS[0])
    extractor = PARAMS["feature_extractor"]
    huge = jax.tree.map(lambda leaf: np.full_like(leaf, 1e6), extractor["dense_0"])
    gradient["feature_extractor"]["dense_0"] = huge
    for start in (0.5, 0.0):
        params = run(config, [gradient], groups=(Group(LATE, start=start),))
        for path, before in paths_of(extractor["dense_1"]).items():
            step = before - np.asarray(params[f"feature_extractor/dense_1/{path}"])
            expected = gradient["feature_extractor"]["dense_1"][path] * (start > 0)
            np.testing.assert_allclose(step, expected, 1e-3, 1e-6)


def test_factors_of_a_method_and_of_the_config_multiply_and_the_first_group_counts():
    groups = {"late": {"pattern": r"feature_extractor/.*", "learning_rate_factor": 3.0}}
    config = make_config(name="sgd", groups=groups)
    own = (Group(LATE, lambda hparams: hparams["optimizer.power"]), Group(".*", lambda _: 0.5))
    before, plain = paths_of(PARAMS), run(make_config(name="sgd"), GRADIENTS[:1])
    params = run(config, GRADIENTS[:1], groups=own)
    for path in PATHS:
        factor = 3 * 0.75 if "dense_0" in path else 1.5 if "dense_1" in path else 0.5
        expected = before[path] + factor * (np.asarray(plain[path]) - before[path])
        np.testing.assert_allclose(params[path], expected, 1e-5, 1e-5)
    summary = make_optimizer(config, PARAMS, own_groups=(Group(LATE, start=0.25),)).summary
    assert ["from 0.25 of the run on" in line for line in summary] == [
        "dense_0" in path for path in PATHS
    ]


def test_values_of_one_config_share_a_compilation():
    groups = {"head": {"pattern": "task_head/.*", "learning_rate_factor": 1.0}}
    config = make_config(name="sgd", schedule="inverse_power", groups=groups, clip_norm=1.0)
    optimizer = make_optimizer(config, single(PARAMS))
    traces = []

    @jax.jit
    def update(params, progress, hparams):
        traces.append(progress)
        state = optimizer.init(params)
        gradient = single(GRADIENTS[0])
        return optimizer.update(gradient, state, params, progress=progress, hparams=hparams)[0]

    hparams = hparams_of(config)
    results = [update(single(PARAMS), jnp.float32(0.5), hparams)]
    for name in set(hparams) - {"optimizer.momentum"}:
        changed = hparams | {name: hparams[name] + 0.6}
        results.append(update(single(PARAMS), jnp.float32(0.5), changed))
    assert len(traces) == 1
    heads = {np.asarray(params["task_head"]["logits"]["kernel"]).tobytes() for params in results}
    assert len(heads) == len(results)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"freeze": ("task_head",)}, r"freeze\[0\]"),
        ({"freeze": (r".*/bias", "logits/kernel")}, r"freeze\[1\]"),
        ({"decay": "kernel"}, "decay"),
        ({"max_norm": 3.0, "max_norm_pattern": "kernel"}, "max_norm_pattern"),
        (
            {"groups": {"head": {"pattern": "head/.*", "learning_rate_factor": 2.0}}},
            r"groups\.head\.pattern",
        ),
    ],
)
def test_a_pattern_that_matches_no_whole_path_is_refused_with_the_paths(changes, key):
    with pytest.raises(ValueError, match=f"optimizer.{key}.*matches no parameter") as caught:
        make_optimizer(make_config(**changes), single(PARAMS))
    assert all(path in str(caught.value) for path in PATHS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze": (".*",)}, "nothing is left to train"),
        ({"freeze": ("(",)}, "no regular expression"),
        ({"name": "lamb"}, "optimizer.name is 'lamb'; legal are sgd, adam, adamw"),
        ({"schedule": "step"}, "legal are constant, inverse_power, cosine"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(make_config(**changes), single(PARAMS))


def test_split_and_merge_are_inverse():
    optimizer = make_optimizer(make_config(freeze=(r".*/bias",)), single(PARAMS))
    again = merge(*optimizer.split(PARAMS))
    assert jax.tree.structure(again) == jax.tree.structure(PARAMS)
    jax.tree.map(np.testing.assert_array_equal, again, PARAMS)
