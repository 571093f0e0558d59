"""What a run's checkpoint leaves out, since the run or the file that it starts from holds it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import traverse_util

from common.experiment import folder, json_file
from common.experiment.outcome import writing
from common.experiment.weights import pretrained
from common.training.optimizer import paths_of

FILE = "base.json"
KINDS = ("params", "batch_stats")


class Base(NamedTuple):
    """What a run starts from.

    Attributes:
        name: `{"run": folder, "selection": name}` or `{"weights": name, "sha256": hash}`; empty
            where there is nothing, or it is gone.
        arrays: Its arrays, as they are stored, by `params/<path>` and `batch_stats/<path>`.
    """

    name: dict[str, str]
    arrays: dict[str, Any]


NO_BASE = Base({}, {})


def of_variables(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Flattens parameters and statistics.

    Args:
        variables: `params` and `batch_stats`, nested.

    Returns:
        Arrays by `params/<path>` and `batch_stats/<path>`.
    """
    kinds = {kind: dict(variables.get(kind, {})) for kind in KINDS}
    return {path: np.asarray(leaf) for path, leaf in paths_of(kinds).items()}


def of_weights(config: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Reads a run's file of weights.

    Args:
        config: The resolved config of the run.
        here: Its parameters, or their shapes, by path.

    Returns:
        As `of_variables`.

    Raises:
        ValueError: It cannot be read.
    """
    weights = pretrained.load_weights(config, here)
    pretrained.forget()
    return of_variables(weights._asdict())


def leave_out(own: Path, choices: Mapping[str, Any], base: Base) -> dict[str, Any]:
    """Leaves out every array that the base holds bit for bit, and writes down where it is.

    An array that changed in one of the choices is kept in all of them.

    Args:
        own: The run folder; `base.json` is written there, or removed where nothing is left out.
        choices: Variables of the run by selection.
        base: What it starts from.

    Returns:
        The variables that only this run has, by selection.
    """
    flat = {selection: of_variables(variables) for selection, variables in choices.items()}
    out = {
        path: array
        for path, array in base.arrays.items()
        if all(path in arrays and _is_same(array, arrays[path]) for arrays in flat.values())
    }
    if any(len(out) == len(jax.tree.leaves(variables)) for variables in choices.values()):
        # No checkpoint is empty.
        out = {}
    with writing(own / FILE):
        (own / FILE).unlink(missing_ok=True)
    if out:
        name = dict(base.name)
        if "run" in name:
            # Both may be moved together.
            name["run"] = os.path.relpath(name["run"], own)
        shapes = {path: "x".join(map(str, array.shape)) for path, array in out.items()}
        about = {**name, "left_out": shapes, "sha256_left_out": folder.params_sha256(out)}
        json_file.write_json(own / FILE, about)
    return {
        selection: {
            **variables,
            **_nested({path: leaf for path, leaf in flat[selection].items() if path not in out}),
        }
        for selection, variables in choices.items()
    }


def put_back(
    own: Path, variables: Mapping[str, Any], load_run: Callable[..., Any]
) -> dict[str, Any]:
    """Puts a run's variables and those that its checkpoint leaves out together again.

    Args:
        own: The run folder.
        variables: What the checkpoint holds.
        load_run: `(folder, selection) -> variables` of a finished run.

    Returns:
        All variables, nested.

    Raises:
        ValueError: The base is gone, or is another one than it was.
    """
    if not (own / FILE).is_file():
        return dict(variables)
    about, flat = json_file.read_json(own / FILE), of_variables(variables)
    needed = {"left_out": dict, "sha256_left_out": str}
    needed |= {"weights": str} if "weights" in about else {"run": str, "selection": str}
    if any(not isinstance(about.get(key), kind) for key, kind in needed.items()):
        raise ValueError(
            f"{own / FILE} does not say what the checkpoint beside it leaves out; it is damaged: "
            "put the old file back, or train the run anew"
        )
    place = about.get("weights") or os.path.normpath(own / about["run"])
    told = f"{own} holds only what it changed of {place}, which"
    if "run" in about:
        if not (Path(place) / "result.json").is_file():
            raise ValueError(f"{told} is no finished run: put that run back, or train it again")
        held = of_variables(load_run(Path(place), about["selection"]))
    else:
        shapes = {path: array.shape for path, array in flat.items()} | {
            path: tuple(int(side) for side in shape.split("x") if side)
            for path, shape in about["left_out"].items()
        }
        here = {
            path.removeprefix("params/"): jax.ShapeDtypeStruct(shape, np.float32)
            for path, shape in shapes.items()
        }
        try:
            held = of_weights(json_file.read_json(own / "config.json")["config"], here)
        except ValueError as error:
            raise ValueError(f"{told} cannot be read: {error}") from None
    out = {path: held[path] for path in about["left_out"] if path in held}
    if folder.params_sha256(out) != about["sha256_left_out"]:
        raise ValueError(
            f"{told} has other values than it had then: put the old ones back, or train the run "
            "anew"
        )
    return {**variables, **_nested(dict(sorted((flat | out).items())))}


def _is_same(one: np.ndarray, other: np.ndarray) -> bool:
    """Says whether arrays are equal in every bit; a NaN is equal to itself, 0 is not -0."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    return np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turns arrays by path into `params` and `batch_stats`, empty where there are none."""
    return {kind: {} for kind in KINDS} | traverse_util.unflatten_dict(dict(flat), sep="/")
