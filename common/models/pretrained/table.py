"""What stands where: the words of the tables between PyTorch's weights and ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

EXTRACTOR = "params/feature_extractor"
STATISTICS = "batch_stats/feature_extractor"
HEAD = "params/task_head/logits"


class Order(NamedTuple):
    """How the axes of an array lie, in PyTorch and here.

    Attributes:
        to_ours: From PyTorch's order to ours.
        to_torch: Back.
    """

    to_ours: Callable[[Any], Any]
    to_torch: Callable[[Any], Any]


VECTOR = Order(lambda array: array, lambda array: array)
DENSE = Order(lambda array: array.T, lambda array: array.T)
CONVOLUTION = Order(
    lambda array: array.transpose(2, 3, 1, 0), lambda array: array.transpose(3, 2, 0, 1)
)
# PyTorch keeps an axis of length 1 for the batch.
OF_BATCH = Order(lambda array: array[0], lambda array: array[None])


class Entry(NamedTuple):
    """One array of PyTorch.

    Attributes:
        keys: Its names; the first is written, any one of them is read.
        paths: Where it goes, from `params` or `batch_stats` on. PyTorch's array is split along its
            first axis into as many equal parts.
        order: How the axes of each part lie.
    """

    keys: tuple[str, ...]
    paths: tuple[str, ...]
    order: Order


class Table(NamedTuple):
    """The weights of a network in one library.

    Attributes:
        entries: Everything but the head.
        head: Its kernel and bias.
        counters: Whole numbers without influence, read by nobody and written as 0: the
            `num_batches_tracked` of batch normalisation.
        unused: What is read by nobody and not written.
    """

    entries: tuple[Entry, ...]
    head: tuple[Entry, Entry]
    counters: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def layer(keys: tuple[str, ...], path: str, order: Order, *, bias: bool = True) -> list[Entry]:
    """Lists the arrays of a convolution or of a dense layer.

    Args:
        keys: Names of the layer.
        path: Where the layer is.
        order: Of the kernel.
        bias: Whether it has a bias.

    Returns:
        Entries for `weight` and `bias`.
    """
    entries = [Entry(tuple(f"{key}.weight" for key in keys), (f"{path}/kernel",), order)]
    if bias:
        entries.append(Entry(tuple(f"{key}.bias" for key in keys), (f"{path}/bias",), VECTOR))
    return entries


def head(keys: tuple[str, ...]) -> tuple[Entry, Entry]:
    """Lists the arrays of the last linear layer.

    Args:
        keys: Names of the layer.

    Returns:
        Entries for its kernel and its bias.
    """
    kernel, bias = layer(keys, HEAD, DENSE)
    return kernel, bias


def scale_and_bias(keys: tuple[str, ...], path: str) -> list[Entry]:
    """Lists the parameters of a normalisation.

    Args:
        keys: Names of the layer.
        path: Where the layer is.

    Returns:
        Entries for `weight` and `bias`.
    """
    return [
        Entry(tuple(f"{key}.{theirs}" for key in keys), (f"{path}/{ours}",), VECTOR)
        for theirs, ours in (("weight", "scale"), ("bias", "bias"))
    ]


def normalization(keys: tuple[str, ...], path: str, kind: str) -> list[Entry]:
    """Lists the arrays of a normalisation that a policy chose.

    Args:
        keys: Names of the layer.
        path: Where the layer is in the feature extractor.
        kind: `batch`, `group` or `none`.

    Returns:
        Entries for parameters, and for statistics where there are any.
    """
    if kind == "none":
        return []
    module = {"batch": "BatchNorm_0", "group": "GroupNorm_0"}[kind]
    entries = scale_and_bias(keys, f"{EXTRACTOR}/{path}/{module}")
    if kind == "batch":
        entries += [
            Entry(
                tuple(f"{key}.running_{name}" for key in keys),
                (f"{STATISTICS}/{path}/{module}/{name}",),
                VECTOR,
            )
            for name in ("mean", "var")
        ]
    return entries


def counters_of(entries: list[Entry]) -> tuple[str, ...]:
    """Lists the counters that PyTorch keeps beside running means.

    Args:
        entries: Everything but the head.

    Returns:
        Their keys, under each name that the means may have.
    """
    return tuple(
        key.removesuffix("running_mean") + "num_batches_tracked"
        for entry in entries
        for key in entry.keys
        if key.endswith(".running_mean")
    )
