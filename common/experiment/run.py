"""Trains a population of runs in their run folders, and resumes it exactly."""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from common.data.domain import Domain, fingerprint, load_task
from common.experiment import checkpoint, folder, selection, writer
from common.experiment.outcome import RunFailed, Stopped, StopRequest, refusing
from common.method import Method
from common.training import parallel
from common.training.hparam import make_hparams
from common.training.loop import run_loop
from common.training.optimizer import merge, paths_of
from common.training.population import ROLE_OF_DOMAIN, Program, make_program
from common.training.state import HEALTHY, State, evaluated_variables_of

MakeMethod = Callable[[Mapping[str, Any], int], Method]

# Pictures and features kept for the figures, a domain.
NUM_KEPT_EXAMPLES = 500


def population_folder(configs: Sequence[Mapping[str, Any]]) -> Path:
    """Names the folder of a population by the runs in it, in order.

    Args:
        configs: The resolved configs of the members.

    Returns:
        The folder.
    """
    names = "\n".join(map(folder.run_id, configs))
    digest = hashlib.sha256(names.encode()).hexdigest()[:10]
    return folder.experiment_folder(configs[0]) / "populations" / digest


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
        UsageError: The config asks for something that cannot be; nothing was written.
        Stopped: A signal came; the state is saved.
    """
    config, folders = configs[0], [folder.run_folder(config) for config in configs]
    rules = tuple(rule for rule in selection.RULES if rule != "last")
    with refusing():
        tasks = [load_task(config) for config in configs]
        method = make_method(config, len(tasks[0]["source"].examples.classes))
        placement = parallel.make_placement(len(configs), config["runtime"]["devices"])
        tables = _make_tables(tasks, placement)
        program = make_program(method, config, tables, len(configs), rules)
        hparams = [make_hparams(config) for config in configs]
        hparams = {name: np.stack([own[name] for own in hparams]) for name in hparams[0]}
        state = program.create(parallel.place(hparams, placement.members), tables)
        state = parallel.place(_start_from(state, configs), placement.members)

    for own in folders:
        own.mkdir(parents=True, exist_ok=True)
        (own / "failure.json").unlink(missing_ok=True)
    manager = checkpoint.open_population(population_folder(configs) / "checkpoints")
    first_step, state = checkpoint.restore_population(manager, state)
    for own in configs:
        folder.describe_start(own, overrides, program.optimizer.summary, parallel.device_kinds())
    history = [folder.cut_records(own / "metrics.jsonl", first_step) for own in folders]
    times = [folder.cut_records(own / "time.jsonl", first_step) for own in folders]
    start = max((record["start"] + 1 for records in times for record in records), default=0)

    num_source_val = len(tasks[0]["source"].splits["val"])
    failures: dict[int, int] = {}
    for member, step in enumerate(np.asarray(state.health)):
        if step != HEALTHY:
            failures[member] = int(step)
            _write_failure(folders[member], failures[member])

    def choose(step, train, evaluation):
        taken: dict[str, list[bool]] = {rule: [] for rule in rules}
        for member, records in enumerate(history):
            record = writer.make_record(step, config["num_steps"], train, evaluation, member)
            seen = [*_evaluated(records), record]
            chosen = selection.choose(seen, num_source_val=num_source_val)
            for rule in rules:
                taken[rule].append(chosen[rule] == len(seen) - 1)
        return {rule: np.asarray(values) for rule, values in taken.items()}

    began = time.monotonic()
    write_events = writer.open_events(folders) if config["runtime"]["tensorboard"] else None
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
        choose=choose,
    ):
        state = boundary.state
        for member, own in enumerate(folders):
            if member in failures:
                continue
            if boundary.health[member] != HEALTHY:
                failures[member] = int(boundary.health[member])
                _write_failure(own, failures[member])
                continue
            record = writer.make_record(
                boundary.step, config["num_steps"], boundary.train, boundary.evaluation, member
            )
            history[member].append(record)
            folder.append_records(own / "metrics.jsonl", [record])
            if write_events is not None:
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
            show(boundary.step, _progress_text(boundary.evaluation))
        every = config["runtime"]["checkpoint_every"]
        ended = boundary.step == config["num_steps"]
        if ended or request or boundary.step // every > last_saved // every:
            checkpoint.save_population(manager, boundary.step, state)
            last_saved = boundary.step
        if request and not ended:
            raise Stopped(
                f"{request.received} at step {boundary.step}: saved, run the same command to go on"
            )

    manager.close()
    for member in range(len(configs)):
        if member not in failures:
            _finish(member, configs, tasks[member], program, method, state, tables, history[member])
    if not failures:
        shutil.rmtree(population_folder(configs))
    return {
        folder.run_id(configs[member]): _reason(step) for member, step in sorted(failures.items())
    }


def _make_tables(tasks: Sequence[Mapping[str, Domain]], placement: parallel.Placement) -> Any:
    """Puts pictures and labels on the devices once, and the members' splits beside them."""
    tables = {}
    for role in ("source", "target"):
        examples = tasks[0][role].examples
        shared = {
            "image": examples.images,
            "label": examples.labels,
            "maximum": np.float32(examples.maximum),
        }
        rows = {
            split: np.stack([task[role].splits[split] for task in tasks])
            for split in ("train", "val", "test")
        }
        tables[role] = parallel.place(shared, placement.shared) | parallel.place(
            rows, placement.members
        )
    return tables


def _start_from(state: State, configs: Sequence[Mapping[str, Any]]) -> State:
    """Takes over the parameters and statistics of earlier runs, a parent a member."""
    if not configs[0]["init_from"]["run"]:
        return state
    members = [_take_over(state, member, config) for member, config in enumerate(configs)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    if state.ema:
        stacked["ema"] = {name: stacked[name] for name in ("params", "batch_stats")}
    state = state._replace(**stacked)
    return state


def _take_over(state: State, member: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns one member's parameters and statistics after taking over the included ones."""
    options = config["init_from"]
    loaded = checkpoint.load_run(Path(options["run"]), options["selection"])
    include = re.compile(options["include"])
    own = {
        name: jax.tree.map(lambda leaf: np.asarray(leaf[member]), getattr(state, name))
        for name in ("params", "frozen", "batch_stats")
    }
    parent = paths_of(loaded["params"])
    here = paths_of(merge(own["params"], own["frozen"]))
    matched = [path for path in here if include.fullmatch(path)]
    if not matched:
        raise ValueError(
            f"config.init_from.include: {options['include']!r} matches no parameter; the paths "
            f"are {', '.join(here)}"
        )
    for path in matched:
        if path not in parent:
            raise ValueError(
                f"config.init_from.include takes {path}, which {options['run']} does not have; "
                f"it has {', '.join(sorted(parent))}"
            )
        if parent[path].shape != here[path].shape:
            raise ValueError(
                f"{path} has shape {here[path].shape}, in {options['run']} {parent[path].shape}"
            )

    def replace(tree, prefix=""):
        return {
            name: replace(value, f"{prefix}{name}/")
            if isinstance(value, Mapping)
            else (parent[f"{prefix}{name}"] if f"{prefix}{name}" in matched else value)
            for name, value in tree.items()
        }

    own["params"], own["frozen"] = replace(own["params"]), replace(own["frozen"])
    statistics = loaded.get("batch_stats", {})
    if jax.tree.structure(statistics) == jax.tree.structure(own["batch_stats"]):
        own["batch_stats"] = statistics
    return own


def _evaluated(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Keeps the records that hold an evaluation."""
    return [record for record in records if "source_val/accuracy" in record]


def _progress_text(evaluation: Mapping[str, Any] | None) -> str:
    """Tells the mean source accuracy; target accuracy is for the report."""
    if evaluation is None:
        return ""
    confusion = evaluation["source_val"]["confusion"]
    accuracy = np.trace(confusion, axis1=1, axis2=2) / confusion.sum((1, 2))
    return f"source_val accuracy {accuracy.mean():.3f}"


def _reason(step: int) -> str:
    return f"the loss or a gradient is not finite at step {step}"


def _write_failure(own: Path, step: int) -> None:
    folder.write_json(own / "failure.json", {"reason": _reason(step), "step": step})


def _finish(
    member: int,
    configs: Sequence[Mapping[str, Any]],
    task: Mapping[str, Domain],
    program: Program,
    method: Method,
    state: State,
    tables: Any,
    history: Sequence[Mapping[str, Any]],
) -> None:
    """Writes what a finished run leaves behind; the result last."""
    config = configs[member]
    own = folder.run_folder(config)
    alone = jax.tree.map(lambda leaf: leaf[member], state)
    evaluated = evaluated_variables_of(alone)
    kept = {rule: choice["variables"] for rule, choice in alone.best.items()}
    checkpoint.save_run(own / "checkpoints", {"last": evaluated, **kept})

    records = _evaluated(history)
    source = task["source"]
    chosen = selection.choose(records, num_source_val=len(source.splits["val"]))
    wanted = ("source_val/accuracy", "source_val/loss")
    selections = {
        rule: {
            "step": records[index]["step"],
            "source_val_accuracy": records[index]["source_val/accuracy"],
        }
        | {
            name: value
            for name, value in records[index].items()
            if name.startswith("oracle/") or name in wanted
        }
        for rule, index in chosen.items()
        if index is not None
    }
    _write_outputs(own, member, task, program, state, tables)
    counts = {
        "total": sum(leaf.size for leaf in jax.tree.leaves(evaluated["params"])),
        "trained": sum(leaf.size for leaf in jax.tree.leaves(alone.params)),
    }
    examples = {role: domain.examples for role, domain in task.items()}
    folder.write_json(
        own / "result.json",
        {
            "run_id": folder.run_id(config),
            "status": "done",
            "experiment": config["experiment"],
            "task": f"{config['source']}>{config['target']}",
            "method": config["method"],
            "source": config["source"],
            "target": config["target"],
            "seed": config["seed"],
            "split_seed": config["data"]["split_seed"],
            "steps": config["num_steps"],
            "params_sha256": folder.params_sha256(
                {path: np.asarray(leaf) for path, leaf in paths_of(evaluated["params"]).items()}
            ),
            "target_test_seen": config["data"]["transductive"]
            and any(ROLE_OF_DOMAIN[domain] == "target" for domain in method.needs),
            "sees_target_pictures": any(
                ROLE_OF_DOMAIN[domain] == "target" for domain in method.needs
            ),
            "classes": source.examples.classes,
            "splits": {
                role: {name: len(rows) for name, rows in domain.splits.items()}
                for role, domain in task.items()
            },
            "parameters": counts,
            "population": {
                "id": population_folder(configs).name,
                "size": len(configs),
                "member": member,
            },
            "fingerprints": {
                f"{config[role]}/images": fingerprint(own_examples.images)
                for role, own_examples in examples.items()
            }
            | {f"{config['source']}/labels": fingerprint(examples["source"].labels)},
            "selections": selections,
            "oracle": {f"{config['target']}/labels": fingerprint(examples["target"].labels)},
            "warnings": [],
        },
    )


def _write_outputs(own, member, task, program, state, tables) -> None:
    """Keeps features and predictions of some examples at the last step, for the figures."""
    arrays: dict[str, Any] = {}
    for role, split in (("source", "val"), ("target", "test")):
        outputs = program.outputs(state, tables, role, split)
        domain = task[role]
        rows = domain.splits[split][:NUM_KEPT_EXAMPLES]
        label = "oracle/target_test_label" if role == "target" else "source_val/label"
        arrays |= {
            f"{role}_{split}/features": np.asarray(outputs.features)[member, : len(rows)],
            f"{role}_{split}/prediction": np.asarray(outputs.logits)[member, : len(rows)].argmax(
                -1
            ),
            f"{role}_{split}/image": domain.examples.images[rows],
            label: domain.examples.labels[rows],
        }
    np.savez_compressed(own / "outputs.npz", value_max=task["source"].examples.maximum, **arrays)


def train_alone(
    config: Mapping[str, Any],
    make_method: MakeMethod,
    request: StopRequest,
    overrides: Sequence[str] = (),
) -> None:
    """Trains one run.

    Args:
        config: The resolved config.
        make_method: `(config, num_classes) -> Method`.
        request: Looked at between two chunks.
        overrides: What the command line changed, for the record.

    Raises:
        RunFailed: The run cannot go on.
    """
    failures = train_population([config], make_method, request, overrides)
    for reason in failures.values():
        raise RunFailed(reason)
