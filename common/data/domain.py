"""Domains by name: pictures, labels, classes and splits."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Num

from common.data import synthetic_digits


class Examples(NamedTuple):
    """All examples of a domain, before they are split.

    Attributes:
        images: Pictures as stored, channels last, or vectors.
        labels: Class numbers.
        classes: Names of the classes; domains are compared by these.
        maximum: The largest value that a stored picture can have; 1 for vectors.
    """

    images: Num[np.ndarray, "example *shape"]
    labels: Int[np.ndarray, "example"]
    classes: tuple[str, ...]
    maximum: float


class Domain(NamedTuple):
    """One domain of a run.

    Attributes:
        name: The name in the config.
        examples: All examples.
        splits: Rows of `examples` for `train`, `val` and `test`.
    """

    name: str
    examples: Examples
    splits: Mapping[str, Int[np.ndarray, "row"]]


def _load_synthetic_digits(options: Mapping[str, Any]) -> Examples:
    images, labels = synthetic_digits.render_digits(
        options["per_class"], seed=options["seed"], preparation=options["preparation"]
    )
    return Examples(
        images, labels.astype(np.int32), tuple("0123456789"), float(synthetic_digits.MAX_VALUE)
    )


def _load_digits(options: Mapping[str, Any]) -> Examples:
    """Reads the handwritten digits that scikit-learn carries: the test file of the UCI set."""
    del options
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = np.asarray(pixels, np.uint8).reshape(-1, 8, 8, 1)
    return Examples(images, np.asarray(labels, np.int32), tuple("0123456789"), 16.0)


DOMAINS: dict[str, Callable[[Mapping[str, Any]], Examples]] = {
    "synthetic_digits": _load_synthetic_digits,
    "digits": _load_digits,
}


@functools.lru_cache(maxsize=8)
def _load(name: str, options: str) -> Examples:
    """Loads a domain once; the runs of a population share the arrays."""
    return DOMAINS[name](json.loads(options))


def split(
    num_examples: int, options: Mapping[str, Any], seed: int, key: str
) -> dict[str, Int[np.ndarray, "row"]]:
    """Splits a domain at random, never by label.

    A split balanced by class would carry target labels into training.

    Args:
        num_examples: Size of the domain.
        options: `train` and `val`, numbers of examples; the rest is `test`.
        seed: `config.data.split_seed`.
        key: Where the options stand in the config, for messages.

    Returns:
        Disjoint rows by split.

    Raises:
        ValueError: A split would be empty.
    """
    train, val = options["train"], options["val"]
    if min(train, val, num_examples - train - val) < 1:
        raise ValueError(
            f"{key} asks for {train} examples to train and {val} to validate of {num_examples}: "
            "each, and the rest, which is the test split, must hold at least one"
        )
    order = np.random.default_rng([seed, 7]).permutation(num_examples).astype(np.int32)
    return {
        "train": np.sort(order[:train]),
        "val": np.sort(order[train : train + val]),
        "test": np.sort(order[train + val :]),
    }


def load_domain(name: str, config: Mapping[str, Any], split_seed: int) -> Domain:
    """Loads a domain and splits it.

    Args:
        name: A key of `DOMAINS`.
        config: `config.data`; the options stand under the domain's name.
        split_seed: Seed of the random split.

    Returns:
        The domain.

    Raises:
        ValueError: An unknown name, or a split that would be empty.
    """
    if name not in DOMAINS:
        raise ValueError(f"no domain is named {name!r}; legal are {', '.join(sorted(DOMAINS))}")
    options = dict(config[name])
    examples = _load(name, json.dumps(options, sort_keys=True))
    return Domain(
        name,
        examples,
        split(len(examples.labels), options, split_seed, f"config.data.{name}"),
    )


def fingerprint(array: np.ndarray) -> str:
    """Hashes an array with its type and shape.

    Args:
        array: Pictures, or labels; they are hashed apart, so that a target's labels stay apart.

    Returns:
        The SHA-256 in hexadecimal.
    """
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def load_task(config: Mapping[str, Any]) -> dict[str, Domain]:
    """Loads the source and the target of a run.

    Args:
        config: The resolved config.

    Returns:
        `source` and `target`. With `config.data.transductive` the target's test pictures are
        trained on too.

    Raises:
        ValueError: Domains whose classes or picture shapes differ.
    """
    data = config["data"]
    source = load_domain(config["source"], data, data["split_seed"])
    target = load_domain(config["target"], data, data["split_seed"])
    if source.examples.classes != target.examples.classes:
        raise ValueError(
            f"the classes of {source.name} are {', '.join(source.examples.classes)}, those of "
            f"{target.name} are {', '.join(target.examples.classes)}; they must be the same"
        )
    shapes = [domain.examples.images.shape[1:] for domain in (source, target)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"examples of {source.name} have shape {shapes[0]}, those of {target.name} "
            f"{shapes[1]}; they must be the same"
        )
    if data["transductive"] and "target_labelled" in config["domains"]:
        raise ValueError(
            "config.data.transductive with the domain target_labelled would train on test labels; "
            "set it to False"
        )
    if data["transductive"]:
        seen = np.sort(np.concatenate([target.splits["train"], target.splits["test"]]))
        target = target._replace(splits={**target.splits, "train": seen})
    return {"source": source, "target": target}
