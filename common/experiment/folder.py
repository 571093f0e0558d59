"""The run folder: its name, what state it is in, and the record of its starts."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from common.experiment.json_file import read_json, write_json
from common.training.hparam import flatten

# Keys of `config.init_from` that say something where a file of weights is named.
OF_WEIGHTS = ("weights", "sha256", "layout", "head")
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "ml-collections")


def change(config: Any, changes: Mapping[str, Any]) -> None:
    """Applies the command line's changes to a config, in place.

    Args:
        config: A `ConfigDict`.
        changes: Values by dotted path. A path that this config lacks is left out: in a grid, a
            row without a term has no place for the term's values, and other rows do.
    """
    present = dict(flatten(config.to_dict()))
    config.update_from_flattened_dict({k: v for k, v in changes.items() if k in present})


def resolve(config: Any) -> dict[str, Any]:
    """Turns a config into plain data in which nothing is left to be decided.

    Args:
        config: A `ConfigDict`.

    Returns:
        Nested dicts, lists and scalars, as JSON would give them back.

    Raises:
        ValueError: A value that JSON does not know.
    """
    try:
        plain = json.loads(json.dumps(config.to_dict()))
    except TypeError as error:
        raise ValueError(f"the config holds more than plain data: {error}") from None
    if plain["data"]["split_seed"] is None:
        plain["data"]["split_seed"] = plain["seed"]
    if not plain["init_from"].get("method"):
        # A run without a parent that is trained first has the name that it always had.
        plain["init_from"].pop("method", None)
        plain["init_from"].pop("overrides", None)
    if not plain["init_from"].get("weights"):
        for name in OF_WEIGHTS:
            plain["init_from"].pop(name, None)
    for options in plain["data"].values():
        if isinstance(options, dict) and options.get("seed", 0) is None:
            options["seed"] = plain["data"]["split_seed"]
    return plain


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Keeps what makes a run what it is.

    Args:
        config: The resolved config.

    Returns:
        The config without `runtime`, and without the name of a file of weights, which is known by
        its hash.
    """
    kept = {key: value for key, value in config.items() if key != "runtime"}
    if "init_from" in kept:
        own = kept["init_from"].items()
        kept["init_from"] = {key: value for key, value in own if key != "weights"}
    return kept


def run_id(config: Mapping[str, Any]) -> str:
    """Names a run by what it is.

    Args:
        config: The resolved config.

    Returns:
        A readable prefix and a hash of the config's identity.
    """
    digest = hashlib.sha256(json.dumps(identity(config), sort_keys=True).encode()).hexdigest()
    readable = re.sub(r"[^A-Za-z0-9+_.-]", "_", f"{config['method']}-seed{config['seed']}")
    return f"{readable}-{digest[:10]}"


def experiment_folder(config: Mapping[str, Any]) -> Path:
    """Returns the folder of a config's experiment."""
    return Path(config["runtime"]["workdir"]) / config["experiment"]


def run_folder(config: Mapping[str, Any]) -> Path:
    """Returns the folder of a config's run."""
    return experiment_folder(config) / run_id(config)


def population_id(names: Sequence[str]) -> str:
    """Names a population by the runs in it, in order.

    Args:
        names: Run ids.

    Returns:
        A hash.
    """
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:10]


def population_folder(configs: Sequence[Mapping[str, Any]]) -> Path:
    """Returns the folder of a population.

    Args:
        configs: The resolved configs of the members.

    Returns:
        The folder.
    """
    name = population_id([run_id(config) for config in configs])
    return experiment_folder(configs[0]) / "populations" / name


def belongs_elsewhere(configs: Sequence[Mapping[str, Any]]) -> bool:
    """Says whether a run of a population was last trained by another one, or never.

    Args:
        configs: The resolved configs of the members.

    Returns:
        True where the records of a run folder are not those of this population.
    """
    for config in configs:
        path = run_folder(config) / "config.json"
        own = population_folder(configs).name
        if not path.is_file() or read_json(path).get("population") != own:
            return True
    return False


def is_done(config: Mapping[str, Any]) -> bool:
    """Says whether a run has finished: its result is written last."""
    return (run_folder(config) / "result.json").is_file()


def has_ended(config: Mapping[str, Any]) -> bool:
    """Says whether a run is done or has failed; the same program would fail again."""
    return is_done(config) or (run_folder(config) / "failure.json").is_file()


def is_done_elsewhere(config: Mapping[str, Any], names: Sequence[str]) -> bool:
    """Says whether a run was finished by another population, whose result must not be lost.

    Args:
        config: The resolved config.
        names: Run ids of the population at hand.

    Returns:
        True where a result is there and is another population's.
    """
    if not is_done(config):
        return False
    population = read_json(run_folder(config) / "result.json").get("population", {})
    return population.get("id") != population_id(names)


def describe_start(
    configs: Sequence[Mapping[str, Any]],
    overrides: Sequence[str],
    parameters: Sequence[str],
    devices: Sequence[str],
    data: Sequence[Mapping[str, str]],
    first_step: int,
) -> None:
    """Writes `config.json` of each run of a population, or adds a start to it.

    Args:
        configs: The resolved configs of the members.
        overrides: What the command line changed.
        parameters: One line a parameter: how it is trained.
        devices: Names of the devices.
        data: Fingerprints of each run, by what they are of.
        first_step: Training steps that were taken before this start.
    """
    start = {
        "first_step": first_step,
        "devices": list(devices),
        "hardware": _hardware(),
        "git_commit": _git_commit(),
        "versions": versions(),
    }
    population = population_folder(configs).name
    for config, hashes in zip(configs, data, strict=True):
        path = run_folder(config) / "config.json"
        starts = read_json(path).get("starts", []) if path.is_file() else []
        about = {
            "run_id": run_id(config),
            "config": config,
            "population": population,
            "overrides": list(overrides),
            "git_commit": start["git_commit"],
            "versions": start["versions"],
            "data": dict(hashes),
            "parameters": list(parameters),
            "starts": [*starts, {**start, "runtime": config["runtime"]}],
        }
        write_json(path, about)


def versions() -> dict[str, str]:
    """Returns the versions of the packages that decide the numbers of a run."""
    return {name: metadata.version(name) for name in PACKAGES}


def params_sha256(params: Mapping[str, np.ndarray]) -> str:
    """Hashes parameters exactly.

    Args:
        params: Arrays by path.

    Returns:
        The SHA-256 over sorted paths, types, shapes and bytes, in hexadecimal.
    """
    digest = hashlib.sha256()
    for path, array in sorted(params.items()):
        array = np.asarray(array)
        digest.update(f"{path}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _git_commit() -> str | None:
    """Names the commit of the checkout, with `+changes` where files differ from it."""
    root = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}+changes" if changed else commit


def _hardware() -> str:
    """Names the processor and counts the cores that this process may use."""
    name = os.uname().machine
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"
