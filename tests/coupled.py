"""Small methods that show what a wrapper may get wrong: each breaks another easy assumption."""

from typing import Any

import jax
import jax.numpy as jnp

from common.method import Alignment, Method, Phase
from common.models.mode import TRAINING, Dropout
from common.models.network import make_network
from common.training.objective import make_objective
from tests import tiny

# Rows of the project, under their own names.
ROWS = ("source_only", "dann", "multi_source_dann")


def covariance_gap(config: Any) -> Alignment:
    """A loss that is no mean over examples: the distance of the domains' covariances."""
    del config

    def loss(params, method_state, view, *, key, progress, hparams):
        def covariance(features):
            centred = features - features.mean(0, keepdims=True)
            return centred.T @ centred / (features.shape[0] - 1)

        gap = covariance(view.source.features) - covariance(view.target.features)
        return jnp.sum(gap**2), method_state, {}

    return Alignment(lambda key, outputs: ({}, {}), loss)


def perturbation(config: Any) -> Alignment:
    """A loss over a second pass, whose input is a gradient with respect to the pictures."""
    del config

    def loss(params, method_state, view, *, key, progress, hparams):
        images = view.batch["target"]["image"]
        noise = jax.random.normal(key, images.shape, images.dtype)

        def distance(change):
            moved = view.forward(images + change, "target").logits
            return jnp.mean((moved - jax.lax.stop_gradient(view.target.logits)) ** 2)

        step = jax.lax.stop_gradient(jax.grad(distance)(0.1 * noise))
        state = {"seen": method_state["seen"] + jnp.sum(jnp.abs(step))}
        return distance(10 * step), state, {}

    return Alignment(lambda key, outputs: ({}, {"seen": jnp.zeros(())}), loss)


def odd_pass(config: Any) -> Alignment:
    """A pass over five rows, and dropout on features of the whole batch."""
    del config
    dropout = Dropout(0.5)

    def loss(params, method_state, view, *, key, progress, hparams):
        some = view.forward(view.batch["target"]["image"][:5], "target").logits
        dropped = dropout.apply({}, view.source.features, mode=TRAINING, rngs={"dropout": key})
        return jnp.mean(some**2) + jnp.var(jnp.asarray(dropped)), method_state, {}

    return Alignment(lambda key, outputs: ({}, {}), loss)


def teacher_gap(method: Method) -> Method:
    """Pulls predictions towards those of the averaged weights."""
    plain = method.phases[0].loss

    def loss(variables, batch, **named):
        value, aux = plain(variables, batch, **named)
        images = batch["target"]["image"]
        teacher = {**variables["ema"], "method_state": {}}
        gap = method.predict(variables, images, "target").logits - jax.lax.stop_gradient(
            method.predict(teacher, images, "target").logits
        )
        return value + 10 * jnp.mean(gap**2), aux

    return method._replace(phases=(Phase(loss),))


def in_phases(method: Method) -> Method:
    """Trains everything once, and then the extractor twice more within every step."""
    loss = method.phases[0].loss
    return method._replace(
        phases=(Phase(loss), Phase(loss, update=("feature_extractor",), repeat=2))
    )


def make_method(name: str, config: Any) -> Method:
    """Returns a real row by its name, or one of the methods above."""
    if name in ROWS:
        return tiny.MAKERS[config["package"]](config, tiny.NUM_CLASSES)
    network = make_network(config["model"], tiny.NUM_CLASSES)
    terms = {"covariance_gap": covariance_gap, "perturbation": perturbation}
    terms |= {"odd_pass": odd_pass}
    chosen = {name: terms[name](config)} if name in terms else {}
    method = make_objective(network, ("source", "target"), chosen, "alignment")
    return {"phases": in_phases, "teacher": teacher_gap}.get(name, lambda own: own)(method)


def make_config(name: str, changes: Any) -> dict[str, Any]:
    """Returns the config of a name."""
    row = name if name in ROWS else "statistics_only"
    config = tiny.make_config(row, changes)
    if name in ("covariance_gap", "perturbation"):
        config["alignment"] = {name: {"weight": 1.0}}
    if name == "multi_source_dann":
        config["alignment"]["multi_source_adversarial"]["num_sources"] = 2
        config["source"] = "synthetic_digits+digits"
    if name == "teacher":
        config["optimizer"]["ema_decay"] = 0.9
    return config
