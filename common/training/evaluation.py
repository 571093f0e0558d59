"""What is measured of a population between two chunks: metrics, label-free scores, signs of harm.

Scores and signs are computed by a function whose tables hold no target label.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from common.data.reader import is_text
from common.evaluation.evidence import Evidence
from common.evaluation.scores.score import OF_PICTURES, OF_TRAINING, SCORES, compute_scores
from common.evaluation.task_metric import make_task_metric
from common.method import Outputs, fold_in_name
from common.task_kind import OF_CLASSES
from common.training.batch import Tables
from common.training.member import axes_of, over_members
from common.training.split_pass import SplitPass
from common.training.state import State, evaluated_variables_of

EVALUATED_SPLITS = (("source", "val"), ("target", "val"), ("target", "test"))
# What scores see; of the training splits the outputs are computed for them alone.
PARTS = ("source_train", "source_val", "target_train", "target_val")

Sums = dict[str, dict[str, Array]]


def score_names(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Names the label-free scores that a run computes.

    Args:
        config: The resolved config.

    Returns:
        Those of `config.evaluation.scores`, or all, of texts all that do not mix inputs; none for
        tasks whose labels are no classes, and none without examples to compute them on.
    """
    evaluation = config["evaluation"]
    if config["task"]["kind"] not in OF_CLASSES or not evaluation["score_examples"]:
        return ()
    every = [name for name in SCORES if name not in OF_PICTURES or not is_text(config["source"])]
    return tuple(evaluation["scores"] or every)


def sample_positions(part: str, count: int, most: int) -> Int[np.ndarray, "position"]:
    """Draws which examples of a split the scores see, the same ones at every evaluation.

    Args:
        part: Name of the split; each draws for itself.
        count: Its size.
        most: How many may be drawn.

    Returns:
        Positions in the split, ascending.
    """
    if count <= most:
        return np.arange(count)
    draw = np.random.default_rng(zlib.crc32(part.encode()))
    return np.sort(draw.choice(count, most, replace=False))


def class_entropy(classes: Int[Array, "example"], num_classes: int) -> Float[Array, ""]:
    """Measures how many classes occur, and how evenly.

    Args:
        classes: Classes of examples; negative ones are left out.
        num_classes: How many there are.

    Returns:
        The entropy of their shares in nats.
    """
    counts = jnp.sum(jax.nn.one_hot(classes, num_classes), axis=0)
    shares = counts / jnp.maximum(counts.sum(), 1)
    return -jnp.sum(jax.scipy.special.xlogy(shares, shares))


def without_target_labels(tables: Tables) -> dict[str, Any]:
    """Takes the target's labels away.

    Args:
        tables: What a program reads.

    Returns:
        The same without them.
    """
    target = {name: own for name, own in tables["target"].items() if name != "label"}
    return {**tables, "target": target}


def make_evaluate(
    config: Mapping[str, Any],
    tables: Tables,
    num_members: int,
    passes: SplitPass,
    *,
    has_measures: bool,
) -> Callable[[State, Tables], Sums]:
    """Builds the evaluation of a population.

    Args:
        config: The resolved config of any member; only its structure is read.
        tables: What the program reads; only its structure is used.
        num_members: Size of the population.
        passes: How its rows are read and evaluated.
        has_measures: Whether the method measures something else than predictions, which are then
            none, and have no scores.

    Returns:
        `(state, tables) -> {split: sums}`, with what `TaskMetric.summarize` returns, and of tasks
        with classes under `score` the label-free scores and under `guard` what the collapse guard
        looks at, both by name, and under `measured` the means of `Method.measures` by split and
        name. Every leaf has a leading axis of members.
    """
    names, metric = () if has_measures else score_names(config), make_task_metric(config["task"])

    def summarize_one(logits, tables):
        sums = {}
        for role, split in EVALUATED_SPLITS:
            own, labels = logits[f"{role}_{split}"], tables[role]["label"][tables[role][split]]
            sums[f"{role}_{split}"] = metric.summarize(own, labels)
        return sums

    summarize = jax.jit(over_members(summarize_one, num_members, (0, axes_of(tables))))
    measure = _make_measure(config, tables, num_members, passes, names) if names else None

    def evaluate(state, tables):
        variables = evaluated_variables_of(state)
        logits, outputs = {}, {}
        for role, split in EVALUATED_SPLITS:
            name = f"{role}_{split}"
            # One pass serves the metrics and the scores.
            logits_alone = measure is None or name not in PARTS
            own = passes.over_split(variables, tables, role, split, logits_alone)
            logits[name] = own if logits_alone else own.logits
            if not logits_alone:
                outputs[name] = own
        sums = summarize(logits, tables)
        if has_measures:
            sums["measured"] = {
                f"{role}_val/{name}": values.mean(axis=1)
                for role in tables
                for name, values in passes.measure(variables, tables, role, "val").items()
            }
        return sums | measure(state, without_target_labels(tables), outputs) if measure else sums

    return evaluate


def _make_measure(
    config: Mapping[str, Any],
    tables: Tables,
    num_members: int,
    passes: SplitPass,
    names: tuple[str, ...],
) -> Callable[[State, Tables, Mapping[str, Outputs]], Sums]:
    """Builds `(state, tables without target labels, outputs of whole splits) -> scores, signs`."""
    tables = without_target_labels(tables)
    places = {part: part.split("_") for part in PARTS}
    positions = {
        part: sample_positions(
            part, tables[role][split].shape[-1], config["evaluation"]["score_examples"]
        )
        for part, (role, split) in places.items()
    }

    of_network = tuple(name for name in names if name in OF_PICTURES)
    of_outputs = tuple(name for name in names if name not in OF_PICTURES)
    read = ["target_val"] if of_network or config["optimizer"]["ema_decay"] else []
    if set(names) & set(OF_TRAINING):
        read += ["source_train", "target_train"]

    def measure_one(variables, raw, tables, outputs, batches, one):
        def rows_of(tree, part):
            return jax.tree.map(lambda leaf: leaf[: len(positions[part])], tree)

        # What no score reads is not there.
        parts: dict[str, Any] = dict.fromkeys(PARTS)
        labels: dict[str, Any] = {}
        for part, (role, split) in places.items():
            if part in outputs:
                own = positions[part]
                parts[part] = jax.tree.map(lambda leaf, own=own: leaf[own], outputs[part])
            elif part in batches:
                passed = passes.of_batches(variables, tables, batches[part], one, role, False)
                parts[part] = rows_of(passed, part)
            if role == "source":
                rows = tables[role][split][positions[part]]
                labels[f"{part}_label"] = tables[role]["label"][rows]
        nothing: Any = None
        evidence = Evidence(**parts, **labels, target_val_image=nothing, predict=nothing)
        scores = {}
        if of_network:
            images = passes.inputs_of(tables, batches["target_val"], "target")
            seen = evidence._replace(
                target_val_image=rows_of(images, "target_val"),
                predict=lambda inputs: passes.predict(variables, inputs, one, "target"),
            )
            scores = compute_scores(seen, _score_key(), of_network)

        predicted, truth = outputs["target_val"].logits, tables["source"]["label"]
        num_classes = predicted.shape[-1]
        signs = {
            "class_entropy": class_entropy(predicted.argmax(-1), num_classes),
            "source_class_entropy": class_entropy(truth[tables["source"]["val"]], num_classes),
        }
        if raw is not None:
            own = passes.of_batches(raw, tables, batches["target_val"], one, "target", True)
            differs = rows_of(own, "target_val").argmax(-1) != parts["target_val"].logits.argmax(-1)
            signs["averaging_gap"] = jnp.mean(differs)
        return evidence, scores, signs

    measure = jax.jit(over_members(measure_one, num_members, (0, 0, axes_of(tables), 0, 0, None)))

    def run(state, tables, outputs):
        batches = {}
        for part in read:
            role, split = places[part]
            batches[part] = passes.read(role, np.asarray(tables[role][split])[:, positions[part]])
        raw = evaluated_variables_of(state._replace(ema={})) if state.ema else None
        variables = evaluated_variables_of(state)
        evidence, scores, signs = measure(variables, raw, tables, outputs, batches, 1)
        if of_outputs:
            scores = compile_scores(of_outputs, num_members)(evidence) | scores
        return {"score": scores, "guard": signs}

    return run


def _score_key() -> Key[Array, ""]:
    """Returns one key for every evaluation of every run: what differs is the network."""
    return fold_in_name(jax.random.key(0), "score")


@functools.cache
def compile_scores(names: tuple[str, ...], num_members: int) -> Callable[[Evidence], Any]:
    """Compiles scores that need no network, once for all methods: they take long to compile.

    Args:
        names: Which scores.
        num_members: Size of the population.

    Returns:
        From the members' evidence to their scores by name.
    """
    return jax.jit(
        over_members(
            lambda evidence: compute_scores(evidence, _score_key(), names), num_members, (0,)
        )
    )
