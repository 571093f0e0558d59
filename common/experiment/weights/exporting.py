"""A finished run's network as one file that stands alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from common.data.table import make_tables
from common.data.task import load_task, load_vocabulary
from common.experiment import output_file
from common.experiment.trained import Trained
from common.experiment.weights.location import sha256_of
from common.experiment.weights.pretrained import OWN
from common.models.adapter import merge_variables
from common.models.normalization import LAYER_OF_POLICY, ROOTS

# What of `config.data` decides what a network is given.
OF_INPUTS = ("size", "fit", "channels", "center", "scaling")
# Readers of the PyTorch world refuse a file that does not say so.
OF_TORCH = {"format": "pt"}


def export(trained: Trained, target: Path, layout: str = "") -> str:
    """Writes the feature extractor and the task head of a run.

    Discriminators, second heads and the state of a loss stay behind; adapters are merged. No
    example of any domain is written, but for what was fitted to the source's training examples:
    their mean, their scaling.

    Args:
        trained: The run.
        target: The file, safetensors. Its metadata say, under `adaptax`, what the outputs are and
            what the network must be given.
        layout: Whose names the arrays get; "" or `adaptax`: those of this project, which every
            network has; or one of PyTorch's, for networks that PyTorch knows.

    Returns:
        What was written, for a person.

    Raises:
        ValueError: A layout that the network does not have, or a head that it cannot hold.
        RunFailed: The file system refuses it; nothing is left behind.
    """
    from safetensors.numpy import save

    layout = layout or OWN
    merged = merge_variables({"method_state": {}, **trained.variables})
    variables = {
        kind: {
            root: tree for root, tree in _of_target(merged.get(kind, {})).items() if root in ROOTS
        }
        for kind in ("params", "batch_stats")
    }
    told, fitted = _describe(trained)
    if layout == OWN:
        tensors = {
            path: np.asarray(leaf)
            for path, leaf in traverse_util.flatten_dict(variables, sep="/").items()
        } | fitted
        metadata = {}
    else:
        tensors, metadata = _in_torch_layout(trained, variables, layout), OF_TORCH
    metadata = {**metadata, OWN: json.dumps(told)}
    ours = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    with output_file.replacing(target) as temporary:
        temporary.write_bytes(save(ours, metadata=metadata))
    return f"{len(ours)} tensors in the layout {layout}: {target} (SHA-256 {sha256_of([target])})"


def _of_target(trees: Mapping[str, Any]) -> Mapping[str, Any]:
    """Takes the statistics of the target, where each domain has its own."""
    return trees["target"] if "target" in trees else trees


def _in_torch_layout(
    trained: Trained, variables: Mapping[str, Any], layout: str
) -> dict[str, np.ndarray]:
    from common.models.pretrained.convert import FAMILIES, from_variables

    model = trained.config["model"]
    if model["name"] not in FAMILIES:
        raise ValueError(
            f"--layout={layout}: PyTorch's libraries have no network {model['name']!r}; leave "
            f"--layout out, or use one of {', '.join(FAMILIES)}"
        )
    normalization = LAYER_OF_POLICY[model["normalization"]]
    try:
        return from_variables(
            *(model["name"], model["options"], variables),
            normalization=normalization,
            layout=layout,
        )
    except ValueError as error:
        raise ValueError(f"--{error}" if str(error).startswith("layout") else str(error)) from None


def _describe(trained: Trained) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Says what goes in and what comes out, and gives the arrays that this takes."""
    config = trained.config
    data = config["data"]
    told = {
        "run_id": trained.result["run_id"],
        "kind": config["task"]["kind"],
        "outputs": list(trained.result["classes"]),
        "model": {key: config["model"][key] for key in ("name", "options", "normalization")},
        "task_head": config["model"]["task_head"],
        "inputs": {key: data[key] for key in OF_INPUTS},
    }
    task = load_task(config)
    source = task["source"].examples
    told["inputs"] |= {"shape": list(source.images.shape[1:]), "maximum": source.maximum}
    if config["source"].startswith("csv:"):
        told["inputs"]["max_tokens"] = data["max_tokens"]
        told["inputs"]["vocabulary"] = list(load_vocabulary(config))
    own = make_tables([task], data["center"], data["scaling"])[0]["source"]
    given = {"mean": own["mean"]} if data["center"] != "none" else {}
    given |= {"scaling": own["scaling"]} if "scaling" in own else {}
    # A population of one.
    fitted = {
        f"input/{jax.tree_util.keystr(path, simple=True, separator='/')}": np.asarray(leaf[0])
        for path, leaf in jax.tree_util.tree_leaves_with_path(given)
    }
    return told, fitted
