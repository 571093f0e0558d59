"""What networks that a run could start from make of labelled target examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Float

from common.data.domain import Domain
from common.data.task import load_task
from common.experiment import json_file
from common.experiment.checkpoint import load_run
from common.experiment.labelled_target import LabelledTarget, with_labels
from common.experiment.output import complete, run_over
from common.experiment.weights.pretrained import HEAD, load_weights
from common.experiment.weights.taking import take
from common.method import Method
from common.models.network import make_network
from common.models.normalization import initialize, predict
from common.training.optimizer import paths_of

Config = Mapping[str, Any]
MakeMethod = Callable[[Config, int], Method]

# What of `config.data` says how a target is read, beside the options under its own name.
OF_TARGET = ("target_splits", "target_classes")


class Start(NamedTuple):
    """A network that a run could start from.

    Attributes:
        name: For a person.
        key: Run id, or hash of the file of weights.
        features: Of the labelled target examples.
        probabilities: Of its own classes; None without a head.
        note: What a person should know about it, or "".
    """

    name: str
    key: str
    features: Float[np.ndarray, "example feature"]
    probabilities: Float[np.ndarray, "example old_class"] | None
    note: str = ""


def read_run(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads the config and the result of a finished run.

    Args:
        path: Its folder.

    Returns:
        Both.

    Raises:
        ValueError: No finished run is there.
    """
    if not (path / "result.json").is_file():
        raise ValueError(f"{path} is no folder of a finished run: it has no result.json")
    return json_file.read_json(path / "config.json")["config"], json_file.read_json(
        path / "result.json"
    )


def start_of_run(path: Path, target: LabelledTarget, make_method: MakeMethod) -> Start:
    """Runs the last weights of a finished run over labelled target examples.

    Inputs are what they were for the run: its own source decides how they are scaled.

    Args:
        path: The run folder.
        target: The examples.
        make_method: `(config, num_classes) -> Method`.

    Returns:
        The start.

    Raises:
        ValueError: No finished run, or one that would read the target otherwise.
    """
    config, result = read_run(path)
    variables = load_run(path, "last")
    task = _load_like(config, target, str(path))
    method = make_method(config, len(task["source"].examples.classes))
    run = partial(method.predict, complete(variables), domain="target")
    features, logits = run_over(run, config, task, "target", target.rows)
    seen = result.get("target_labels_seen", 0)
    name = f"{result['run_id']} ({config['model']['name']}, {result['steps']} steps)"
    return _checked(
        Start(
            *(name, result["run_id"], features, _softmax(logits)),
            f"has learned from {seen} target labels, and may look better than it is" * bool(seen),
        )
    )


def start_of_weights(config: Config, target: LabelledTarget) -> Start:
    """Runs a file of weights over labelled target examples.

    Args:
        config: A resolved config whose `init_from.weights` names the file.
        target: The examples.

    Returns:
        The start.

    Raises:
        ValueError: Weights that cannot be read, or are of another network than the config's.
    """
    options = config["init_from"]
    task = _load_like(config, target, options["weights"])
    network = make_network(config["model"], len(task["source"].examples.classes), config["task"])
    shape = (1, *task["target"].examples.images.shape[1:])
    params, stats = jax.eval_shape(
        lambda image: initialize(network, jax.random.key(0), {"target": image}),
        jax.ShapeDtypeStruct(shape, jnp.float32),
    )
    here = paths_of(params)
    taken = take(config, here, paths_of(stats))
    given = {path: np.zeros(leaf.shape, leaf.dtype) for path, leaf in here.items()} | taken.params
    variables = {
        "params": traverse_util.unflatten_dict(given, sep="/"),
        "batch_stats": traverse_util.unflatten_dict(taken.batch_stats, sep="/"),
    }
    run = partial(predict, network, complete(variables), domain="target")
    features, _ = run_over(run, config, task, "target", target.rows)
    head = {
        path.removeprefix(HEAD): leaf
        for path, leaf in load_weights(config, here).params.items()
        if path.startswith(HEAD)
    }
    probabilities = None
    kernel = head.get("logits/kernel")
    # A head with hidden layers reads other features than its last layer.
    if kernel is not None and len(head) == 2 and kernel.shape[0] == features.shape[1]:
        probabilities = _softmax(features @ kernel + head["logits/bias"][None])
    name = f"{options['weights']} ({config['model']['name']})"
    return _checked(Start(name, options["sha256"], features, probabilities))


def _load_like(config: Config, target: LabelledTarget, where: str) -> Mapping[str, Domain]:
    """Loads a start's own source, and the target as this start reads it."""
    wanted, data = target.config, dict(config["data"])
    data |= {key: wanted["data"][key] for key in OF_TARGET}
    if wanted["target"] in wanted["data"]:
        data[wanted["target"]] = wanted["data"][wanted["target"]]
    own = with_labels({**config, "target": wanted["target"], "data": data})
    task = load_task({**own, "domains": ["source"]})
    examples = task["target"].examples
    shown = None
    if len(examples.labels) == target.num_examples:
        shown = [examples.classes[label] for label in examples.labels[target.rows]]
    if shown != [target.classes[label] for label in target.labels]:
        raise ValueError(
            f"{where} reads other labelled examples of {wanted['target']!r}, or names their "
            "classes otherwise; starts are compared on the same examples: give one config.data to "
            "all of them"
        )
    return task


def _softmax(logits: Float[np.ndarray, "example old_class"]) -> np.ndarray:
    return np.asarray(jax.nn.softmax(jnp.asarray(logits)))


def _checked(start: Start) -> Start:
    if not np.isfinite(start.features).all():
        raise ValueError(f"{start.name} gives features that are not finite")
    return start
