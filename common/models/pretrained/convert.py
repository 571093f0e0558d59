"""From the weights of PyTorch's networks to ours, and back.

Both are dicts of NumPy arrays; nothing is read or written here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from common.legal import check_name
from common.models.mode import EVALUATION
from common.models.network import make_extractor
from common.models.pretrained import cifar_resnet, resnet, vgg, vit
from common.models.pretrained.table import HEAD, Entry, Table

# Of each extractor that has weights elsewhere: `(extractor) -> {layout: table}`; the first layout
# is the one that is written by default.
FAMILIES = {
    **dict.fromkeys([f"cifar_resnet{depth}" for depth in (20, 32, 44, 56)], cifar_resnet.tables),
    **dict.fromkeys([f"resnet{depth}" for depth in (18, 34, 50, 101)], resnet.tables),
    "vgg16": vgg.tables,
    **dict.fromkeys(["vit_s16", "vit_b16"], vit.tables),
}

# Names shown of a longer list.
SHOWN = 10


class Converted(NamedTuple):
    """Weights in our layout.

    Attributes:
        variables: `params` and `batch_stats`, both with the root `feature_extractor` (which is
            empty where there is none); `params` also has `task_head` where the head fits.
        head: `kernel` and `bias` of the head that came along, whatever its number of classes; None
            where none did.
        layout: Whose names the weights had.
    """

    variables: dict[str, Any]
    head: dict[str, np.ndarray] | None
    layout: str


def to_variables(
    name: str,
    options: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    *,
    normalization: str = "batch",
    num_classes: int = 0,
    channels: int = 3,
    layout: str = "",
) -> Converted:
    """Brings weights of PyTorch into our layout.

    Args:
        name: `config.model.name`.
        options: `config.model.options`.
        tensors: The weights, by PyTorch's names.
        normalization: The layer of the policy, a value of `normalization.LAYER_OF_POLICY`.
        num_classes: The head becomes the task head if it has so many classes; 0: never.
        channels: Of the pictures.
        layout: Whose names they are; empty: that of which most names are there.

    Returns:
        The variables in float32, and the head.

    Raises:
        ValueError: Weights for another network: one message lists the keys that are missing, those
            that are too many, and those of another shape.
    """
    known = _tables(name, options, normalization)
    layout = _choose(known, tensors, layout)
    table, (wanted, features) = known[layout], _shapes(name, options, normalization, channels)
    entries = [*table.entries]
    if any(key in tensors for entry in table.head for key in entry.keys):
        classes = [tensors[key].shape[:1] for key in table.head[0].keys if key in tensors]
        count = classes[0][0] if classes and classes[0] else 0
        wanted |= {f"{HEAD}/kernel": (features, count), f"{HEAD}/bias": (count,)}
        entries += table.head
    missing, wrong, used, flat = [], [], set(), {}
    for entry in entries:
        key = next((key for key in entry.keys if key in tensors), None)
        if key is None:
            missing.append(entry.keys[0])
            continue
        used.add(key)
        shape, tensor = _torch_shape(entry, wanted), np.asarray(tensors[key])
        if tensor.shape != shape:
            wrong.append(f"{key} has {tensor.shape} instead of {shape}")
            continue
        for path, part in zip(entry.paths, np.split(tensor, len(entry.paths)), strict=True):
            flat[path] = np.ascontiguousarray(entry.order.to_ours(part), np.float32)
    used |= {*table.counters, *table.unused}
    extra = [key for key in tensors if key not in used]
    problems = [
        f"{title}: {_listed(keys)}"
        for title, keys in (("missing", missing), ("extra", extra), ("of another shape", wrong))
        if keys
    ]
    if problems:
        raise ValueError(
            f"these are no weights of {name} with normalization={normalization!r} and the options "
            f"{dict(options)} in the layout of {layout}; {'; '.join(problems)}"
        )
    head = {kind: flat.pop(f"{HEAD}/{kind}", None) for kind in ("kernel", "bias")}
    head = None if head["bias"] is None else head
    if head is not None and len(head["bias"]) == num_classes:
        flat |= {f"{HEAD}/{kind}": array for kind, array in head.items()}
    variables = {"params": {}, "batch_stats": {}}
    variables |= traverse_util.unflatten_dict(flat, sep="/")
    return Converted(variables, head, layout)


def from_variables(
    name: str,
    options: Mapping[str, Any],
    variables: Mapping[str, Any],
    *,
    normalization: str = "batch",
    layout: str = "",
) -> dict[str, np.ndarray]:
    """Brings our weights into the layout of PyTorch.

    Args:
        name: `config.model.name`.
        options: `config.model.options`.
        variables: `params` and `batch_stats`, with the roots `feature_extractor` and, where the
            head is to come along, `task_head`; other roots stay behind.
        normalization: The layer of the policy, a value of `normalization.LAYER_OF_POLICY`.
        layout: Whose names to give; empty: the first that has them.

    Returns:
        The weights by PyTorch's names, for `load_state_dict` of the same network; those of Hugging
        Face are the names in files, for `from_pretrained`.

    Raises:
        ValueError: A head with hidden layers, or variables of another network.
    """
    known = _tables(name, options, normalization)
    layout = layout or next(iter(known))
    check_name("layout", layout, known)
    table = known[layout]
    flat = {}
    for kind, trees in variables.items():
        for root in ("feature_extractor", "task_head"):
            own = traverse_util.flatten_dict(trees.get(root, {}), sep="/")
            flat |= {f"{kind}/{root}/{path}": np.asarray(leaf) for path, leaf in own.items()}
    entries = [*table.entries]
    if any(path.startswith("params/task_head/") for path in flat):
        entries += table.head
    paths = {path for entry in entries for path in entry.paths}
    missing, extra = sorted(paths - set(flat)), sorted(set(flat) - paths)
    if missing or extra:
        raise ValueError(
            f"these variables are not those of {name} with a head without hidden layers; "
            f"missing: {_listed(missing) or 'none'}; extra: {_listed(extra) or 'none'}"
        )
    tensors = {
        entry.keys[0]: np.ascontiguousarray(
            np.concatenate([entry.order.to_torch(flat[path]) for path in entry.paths])
        )
        for entry in entries
    }
    names = {key.rpartition(".")[0] for key in tensors}
    counters = [key for key in table.counters if key.rpartition(".")[0] in names]
    return tensors | {key: np.zeros((), np.int64) for key in counters}


def _tables(name: str, options: Mapping[str, Any], normalization: str) -> dict[str, Table]:
    check_name("config.model.name", name, FAMILIES)
    return FAMILIES[name](make_extractor(name, options, normalization=normalization))


def _choose(known: Mapping[str, Table], tensors: Collection[str], layout: str) -> str:
    """Finds the layout of which most names are there."""
    if layout:
        check_name("layout", layout, known)
        return layout
    return max(
        known,
        key=lambda own: sum(
            any(key in tensors for key in entry.keys) for entry in known[own].entries
        ),
    )


def _shapes(
    name: str, options: Mapping[str, Any], normalization: str, channels: int
) -> tuple[dict[str, tuple[int, ...]], int]:
    """The shapes of the extractor's variables by path, and the number of its features."""
    extractor = make_extractor(name, options, normalization=normalization)
    size = getattr(extractor, "picture_size", 32)
    images = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
    features, variables = jax.eval_shape(
        lambda images: extractor.init_with_output(jax.random.key(0), images, mode=EVALUATION),
        images,
    )
    flat: dict[str, Any] = traverse_util.flatten_dict(variables, sep="/")
    return {
        path.replace("/", "/feature_extractor/", 1): leaf.shape
        for path, leaf in flat.items()
        if not path.startswith("layers/")
    }, features.shape[-1]


def _torch_shape(entry: Entry, ours: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The shape of PyTorch's array, from those of the arrays that it is split into."""
    part = jax.ShapeDtypeStruct(ours[entry.paths[0]], jnp.float32)
    first, *others = jax.eval_shape(entry.order.to_torch, part).shape
    return first * len(entry.paths), *others


def _listed(names: list[str]) -> str:
    """Joins names; of a long list the first ones and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
