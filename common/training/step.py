"""The one training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from common.method import Batch, Method, Phase
from common.training.optimizer import Optimizer, merge
from common.training.state import HEALTHY, State, variables_of


def make_train_step(
    method: Method, optimizer: Optimizer, num_steps: int, ema_decay: float
) -> Callable[[State, Batch], tuple[State, dict[str, Array]]]:
    """Builds the step that every method shares.

    Args:
        method: The method; it contributes its losses alone.
        optimizer: Its optimizer.
        num_steps: Steps of the whole run; progress is the share of them that was taken.
        ema_decay: Largest weight of the past in the average of the weights; in step t it is at
            most (1 + t) / (10 + t). 0 keeps no average.

    Returns:
        `train_step(state, batch) -> (state, metrics)`, pure. It never stops: the first step with
        a non-finite loss or gradient is recorded in `state.health`.
    """

    def take(phase: Phase, state: State, batch: Batch, key, progress):
        roots = phase.update or tuple(state.params)
        updated = {root: tree for root, tree in state.params.items() if root in roots}
        kept = {root: tree for root, tree in state.params.items() if root not in roots}

        def loss(updated):
            variables = dict(variables_of(state))
            variables["params"] = merge(merge(updated, kept), state.frozen)
            return phase.loss(variables, batch, key=key, progress=progress, hparams=state.hparams)

        (value, aux), gradients = jax.value_and_grad(loss, has_aux=True)(updated)
        norm = optax.tree.norm(gradients)
        params, optimizer_state = optimizer.update(
            gradients, state.optimizer, state.params, progress=progress, hparams=state.hparams
        )
        finite = jnp.isfinite(value) & jnp.isfinite(norm)
        health = jnp.where((state.health == HEALTHY) & ~finite, state.step, state.health)
        state = state._replace(
            params=params,
            optimizer=optimizer_state,
            batch_stats=aux.batch_stats,
            method_state=aux.method_state,
            health=health,
        )
        return state, {"loss": value, "gradient_norm": norm, **aux.metrics}

    def train_step(state: State, batch: Batch) -> tuple[State, dict[str, Array]]:
        progress = state.step / num_steps
        key = jax.random.fold_in(state.key, state.step)
        metrics: dict[str, Any] = {}
        sub_step = 0
        for index, phase in enumerate(method.phases):
            prefix = f"phase_{index}/" if len(method.phases) > 1 else ""
            for _ in range(phase.repeat):
                state, recorded = take(
                    phase, state, batch, jax.random.fold_in(key, sub_step), progress
                )
                sub_step += 1
            metrics |= {f"{prefix}{name}": value for name, value in recorded.items()}
        metrics["learning_rate"] = optimizer.learning_rate(progress, state.hparams)
        if ema_decay:
            now = {"params": state.params, "batch_stats": state.batch_stats}
            # A shorter memory at the start: else a short run is evaluated at its initial weights.
            decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
            state = state._replace(
                ema=jax.tree.map(
                    # In this form what does not change, such as a frozen statistic, keeps its bits.
                    lambda old, new: (old + (1 - decay) * (new - old)).astype(old.dtype),
                    state.ema,
                    now,
                )
            )
        return state._replace(step=state.step + 1), metrics

    return train_step
