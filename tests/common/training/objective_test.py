"""Tests of the task loss and of the terms that are added to it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.method import Alignment, Regularizer
from common.models.network import make_network
from common.training.objective import cross_entropy, make_objective, needs_of
from tests.tiny import NUM_CLASSES, make_config

BOTH = ("source", "target")
DRAW = np.random.default_rng(0)


def make_method(domains, terms=None, normalization="group", schedules=None):
    config = make_config(changes={"model.normalization": normalization})
    network = make_network(config["model"], NUM_CLASSES)
    return make_objective(
        network, domains, terms or {}, "alignment", weight_schedules=schedules or {}
    )


def make_batch(domains):
    batch = {}
    for domain in domains:
        batch[domain] = {"image": jnp.asarray(DRAW.random((6, 4, 4, 1)), jnp.float32)}
        if domain != "target":
            batch[domain]["label"] = jnp.asarray(DRAW.integers(0, NUM_CLASSES, 6), jnp.int32)
    return batch


def evaluate(method, batch, hparams=None, *, variables=None, key=0):
    """Returns the value, what came beside it, and the gradient."""
    variables = variables or jax.jit(method.init)(jax.random.key(0), batch)

    def loss(params):
        return method.phases[0].loss(
            {**variables, "params": params},
            batch,
            key=jax.random.key(key),
            progress=jnp.float32(0.25),
            hparams=hparams or {},
        )

    compiled = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, aux), gradient = compiled(variables["params"])
    return value, aux, gradient


def make_term(value=lambda params, view: 0.0, *, params=None, state=None, weight=None, seen=None):
    """A term made of its parts; what its loss is called with lands in `seen`."""

    def loss(params, method_state, view, *, key, **rest):
        if seen is not None:
            seen.update(state=method_state, view=view, **rest)
        after = jax.tree.map(lambda leaf: leaf + 1, method_state)
        metrics = {"own": jnp.float32(7), "key": jax.random.key_data(key)}
        return jnp.asarray(value(params, view), jnp.float32), after, metrics

    return Alignment(lambda key, outputs: (params or {}, state or {}), loss, weight)


def log_likelihood(logits, labels):
    logits = np.asarray(logits, np.float64)
    return logits[np.arange(len(labels)), labels] - np.log(np.exp(logits).sum(1))


def test_cross_entropy_is_the_mean_over_examples():
    logits, labels = DRAW.normal(size=(5, 3)), DRAW.integers(0, 3, 5)
    losses = -log_likelihood(logits, labels)
    arrays = jnp.asarray(logits, jnp.float32), jnp.asarray(labels)
    np.testing.assert_allclose(cross_entropy(*arrays), losses.mean(), 1e-5)
    weights = np.array([0.0, 0.5, 1.0, 2.0, 4.0])
    weighted = cross_entropy(*arrays, jnp.asarray(weights, jnp.float32))
    np.testing.assert_allclose(weighted, np.sum(weights * losses) / 5, 1e-5)


@pytest.mark.parametrize("domains", [("source",), BOTH, ("target_labelled",)])
def test_without_a_term_the_loss_is_that_of_the_labelled_domain(domains):
    method, batch = make_method(domains), make_batch(domains)
    variables = jax.jit(method.init)(jax.random.key(0), batch)
    value, aux, _ = evaluate(method, batch, variables=variables)
    (labelled,) = set(domains) - {"target"}
    logits = method.predict(variables, batch[labelled]["image"], labelled).logits
    labels = np.asarray(batch[labelled]["label"])
    np.testing.assert_allclose(value, -log_likelihood(logits, labels).mean(), 1e-5)
    accuracy = (np.asarray(logits).argmax(1) == labels).mean()
    np.testing.assert_allclose(aux.metrics[f"{labelled}_accuracy"], accuracy, 1e-6)
    assert set(aux.metrics) == {"task_loss", f"{labelled}_accuracy"}
    assert aux.method_state == {}


def test_label_smoothing_gives_a_share_of_each_label_to_all_classes():
    logits, labels, share = DRAW.normal(size=(5, 3)), DRAW.integers(0, 3, 5), 0.1
    smooth = (1 - share) * np.eye(3)[labels] + share / 3
    log_shares = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    losses = -(smooth * log_shares).sum(1)
    arrays = jnp.asarray(logits, jnp.float32), jnp.asarray(labels)
    own = cross_entropy(*arrays, smoothing=share)
    np.testing.assert_allclose(own, losses.mean(), 1e-5)
    # Not over the wrong classes alone, as some code has it.
    wrong = np.where(np.eye(3)[labels] > 0, 1 - share, share / 2)
    assert abs(own + (wrong * log_shares).sum(1).mean()) > 1e-3
    # The least loss is at the smoothed labels.
    gradient = jax.grad(lambda z: cross_entropy(z, arrays[1], smoothing=share))(
        jnp.log(jnp.asarray(smooth, jnp.float32))
    )
    np.testing.assert_allclose(gradient, np.zeros((5, 3)), atol=1e-6)


def test_mixed_pictures_have_the_mixed_loss_of_both_labels_and_terms_see_them():
    def loss(params, method_state, view, **rest):
        seen = {domain: view.batch[domain]["image"] for domain in BOTH}
        return jnp.zeros(()), method_state, seen | {"label": view.batch["source"]["label"]}

    term = Alignment(lambda key, outputs: ({}, {}), loss)
    network = make_network(make_config()["model"], NUM_CLASSES)
    options = {"label_smoothing": 0.0, "mixup": 0.4}
    method = make_objective(network, BOTH, {"own": term}, "alignment", options=options)
    batch = make_batch(BOTH)
    variables = jax.jit(method.init)(jax.random.key(0), batch)
    hparams = {"alignment.own.weight": jnp.float32(0)}
    value, aux, _ = evaluate(method, batch, hparams, variables=variables, key=3)
    pictures, labels = batch["source"]["image"], np.asarray(batch["source"]["label"])
    mixed = np.asarray(aux.metrics["own/source"])
    np.testing.assert_array_equal(aux.metrics["own/label"], labels)
    np.testing.assert_array_equal(aux.metrics["own/target"], batch["target"]["image"])
    # Each mixture is at least one half the picture in its place, and for the rest another one.
    flat, own = np.asarray(pictures).reshape(6, -1), mixed.reshape(6, -1)
    found = []
    for row in range(6):
        for other in range(6):
            step = flat[other] - flat[row]
            share = 1 - (own[row] - flat[row]) @ step / max(step @ step, 1e-12)
            if np.allclose(flat[row] + (1 - share) * step, own[row], atol=1e-5) and step.any():
                found.append((row, other, share))
    shares = {round(share, 4) for _, _, share in found}
    assert len(shares) == 1 and 0.5 <= shares.pop() < 1
    partner = dict.fromkeys(range(6), 0) | {row: other for row, other, _ in found}
    share = found[0][2]
    logits = method.predict(variables, jnp.asarray(mixed), "source").logits
    rows = [row for row, _, _ in found]
    expected = share * log_likelihood(logits, labels)
    # A picture that is its own partner is not mixed.
    others = [partner[row] if row in rows else row for row in range(6)]
    expected = expected + (1 - share) * log_likelihood(logits, labels[others])
    np.testing.assert_allclose(aux.metrics["task_loss"], -expected.mean(), 1e-4)
    np.testing.assert_array_equal(value, aux.metrics["task_loss"])


def test_regularisers_are_of_fine_tuning_alone():
    network = make_network(make_config()["model"], NUM_CLASSES)
    regularizer = Regularizer(lambda params, outputs: {}, lambda *given: (jnp.zeros(()), {}))
    with pytest.raises(ValueError, match="held regularise fine-tuning, which has no term such as"):
        make_objective(network, BOTH, {"own": make_term()}, "alignment", {"held": regularizer})


def test_two_labelled_domains_count_alike():
    domains = ("source", "target_labelled")
    batch = make_batch(domains)
    both, _, _ = evaluate(make_method(domains), batch)
    alone = [evaluate(make_method((domain,)), batch)[0] for domain in domains]
    np.testing.assert_allclose(both, np.mean(alone), 1e-5)


def test_the_weight_of_a_source_example_multiplies_its_task_loss_alone():
    domains = ("source", "target", "target_labelled")
    weights = [np.array([0.0, 1, 2, 0, 1, 3]), np.array([1.0, 1, 0.5, 5, 2, 0])]
    terms = {
        name: make_term(weight=lambda state, view, own=own: jnp.asarray(own, jnp.float32))
        for name, own in zip(("first", "second"), weights, strict=True)
    }
    terms["third"] = make_term()
    method, batch = make_method(domains, terms), make_batch(domains)
    variables = jax.jit(method.init)(jax.random.key(0), batch)
    hparams = {f"alignment.{name}.weight": jnp.float32(1) for name in terms}
    value, _, _ = evaluate(method, batch, hparams, variables=variables)
    expected = []
    for domain, own in (("source", weights[0] * weights[1]), ("target_labelled", np.ones(6))):
        logits = method.predict(variables, batch[domain]["image"], domain).logits
        expected.append(-np.mean(own * log_likelihood(logits, np.asarray(batch[domain]["label"]))))
    np.testing.assert_allclose(value, np.mean(expected), 1e-5)


def test_a_schedule_multiplies_the_weight_of_its_term_and_of_no_other():
    """At a quarter of the run, where `evaluate` looks."""

    def mean_of(params, view):
        return view.source.features.mean()

    terms = {name: make_term(mean_of) for name in ("plain", "risen")}
    schedules = {"risen": lambda progress: progress**2}
    hparams = {f"alignment.{name}.weight": jnp.float32(2) for name in terms}
    batch = make_batch(BOTH)
    method = make_method(BOTH, terms, schedules=schedules)
    variables = jax.jit(method.init)(jax.random.key(0), batch)
    value, aux, gradient = evaluate(method, batch, hparams, variables=variables)
    mean = aux.metrics["risen/loss"]
    # What is recorded as the loss is the term's own, without any weight.
    np.testing.assert_array_equal(mean, aux.metrics["plain/loss"])
    np.testing.assert_allclose(value, aux.metrics["task_loss"] + (2 + 2 / 16) * mean, 1e-6)
    np.testing.assert_allclose(aux.metrics["risen/weight"], 2 / 16, 1e-6)
    assert "plain/weight" not in aux.metrics
    weights = {
        "alignment.plain.weight": jnp.float32(2),
        "alignment.risen.weight": jnp.float32(0.125),
    }
    fixed = make_method(BOTH, terms)
    _, _, expected = evaluate(fixed, batch, weights, variables=variables)
    jax.tree.map(
        lambda own, other: np.testing.assert_allclose(own, other, 1e-4, 1e-6), gradient, expected
    )


def test_a_term_gets_its_own_state_and_values_and_is_weighted():
    seen = {}
    terms = {
        "plain": make_term(lambda params, view: 5.0, state={"count": jnp.float32(10)}),
        "other": make_term(lambda params, view: 3.0, state={"count": jnp.float32(20)}, seen=seen),
    }
    method, batch = make_method(BOTH, terms), make_batch(BOTH)
    values = {"plain.weight": 2.0, "other.weight": 0.5, "other.gamma": 9.0, "otherwise.gamma": 1.0}
    hparams = {f"alignment.{name}": jnp.float32(value) for name, value in values.items()}
    value, aux, _ = evaluate(method, batch, hparams)
    np.testing.assert_allclose(value, aux.metrics["task_loss"] + 2 * 5 + 0.5 * 3, 1e-6)
    np.testing.assert_allclose(aux.metrics["other/loss"], 3)
    np.testing.assert_allclose(aux.metrics["other/own"], 7)
    counts = {name: float(state["count"]) for name, state in aux.method_state.items()}
    assert counts == {"plain": 11, "other": 21}
    assert seen["state"]["count"] == 20 and seen["progress"] == 0.25
    assert {name: float(number) for name, number in seen["hparams"].items()} == {
        "weight": 0.5, "gamma": 9.0
    }  # fmt: skip
    assert seen["view"].batch is batch


def test_a_term_draws_the_same_numbers_in_any_company():
    batch = make_batch(BOTH)
    hparams = {f"alignment.{name}.weight": jnp.float32(1) for name in ("a", "b")}
    _, alone, _ = evaluate(make_method(BOTH, {"b": make_term()}), batch, hparams)
    _, together, _ = evaluate(
        make_method(BOTH, {"a": make_term(), "b": make_term()}), batch, hparams
    )
    np.testing.assert_array_equal(together.metrics["b/key"], alone.metrics["b/key"])
    assert (together.metrics["a/key"] != together.metrics["b/key"]).any()


def test_a_root_of_a_terms_own_is_trained_and_changes_no_other():
    def value(params, view):
        return jnp.sum(params["critic"]["w"] * view.target.features.mean(0))

    term = make_term(value, params={"critic": {"w": jnp.arange(16.0)}})
    method, batch = make_method(BOTH, {"critic": term}), make_batch(BOTH)
    drawn, plain = (
        jax.jit(made.init)(jax.random.key(0), batch) for made in (method, make_method(BOTH))
    )
    assert set(drawn["params"]) == {"feature_extractor", "task_head", "critic"}
    assert drawn["method_state"] == {"critic": {}}
    for root in plain["params"]:
        jax.tree.map(np.testing.assert_array_equal, drawn["params"][root], plain["params"][root])
    weight = 0.5
    hparams = {"alignment.critic.weight": jnp.float32(weight)}
    _, _, gradient = evaluate(method, batch, hparams, variables=drawn)
    features = method.predict(drawn, batch["target"]["image"], "target").features
    np.testing.assert_allclose(gradient["critic"]["w"], weight * features.mean(0), 1e-5, 1e-6)


@pytest.mark.parametrize("roots", [("critic", "critic"), ("critic", "task_head")])
def test_a_root_has_one_owner(roots):
    terms = {
        f"term_{index}": make_term(params={root: {"w": jnp.zeros(2)}})
        for index, root in enumerate(roots)
    }
    with pytest.raises(ValueError, match=f"term_1 owns the root {roots[1]}, which is taken"):
        make_method(BOTH, terms).init(jax.random.key(0), make_batch(BOTH))


@pytest.mark.parametrize("policy", ["joint", "separate", "per_domain"])
def test_further_passes_of_a_term_leave_the_statistics_alone(policy):
    def value(params, view):
        return jnp.sum(view.forward(3 * view.batch["source"]["image"], "source").features)

    batch = make_batch(BOTH)
    hparams = {"alignment.term.weight": jnp.float32(1)}
    statistics, gradients = [], []
    for term in (make_term(), make_term(value)):
        method = make_method(BOTH, {"term": term}, policy)
        _, aux, gradient = evaluate(method, batch, hparams)
        statistics.append(aux.batch_stats)
        gradients.append(gradient["feature_extractor"]["dense_0"]["kernel"])
    jax.tree.map(np.testing.assert_array_equal, *statistics)
    before = jax.jit(method.init)(jax.random.key(0), batch)["batch_stats"]
    moved = jax.tree.map(lambda new, old: bool((new != old).any()), statistics[0], before)
    assert all(jax.tree.leaves(moved))
    assert (gradients[0] != gradients[1]).any()


@pytest.mark.parametrize("policy", ["separate", "per_domain"])
def test_further_passes_of_a_term_are_in_training_mode(policy):
    def value(params, view):
        again = view.forward(view.batch["target"]["image"], "target")
        return jnp.max(jnp.abs(again.features - view.target.features))

    batch = make_batch(BOTH)
    method = make_method(BOTH, {"term": make_term(value)}, policy)
    _, aux, _ = evaluate(method, batch, {"alignment.term.weight": jnp.float32(0)})
    assert aux.metrics["term/loss"] < 1e-6


def test_terms_without_both_domains_are_refused():
    for domains in (("source",), ("target_labelled",)):
        with pytest.raises(ValueError, match="the terms term compare source and target"):
            make_method(domains, {"term": make_term()})


@pytest.mark.parametrize(
    ("domains", "message"),
    [(("target",), "no labels to learn from"), (("source", "targt"), "the domain 'targt'")],
)
def test_domains_that_cannot_be_trained_on_are_refused(domains, message):
    with pytest.raises(ValueError, match=message):
        needs_of(domains)


def test_labels_are_needed_of_labelled_domains_alone():
    assert needs_of(("source", "target", "target_labelled")) == {
        "source": ("image", "label"),
        "target": ("image",),
        "target_labelled": ("image", "label"),
    }


def test_a_term_is_given_the_fields_that_it_needs_and_no_target_label():
    term = make_term()._replace(needs={"target": ("strong_image", "index"), "source": ("index",)})
    assert make_method(BOTH, {"own": term}).needs == {
        "source": ("image", "label", "index"),
        "target": ("image", "strong_image", "index"),
    }
    with pytest.raises(ValueError, match="target labels never enter"):
        make_method(BOTH, {"own": term._replace(needs={"target": ("label",)})})
    with pytest.raises(ValueError, match="the term own needs the domain target_labelled"):
        make_method(BOTH, {"own": term._replace(needs={"target_labelled": ("image",)})})


def test_each_term_refreshes_its_own_state_from_its_own_values():
    def refresh(state, outputs, hparams):
        return {"mean": outputs["target"]["features"].mean() * hparams["weight"] + state["mean"]}

    state = {"mean": jnp.ones(())}
    refreshed = make_term(state=state)._replace(refresh=refresh, refresh_every=3)
    method = make_method(BOTH, {"first": refreshed, "left": make_term(), "second": refreshed})
    assert method.refresh is not None and method.refresh_every == 3
    states = {"first": state, "left": {}, "second": state}
    after = method.refresh(
        {"method_state": states},
        {"target": {"features": jnp.full((4, 2), 2.0)}},
        {
            f"alignment.{name}.weight": jnp.float32(own)
            for name, own in {"first": 3, "second": 5}.items()
        },
    )
    assert {name: own and float(own["mean"]) for name, own in after.items()} == {
        "first": 7.0,
        "left": {},
        "second": 11.0,
    }
    with pytest.raises(ValueError, match="refresh at different steps"):
        make_method(BOTH, {"a": refreshed, "b": refreshed._replace(refresh_every=4)})


def test_the_averaged_weights_predict_in_evaluation_mode_and_without_a_gradient():
    batch = make_batch(BOTH)

    def value(params, view):
        return view.average(batch["target"]["image"], "target").logits.sum()

    method = make_method(BOTH, {"own": make_term(value)}, "separate")
    variables = jax.jit(method.init)(jax.random.key(0), batch)
    scaled = jax.tree.map(lambda leaf: 2 * leaf, variables["params"])
    variables["ema"] = {"params": scaled, "batch_stats": variables["batch_stats"]}
    own = {"alignment.own.weight": jnp.float32(1)}
    _, aux, gradient = evaluate(method, batch, own, variables=variables)
    expected = method.predict(variables["ema"], batch["target"]["image"], "target").logits.sum()
    np.testing.assert_allclose(aux.metrics["own/loss"], expected, 1e-5)
    plain = {"alignment.own.weight": jnp.float32(0)}
    _, _, without = evaluate(method, batch, plain, variables=variables)
    jax.tree.map(np.testing.assert_array_equal, gradient, without)
