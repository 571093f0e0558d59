"""Records of a population: one file a run, TensorBoard events, and lines for a person."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.evaluation.task_metric import CLASSES, TaskMetric
from common.experiment.json_file import append_records, as_json
from common.experiment.outcome import check_space, writing
from common.training import process

# What an evaluation holds beside its splits.
WITHOUT_LABELS = ("score", "guard")


def make_record(
    step: int,
    num_steps: int,
    train: Mapping[str, np.ndarray],
    evaluation: Mapping[str, Any] | None,
    member: int,
    metric: TaskMetric = CLASSES,
) -> dict[str, Any]:
    """Builds the record of one run at one boundary.

    Args:
        step: Training steps taken.
        num_steps: Steps of the run.
        train: Training metrics, `[member]`.
        evaluation: By split what `TaskMetric.summarize` returns, with a leading axis of members,
            under `score` and `guard` numbers that need no target label, and under `measured` the
            means of `Method.measures` by split and name; or None.
        member: Which run.
        metric: Of the kind of task.

    Returns:
        Metrics by name. Whatever read a target label begins with `oracle/`; splits without a label
        have none.
    """
    record: dict[str, Any] = {"step": step, "progress": step / num_steps}
    record |= {f"train/{name}": float(values[member]) for name, values in train.items()}
    for split, values in (evaluation or {}).items():
        if split in WITHOUT_LABELS:
            record |= {f"{split}/{name}": float(value[member]) for name, value in values.items()}
            continue
        if split == "measured":
            record |= {name: float(own[member]) for name, own in values.items()}
            continue
        metrics = metric.derive({name: own[member] for name, own in values.items()})
        if not metrics:
            continue  # no example of the split has a label
        prefix = f"oracle/{split}_" if split.startswith("target") else f"{split}/"
        metrics["loss"] = float(values["loss"][member])
        record |= {f"{prefix}{name}": value for name, value in metrics.items()}
    return as_json(record)


def open_events(
    folders: Sequence[Path],
) -> tuple[Callable[[int, Mapping[str, Any]], None], Callable[[], None]]:
    """Opens TensorBoard event files.

    Args:
        folders: Run folders; without any, nothing is written.

    Returns:
        `(member, record)`, which writes the scalars of a record, and a function that closes all.
    """
    if not folders or not process.is_first():
        return lambda member, record: None, lambda: None
    from tensorboardX import SummaryWriter

    writers = []
    for folder in folders:
        check_space(folder, 0)
        with writing(folder):
            writers.append(SummaryWriter(str(folder), write_to_disk=True))

    def write(member, record):
        check_space(folders[member], 0)
        for name, value in record.items():
            if isinstance(value, float) and name != "progress":
                writers[member].add_scalar(name, value, record["step"])
        writers[member].flush()

    def close():
        for own in writers:
            own.close()

    return write, close


def open_progress(title: str, first_step: int, num_steps: int) -> Callable[[int, str], None]:
    """Shows how far a population is: a bar on a terminal, plain lines elsewhere.

    Args:
        title: What is training.
        first_step: Steps taken before.
        num_steps: Steps of the run.

    Returns:
        `(step, text)`: shows a step; the text, where there is one, tells an evaluation.
    """
    if not process.is_first():
        return lambda step, text: None
    if sys.stderr.isatty():
        from tqdm import tqdm

        bar = tqdm(total=num_steps, initial=first_step, desc=title, unit="step", leave=True)

        def show(step, text):
            bar.update(step - bar.n)
            if text:
                bar.set_postfix_str(text)
            if step == num_steps:
                bar.close()

        return show

    start = time.monotonic()

    def line(step, text):
        if text:
            seconds = time.monotonic() - start
            print(f"{title}: step {step}/{num_steps}, {text}, {seconds:.0f} s", file=sys.stderr)

    return line


def append_times(folders: Sequence[Path], record: Mapping[str, Any]) -> None:
    """Records wall-clock time, apart from everything that must be equal between twins.

    Args:
        folders: Run folders.
        record: `step`, `seconds` since this start, `start`, `members`.
    """
    for folder in folders:
        append_records(folder / "time.jsonl", [record])
