"""A finished run put to use: what it says of examples, its own or others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from common.data import reader
from common.data.beside_task import load_beside_source
from common.data.domain import DOMAINS, Domain
from common.data.task import load_task
from common.experiment.checkpoint import load_run
from common.experiment.output import complete, run_over
from common.experiment.start import read_run
from common.legal import check_name, suggest
from common.method import Method

ALL = "all"
PARTS = ("train", "val", "test", ALL)


class Trained(NamedTuple):
    """A finished run.

    Attributes:
        path: Its folder.
        config: Its resolved config.
        result: Its `result.json`.
        variables: The weights of one of its selections.
    """

    path: Path
    config: Mapping[str, Any]
    result: Mapping[str, Any]
    variables: Mapping[str, Any]


class Asked(NamedTuple):
    """Examples that a run is asked about.

    Attributes:
        task: The run's source, and the target that the run or the question names.
        role: Of which of the two they are.
        part: Which split they are, or `all`.
        rows: Their rows.
    """

    task: Mapping[str, Domain]
    role: str
    part: str
    rows: Int[np.ndarray, "row"]

    @property
    def labels(self) -> np.ndarray:
        """What the examples are, by label."""
        return self.task[self.role].examples.labels[self.rows]

    @property
    def names(self) -> list[str]:
        """Paths of pictures, or row numbers of other examples."""
        given = self.task[self.role].examples.names
        return [str(row) if given is None else given[row] for row in self.rows]


def load_trained(path: Path, selection: str, data_dir: str | None = None) -> Trained:
    """Loads a finished run.

    Args:
        path: Its folder.
        selection: Which of its selections.
        data_dir: Where prepared data are by now; None: where they were for the run.

    Returns:
        The run.

    Raises:
        ValueError: No finished run, or no weights of that selection.
    """
    config, result = read_run(path)
    if "judged_by" in result:
        raise ValueError(
            f"{path} is of the row {config['method']!r}, which learns no prediction: fine-tune "
            "from it by config.init_from"
        )
    if selection not in result["selections"]:
        check_name("--selection", selection, result["selections"])
    if data_dir is not None:
        config = {**config, "runtime": {**config["runtime"], "data_dir": data_dir}}
    return Trained(path, config, result, load_run(path, selection))


def ask(trained: Trained, name: str, part: str) -> Asked:
    """Loads examples as a run would read them.

    Args:
        trained: The run.
        name: A domain; the run's own target or source, or any other, which is read as its target
            is. A path without a kind is a folder of pictures, or a list of texts where the run
            reads texts. "": the run's own target.
        part: A split, or `all`; "": `test` where there is one, else `all`.

    Returns:
        The examples.

    Raises:
        ValueError: A domain that cannot be read, or that has no such split.
    """
    config = trained.config
    name = _domain_of(config, name or config["target"])
    if part:
        check_name("--part", part, PARTS)
    is_own = name in (config["source"], config["target"])
    role = "source" if is_own and name != config["target"] else "target"
    task = load_task(config) if is_own else load_beside_source(config, name)
    splits, count = task[role].splits, len(task[role].examples.labels)
    part = part or ("test" if "test" in splits else ALL)
    if part != ALL and part not in splits:
        raise ValueError(
            f"--part={part}: {name!r} is published with the splits {', '.join(splits) or 'none'}, "
            "and others are drawn of the run's own domains alone; leave it out for all examples"
        )
    rows = np.arange(count) if part == ALL else splits[part]
    if not len(rows):
        raise ValueError(f"{name!r} has no example of a class of this run in its split {part}")
    return Asked(task, role, part, rows)


def _domain_of(config: Mapping[str, Any], name: str) -> str:
    """Completes a path to a domain's name."""
    if reader.is_read(name) or name in (config["source"], config["target"]) or name in DOMAINS:
        return name
    kind = "csv" if reader.is_text(config["source"]) else "folder"
    if not Path(name).expanduser().exists():
        raise ValueError(
            f"{name!r} is neither a path nor a domain; {suggest(name, [*DOMAINS, *reader.FORMS])}"
        )
    return f"{kind}:{name}"


def answer(
    trained: Trained, asked: Asked, make_method: Callable[[Mapping[str, Any], int], Method]
) -> Float[np.ndarray, "row ..."]:
    """Runs a network over examples.

    Args:
        trained: The run.
        asked: The examples.
        make_method: `(config, num_classes) -> Method`.

    Returns:
        What its heads say, unnormalised.

    Raises:
        ValueError: The source has other classes by now than it had for the run.
    """
    classes = asked.task["source"].examples.classes
    if list(classes) != list(trained.result["classes"]):
        raise ValueError(
            f"{trained.config['source']!r} has the classes {', '.join(classes)}, and "
            f"{trained.path} has learned {', '.join(trained.result['classes'])}: it is another "
            "domain by now"
        )
    method = make_method(trained.config, len(classes))
    run = partial(method.predict, complete(trained.variables), domain=asked.role)
    return run_over(run, trained.config, asked.task, asked.role, asked.rows)[1]
