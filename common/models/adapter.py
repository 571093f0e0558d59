"""Updates of low rank beside kernels that stay as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array, ArrayLike, Float, Key

# Below this root stands `<path of a kernel>/down` and `/up`; in the method's state, the scale.
ROOT = "adapter"


def draw_factors(key: Key[Array, ""], shape: tuple[int, ...], rank: int) -> dict[str, Array]:
    """Draws the factors of a kernel's update, whose product is 0.

    Args:
        key: Source of `down`.
        shape: Of the kernel, `[*inputs, unit]`: `[input, unit]` of a dense layer, also of
            attention, `[height, width, channel, unit]` of a convolution.
        rank: Number of columns of `down`.

    Returns:
        `down`, `[product of inputs, rank]`, normal with variance 1 / (3 product of inputs), and
        `up`, `[rank, unit]`, zeros.
    """
    inputs, units = math.prod(shape[:-1]), shape[-1]
    down = jax.random.normal(key, (inputs, rank)) * (3 * inputs) ** -0.5
    return {"down": down, "up": jnp.zeros((rank, units))}


def merge(params: Mapping[str, Any], scale: Float[ArrayLike, ""]) -> dict[str, Any]:
    """Adds the updates to the kernels that they belong to.

    Args:
        params: Parameters, with adapters or without.
        scale: Factor of every product of factors.

    Returns:
        Parameters of the network without adapters, which computes the same.
    """
    base: dict[str, Any] = traverse_util.flatten_dict(unmerge(params), sep="/")
    adapters: dict[str, Any] = traverse_util.flatten_dict(params.get(ROOT, {}), sep="/")
    for path in (name.removesuffix("/down") for name in adapters if name.endswith("/down")):
        # Accelerators round the terms of a product unless they are told not to.
        update = jnp.matmul(
            *(adapters[f"{path}/down"], adapters[f"{path}/up"]), precision=jax.lax.Precision.HIGHEST
        )
        base[path] = base[path] + scale * update.reshape(base[path].shape)
    return traverse_util.unflatten_dict(base, sep="/")


def unmerge(params: Mapping[str, Any]) -> dict[str, Any]:
    """Takes the updates away again.

    The kernels below them were never changed, so nothing is subtracted.

    Args:
        params: Parameters with adapters.

    Returns:
        Parameters of the network that the adapters were added to, bit for bit.
    """
    return {root: tree for root, tree in params.items() if root != ROOT}


def merge_variables(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Turns a run with adapters into one of a plain network.

    Args:
        variables: What a finished run left behind.

    Returns:
        The same without adapters, and without their scale; unchanged where there are none.
    """
    if ROOT not in variables["params"]:
        return dict(variables)
    state = dict(variables["method_state"])
    scale = state.pop(ROOT)["scale"]
    params = jax.device_get(merge(variables["params"], scale))
    return {**variables, "params": params, "method_state": state}
