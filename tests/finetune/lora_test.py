"""Tests of low-rank adaptation against derivations in NumPy."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.models.adapter import ROOT, draw_factors, merge, merge_variables, unmerge
from common.models.convolution import convolve_native
from common.training.optimizer import merge as join
from common.training.optimizer import paths_of
from finetune.method import make_method
from tests import tiny

# A dense layer, convolutions, and attention.
NETWORKS = {
    "cnn": {"channels": 4, "hidden": (6, 5)},
    "vit_s16": dict(blocks=1, width=6, heads=2, hidden=8, patch=2, picture_size=4),
}
RANK = 3


@pytest.fixture(autouse=True, scope="module")
def quick():
    with tiny.quick_compilation():
        yield


def make_config(changes=None, row="lora", model="mlp"):
    own = {"model.name": model, "model.options": NETWORKS.get(model, {"hidden": (6, 5)})}
    own["model.normalization"] = "none"
    if row == "lora":
        own |= {"transfer.rank": RANK, "transfer.alpha": 12.0}
    return tiny.make_config(row, own | (changes or {}))


def make_batch():
    draw = np.random.default_rng(0)
    image = jnp.asarray(draw.normal(size=(6, 4, 4, 1)), jnp.float32)
    return {"target_labelled": {"image": image, "label": jnp.arange(6) % 3}}


@pytest.mark.parametrize(("shape", "inputs"), [((5, 4), 5), ((3, 3, 2, 4), 18)])
def test_a_merged_layer_is_the_layer_plus_two_layers_one_after_the_other(shape, inputs):
    draw = np.random.default_rng(0)
    kernel, up = draw.normal(size=shape), draw.normal(size=(RANK, 4))
    down = np.asarray(draw_factors(jax.random.key(0), shape, RANK)["down"], np.float64)
    assert down.shape == (inputs, RANK)
    factors = {"down": jnp.asarray(down, jnp.float32), "up": jnp.asarray(up, jnp.float32)}
    base = {"feature_extractor": {"kernel": jnp.asarray(kernel, jnp.float32)}}
    params = base | {ROOT: {"feature_extractor": {"kernel": factors}}}
    merged = merge(params, jnp.float32(0.5))
    assert set(merged) == {"feature_extractor"}
    ours = np.asarray(merged["feature_extractor"]["kernel"], np.float64)
    exact = kernel + 0.5 * np.einsum("...r,ru->...u", down.reshape(*shape[:-1], RANK), up)
    np.testing.assert_allclose(ours, exact, 2e-6, 2e-6)
    if len(shape) == 4:
        images = jnp.asarray(draw.normal(size=(2, 5, 5, 2)), jnp.float32)
        maps = convolve_native(images, factors["down"].reshape(3, 3, 2, RANK), 1, "SAME")
        apart = convolve_native(images, base["feature_extractor"]["kernel"], 1, "SAME")
        apart += 0.5 * convolve_native(maps, factors["up"][None, None], 1, "SAME")
        together = convolve_native(images, merged["feature_extractor"]["kernel"], 1, "SAME")
        np.testing.assert_allclose(together, apart, 1e-4, 1e-4)
    # What was kept comes back bit for bit; what is subtracted again does not.
    zero = {"feature_extractor": {"kernel": jnp.zeros(shape)}, ROOT: params[ROOT]}
    update = np.asarray(merge(zero, jnp.float32(0.5))["feature_extractor"]["kernel"])
    again = unmerge(params)["feature_extractor"]["kernel"]
    assert np.array_equal(again, base["feature_extractor"]["kernel"])
    assert not np.array_equal(ours.astype(np.float32) - update, again)


def test_the_first_factor_is_normal_with_the_variance_of_the_authors_and_the_second_zero():
    factors = draw_factors(jax.random.key(0), (5, 5, 8, 64), 40)
    down = np.asarray(factors["down"]) * np.sqrt(3 * 200)
    assert down.shape == (200, 40) and factors["up"].shape == (40, 64)
    assert not np.any(factors["up"])
    # 8,000 draws: three standard errors of mean, variance and kurtosis; uniform would have 1.8.
    assert abs(down.mean()) < 0.034 and abs(down.var() - 1) < 0.048
    assert abs((down**4).mean() / down.var() ** 2 - 3) < 0.17


def methods_of(model):
    return {row: make_method(make_config(row=row, model=model), 3) for row in ("lora", "fine_tune")}


@pytest.mark.parametrize("model", ["cnn", pytest.param("vit_s16", marks=pytest.mark.matrix)])
def test_at_the_start_the_network_is_the_one_without_adapters_bit_for_bit(model):
    methods = methods_of(model)

    @jax.jit
    def start(key, batch):
        drawn = {row: method.init(key, batch) for row, method in methods.items()}
        images = batch["target_labelled"]["image"]
        return drawn, {
            row: method.predict(drawn[row], images, "target") for row, method in methods.items()
        }

    drawn, outputs = start(jax.random.key(0), make_batch())
    np.testing.assert_array_equal(outputs["lora"].logits, outputs["fine_tune"].logits)
    # Any scale may stand there, and the same network comes out without adapters.
    drawn["lora"]["method_state"][ROOT]["scale"] = jnp.float32(2)
    jax.tree.map(np.testing.assert_array_equal, merge_variables(drawn["lora"]), drawn["fine_tune"])


@pytest.mark.parametrize(("model", "count"), [("cnn", 3), ("vit_s16", 7)])
def test_dense_layers_convolutions_and_attention_have_adapters(model, count):
    drawn = {
        row: paths_of(jax.eval_shape(method.init, jax.random.key(0), make_batch())["params"])
        for row, method in methods_of(model).items()
    }
    kernels = {
        path: leaf.shape
        for path, leaf in drawn["fine_tune"].items()
        if path.startswith("feature_extractor") and path.endswith("/kernel")
    }
    assert len(kernels) == count
    shapes = {}
    for path, shape in kernels.items():
        shapes[f"{ROOT}/{path}/down"] = (np.prod(shape[:-1]), RANK)
        shapes[f"{ROOT}/{path}/up"] = (RANK, shape[-1])
    own = {path: leaf.shape for path, leaf in drawn["lora"].items()}
    assert own == shapes | {path: leaf.shape for path, leaf in drawn["fine_tune"].items()}


def numpy_loss(params, images, labels, scale):
    """Mean cross-entropy, with x W + scale (x A) B in each layer of the extractor."""
    value = images.reshape(len(images), -1)
    for name in ("dense_0", "dense_1"):
        layer = f"feature_extractor/{name}"
        apart = value @ params[f"{ROOT}/{layer}/kernel/down"]
        apart = apart @ params[f"{ROOT}/{layer}/kernel/up"]
        value = value @ params[f"{layer}/kernel"] + params[f"{layer}/bias"] + scale * apart
        value = np.tanh(value)
    logits = value @ params["task_head/logits/kernel"] + params["task_head/logits/bias"]
    logits = logits - logits.max(1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return -log_p[np.arange(len(labels)), labels].mean()


@pytest.fixture(scope="module")
def differentiated():
    """Parameters away from the start, and `(adapters, alpha) -> (loss, gradients)`."""
    changes = {"model.options": {"hidden": (6, 5), "activation": "tanh"}}
    method, batch = make_method(make_config(changes), 3), make_batch()
    with jax.enable_x64(True):
        batch = tiny.to_float64(batch)
        params = tiny.to_float64(jax.jit(method.init)(jax.random.key(0), batch)["params"])
        draw = np.random.default_rng(1)
        params = jax.tree.map(lambda leaf: leaf + 0.3 * draw.normal(size=leaf.shape), params)

        def loss(adapters, alpha):
            variables = {"params": params | {ROOT: adapters}, "batch_stats": {}}
            variables["method_state"] = {ROOT: {"scale": 0.0}}
            return method.phases[0].loss(
                variables,
                batch,
                key=jax.random.key(0),
                progress=0.0,
                hparams={"transfer.alpha": alpha},
            )

    compiled = jax.jit(jax.value_and_grad(loss, has_aux=True))

    def run(adapters, alpha):
        with jax.enable_x64(True):
            return jax.device_get(compiled(adapters, alpha))

    return jax.device_get(params), jax.device_get(batch["target_labelled"]), run


def test_value_and_gradient_are_those_of_a_derivation_in_numpy(differentiated):
    params, batch, run = differentiated
    (value, aux), gradient = run(params[ROOT], 12.0)
    assert aux.method_state[ROOT]["scale"] == 12.0 / RANK
    flat, own = paths_of(params), (batch["image"], batch["label"])
    assert value == pytest.approx(numpy_loss(flat, *own, 12.0 / RANK), rel=1e-12)
    # Neither a scale that is left out nor alpha alone.
    for broken in (1.0, 12.0, RANK / 12.0):
        assert abs(numpy_loss(flat, *own, broken) - value) > 1e-3
    for path, found in paths_of(gradient).items():
        path = f"{ROOT}/{path}"
        for index in np.ndindex(found.shape):
            both = []
            for step in (1e-5, -1e-5):
                moved = flat[path].copy()
                moved[index] += step
                both.append(numpy_loss(flat | {path: moved}, *own, 12.0 / RANK))
            assert found[index] == pytest.approx((both[0] - both[1]) / 2e-5, rel=1e-5, abs=1e-9)


def test_one_factor_learns_at_the_start_and_none_where_both_are_zero(differentiated):
    params, _, run = differentiated

    def learns(keeps):
        adapters = jax.tree.map_with_path(
            lambda keys, leaf: leaf if keys[-1].key in keeps else np.zeros_like(leaf), params[ROOT]
        )
        gradient = paths_of(run(adapters, 12.0)[1])
        return {path.rpartition("/")[2] for path, leaf in gradient.items() if np.any(leaf)}

    assert learns(("down",)) == {"up"}
    assert learns(()) == set()


@pytest.fixture(scope="module")
def trained():
    """States before and after steps of two members that differ in alpha alone."""
    changes = {
        "model.options": {"hidden": (8, 6, 5), "dropout": 0.25},
        "model.normalization": "joint",
        "optimizer.name": "sgd",
        "optimizer.ema_decay": 0.9,
        "transfer.freeze": "last_2_stages",
        "transfer.unfreeze_until": 0.5,
        "num_steps": 8,
    }
    tables = tiny.take_members(tiny.make_tables(), [0, 0])
    run = tiny.make_run(make_config(changes), num_members=2, tables=tables)
    states, state = [], tiny.start(run, {"transfer.alpha": [12.0, 24.0], "seed": [4, 4]})
    for step in range(4):
        # The next chunk takes the buffers over.
        states.append(jax.tree.map(np.array, state._replace(key=())))
        state, metrics = run.program.chunk(state, run.tables, 2 * step, 2)
    outputs = run.program.outputs(state, run.tables, "target", "test")
    states.append(jax.tree.map(np.array, state._replace(key=())))
    assert np.isfinite(np.asarray(metrics["loss"])).all()
    return run, states, np.asarray(outputs.logits)


def test_the_network_below_never_changes_by_a_bit_and_takes_no_optimizer_state(trained):
    run, states, _ = trained
    first, last = states[0], states[-1]
    jax.tree.map(np.testing.assert_array_equal, first.frozen, last.frozen)
    jax.tree.map(np.testing.assert_array_equal, first.batch_stats, last.batch_stats)
    jax.tree.map(np.testing.assert_array_equal, first.batch_stats, last.ema["batch_stats"])
    assert set(first.frozen) == {"feature_extractor"}
    assert set(first.params) == {ROOT, "task_head"}
    # Kernels of the last two stages, [8, 6] and [6, 5]; the head has 5 x 3 weights and 3 biases.
    count = RANK * (8 + 6) + RANK * (6 + 5) + 5 * 3 + 3
    assert sum(leaf[0].size for leaf in jax.tree.leaves(first.params)) == count
    momentum = [leaf for leaf in jax.tree.leaves(last.optimizer) if leaf.ndim > 1]
    assert sum(leaf[0].size for leaf in momentum) == count
    lines = [line for line in run.program.optimizer.summary if " frozen" in line]
    assert len(lines) == len(paths_of(first.frozen))


def test_adapters_thaw_with_their_stages(trained):
    _, states, _ = trained
    moved = [
        {
            path.split("/")[1]
            for path, leaf in paths_of(before.params[ROOT]).items()
            if path.endswith("/up") and not np.array_equal(leaf, paths_of(after.params[ROOT])[path])
        }
        for before, after in zip(states[:-1], states[1:], strict=True)
    ]
    assert moved == [set(), {"dense_2"}, {"dense_1", "dense_2"}, {"dense_1", "dense_2"}]


def test_members_differ_in_alpha_and_are_evaluated_with_their_own(trained):
    run, states, logits = trained
    np.testing.assert_allclose(states[-1].method_state[ROOT]["scale"], [4.0, 8.0])
    before, first = (paths_of(own.params[ROOT]) for own in states[1:3])
    path = "feature_extractor/dense_2/kernel/up"
    # Two steps: the first is twice as long, the second nearly.
    ratio = np.linalg.norm(first[path][1]) / np.linalg.norm(first[path][0])
    assert not np.any(before[path]) and ratio == pytest.approx(2, abs=0.1)
    plain, last = make_method(run.config | {"transfer": {}}, 3), states[-1]
    predict = jax.jit(lambda variables, image: plain.predict(variables, image, "target").logits)
    for member in range(2):
        own = jax.tree.map(lambda leaf, m=member: leaf[m], last)
        params = merge(join(own.ema["params"], own.frozen), own.method_state[ROOT]["scale"])
        table = run.tables["target"]
        image = jnp.asarray(table["image"][table["test"][member]] / 16)
        variables = {"params": params, "batch_stats": own.ema["batch_stats"], "method_state": {}}
        np.testing.assert_allclose(predict(variables, image), logits[member], 1e-4, 1e-5)
    assert np.abs(logits[0] - logits[1]).max() > 1e-4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": 0}, "config.transfer.rank is 0; it must be a whole number of at least 1"),
        ({"rank": 2.0}, "config.transfer.rank is 2.0; it must be a whole number"),
        ({"rank": 6}, "rank is 6, but feature_extractor/dense_1/kernel has the shape (6, 5) and"),
        ({"alpha": -1.0}, "config.transfer.alpha is -1.0; it must be a finite number of at least"),
        ({"pattern": "dense"}, "pattern is 'dense', which matches no kernel; the kernels of"),
        ({"pattern": ".*/bias"}, "feature_extractor/dense_0/kernel, feature_extractor/dense_1/ker"),
        ({"pattern": ".*0/kernel", "freeze": "last_1_stages"}, "that config.transfer.freeze leave"),
        ({"pattern": "("}, "config.transfer.pattern is '(', no regular expression"),
        ({"pattern": 3}, "config.transfer.pattern is 3, no regular expression"),
        ({"freeze": "all_but_head"}, "which leaves no stage to adapt; set it to none or last_<k>"),
        ({"alpha": None}, "config.transfer.alpha is missing"),
        ({"ranks": 3}, "config.transfer.ranks is unknown; did you mean 'rank'"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    config = make_config()
    config["transfer"].update(changes)
    if changes.get("alpha", 0) is None:
        del config["transfer"]["alpha"]
    with pytest.raises(ValueError, match=re.escape(message)):
        jax.eval_shape(make_method(config, 3).init, jax.random.key(0), make_batch())


def test_what_a_pattern_leaves_out_has_no_adapter_and_does_not_limit_the_rank():
    config = make_config({"transfer.rank": 6, "transfer.pattern": ".*/dense_0/.*"})
    drawn = jax.eval_shape(make_method(config, 3).init, jax.random.key(0), make_batch())
    assert set(paths_of(drawn["params"][ROOT])) == {
        f"feature_extractor/dense_0/kernel/{name}" for name in ("down", "up")
    }
