"""What a finished run leaves behind: weights, outputs for the figures, and the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from common.data.domain import Domain
from common.data.example import is_labelled
from common.data.overlap import count_shared
from common.evaluation.task_metric import TaskMetric, make_task_metric
from common.experiment import checkpoint, folder, guard, json_file, output_file, resume, selection
from common.experiment.base import NO_BASE, leave_out
from common.experiment.chosen import describe_chosen
from common.experiment.final_metric import final_metrics
from common.experiment.outcome import writing
from common.experiment.parent import base_of
from common.experiment.retrained_head import head_inputs, retrain_head
from common.method import LABELLED, Method, Outputs
from common.task_kind import OF_CLASSES
from common.training import process
from common.training.batch import ROLE_OF_DOMAIN, training_split
from common.training.optimizer import paths_of
from common.training.population import Program
from common.training.state import NO_STEP, State, evaluated_variables_of

# Pictures and features kept for the figures, a domain.
NUM_KEPT_EXAMPLES = 500
SPLITS_IN_FIGURES = {"source": "val", "target": "test"}
GRID_SIZE = 161  # points a side of the grid over the plane

Records = Sequence[Mapping[str, Any]]


def evaluated(records: Records) -> list[Mapping[str, Any]]:
    """Keeps the records that hold an evaluation.

    Args:
        records: Records of one run.

    Returns:
        Some of them, in the same order.
    """
    return [record for record in records if "source_val/loss" in record]


def write_results(
    configs: Sequence[Mapping[str, Any]],
    tasks: Sequence[Mapping[str, Domain]],
    members: Sequence[int],
    program: Program,
    method: Method,
    state: State,
    tables: Any,
    data: Sequence[Mapping[str, str]],
    history: Sequence[Records],
    scores: Mapping[str, np.ndarray],
) -> None:
    """Writes checkpoints, `outputs.npz` and, last, `result.json` of finished runs.

    Args:
        configs: The resolved configs of the population.
        tasks: The members' source and target.
        members: Which members have finished.
        program: The population's program.
        method: Its method.
        state: The state after the last step.
        tables: The data.
        data: The members' fingerprints.
        history: The members' records.
        scores: Label-free scores of the last step that took more than an evaluation, `[member]`.
    """
    outputs = {
        role: jax.tree.map(np.asarray, program.outputs(state, tables, role, split))
        for role, split in SPLITS_IN_FIGURES.items()
    }
    config, task = configs[0], tasks[0]
    shape = task["source"].examples.images.shape[1:]
    kind = config["task"]["kind"]
    metric, grid = make_task_metric(config["task"]), None
    if shape == (2,) and kind in OF_CLASSES:
        grid = _predict_plane(tasks, program, state, tables)
    metrics = final_metrics(metric, tasks, members, program, state, tables)
    seen = {ROLE_OF_DOMAIN[domain] for domain in method.needs}
    shared = {
        "experiment": config["experiment"],
        "task": f"{config['source']}>{config['target']}",
        "source": config["source"],
        "target": config["target"],
        "status": "done",
        "primary_metric": {"name": metric.primary, "higher_is_better": metric.higher_is_better},
        "sees_target_pictures": "target" in seen,
        "target_test_seen": "target" in seen and config["data"]["transductive"],
        "classes": task["source"].examples.classes,
        "example_shape": shape,
        "splits": {
            role: {name: len(rows) for name, rows in domain.splits.items()}
            for role, domain in task.items()
        },
    }
    for member in members:
        own, alone = configs[member], jax.tree.map(lambda leaf, m=member: leaf[m], state)
        evaluated_variables = evaluated_variables_of(alone)
        path = folder.run_folder(own)
        # A run whose files are being written is not done, also when it was before.
        if process.is_first():
            with writing(path / "result.json"):
                (path / "result.json").unlink(missing_ok=True)
        kept = {
            rule: choice["variables"]
            for rule, choice in alone.best.items()
            if int(choice["step"]) != NO_STEP
        }
        choices = {"last": evaluated_variables, **kept}
        # What a run keeps as it was need not be kept twice.
        start = base_of(own, paths_of(evaluated_variables["params"])) if alone.frozen else NO_BASE
        checkpoint.save_run(path, leave_out(path, choices, start))
        if process.is_first():
            _write_outputs(path, member, tasks[member], metric, outputs, grid)
        params = {
            name: np.asarray(leaf) for name, leaf in paths_of(evaluated_variables["params"]).items()
        }
        result = shared | {
            "run_id": folder.run_id(own),
            "steps": int(alone.step),  # fewer than config.num_steps where it stopped early
            "method": own["method"],
            "seed": own["seed"],
            "split_seed": own["data"]["split_seed"],
            "fingerprints": selection.visible([data[member]])[0],
            "oracle": {
                name.removeprefix(selection.ORACLE): value
                for name, value in data[member].items()
                if name.startswith(selection.ORACLE)
            }
            | {"labelled_test_examples": _count_labels(tasks[member]["target"], "test")},
            "params_sha256": folder.params_sha256(params),
            "parameters": {
                "total": sum(leaf.size for leaf in params.values()),
                "trained": sum(leaf.size for leaf in jax.tree.leaves(alone.params)),
            },
            "population": {
                "id": folder.population_folder(configs).name,
                "size": len(configs),
                "member": member,
            },
            "target_labels_seen": _count_seen_labels(method, tasks[member]["target"]),
            "target_chosen_by_label": tasks[member]["target"].chosen_by_label,
            "target_test_shared_with": count_shared(tasks[member]),
            "warnings": [
                *resume.warnings_of(json_file.read_json(path / "config.json")["starts"]),
                *guard.warnings_of(evaluated(history[member])),
            ],
            "selections": describe_chosen(
                evaluated(history[member]),
                own,
                len(tasks[member]["source"].splits["val"]),
                metric,
                choices,
                method.measures,
            ),
        }
        if method.measures:
            result["judged_by"] = list(method.measures)
        if own["init_from"].get("weights"):
            result["weights"] = {key: own["init_from"][key] for key in ("weights", "sha256")}
        for rule, chosen in result["selections"].items():
            chosen |= metrics[member].get(rule, {})
        learns_labels = any("label" in fields for fields in method.needs.values())
        if own["evaluation"]["retrained_head"] and learns_labels:
            result["selections"]["retrained_head"] = {
                "step": int(alone.step),
                **_retrain_head(own, tasks[member], member, program, state, tables),
            }
        result["selections"]["last"] |= {
            name: float(values[member]) for name, values in scores.items()
        }
        json_file.write_json(path / "result.json", result)


def _count_seen_labels(method: Method, target: Domain) -> int:
    """Counts the target labels that a run was trained on."""
    if "target_labelled" not in method.needs:
        return 0
    return _count_labels(target, training_split("target_labelled", target.splits))


def _count_labels(domain: Domain, split: str) -> int:
    return int(is_labelled(domain.examples.labels[domain.splits[split]]).sum())


def _retrain_head(
    config: Mapping[str, Any],
    task: Mapping[str, Domain],
    member: int,
    program: Program,
    state: State,
    tables: Any,
) -> dict[str, Any]:
    """Scores one member with a support vector machine as its last layer."""
    head = jax.tree.map(lambda leaf: leaf[member], evaluated_variables_of(state)["params"])
    activation = config["model"]["task_head"].get("activation", "relu")

    def read(role: str, split: str) -> tuple[np.ndarray, np.ndarray]:
        features = np.asarray(program.outputs(state, tables, role, split).features[member])
        labels = task[role].examples.labels[task[role].splits[split]]
        return head_inputs(head["task_head"], features, activation), labels

    # The machine learns from what the run's own head learned from.
    train = [
        read(role, training_split(name, task[role].splits))
        for name in config["domains"]
        for role in (ROLE_OF_DOMAIN[name],)
        if name in LABELLED
    ]
    parts = {
        "train": tuple(np.concatenate(own) for own in zip(*train, strict=True)),
        "val": read("source", "val"),
        "test": read("target", "test"),
    }
    inputs, labels = ({part: own[index] for part, own in parts.items()} for index in (0, 1))
    classes = task["source"].examples.classes
    return retrain_head(inputs, labels, len(classes), config["seed"])


def _predict_plane(
    tasks: Sequence[Mapping[str, Domain]], program: Program, state: State, tables: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a grid `[row, column, 2]` over all examples, and each member's classes on it."""
    points = [domain.examples.images for task in tasks for domain in task.values()]
    low = np.min([own.min(axis=0) for own in points], axis=0)
    high = np.max([own.max(axis=0) for own in points], axis=0)
    margin = 0.05 * (high - low)
    axes = np.linspace(low - margin, high + margin, GRID_SIZE, dtype=points[0].dtype).T
    grid = np.stack(np.meshgrid(*axes), axis=-1)
    outputs = program.predict(state, tables, grid.reshape(-1, 2), "target")
    predicted = np.asarray(outputs.logits).argmax(-1)
    return grid, predicted.reshape(-1, *grid.shape[:2])


def _write_outputs(
    path: Any,
    member: int,
    task: Mapping[str, Domain],
    metric: TaskMetric,
    outputs: Mapping[str, Outputs],
    grid: tuple[np.ndarray, np.ndarray] | None,
) -> None:
    """Keeps features, predictions and pictures of some examples at the last step."""
    arrays: dict[str, Any] = {}
    for role, split in SPLITS_IN_FIGURES.items():
        rows = task[role].splits[split][:NUM_KEPT_EXAMPLES]
        examples, count = task[role].examples, len(rows)
        label = "source_val/label" if role == "source" else "oracle/target_test_label"
        arrays |= {
            f"{role}_{split}/features": outputs[role].features[member, :count],
            f"{role}_{split}/prediction": metric.predict(
                np.asarray(outputs[role].logits[member, :count])
            ),
            f"{role}_{split}/image": examples.images[rows],
            label: examples.labels[rows],
        }
        # Of pixels there would be too many.
        if outputs[role].logits.ndim == 3:
            logits = np.asarray(outputs[role].logits[member, :count])
            arrays[f"{role}_{split}/logits"] = logits
    if grid is not None:
        arrays |= {"grid/image": grid[0], "grid/prediction": grid[1][member]}
    with output_file.replacing(path / "outputs.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, value_max=task["source"].examples.maximum, **arrays)
