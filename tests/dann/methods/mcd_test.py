"""Tests of MCD against a derivation by hand and the schedule of its authors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from common.training.hparam import make_hparams
from common.training.optimizer import make_optimizer, paths_of
from common.training.state import create
from common.training.step import make_train_step
from dann.methods.mcd import discrepancy, make_method
from tests import tiny
from tests.derivation import differences

WEIGHT, RATE, DECAY = 0.7, 0.01, 0.05
HEADS = ("task_head", "second_task_head")
ROOTS = ("feature_extractor", *HEADS)
UNITS, CLASSES = 5, tiny.NUM_CLASSES
KEY = jax.random.key(0)
DRAW = np.random.default_rng(0)
# The domains differ in size.
BATCH = {
    "source": {"image": DRAW.normal(size=(6, 2, 2, 1)), "label": np.array([0, 1, 2, 2, 1, 1])},
    "target": {"image": DRAW.normal(size=(5, 2, 2, 1))},
}
PARAMS = {
    "feature_extractor": {"dense_0": {"kernel": DRAW.normal(size=(4, UNITS)), "bias": np.ones(5)}},
    **{
        head: {"logits": {"kernel": DRAW.normal(size=(UNITS, CLASSES)), "bias": np.zeros(CLASSES)}}
        for head in HEADS
    },
}
OPTIONS = {"model.options": {"hidden": (UNITS,)}, "model.normalization": "none"}


@pytest.fixture(autouse=True, scope="module")
def quick():
    with tiny.quick_compilation():
        yield


def make(**changes):
    config = tiny.make_config(
        "mcd",
        {
            **OPTIONS,
            "adaptation.weight": WEIGHT,
            "adaptation.feature_steps": 3,
            "optimizer.name": "adam",
            "optimizer.learning_rate": RATE,
            "optimizer.weight_decay": DECAY,
            "optimizer.decay": ".*",
            **changes,
        },
    )
    return config, make_method(config, CLASSES)


def arrays(tree):
    return jax.tree.map(jnp.asarray, tree)


@functools.cache
def slopes():
    """Of each phase the value, the metrics and the gradient by all parameters."""
    _, method = make()
    with jax.enable_x64(True):

        @jax.jit
        def run(params):
            found = []
            for phase in method.phases:
                own = {"batch_stats": {}, "method_state": {}}
                hparams = {"adaptation.weight": jnp.asarray(WEIGHT)}

                def loss(params, phase=phase, own=own, hparams=hparams):
                    return phase.loss(
                        {**own, "params": params},
                        arrays(BATCH),
                        key=KEY,
                        progress=jnp.float32(0),
                        hparams=hparams,
                    )

                (value, aux), gradient = jax.value_and_grad(loss, has_aux=True)(params)
                found.append((value, aux.metrics, gradient))
            return found

        return jax.tree.map(np.asarray, run(arrays(PARAMS)))


def softmax(row):
    powers = np.exp(row - row.max())
    return powers / powers.sum()


def by_hand(params, *, over_classes=np.mean):
    """The two cross-entropies and the discrepancy, example by example."""

    def predictions(image):
        layer = params["feature_extractor"]["dense_0"]
        features = np.maximum(image.ravel() @ layer["kernel"] + layer["bias"], 0)
        heads = [params[head]["logits"] for head in HEADS]
        return [softmax(features @ head["kernel"] + head["bias"]) for head in heads]

    source = BATCH["source"]
    losses = [
        [-np.log(own[label]) for own in predictions(image)]
        for image, label in zip(source["image"], source["label"], strict=True)
    ]
    gaps = []
    for image in BATCH["target"]["image"]:
        first, second = predictions(image)
        gaps.append(over_classes(np.abs(first - second)))
    return *np.mean(losses, axis=0), np.mean(gaps)


def value_by_hand(phase, params):
    first, second, gap = by_hand(params)
    return {"A": first + second, "B": first + second - WEIGHT * gap, "C": WEIGHT * gap}[phase]


@pytest.mark.parametrize(("index", "phase"), [*enumerate("ABC")])
def test_value_and_gradients_are_those_of_the_derivation(index, phase):
    value, metrics, gradient = slopes()[index]
    assert value == pytest.approx(value_by_hand(phase, PARAMS), rel=1e-12)
    expected = differences(lambda params: value_by_hand(phase, params), PARAMS)
    for path, own in paths_of(gradient).items():
        np.testing.assert_allclose(own, paths_of(expected)[path], 1e-5, 1e-8, err_msg=path)
    first, second, gap = by_hand(PARAMS)
    assert metrics["discrepancy"] == pytest.approx(gap, rel=1e-12)
    if phase == "A":
        assert metrics["task_loss"] == pytest.approx(first, rel=1e-12)
        assert metrics["second_task_loss"] == pytest.approx(second, rel=1e-12)


def test_a_sum_over_the_classes_would_be_seen():
    folk = by_hand(PARAMS, over_classes=np.sum)[2]
    assert folk > 2 * slopes()[2][1]["discrepancy"]


def follow(num_steps, *, of_b=HEADS, of_c=("feature_extractor",), share=True):
    """Trains as the authors do, with one Adam for the features and one for each head.

    `of_b` and `of_c` are what the second and third phase train; without `share` the third phase
    has an optimizer of its own.
    """
    adam = optax.chain(optax.add_decayed_weights(DECAY), optax.scale_by_adam(), optax.scale(-RATE))
    _, method = make()
    schedule = ((0, ROOTS), (1, of_b), *((2, of_c) for _ in range(3)))
    with jax.enable_x64(True):

        @functools.partial(jax.jit, static_argnums=(0, 1))
        def update(index, roots, params, states):
            slope = jax.grad(
                lambda params: method.phases[index].loss(
                    {"params": params, "batch_stats": {}, "method_state": {}},
                    arrays(BATCH),
                    key=KEY,
                    progress=jnp.float32(0),
                    hparams={"adaptation.weight": jnp.asarray(WEIGHT)},
                )[0]
            )(params)
            params, states = dict(params), dict(states)
            for root in roots:
                own = root if share else f"{root} {index == 2}"
                change, states[own] = adam.update(slope[root], states[own], params[root])
                params[root] = optax.apply_updates(params[root], change)
            return params, states

        params = arrays(PARAMS)
        names = {name: root for root in ROOTS for name in (root, f"{root} True", f"{root} False")}
        states = jax.jit(lambda params: {name: adam.init(params[names[name]]) for name in names})(
            params
        )
        for _ in range(num_steps):
            for index, roots in schedule:
                params, states = update(index, roots, params, states)
        return {path: np.asarray(leaf) for path, leaf in paths_of(params).items()}


@functools.cache
def trained(num_steps):
    """The parameters after some steps of the shared training step."""
    config, method = make()
    optimizer = make_optimizer(config["optimizer"], PARAMS)
    with jax.enable_x64(True):
        hparams = {name: jnp.float64(value) for name, value in make_hparams(config).items()}
        # As they are, not rounded to single precision.
        hparams |= {
            "adaptation.weight": jnp.asarray(WEIGHT),
            "optimizer.learning_rate": jnp.asarray(RATE),
            "optimizer.weight_decay": jnp.asarray(DECAY),
        }

        @jax.jit
        def start():
            state = create(
                method, optimizer, jnp.uint32(0), arrays(BATCH), hparams, average=False, rules=()
            )
            params = arrays(PARAMS)
            return state._replace(params=params, optimizer=optimizer.init(params))

        state, step = start(), jax.jit(make_train_step(method, optimizer, 10, 0.0))
        for _ in range(num_steps):
            state, _ = step(state, arrays(BATCH))
        return tiny.params_of(state)


def farthest(one, other):
    assert set(one) == set(other)
    return max(np.abs(one[path] - other[path]).max() for path in one)


def test_a_step_is_that_of_the_authors_with_an_optimizer_for_the_features_and_each_head():
    assert farthest(trained(3), follow(3)) < 1e-10


@pytest.mark.parametrize(
    "folk", [{"of_b": ROOTS}, {"of_c": ROOTS}, {"of_c": HEADS}, {"share": False}]
)
def test_other_schedules_and_optimizers_would_be_seen(folk):
    assert farthest(trained(3), follow(3, **folk)) > 1e-3


def test_the_heads_are_drawn_apart_since_nothing_parts_equal_ones():
    _, method = make()
    variables = jax.jit(method.init)(KEY, arrays(jax.tree.map(np.float32, BATCH)))
    first, second = (paths_of(variables["params"][head]) for head in HEADS)
    assert jax.tree.map(np.shape, first) == jax.tree.map(np.shape, second)
    assert np.abs(first["logits/kernel"] - second["logits/kernel"]).max() > 0.1
    logits = jnp.asarray(DRAW.normal(size=(4, CLASSES)), jnp.float32)
    slope = jax.grad(discrepancy)(logits, logits)
    assert np.abs(slope).max() < 1e-7
    assert np.abs(jax.grad(discrepancy)(logits, logits[::-1])).max() > 1e-2


def test_the_first_head_predicts():
    _, method = make()
    images = jnp.float32(BATCH["target"]["image"])
    params = jax.tree.map(jnp.float32, PARAMS)

    def logits(params):
        return method.predict({"params": params, "batch_stats": {}}, images, "target").logits

    for head, moves in zip(HEADS, (True, False), strict=True):
        other = {**params, head: jax.tree.map(lambda leaf: leaf + 1.0, params[head])}
        other[head]["logits"]["bias"] = jnp.float32([5, 0, 0])
        assert np.any(logits(other) != logits(params)) == moves


def test_every_pass_updates_the_running_statistics_by_both_domains():
    changes = {"model.normalization": "separate", "optimizer.learning_rate": 0.0}
    means = {}
    for row in ("mcd", "statistics_only"):
        run = tiny.make_run(tiny.make_config(row, changes))
        state, _ = run.program.chunk(tiny.start(run), run.tables, 0, 1)
        means[row] = paths_of(state.batch_stats)[
            "feature_extractor/normalization_0/BatchNorm_0/mean"
        ]
    # Nothing else moves at a rate of 0: A and B take one pass each, C four.
    expected = np.asarray(means["statistics_only"]) * (1 - 0.9**6) / (1 - 0.9)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(means["mcd"], expected, 1e-4, 1e-5)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"weight": -1.0}, "config.adaptation.weight is -1.0; it must be a finite number of"),
        ({"feature_steps": 0}, "config.adaptation.feature_steps is 0; it must be a whole number"),
        ({"steps": 4}, "config.adaptation.steps is unknown; legal are weight, feature_steps"),
    ],
)
def test_impossible_options_are_refused(changes, sentence):
    config, _ = make()
    with pytest.raises(ValueError, match=sentence):
        make_method({**config, "adaptation": {**config["adaptation"], **changes}}, CLASSES)


def test_a_task_of_one_class_is_refused():
    with pytest.raises(ValueError, match="mcd needs a task of at least 2 classes; this one has 1"):
        make_method(make()[0], 1)
