"""What a finished run leaves behind: weights, outputs for the figures, and the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from common.data.domain import Domain, fingerprint
from common.experiment import checkpoint, folder, selection
from common.method import Method, Outputs
from common.training.optimizer import paths_of
from common.training.population import ROLE_OF_DOMAIN, Program
from common.training.state import State, evaluated_variables_of

# Pictures and features kept for the figures, a domain.
NUM_KEPT_EXAMPLES = 500
SPLITS_IN_FIGURES = {"source": "val", "target": "test"}

Records = Sequence[Mapping[str, Any]]


def evaluated(records: Records) -> list[Mapping[str, Any]]:
    """Keeps the records that hold an evaluation.

    Args:
        records: Records of one run.

    Returns:
        Some of them, in the same order.
    """
    return [record for record in records if "source_val/accuracy" in record]


def write_results(
    configs: Sequence[Mapping[str, Any]],
    tasks: Sequence[Mapping[str, Domain]],
    members: Sequence[int],
    program: Program,
    method: Method,
    state: State,
    tables: Any,
    history: Sequence[Records],
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
        history: The members' records.
    """
    outputs = {
        role: jax.tree.map(np.asarray, program.outputs(state, tables, role, split))
        for role, split in SPLITS_IN_FIGURES.items()
    }
    config, task = configs[0], tasks[0]
    source, target = task["source"].examples, task["target"].examples
    seen = {ROLE_OF_DOMAIN[domain] for domain in method.needs}
    shared = {
        "experiment": config["experiment"],
        "task": f"{config['source']}>{config['target']}",
        "source": config["source"],
        "target": config["target"],
        "steps": config["num_steps"],
        "status": "done",
        "sees_target_pictures": "target" in seen,
        "target_test_seen": "target" in seen and config["data"]["transductive"],
        "classes": source.classes,
        "splits": {
            role: {name: len(rows) for name, rows in domain.splits.items()}
            for role, domain in task.items()
        },
        "fingerprints": {
            f"{config['source']}/images": fingerprint(source.images),
            f"{config['source']}/labels": fingerprint(source.labels),
            f"{config['target']}/images": fingerprint(target.images),
        },
        "oracle": {f"{config['target']}/labels": fingerprint(target.labels)},
        "warnings": [],
    }
    for member in members:
        own, alone = configs[member], jax.tree.map(lambda leaf, m=member: leaf[m], state)
        evaluated_variables = evaluated_variables_of(alone)
        path = folder.run_folder(own)
        # A run whose files are being written is not done, also when it was before.
        (path / "result.json").unlink(missing_ok=True)
        kept = {rule: choice["variables"] for rule, choice in alone.best.items()}
        checkpoint.save_run(path, {"last": evaluated_variables, **kept})
        _write_outputs(path, member, tasks[member], outputs)
        params = {
            name: np.asarray(leaf) for name, leaf in paths_of(evaluated_variables["params"]).items()
        }
        result = shared | {
            "run_id": folder.run_id(own),
            "method": own["method"],
            "seed": own["seed"],
            "split_seed": own["data"]["split_seed"],
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
            "selections": _select(history[member], len(tasks[member]["source"].splits["val"])),
        }
        folder.write_json(path / "result.json", result)


def _select(records: Records, num_source_val: int) -> dict[str, Any]:
    """Returns what each rule chose, with what was measured there."""
    candidates = evaluated(records)
    chosen = selection.choose(candidates, num_source_val=num_source_val)
    return {
        rule: {
            "step": candidates[index]["step"],
            "source_val_accuracy": candidates[index]["source_val/accuracy"],
        }
        | {
            name: value
            for name, value in candidates[index].items()
            if name.startswith((selection.ORACLE, "score/"))
        }
        for rule, index in chosen.items()
        if index is not None
    }


def _write_outputs(
    path: Any, member: int, task: Mapping[str, Domain], outputs: Mapping[str, Outputs]
) -> None:
    """Keeps features, predictions and pictures of some examples at the last step."""
    arrays: dict[str, Any] = {}
    for role, split in SPLITS_IN_FIGURES.items():
        rows = task[role].splits[split][:NUM_KEPT_EXAMPLES]
        examples, count = task[role].examples, len(rows)
        label = "source_val/label" if role == "source" else "oracle/target_test_label"
        arrays |= {
            f"{role}_{split}/features": outputs[role].features[member, :count],
            f"{role}_{split}/prediction": outputs[role].logits[member, :count].argmax(-1),
            f"{role}_{split}/image": examples.images[rows],
            label: examples.labels[rows],
        }
    np.savez_compressed(path / "outputs.npz", value_max=task["source"].examples.maximum, **arrays)
