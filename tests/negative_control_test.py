"""Each check holds, and fails when the classic bug that it is for is planted.

A check is a function that raises AssertionError; a plant makes the bug with monkeypatch. What
would otherwise be said of a test, that it can fail, is here run every time.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from common.data import pipeline
from common.evaluation import task_metric
from common.experiment import checkpoint, folder, sweep
from common.method import Aux, Method, Outputs, Phase
from common.models import normalization
from common.training import hparam, objective, population, split_pass
from configs import base, method_row
from dann.alignment import domain_adversarial
from dann.discriminator import DomainDiscriminator
from tests import tiny

Plant = Callable[[pytest.MonkeyPatch], None]
KEY = jax.random.key(3)
STRENGTH = "alignment.domain_adversarial.strength"


def gradients(*strengths):
    """By strength, gradients of the whole loss at the end of the ramp, and of the domain loss."""
    config = tiny.make_config("dann")
    method = tiny.MAKERS["dann"](config, tiny.NUM_CLASSES)
    draw = np.random.default_rng(0)
    images = {name: draw.normal(size=(8, 4, 4, 1)).astype(np.float32) for name in ("s", "t")}
    batch = {
        "source": {"image": images["s"], "label": draw.integers(0, 3, 8)},
        "target": {"image": images["t"] + 1},
    }
    batch = jax.tree.map(jnp.asarray, batch)
    hparams = {name: jnp.asarray(value) for name, value in tiny.make_hparams(config).items()}
    variables = jax.jit(method.init)(KEY, batch)

    def total(params, strength):
        own, given = {**variables, "params": params}, {**hparams, STRENGTH: strength}
        loss = method.phases[0].loss
        return loss(own, batch, key=KEY, progress=1.0, hparams=given)[0]

    def domain_loss(params):
        features = [
            method.predict({**variables, "params": params}, batch[domain]["image"], domain)[0]
            for domain in ("source", "target")
        ]
        module = DomainDiscriminator((8,))
        logits = module.apply({"params": params["domain_discriminator"]}, jnp.concatenate(features))
        signs = jnp.asarray([1.0] * 8 + [0.0] * 8)
        return optax.sigmoid_binary_cross_entropy(jnp.asarray(logits), signs).mean()

    @jax.jit
    def both(params, strength):
        return jax.grad(total)(params, strength), jax.grad(domain_loss)(params)

    return [both(variables["params"], jnp.float32(strength)) for strength in strengths]


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def check_reversal():
    """The domain loss reaches the extractor times minus the strength."""
    strengths = (0.5, 2.0)
    (still, plain), *others = gradients(0.0, *strengths)
    ramp = float(jnp.tanh(5.0))
    for strength, (moved, _) in zip(strengths, others, strict=True):
        arrived = flat(moved["feature_extractor"]) - flat(still["feature_extractor"])
        expected = -strength * ramp * flat(plain["feature_extractor"])
        np.testing.assert_allclose(arrived, expected, 1e-3, 1e-6)


def check_discriminator_rate():
    """The discriminator learns at full weight, whatever the strength."""
    one, other = (moved["domain_discriminator"] for moved, _ in gradients(0.1, 1.0))
    np.testing.assert_array_equal(flat(one), flat(other))


def check_discriminator_learns():
    """A discriminator of features that differ comes to know the domains, and to be sure of it."""
    changes = {"model.normalization": "none", "optimizer.learning_rate": 0.1}
    config = tiny.make_config("dann", {STRENGTH: 0.0, **changes})
    tables = tiny.make_tables()
    tables["target"]["image"] = 16 - tables["source"]["image"] // 4
    run = tiny.make_run(config, tables=tables)
    _, metrics = run.program.chunk(tiny.start(run), run.tables, 0, 300)
    assert metrics["domain_adversarial/domain_accuracy"][0, -1] == 1
    assert metrics["domain_adversarial/loss"][0, -1] < 0.2


def check_no_target_labels():
    """Other labels of the target change no bit of what is trained."""
    run = tiny.make_run(tiny.make_config("dann"))
    tables = {**run.tables, "target": dict(run.tables["target"])}
    tables["target"]["label"] = (tables["target"]["label"] + 1) % tiny.NUM_CLASSES
    one, other = (tiny.params_of(tiny.train(own, 3)) for own in (run, run._replace(tables=tables)))
    jax.tree.map(np.testing.assert_array_equal, one, other)


def check_evaluation_mode():
    """A picture is predicted alone as it is among others, with dropout and batch statistics."""
    changes = {"model.normalization": "joint", "model.options": {"hidden": (16,), "dropout": 0.5}}
    run = tiny.make_run(tiny.make_config("source_only", changes))
    state = tiny.train(run, 3)
    images = run.tables["source"]["image"][:6]
    together = run.program.predict(state, run.tables, images, "source").logits
    alone = run.program.predict(state, run.tables, images[2:3], "source").logits
    np.testing.assert_allclose(alone[:, 0], together[:, 2], 1e-5, 1e-5)


def positions(num_epochs):
    """Which of 20 examples each step of 8 saw."""

    def loss(variables, batch, *, key, progress, hparams):
        metrics = {"index": batch["source"]["index"]}
        return jnp.sum(variables["params"]["probe"]["kernel"]), Aux({}, {}, metrics)

    method = Method(
        init=lambda key, batch: {
            "params": {"probe": {"kernel": jnp.ones(1)}},
            "batch_stats": {},
            "method_state": {},
        },
        phases=(Phase(loss),),
        predict=lambda variables, images, domain: Outputs(images, images),
        needs={"source": ("image", "index")},
    )
    run = tiny.make_run(tiny.make_config(), method=method)
    _, metrics = run.program.chunk(tiny.start(run), run.tables, 0, num_epochs * 5 // 2)
    return np.asarray(metrics["index"]).reshape(-1, 20)


def check_every_example_is_trained_on():
    for epoch in positions(4):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(20))


def check_epochs_are_shuffled_anew():
    assert len({epoch.tobytes() for epoch in positions(4)}) == 4


def check_every_example_is_evaluated():
    run = tiny.make_run(tiny.make_config())
    evaluation = run.program.evaluate(tiny.start(run), run.tables)
    assert evaluation["source_val"]["confusion"].sum() == run.tables["source"]["val"].shape[1]


def check_strengths_share_a_program():
    """Neither another strength nor another step compiles anything."""
    config = base.get_config()
    method_row.set_method(config, "dann")
    runs = [folder.resolve(config) for config.alignment.domain_adversarial.strength in (0.1, 1.0)]
    assert len(sweep.pack(runs)) == 1

    run = tiny.make_run(tiny.make_config("dann"))
    states = [tiny.start(run, {STRENGTH: [strength]}) for strength in (0.1, 1.0)]
    run.program.chunk(tiny.start(run), run.tables, 0, 3)
    compiled = []

    def listen(event, duration_secs, **kwargs):
        compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        for state in states:
            state, _ = run.program.chunk(state, run.tables, 0, 3)
            run.program.chunk(state, run.tables, 3, 3)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert not [event for event in compiled if "backend_compile" in event]


def check_resume(workdir):
    """A run that goes on from its checkpoint ends with the same bits."""
    run = tiny.make_run(tiny.make_config("dann", {"optimizer.name": "adam"}))
    state, _ = run.program.chunk(tiny.start(run), run.tables, 0, 3)
    manager = checkpoint.open_population(workdir)
    checkpoint.save_population(manager, 3, state)
    whole, _ = run.program.chunk(state, run.tables, 3, 3)
    step, restored = checkpoint.restore_population(manager, tiny.start(run))
    manager.close()
    assert step == 3
    resumed, _ = run.program.chunk(restored, run.tables, 3, 3)
    jax.tree.map(np.testing.assert_array_equal, tiny.params_of(resumed), tiny.params_of(whole))


def plant_reversal(backward):
    """Replaces the derivative of the reversal: `(strength, cotangent) -> cotangent`."""

    def plant(monkeypatch):
        @jax.custom_vjp
        def reverse(features, strength):
            return features

        reverse.defvjp(
            lambda features, strength: (features, strength),
            lambda strength, own: (backward(strength, own), jnp.zeros_like(strength)),
        )
        monkeypatch.setattr(domain_adversarial, "reverse_gradient", reverse)

    return plant


def plant_discriminator(output):
    """Passes the discriminator's logit through a function."""

    def plant(monkeypatch):
        class Broken(DomainDiscriminator):
            @nn.compact
            def __call__(self, features):
                return output(super().__call__(features))

        monkeypatch.setattr(domain_adversarial, "DomainDiscriminator", Broken)

    return plant


def plant_scaled_discriminator(monkeypatch):
    schedule = {name: (lambda progress, gamma: jnp.ones(())) for name in ("ramp", "constant")}
    monkeypatch.setattr(domain_adversarial, "SCHEDULES", schedule)
    original = optax.sigmoid_binary_cross_entropy
    strengths = []

    def reverse(features, strength):
        strengths.append(strength)
        return features

    monkeypatch.setattr(domain_adversarial, "reverse_gradient", reverse)
    monkeypatch.setattr(
        domain_adversarial.optax,
        "sigmoid_binary_cross_entropy",
        lambda logits, labels: strengths[-1] * original(logits, labels),
    )


def plant_target_labels(monkeypatch):
    original = objective.needs_of

    def needs_of(domains):
        return original(domains) | {"target": ("image", "label")}

    monkeypatch.setattr(objective, "needs_of", needs_of)
    monkeypatch.setattr(objective, "LABELLED", ("source", "target"))
    for module in (objective, population):
        monkeypatch.setattr(module, "check_needs", lambda needs: None)


def plant_training_mode(monkeypatch):
    original = normalization._apply

    def apply(*arguments, mode, **named):
        return original(*arguments, mode=mode._replace(batch_statistics=True), **named)

    monkeypatch.setattr(normalization, "_apply", apply)


def plant_positions(change):
    """Replaces how positions are drawn: `(original, key, epoch, offset, K, size, batch)`."""

    def plant(monkeypatch):
        original = pipeline._positions
        monkeypatch.setattr(pipeline, "_positions", lambda *arguments: change(original, *arguments))

    return plant


def drop_ragged_batch(original, key, epoch, offset, num_steps, size, batch):
    # Each epoch of 20 gives two batches of 8; the last 4 are never seen.
    per_epoch = size // batch
    steps = [
        original(key, step // per_epoch, step % per_epoch * batch, 1, size, batch)
        for step in range(num_steps)
    ]
    return jnp.concatenate(steps)


def repeat_first_epoch(original, key, epoch, offset, num_steps, size, batch):
    order = original(key, 0, 0, 1, size, size).reshape(-1)
    flat_positions = jnp.tile(order, num_steps * batch // size + 2)[offset:]
    return flat_positions[: num_steps * batch].reshape(num_steps, batch)


def plant_static_steps(monkeypatch):
    static = jax.jit(
        vars(pipeline._positions)["__wrapped__"],
        static_argnames=("epoch", "offset", "num_steps", "size", "batch"),
    )
    monkeypatch.setattr(pipeline, "_positions", static)


def plant_static_strength(monkeypatch):
    patterns = [pattern.replace("|strength", "") for pattern in hparam.PATTERNS]
    table = hparam.re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
    monkeypatch.setattr(hparam, "_TABLE", table)


def plant_dropped_rows(monkeypatch):
    def batches_of(rows, batch_size):
        whole = rows.shape[-1] // batch_size * batch_size
        return rows[..., :whole].reshape(*rows.shape[:-1], -1, batch_size)

    for name in ("confusion_matrix", "mean_loss"):
        original = getattr(task_metric, name)
        monkeypatch.setattr(
            task_metric,
            name,
            lambda logits, labels, original=original: original(logits, labels[: len(logits)]),
        )
    monkeypatch.setattr(split_pass, "batches_of", batches_of)


def plant_lost_optimizer(monkeypatch):
    original = checkpoint.restore_population

    def restore(manager, state):
        step, restored = original(manager, state)
        return step, restored._replace(optimizer=jax.tree.map(jnp.zeros_like, restored.optimizer))

    monkeypatch.setattr(checkpoint, "restore_population", restore)


BUGS: dict[str, tuple[Callable[..., None], Plant]] = {
    "reversal with the wrong sign": (check_reversal, plant_reversal(lambda s, own: s * own)),
    "strength unused": (check_reversal, plant_reversal(lambda s, own: -own)),
    "no reversal": (check_reversal, plant_reversal(lambda s, own: own)),
    "strength on the discriminator": (check_discriminator_rate, plant_scaled_discriminator),
    "discriminator without gradient": (
        check_discriminator_learns,
        plant_discriminator(jax.lax.stop_gradient),
    ),
    "softmax over one unit": (
        check_discriminator_learns,
        plant_discriminator(lambda logit: jax.nn.softmax(logit[:, None])[:, 0]),
    ),
    "sigmoid twice": (check_discriminator_learns, plant_discriminator(jax.nn.sigmoid)),
    "target labels used": (check_no_target_labels, plant_target_labels),
    "batch statistics at evaluation": (check_evaluation_mode, plant_training_mode),
    "ragged batch dropped in training": (
        check_every_example_is_trained_on,
        plant_positions(drop_ragged_batch),
    ),
    "ragged batch dropped in evaluation": (check_every_example_is_evaluated, plant_dropped_rows),
    "same order every epoch": (
        check_epochs_are_shuffled_anew,
        plant_positions(repeat_first_epoch),
    ),
    "strength static": (check_strengths_share_a_program, plant_static_strength),
    "step static": (check_strengths_share_a_program, plant_static_steps),
    "optimizer state lost on resume": (check_resume, plant_lost_optimizer),
}
CHECKS = tuple(dict.fromkeys(check for check, _ in BUGS.values()))


def run_check(check, workdir):
    check(workdir) if check is check_resume else check()


@pytest.mark.parametrize("check", CHECKS)
def test_the_check_holds(check, tmp_path):
    run_check(check, tmp_path)


@pytest.mark.parametrize("bug", BUGS)
def test_the_check_fails_with_the_bug(bug, tmp_path, monkeypatch):
    check, plant = BUGS[bug]
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        run_check(check, tmp_path)
