"""Whether a run may go on from what it saved: pure comparisons of `config.json` with today."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.data.domain import Domain
from common.data.fingerprint import fingerprint
from common.experiment import folder
from common.training.hparam import flatten

MAX_NAMED = 4

# Begins what is said of a run that was stopped and went on under other conditions.
MIXED = "trained by more than one"


def fingerprints(tasks: Sequence[Mapping[str, Domain]]) -> list[dict[str, str]]:
    """Hashes the data of the runs of a population.

    Args:
        tasks: The source and the target of each run.

    Returns:
        Of each run the hashes of pictures and labels; the key of the target's labels begins with
        `oracle/`.
    """
    hashes: dict[int, str] = {}

    def hash_once(array: np.ndarray) -> str:
        if id(array) not in hashes:
            hashes[id(array)] = fingerprint(array)
        return hashes[id(array)]

    return [
        {
            f"{source.name}/images": hash_once(source.examples.images),
            f"{source.name}/labels": hash_once(source.examples.labels),
            f"{target.name}/images": hash_once(target.examples.images),
            f"oracle/{target.name}/labels": hash_once(target.examples.labels),
        }
        for source, target in ((task["source"], task["target"]) for task in tasks)
    ]


def check_resume(
    about: Mapping[str, Any],
    config: Mapping[str, Any],
    data: Mapping[str, str],
    versions: Mapping[str, str],
) -> None:
    """Refuses to go on under another config, with other data or other packages.

    A difference in `config.runtime` or in the commit is none: the first changes no result, the
    second is recorded.

    Args:
        about: The run's `config.json`.
        config: Its resolved config today.
        data: What `fingerprints` returns today.
        versions: Versions of the packages today.

    Raises:
        ValueError: With the difference, and what can be done.
    """
    name = about.get("run_id", "this run")
    parts = [
        ("config", *(_identity(own) for own in (_part(about, "config"), config))),
        ("data", _part(about, "data"), data),
        ("versions", _part(about, "versions"), versions),
    ]
    for part, before, now in parts:
        if before == now:
            continue
        difference = _tell(before, now)
        if part == "config":
            raise ValueError(
                f"{name} began under another config: {difference}; its config.json was changed: "
                "put it back, or delete the run folder to begin anew"
            )
        if part == "data":
            raise ValueError(
                f"{name} began with other data: {difference}; put them back, or train in another "
                "work folder (--workdir)"
            )
        if not config["runtime"]["allow_other_versions"]:
            raise ValueError(
                f"{name} began with other versions: {difference}; go on anyway with "
                "--config.runtime.allow_other_versions=true, or train in another work folder "
                "(--workdir)"
            )


def warnings_of(starts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names what changed between the starts of one run.

    Args:
        starts: `starts` of its `config.json`.

    Returns:
        A sentence for each thing that was not the same throughout, such as the commit. Starts
        before the last one that began at step 0 left nothing behind and do not count.
    """
    began = max((i for i, start in enumerate(starts) if not start.get("first_step")), default=0)
    seen: dict[str, list[str]] = {}
    for start in starts[began:]:
        for what, value in {"commit": start.get("git_commit"), **_part(start, "versions")}.items():
            values = seen.setdefault(what, [])
            values += [] if str(value) in values else [str(value)]
    return [
        f"{MIXED} {what}: {', then '.join(values)}"
        for what, values in seen.items()
        if len(values) > 1
    ]


def _identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what decides a run, by dotted path, as JSON would give it back."""
    plain = json.loads(json.dumps(folder.identity(config)))
    return {f"config.{path}": value for path, value in flatten(plain)}


def _part(about: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = about.get(key)
    return value if isinstance(value, Mapping) else {}


def _tell(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Writes what differs between two flat mappings; hashes are cut short."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    shown = [
        f"{key} was {_short(before.get(key))}, now it is {_short(now.get(key))}"
        for key in keys[:MAX_NAMED]
    ]
    more = f" and {len(keys) - MAX_NAMED} more" if len(keys) > MAX_NAMED else ""
    return ", ".join(shown) + more


def _short(value: Any) -> str:
    if value is None:
        return "missing"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) < 64 else f"{text[:12]}…"
