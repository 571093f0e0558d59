"""From a file of weights to arrays in our layout."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util

from common.experiment.weights.location import find_weights, sha256_of
from common.experiment.weights.tensor_file import read_tensors
from common.models.network import make_extractor
from common.models.normalization import LAYER_OF_POLICY

# Our own layout: `params/feature_extractor/…/kernel` and `batch_stats/feature_extractor/…/mean`.
OWN = "adaptax"
HEAD = "task_head/"

Config = Mapping[str, Any]
Arrays = dict[str, np.ndarray]


class Weights(NamedTuple):
    """What a file holds, in our layout.

    Attributes:
        params: Parameters by path, those of the head among them.
        batch_stats: Running statistics by path.
        layout: Whose names the file uses.
    """

    params: Arrays
    batch_stats: Arrays
    layout: str


def load_weights(config: Config, here: Mapping[str, Any]) -> Weights:
    """Reads a run's file of weights; runs of a population that start from one read it once.

    Args:
        config: The resolved config; `init_from` and `model` are read.
        here: The run's parameters, or their shapes, by path.

    Returns:
        What it holds.

    Raises:
        ValueError: Weights that cannot be read, are of another network, hold values that are not
            finite, or are others than those of `config.init_from.sha256`.
    """
    options, model = config["init_from"], config["model"]
    wanted = {name: options[name] for name in ("weights", "sha256", "layout")}
    wanted |= {name: model[name] for name in ("name", "options")}
    wanted |= {"normalization": LAYER_OF_POLICY[model["normalization"]]}
    return _load(json.dumps(wanted | {"channels": _channels_of(model, here)}))


def _channels_of(model: Config, here: Mapping[str, Any]) -> int:
    """Reads the channels of a network's pictures off its first kernel."""
    patches = here.get("feature_extractor/patch_embedding/kernel")
    if patches is not None:
        # Rows of the matrix are the values of a patch.
        return patches.shape[0] // make_extractor(model["name"], model["options"]).patch ** 2
    kernels = [
        leaf.shape
        for path, leaf in here.items()
        if re.fullmatch(r"feature_extractor/.*/kernel", path) and len(leaf.shape) == 4
    ]
    # No other convolution takes as few channels as that of the pictures.
    return min([shape[2] for shape in kernels], default=3)


def check_sha256(name: str, expected: str) -> str:
    """Hashes weights, and refuses others than those that were asked for.

    Args:
        name: `config.init_from.weights`.
        expected: `config.init_from.sha256`; empty for whatever is there.

    Returns:
        The hash of `sha256_of`.

    Raises:
        ValueError: Weights that cannot be found, or another hash.
    """
    try:
        found = sha256_of(find_weights(name))
    except ValueError as error:
        raise ValueError(f"config.init_from.weights: {error}") from None
    if expected and found != expected.lower():
        raise ValueError(
            f"config.init_from.weights {name} has the SHA-256 {found}, and "
            f"config.init_from.sha256 is {expected!r}: it is another file, or a damaged one"
        )
    return found


@functools.lru_cache(maxsize=1)
def _load(wanted: str) -> Weights:
    from common.models.pretrained.convert import FAMILIES, to_variables

    own = json.loads(wanted)
    check_sha256(own["weights"], own["sha256"])
    key, name, layout = f"config.init_from.weights {own['weights']}", own["name"], own["layout"]
    try:
        tensors = read_tensors(find_weights(own["weights"])[0])
    except ValueError as error:
        raise ValueError(f"config.init_from.weights: {error}") from None
    bad = sorted(name for name, array in tensors.items() if not np.isfinite(array).all())
    if bad:
        raise ValueError(f"{key}: {bad[0]} holds values that are not finite")
    if layout == OWN or (not layout and any(name.startswith("params/") for name in tensors)):
        kinds = {
            kind: {
                path.removeprefix(f"{kind}/"): array.astype(np.float32)
                for path, array in tensors.items()
                if path.startswith(f"{kind}/")
            }
            for kind in ("params", "batch_stats")
        }
        return Weights(**kinds, layout=OWN)
    if name not in FAMILIES:
        raise ValueError(
            f"{key} has names such as {min(tensors)}, and config.model.name is {name!r}: other "
            f"libraries have weights of {', '.join(FAMILIES)} alone; of ours, names begin with "
            "params/ and batch_stats/"
        )
    try:
        converted = to_variables(
            *(name, own["options"], tensors),
            normalization=own["normalization"],
            channels=own["channels"],
            layout=layout,
        )
    except ValueError as error:
        sentence = str(error)
        if sentence.startswith("layout is"):
            raise ValueError(f"config.init_from.layout{sentence[len('layout') :]}") from None
        raise ValueError(f"{key}: {error}") from None
    flat: dict[str, Any] = {
        kind: traverse_util.flatten_dict(tree, sep="/")
        for kind, tree in converted.variables.items()
    }
    head = {f"{HEAD}logits/{name}": array for name, array in (converted.head or {}).items()}
    return Weights(flat["params"] | head, flat["batch_stats"], converted.layout)


def forget() -> None:
    """Frees the weights that were read last."""
    _load.cache_clear()
