"""The trials of a search, kept by Optuna: asked for, trained, told; shared by many processes."""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from common.experiment import lock
from common.experiment.outcome import RunFailed, Stopped, StopRequest, UsageError, writing
from common.experiment.search.search_range import Range

# By which a process knows the trials whose runs lie in its own folder.
FOLDER = "folder"
# The value of settings that are worse than any other, in whichever direction the search goes.
WORST = math.inf


class Search(NamedTuple):
    """What makes a search what it is.

    Attributes:
        name: Its name in the storage, a hash of all that decides its values.
        place: The folder of its files.
        ranges: What may be changed, by key.
        num_trials: Trials that it ends with.
        is_maximised: Whether more is better.
    """

    name: str
    place: Path
    ranges: Mapping[str, Range]
    num_trials: int
    is_maximised: bool = True


def name_of(prefix: str, content: Any) -> str:
    """Names a search.

    Args:
        prefix: For people.
        content: What decides its values, as plain data.

    Returns:
        The prefix and a hash.
    """
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{prefix}-{digest[:10]}"


def open_study(search: Search, storage: str | None) -> Any:
    """Opens a study, or makes it.

    Args:
        search: The search.
        storage: A database URL, such as sqlite:///FILE or postgresql://…, or a file; None: a file
            in the folder of the search.

    Returns:
        The study.

    Raises:
        UsageError: No Optuna, or a storage that cannot be opened.
        RunFailed: The file system refuses the folder.
    """
    try:
        import optuna
    except ImportError:
        raise UsageError(
            'search needs optuna; install it with: pip install -c constraints.txt -e ".[search]"'
        ) from None
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with writing(search.place):
        search.place.mkdir(parents=True, exist_ok=True)
    try:
        if storage and "://" in storage:
            kept: Any = optuna.storages.RDBStorage(storage)
        else:
            file = storage or str(search.place / "journal.log")
            kept = optuna.storages.JournalStorage(
                JournalFileBackend(file, lock_obj=JournalFileOpenLock(file))
            )
        return optuna.create_study(
            storage=kept,
            study_name=search.name,
            direction="maximize" if search.is_maximised else "minimize",
            load_if_exists=True,
        )
    except Exception as error:
        said = " ".join(str(error).split())
        raise UsageError(f"--storage={storage or search.place}: {said}") from error


def run_trials(
    study: Any,
    search: Search,
    train: Callable[[Mapping[str, Any]], float | None],
    request: StopRequest,
    say: Callable[[str], None],
) -> None:
    """Trains trials until there are enough, those that a process has left behind first.

    A trial belongs to the process that holds its lock. One that nobody holds was begun by a process
    that is gone: its values stand in the study and its runs in their folders, so it is gone on
    with. What is tried next depends on the trials before it and on their number alone, so a search
    that was interrupted goes on as it would have.

    Args:
        study: The study.
        search: The search.
        train: Trains what some values ask for; `WORST` where they are worse than any, and None
            where a run failed.
        request: Looked at between two trials.
        say: Tells a person what happens.

    Raises:
        Stopped: A signal came; the trial is gone on with by the same command.
    """
    mark = folder_mark(search.place)
    while True:
        if request:
            raise Stopped(f"{request.received}: run the same command to go on")
        trial = _adopt(study, search, mark)
        if trial is None:
            mine = [
                own for own in study.trials if own.state.is_finished() or FOLDER in own.user_attrs
            ]
            if len(mine) >= search.num_trials:
                return
            trial = _ask(study, search)
            trial.set_user_attr(FOLDER, mark)
        try:
            with lock.hold([search.place], f".trial-{trial.number}"):
                if not study.trials[trial.number].state.is_finished():
                    _train(study, trial, search, train, say)
        except RunFailed as error:
            if not lock.is_held([search.place], f".trial-{trial.number}"):
                raise
            # Another process was quicker to take over this one.
            say(f"trial {trial.number}: {error}")


def folder_mark(place: Path) -> str:
    """Marks a folder, so that processes know that they share it.

    Its path would not do: folders of different machines may have the same.

    Args:
        place: The folder.

    Returns:
        What every process that sees this folder reads.

    Raises:
        RunFailed: The file system refuses the mark.
    """
    path = place / ".mark"
    with lock.hold([place], ".mark.lock", wait=True), writing(path):
        if not path.is_file():
            path.write_text(uuid.uuid4().hex)
        return path.read_text()


def _ask(study: Any, search: Search) -> Any:
    """Asks for the next trial."""
    from optuna.samplers import TPESampler

    # A sampler of its own: its random numbers do not depend on who asked before.
    digest = hashlib.sha256(f"{search.name} {len(study.trials)}".encode()).digest()
    study.sampler = TPESampler(seed=int.from_bytes(digest[:4], "big"), constant_liar=True)
    return study.ask(distributions_of(search.ranges))


def _adopt(study: Any, search: Search, own: str) -> Any:
    """Finds a trial that was begun in this folder and that nobody works on."""
    from optuna.trial import Trial, TrialState

    for found in study.get_trials(states=(TrialState.RUNNING,)):
        is_mine = found.user_attrs.get(FOLDER) == own
        if is_mine and not lock.is_held([search.place], f".trial-{found.number}"):
            return Trial(study, found._trial_id)
    return None


def distributions_of(ranges: Mapping[str, Range]) -> dict[str, Any]:
    """Makes Optuna's distributions.

    Args:
        ranges: Ranges by key.

    Returns:
        A distribution by key.
    """
    from optuna import distributions

    found: dict[str, Any] = {}
    for key, own in ranges.items():
        if own.choices:
            found[key] = distributions.CategoricalDistribution(own.choices)
        elif isinstance(own.low, int):
            found[key] = distributions.IntDistribution(own.low, int(own.high), log=own.is_log)
        else:
            found[key] = distributions.FloatDistribution(own.low, own.high, log=own.is_log)
    return found


def _train(
    study: Any,
    trial: Any,
    search: Search,
    train: Callable[[Mapping[str, Any]], float | None],
    say: Callable[[str], None],
) -> None:
    """Trains one trial and tells the study."""
    from optuna.trial import TrialState

    values = {key: trial.params[key] for key in search.ranges}
    told = ", ".join(f"{key}={value}" for key, value in values.items())
    say(f"trial {trial.number}: {told}")
    value = train(values)
    if value is None:
        study.tell(trial.number, state=TrialState.FAIL)
    elif value == WORST:
        # The sampler learns from it, as the worst, and not from what failed.
        study.tell(trial.number, state=TrialState.PRUNED)
    else:
        study.tell(trial.number, value)
    said = {None: "failed", WORST: "flagged by the collapse guard"}
    say(f"trial {trial.number}: {said.get(value) or f'{value:.4f}'}")
