"""Trains a population of runs in their run folders, and resumes it exactly."""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from common.data.domain import Domain
from common.data.fold import role_of_folds
from common.data.pipeline import batch_sizes_of
from common.data.stream import Stream
from common.data.table import is_streamed, make_tables
from common.data.task import load_task
from common.evaluation.task_metric import TaskMetric, make_task_metric
from common.experiment import checkpoint, folder, json_file, lock, resume, writer
from common.experiment.check import MakeMethod, check_population
from common.experiment.cross_validation import held_out_accuracy
from common.experiment.history import History
from common.experiment.outcome import (
    OTHERS_LOST,
    RunFailed,
    Stopped,
    StopRequest,
    refusing,
    writing,
)
from common.experiment.parent import take_over_parents
from common.experiment.result import write_results
from common.experiment.reverse_validation import reverse_accuracy
from common.training import parallel, process
from common.training.hparam import make_hparams
from common.training.loop import run_loop
from common.training.member import OF_MEMBERS
from common.training.population import make_program
from common.training.state import HEALTHY, evaluated_variables_of


def train_population(
    configs: Sequence[Mapping[str, Any]],
    make_method: MakeMethod,
    request: StopRequest,
    overrides: Sequence[str] = (),
) -> dict[str, str]:
    """Trains runs of equal structure in one program, from the start or from where they stopped.

    Args:
        configs: The resolved configs of the members.
        make_method: `(config, num_classes) -> Method`.
        request: Looked at between two chunks.
        overrides: What the command line changed, for the record.

    Returns:
        By run id, why the run failed; runs that are done are left out.

    Raises:
        UsageError: The config asks for something that cannot be, or for another thing than what
            the run began as; nothing was written.
        RunFailed: Another process trains one of the runs, or the file system refuses a file; what
            was saved is whole.
        Stopped: A signal came; the state is saved.
    """
    check_population(configs, make_method)
    # A population is its runs: who holds these holds it, and its checkpoints.
    with lock.hold([folder.run_folder(config) for config in configs]):
        if all(map(folder.is_done, configs)):
            return {}
        names = [folder.run_id(config) for config in configs]
        for config, name in zip(configs, names, strict=True):
            # Asked with the lock held: before, another process may be about to finish it.
            if folder.is_done_elsewhere(config, names):
                raise RunFailed(f"{name} was trained by another process: run the command again")
        try:
            return _train(configs, make_method, request, overrides)
        except jax.errors.JaxRuntimeError as error:
            if process.count() == 1:
                raise
            raise RunFailed(f"{names[0]}: {OTHERS_LOST}") from error


def _train(
    configs: Sequence[Mapping[str, Any]],
    make_method: MakeMethod,
    request: StopRequest,
    overrides: Sequence[str],
) -> dict[str, str]:
    """Trains a population whose run folders no other process uses."""
    config, folders = configs[0], [folder.run_folder(config) for config in configs]
    rules = tuple(config["evaluation"]["keep"])
    saved = folder.population_folder(configs) / "checkpoints"
    with refusing():
        tasks = [load_task(config) for config in configs]
        if not is_streamed(tasks, config["runtime"]):
            _hold(tasks)
        data = resume.fingerprints(tasks)
        begins_anew = folder.belongs_elsewhere(configs)
        if checkpoint.has_saved(saved) and not begins_anew:
            for own, hashes in zip(configs, data, strict=True):
                about = json_file.read_json(folder.run_folder(own) / "config.json")
                resume.check_resume(about, own, hashes, folder.versions())
        method = make_method(config, len(tasks[0]["source"].examples.classes))
        runtime = config["runtime"]
        batch_sizes = batch_sizes_of(config["data"], method.needs)
        # Copies on several devices share out the rows of every domain evenly.
        placement = parallel.make_placement(
            *(len(configs), runtime["devices"], math.gcd(*batch_sizes.values())),
            runtime["parallel"],
        )
        tables, stream = _make_tables(tasks, config, placement)
        program = make_program(
            *(method, config, tables, len(configs), rules), stream=stream, placement=placement
        )
        hparams = [make_hparams(config) for config in configs]
        hparams = {name: np.stack([own[name] for own in hparams]) for name in hparams[0]}
        state = program.create(parallel.place(hparams, placement.members), tables)
        state = parallel.place(take_over_parents(state, configs), placement.members)

    # Nothing is changed before every process has read it.
    process.wait("read")
    if process.is_first():
        if begins_anew:
            # The records are not those that our checkpoint goes on from.
            shutil.rmtree(saved.parent, ignore_errors=True)
        for own in folders:
            with writing(own):
                (own / "failure.json").unlink(missing_ok=True)
    process.wait("cleared")
    manager = checkpoint.open_population(saved)
    first_step, state = checkpoint.restore_population(manager, state)
    folder.describe_start(
        configs, overrides, program.optimizer.summary, placement.kinds, data, first_step
    )
    process.wait("described")
    times = [json_file.cut_records(own / "time.jsonl", first_step) for own in folders]
    start = max((record["start"] + 1 for records in times for record in records), default=0)

    metric = make_task_metric(config["task"])
    history = History(
        [json_file.cut_records(own / "metrics.jsonl", first_step) for own in folders],
        config,
        metric,
        num_source_val=len(tasks[0]["source"].splits["val"]),
        trains_on_source="label" in method.needs.get("source", ()),
    )
    failures: dict[int, int] = {}
    for member, step in enumerate(np.asarray(state.health)):
        if step != HEALTHY:
            failures[member] = int(step)
            _write_failure(folders[member], failures[member])

    began = time.monotonic()
    events = folders if config["runtime"]["tensorboard"] else []
    write_events, close_events = writer.open_events(events)
    title = f"{config['method']} x{len(configs)}" if len(configs) > 1 else config["method"]
    show = writer.open_progress(title, first_step, config["num_steps"])
    last_saved = first_step
    for boundary in run_loop(
        program,
        state,
        tables,
        first_step=first_step,
        num_steps=config["num_steps"],
        log_every=config["runtime"]["log_every"],
        evaluate_every=config["evaluation"]["every"],
        choose=partial(history.choose, failed=failures),
        stopped=partial(history.stopped, failures),
    ):
        state, had_stopped = boundary.state, history.stopped(failures)
        for member, own in enumerate(folders):
            if member in failures or had_stopped[member]:
                continue
            if boundary.health[member] != HEALTHY:
                failures[member] = int(boundary.health[member])
                _write_failure(own, failures[member])
                continue
            record = history.make_record(boundary.step, boundary.train, boundary.evaluation, member)
            history.records[member].append(record)
            json_file.append_records(own / "metrics.jsonl", [record])
            write_events(member, record)
        if len(failures) == len(configs):
            break
        elapsed = {
            "step": boundary.step,
            "seconds": round(time.monotonic() - began, 4),
            "start": start,
            "members": len(configs),
        }
        writer.append_times(folders, elapsed)
        if config["runtime"]["progress"]:
            show(boundary.step, _progress_text(boundary.evaluation, metric))
        every = config["runtime"]["checkpoint_every"]
        ended = boundary.step == config["num_steps"] or history.stopped(failures).all()
        is_asked = process.any_of(bool(request))
        if ended or is_asked or boundary.step // every > last_saved // every:
            checkpoint.save_population(manager, boundary.step, state)
            last_saved = boundary.step
        if is_asked and not ended:
            name = request.received or "a signal to another process"
            raise Stopped(f"{name} at step {boundary.step}: saved, run the same command to go on")

    program.close()
    manager.close()
    close_events()
    scores = {}
    # A run that was given target labels needs none that it predicts; one without source labels
    # has no way back.
    is_scored = (
        config["evaluation"]["reverse_validation"]
        and "target_labelled" not in config["domains"]
        and history.trains_on_source
    )
    if is_scored and len(failures) < len(configs):
        scores["score/reverse_validation"] = reverse_accuracy(
            *(config, method, program, state, tables, request), stream=stream, placement=placement
        )
    if role_of_folds(config):
        scores["score/cross_validation"] = held_out_accuracy(program, config, state, tables)
    finished = [member for member in range(len(configs)) if member not in failures]
    if finished:
        write_results(
            *(configs, tasks, finished, program, method),
            *(state, tables, data, history.records, scores),
        )
        for member in failures:
            last_good = evaluated_variables_of(jax.tree.map(lambda leaf, m=member: leaf[m], state))
            checkpoint.save_run(folders[member], {"last_good": last_good})
        process.wait("written")
        if process.is_first():
            shutil.rmtree(folder.population_folder(configs), ignore_errors=True)
            with contextlib.suppress(OSError):
                folder.population_folder(configs).parent.rmdir()
    process.wait("ended")
    return {
        folder.run_id(configs[member]): _reason(step) for member, step in sorted(failures.items())
    }


def _hold(tasks: Sequence[Mapping[str, Domain]]) -> None:
    """Decodes pictures that will be resident once, before they are hashed and averaged."""
    for task in tasks:
        for domain in task.values():
            images: Any = domain.examples.images
            if hasattr(images, "hold"):
                images.hold()


def _make_tables(
    tasks: Sequence[Mapping[str, Domain]], config: Mapping[str, Any], placement: parallel.Placement
) -> tuple[Any, Stream | None]:
    """Puts what the program reads on the devices, once; pictures only where they fit."""
    tables, images = make_tables(tasks, config["data"]["center"], config["data"]["scaling"])
    stream = None
    if is_streamed(tasks, config["runtime"]):
        runtime = config["runtime"]
        stream = Stream(images, runtime["stream_bytes"], runtime["stream_threads"])
    else:
        for role, table in tables.items():
            table["image"] = np.asarray(images[role][:])
    placed = {
        role: {
            name: parallel.place(
                array, placement.members if name in OF_MEMBERS else placement.shared
            )
            for name, array in table.items()
        }
        for role, table in tables.items()
    }
    return placed, stream


def _progress_text(evaluation: Mapping[str, Any] | None, metric: TaskMetric) -> str:
    """Tells the mean of the source's primary metric; the target's is for the report."""
    if evaluation is None:
        return ""
    if "measured" in evaluation:
        means = {name: np.mean(own) for name, own in evaluation["measured"].items()}
        return ", ".join(f"{name} {mean:.4g}" for name, mean in means.items())
    sums = {name: np.asarray(own) for name, own in evaluation["source_val"].items()}
    members = range(len(sums["loss"]))
    found = [metric.derive({name: own[m] for name, own in sums.items()}) for m in members]
    mean = np.mean([own[metric.primary] for own in found])
    return f"source_val {metric.primary} {mean:.3f}"


def _reason(step: int) -> str:
    return f"the loss or a gradient is not finite at step {step}"


def _write_failure(own: Path, step: int) -> None:
    json_file.write_json(own / "failure.json", {"reason": _reason(step), "step": step})
