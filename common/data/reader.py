"""Domains that are read from files: prepared sets, folders of pictures, vectors, texts."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from common.data.example import Examples
from common.data.picture import FITS, Form, adapt
from common.legal import check_name

Options = Mapping[str, Any]


def _form(options: Options) -> Form:
    return Form(options["size"], options["fit"], options["channels"])


def _read_prepared(place: str, options: Options) -> Examples:
    from common.data.prepared import read_prepared

    return read_prepared(place, options["parts"], _form(options), options["data_dir"])


def _read_folder(place: str, options: Options) -> Examples:
    from common.data.folder import read_folder

    own = {name: options[name] for name in ("skip_bad", "kind")}
    return read_folder(place, _form(options), **own)


def _read_svmlight(place: str, options: Options) -> Examples:
    from common.data.svmlight import read_svmlight

    return read_svmlight(place, num_features=options["num_features"])


def _read_npz(place: str, options: Options) -> Examples:
    from common.data.npz import read_npz

    form = _form(options)
    return read_npz(place, lambda picture: adapt(picture, form), options["kind"])


def _read_csv(place: str, options: Options) -> Examples:
    from common.data.text import read_texts

    return read_texts(place, options["text_column"], options["label_column"])


# What stands before the colon of a domain's name.
READERS: dict[str, Callable[[str, Options], Examples]] = {
    "tfds": _read_prepared,
    "folder": _read_folder,
    "svmlight": _read_svmlight,
    "npz": _read_npz,
    "csv": _read_csv,
}
# Those that may hold labels that are no classes; of pixels, npz alone.
OF_VALUES = ("npz", "folder")
# Domains whose arrays are kept in memory, besides those in use.
CACHED = 8
FORMS = tuple(f"{kind}:..." for kind in READERS)


def is_read(name: str) -> bool:
    """Says whether a domain's name tells where its files are.

    Args:
        name: `config.source` or `config.target`.

    Returns:
        True for names such as `tfds:mnist` and `folder:photos/clean`.
    """
    kind, separator, _ = name.partition(":")
    return bool(separator) and kind in READERS


def is_text(name: str) -> bool:
    """Says whether a domain, or the first of several that are joined, holds texts.

    Args:
        name: `config.source` or `config.target`.

    Returns:
        True for names such as `csv:reviews.csv`.
    """
    return name.startswith("csv:")


def check_unread(config: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> None:
    """Refuses options that no domain's kind reads.

    Args:
        config: The resolved config.
        names: The domains of the source and of the target.

    Raises:
        ValueError: With the key and the domains that it is for.
    """
    data = config["data"]
    kinds = {role: {own.partition(":")[0] for own in names[role]} for role in names}
    together = kinds["source"] | kinds["target"]
    if "csv" in together and len(together) > 1:
        raise ValueError(
            f"config.source is {config['source']!r} and config.target {config['target']!r}; texts "
            "(csv:...) go with texts alone"
        )
    for role, own in kinds.items():
        for part, written in data[f"{role}_splits"].items():
            if written and own != {"tfds"}:
                raise ValueError(
                    f"config.data.{role}_splits.{part} is {written!r}, which is for prepared "
                    f"domains (tfds:...); config.{role} is {config[role]!r}: leave it empty"
                )
    if data["num_features"] and not any("svmlight" in own for own in kinds.values()):
        raise ValueError(
            f"config.data.num_features is {data['num_features']}, which is for svmlight:... "
            f"domains; the task is {config['source']!r} to {config['target']!r}: set it to 0"
        )


def options_of(config: Mapping[str, Any], role: str) -> dict[str, Any]:
    """Collects what decides how a domain's files are read.

    Args:
        config: The resolved config.
        role: `source` or `target`.

    Returns:
        Plain data.

    Raises:
        ValueError: An unknown way to bring pictures to their size.
    """
    data = config["data"]
    check_name("config.data.fit", data["fit"], FITS)
    options = {key: data[key] for key in ("size", "fit", "channels", "skip_bad", "num_features")}
    parts = dict(data[f"{role}_splits"])
    options |= {key: data[key] for key in ("text_column", "label_column")}
    options |= {"kind": config["task"]["kind"]}
    return {**options, "parts": parts, "data_dir": config["runtime"]["data_dir"]}


# A sweep over many pairs has each domain in several of them.
@functools.lru_cache(maxsize=CACHED)
def read(name: str, options: str) -> Examples:
    """Reads a domain once; runs with equal options share what was read.

    Args:
        name: Such as `tfds:mnist`.
        options: What `options_of` returns, as JSON.

    Returns:
        All its examples.

    Raises:
        ValueError: Files that are missing or broken.
    """
    kind, _, place = name.partition(":")
    if not place:
        raise ValueError(f"{name!r} names no place; write it behind the colon")
    return READERS[kind](place, json.loads(options))
