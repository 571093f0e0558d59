"""Checkpoints: a population's whole state while it trains, a run's variables when it is done."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from common.experiment.base import put_back
from common.experiment.outcome import RunFailed, check_space
from common.experiment.selection_rule import RULES
from common.legal import check_name
from common.training.state import State


def _as_arrays(state: State) -> dict[str, Any]:
    """Replaces the typed key by its data and leaves out empty trees."""
    arrays = state._asdict() | {"key": jax.random.key_data(state.key)}
    return {name: value for name, value in arrays.items() if jax.tree.leaves(value)}


def open_population(folder: Path) -> ocp.CheckpointManager:
    """Opens the checkpoints of a population; the latest two are kept.

    Args:
        folder: Where they are.

    Returns:
        The manager.

    Raises:
        RunFailed: The file system refuses the folder.
    """
    options = ocp.CheckpointManagerOptions(
        max_to_keep=2, enable_async_checkpointing=False, create=True
    )
    with _failing(f"cannot write {folder}"):
        return ocp.CheckpointManager(folder.resolve(), options=options)


def has_saved(folder: Path) -> bool:
    """Says whether a population has saved a state.

    Args:
        folder: Where its checkpoints are.

    Returns:
        True where there is a state to go on from.
    """
    return folder.is_dir() and any(path.name.isdigit() for path in folder.iterdir())


def _check_space(folder: Path, arrays: Any) -> None:
    leaves = jax.tree.leaves(arrays)
    check_space(folder, sum(leaf.nbytes for leaf in leaves) + 2048 * len(leaves))


@contextlib.contextmanager
def _failing(sentence: str) -> Iterator[None]:
    """Turns an error of Orbax into a `RunFailed`: a full disk reaches us as many types."""
    try:
        yield
    except RunFailed:
        raise
    except Exception as error:
        told = getattr(error, "strerror", None) or str(error) or repr(error)
        raise RunFailed(f"{sentence}: {told.strip().splitlines()[0]}") from error


def save_population(manager: ocp.CheckpointManager, step: int, state: State) -> None:
    """Saves the stacked state of a population; nothing half-written is ever taken for whole.

    Args:
        manager: From `open_population`.
        step: Training steps taken.
        state: The state.

    Raises:
        RunFailed: The file system refuses it; earlier states stay whole.
    """
    with _failing(f"cannot write {manager.directory}"):
        arrays = _as_arrays(state)
        _check_space(Path(manager.directory), arrays)
        manager.save(step, args=ocp.args.StandardSave(arrays), force=True)


def restore_population(manager: ocp.CheckpointManager, state: State) -> tuple[int, State]:
    """Restores the latest state.

    Args:
        manager: From `open_population`.
        state: A fresh state; it gives the structure, the types and the devices.

    Returns:
        Training steps taken, and the state; 0 and the fresh state where nothing was saved.

    Raises:
        RunFailed: What was saved cannot be read.
    """
    step = manager.latest_step()
    if step is None:
        return 0, state
    abstract = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding),
        _as_arrays(state),
    )
    with _failing(f"cannot read {manager.directory / str(step)}; delete it to go on without it"):
        arrays = dict(manager.restore(step, args=ocp.args.StandardRestore(abstract)))
    key = jax.random.wrap_key_data(arrays.pop("key"))
    return step, state._replace(**arrays, key=key)


def save_run(folder: Path, choices: Mapping[str, Any]) -> None:
    """Saves the variables that a finished run's selections chose.

    Args:
        folder: The run folder.
        choices: Variables of one run by selection.

    Raises:
        RunFailed: The file system refuses them.
    """
    kept = {
        name: {key: tree for key, tree in variables.items() if jax.tree.leaves(tree)}
        for name, variables in choices.items()
    }
    path = (folder / "checkpoints").resolve()
    with _failing(f"cannot write {path}"), ocp.StandardCheckpointer() as checkpointer:
        _check_space(folder, kept)
        checkpointer.save(path, kept, force=True)


def load_run(folder: Path, selection: str) -> dict[str, Any]:
    """Loads the variables of a finished run, with those that only what it starts from holds.

    Args:
        folder: The run folder.
        selection: Which of its selections.

    Returns:
        Nested NumPy arrays: `params`, and `batch_stats` and `method_state` where there are any.

    Raises:
        ValueError: No finished run, no such selection, or what it starts from is gone.
    """
    if not (folder / "result.json").is_file():
        raise ValueError(f"config.init_from.run is {str(folder)!r}: no finished run is there")
    return put_back(folder, load_choice(folder, selection), load_run)


def load_choice(folder: Path, selection: str) -> dict[str, Any]:
    """Loads saved variables of a run, finished or not.

    Args:
        folder: The run folder.
        selection: A selection, or `last_good` for a member of a population that failed.

    Returns:
        Nested NumPy arrays; those that `base.leave_out` left out are missing.

    Raises:
        ValueError: No such selection, or one whose weights were not kept.
        RunFailed: They cannot be read.
    """
    path = (folder / "checkpoints").resolve()
    with _failing(f"cannot read {path}"), ocp.StandardCheckpointer() as checkpointer:
        metadata = checkpointer.metadata(path)
        tree = getattr(metadata, "item_metadata", metadata).tree
        host = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), tree)
        choices = checkpointer.restore(path, host)
    if selection in RULES and selection not in choices:
        raise ValueError(
            f"{folder} keeps no weights of the selection {selection!r}, it has those of "
            f"{', '.join(choices)}; a run keeps what its config.evaluation.keep names"
        )
    check_name("config.init_from.selection", selection, choices)
    return choices[selection]
