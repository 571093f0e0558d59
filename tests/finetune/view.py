"""What tests of regularisers share: numbers, and the view of a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from common.method import Outputs, Regularizer, RegularizerView, Start

DOMAIN = "target_labelled"


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Returns numbers of the normal distribution, in double precision."""
    return np.random.default_rng(seed).normal(size=shape)


def outputs(features: Any, logits: Any, layers: Mapping[str, Any] | None = None) -> Outputs:
    """Returns a network's outputs."""
    return Outputs(
        jnp.asarray(features),
        jnp.asarray(logits),
        {name: jnp.asarray(maps) for name, maps in (layers or {}).items()},
    )


def see(
    own: Outputs,
    *,
    before: Outputs | None = None,
    params: Mapping[str, Any] | None = None,
    labels: Any = (),
    head: Any = None,
) -> RegularizerView:
    """Returns the view of a batch whose outputs, now and at the start, are given."""

    def predict(images, domain, **options):
        assert images.shape == (len(own.logits), 1) and domain == DOMAIN
        assert before is not None
        return before

    images = jnp.zeros((len(own.logits), 1))
    batch = {DOMAIN: {"image": images, "label": jnp.asarray(labels, jnp.int32)}}
    start = Start(jax.tree.map(jnp.asarray, dict(params or {})), predict)
    return RegularizerView({DOMAIN: own}, batch, start, head)


def slopes(regularizer: Regularizer, make_view: Any, params: Any, given: Any, *, state: Any, **how):
    """Returns value, metrics, and gradients by parameters and by what a view is made of."""
    hparams = {name: jnp.asarray(value) for name, value in how.items()}

    def loss(params, given):
        return regularizer.loss(params, state, make_view(given), hparams)

    with jax.enable_x64(True):
        params, given = jax.tree.map(jnp.asarray, (params, given))
        compiled = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
        (value, metrics), gradients = compiled(params, given)
        return float(value), jax.tree.map(float, metrics), jax.tree.map(np.asarray, gradients)
