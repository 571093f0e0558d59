"""Reverse validation: trains back from the target's predicted labels, and asks the source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from common.data.stream import Stream
from common.experiment.outcome import Stopped, StopRequest
from common.method import Method
from common.training import parallel
from common.training.loop import Boundary, run_loop
from common.training.population import Program, Tables, make_program
from common.training.state import HEALTHY, State, evaluated_variables_of

# What the run back starts from; everything else, such as a discriminator, starts anew.
NETWORK = ("feature_extractor", "task_head")


def reverse_accuracy(
    config: Mapping[str, Any],
    method: Method,
    program: Program,
    state: State,
    tables: Tables,
    request: StopRequest,
    *,
    stream: Stream | None = None,
    placement: parallel.Placement | None = None,
) -> Float[np.ndarray, "member"]:
    """Scores finished runs without a target label.

    The run labels the target's training and validation examples. The same method then trains on
    them, with the source's training examples as its unlabelled target, beginning at the run's
    network, for as many steps. If the first way was good, the network that comes back is right on
    the source's validation examples, whose labels it has never been told.

    Args:
        config: The resolved config of any member.
        method: The method.
        program: The program that trained the population.
        state: Its state after the last step.
        tables: Its data.
        request: Looked at between two chunks.
        stream: The pictures, where they stay on the host.
        placement: Where the program runs.

    Returns:
        Accuracy on the source's validation examples after the way back; NaN for a member whose
        training went wrong on either way.

    Raises:
        Stopped: A signal came. The runs themselves are saved; the way back begins anew.

    References:
        Zhong et al., Cross Validation Framework to Choose Amongst Models and Datasets for Transfer
        Learning, ECML PKDD (2010); Ganin et al., JMLR 17 (2016), section 5.1.2. There the run back
        stops at its best accuracy on the target's validation examples as labelled by the first;
        here its last step counts.
    """
    back = _turn(program, state, tables, placement)
    if stream:
        images = {"source": stream.images["target"], "target": stream.images["source"]}
        stream = stream._replace(images=images)
    num_members = len(state.step)
    # Nobody chooses among its steps.
    without_scores = {**config, "evaluation": {**config["evaluation"], "score_examples": 0}}
    way_back = make_program(
        method, without_scores, back, num_members, (), stream=stream, placement=placement
    )
    start = way_back.create(state.hparams, back)
    learned = evaluated_variables_of(state)
    params = {**evaluated_variables_of(start)["params"]}
    params |= {root: learned["params"][root] for root in NETWORK if root in params}
    trained, frozen = way_back.optimizer.split(params)
    # The next step donates these arrays, which the finished runs still need.
    start = start._replace(
        **jax.tree.map(
            lambda leaf: leaf.copy(),
            {"params": trained, "frozen": frozen, "batch_stats": learned["batch_stats"]},
        )
    )
    if start.ema:
        averages = {"params": start.params, "batch_stats": start.batch_stats}
        start = start._replace(ema=jax.tree.map(lambda leaf: leaf.copy(), averages))
    last: Boundary | None = None
    for boundary in run_loop(
        way_back,
        start,
        back,
        first_step=0,
        num_steps=config["num_steps"],
        log_every=config["runtime"]["log_every"],
        evaluate_every=config["num_steps"],
        choose=lambda step, train, evaluation: {},
    ):
        last = boundary
        if request:
            way_back.close()
            raise Stopped(
                f"{request.received} in reverse validation, which begins anew: run the same "
                "command to go on"
            )
    way_back.close()
    assert last is not None and last.evaluation is not None
    confusion = last.evaluation["target_val"]["confusion"]
    accuracy = np.trace(confusion, axis1=1, axis2=2) / confusion.sum((1, 2))
    healthy = (last.health == HEALTHY) & (np.asarray(state.health) == HEALTHY)
    return np.where(healthy, accuracy, np.nan)


def _turn(
    program: Program, state: State, tables: Tables, placement: parallel.Placement | None
) -> dict[str, dict[str, Any]]:
    """Makes the target, as each member labels it, the source, and the source the target."""
    rows = {split: np.asarray(tables["target"][split]) for split in ("train", "val")}
    labels = np.full((len(state.step), len(tables["target"]["label"])), -1, np.int32)
    for split, own in rows.items():
        logits = np.asarray(program.outputs(state, tables, "target", split).logits)
        np.put_along_axis(labels, own, logits.argmax(-1).astype(np.int32), axis=1)
    # Means and factors stay those of the original source: the network was trained on such inputs.
    inputs = {name: tables["source"][name] for name in tables["source"].keys() - tables["target"]}
    placed = parallel.place(labels, placement.members) if placement else jax.numpy.asarray(labels)
    source = {**tables["target"], **inputs, "label": placed}
    return {
        "source": source,
        "target": {name: own for name, own in tables["source"].items() if name not in inputs},
    }
