"""Domains by name: pictures, labels, classes and splits."""

from __future__ import annotations

import functools
import json
import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from common.data import moons, synthetic_digits
from common.data.example import Examples
from common.legal import check_count, check_name, check_number


class Domain(NamedTuple):
    """One domain of a run.

    Attributes:
        name: The name in the config.
        examples: All examples.
        splits: Rows of `examples` for `train`, `val` and `test`. A target whose labels are trained
            on within a budget has `labelled` too: those rows of `train`.
        chosen_by_label: Whether labels decided which of its examples are trained on or validated
            on, as when `config.data.classes` leaves some out.
        origin: Of several sources that are pooled, the number of the source of each row of `train`;
            the rows of each stand together. None for a single one.
    """

    name: str
    examples: Examples
    splits: Mapping[str, Int[np.ndarray, "row"]]
    chosen_by_label: bool = False
    origin: Int[np.ndarray, "row"] | None = None


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


def _load_moons(name: str, options: Mapping[str, Any]) -> Examples:
    """Draws each split apart: its points stand at equal distances along the moons."""
    counts = {part: options[part] for part in ("train", "val", "test")}
    for part, count in counts.items():
        check_count(part, count, 2)
    check_number("noise", options["noise"])
    check_number("angle", options["angle"], least=-math.inf)
    # The domain's name enters, so that equal seeds give source and target different points.
    seeds = np.random.SeedSequence([options["seed"], zlib.crc32(name.encode())]).generate_state(3)
    drawn = [
        moons.draw_moons(count, noise=options["noise"], angle=options["angle"], seed=int(seed))
        for count, seed in zip(counts.values(), seeds, strict=True)
    ]
    points, labels = map(np.concatenate, zip(*drawn, strict=True))
    ends = np.cumsum(list(counts.values()))
    rows = np.split(np.arange(ends[-1], dtype=np.int32), ends[:-1])
    return Examples(points, labels, moons.CLASSES, 1.0, dict(zip(counts, rows, strict=True)))


DOMAINS: dict[str, Callable[[Mapping[str, Any]], Examples]] = {
    "synthetic_digits": _load_synthetic_digits,
    "digits": _load_digits,
    "moons": functools.partial(_load_moons, "moons"),
    "rotated_moons": functools.partial(_load_moons, "rotated_moons"),
}


# As many as the members of a large population may have, each with its own draw.
@functools.lru_cache(maxsize=256)
def _load(name: str, options: str) -> Examples:
    """Loads a domain once; runs of a population with equal options share the arrays."""
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


def load_examples(name: str, config: Mapping[str, Any], key: str = "config.source") -> Examples:
    """Loads a domain that the project carries or draws.

    Args:
        name: A key of `DOMAINS`.
        config: `config.data`; the options stand under the domain's name.
        key: Where the name stands in the config, for messages.

    Returns:
        All its examples.

    Raises:
        ValueError: An unknown name, an option that is missing or impossible, or more examples than
            the memory holds.
    """
    check_name(key, name, sorted(DOMAINS))
    if name not in config:
        raise ValueError(f"config.data.{name} is missing: the options of a domain stand there")
    options = dict(config[name])
    try:
        return _load(name, json.dumps(options, sort_keys=True))
    except KeyError as error:
        raise ValueError(f"config.data.{name}.{error.args[0]} is missing") from None
    except MemoryError as error:
        raise ValueError(
            f"config.data.{name} asks for more examples than this machine's memory holds: {error}"
        ) from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"config.data.{name}: {error}") from error


def split_drawn(
    name: str, examples: Examples, config: Mapping[str, Any], seed: int
) -> Mapping[str, Int[np.ndarray, "row"]]:
    """Splits a domain that the project carries or draws.

    Args:
        name: A key of `DOMAINS`.
        examples: Its examples. Splits of their own stay; those with nothing but `train` are split
            like those without any, and rows that stand nowhere are left out.
        config: `config.data`.
        seed: `config.data.split_seed`.

    Returns:
        Disjoint rows for `train`, `val` and `test`.

    Raises:
        ValueError: A split would be empty.
    """
    if examples.splits is None or set(examples.splits) == {"train"}:
        count = len(examples.labels)
        rows = np.arange(count) if examples.splits is None else examples.splits["train"]
        drawn = split(len(rows), dict(config[name]), seed, f"config.data.{name}")
        return {part: rows[own].astype(np.int32) for part, own in drawn.items()}
    for part, rows in examples.splits.items():
        if not len(rows):
            raise ValueError(f"config.data.{name}: its own split {part} must hold an example")
    return examples.splits
