"""Entropy minimisation over the normalisation layers' scales and biases (TENT)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from common.entropy import entropies
from common.legal import check_keys
from common.method import Aux, Batch, Method, Phase, fold_in_name
from common.models.normalization import forward, predict
from common.training.optimizer import paths_of
from dann.methods.source_free import draw, make_trained_network

POLICIES = ("joint", "separate", "per_domain", "group")
SCALES_AND_BIASES = r".*/(BatchNorm|GroupNorm)_\d+/(scale|bias)"


def make_method(config: Mapping[str, Any], num_classes: int) -> Method:
    """Builds the entropy of target predictions, which scales and biases alone make small.

    Of a batch of target pictures, their logits z under the statistics of this very batch:

        loss = mean H(softmax(z)),   H(p) = -sum_k p_k log p_k

    minimised over the scale and bias of every normalisation layer; all else stays bit for bit.

    The paper adapts and scores online: every test picture is seen once, its prediction is the one
    before the step that it takes part in, and the statistics are always those of the batch. Here
    the target's training pictures are adapted to, for as many epochs as the steps make, and the
    unseen test pictures are scored afterwards, in evaluation mode: with running statistics, which
    the target's batches have moved, and averaged weights where the run averages. Group
    normalisation has no statistics of a batch.

    Args:
        config: The resolved config; there is no option, the optimizer is the run's.
        num_classes: Number of classes of the task.

    Returns:
        The method; it records the entropy of the mean prediction, which falls in a collapse.

    Raises:
        ValueError: A policy without scales and biases or with frozen statistics, no run to start
            from, other domains than the target, or any option or term.

    References:
        Wang et al., Tent: Fully Test-time Adaptation by Entropy Minimization, ICLR (2021), and the
        authors' code, where it is Adam at 0.001 and batches of 200 for CIFAR-10-C.
    """
    check_keys("config.adaptation", config["adaptation"], ())
    network = make_trained_network(
        config,
        num_classes,
        POLICIES,
        "trains scales and biases of normalisation layers under the batch's own statistics",
    )

    def init(key, batch):
        drawn = draw(network, key, batch)
        if not any(re.fullmatch(SCALES_AND_BIASES, path) for path in paths_of(drawn["params"])):
            raise ValueError(
                "tent trains scales and biases of batch or group normalisation, of which the "
                f"network of config.model.name {config['model']['name']!r} has none; choose "
                "another network or row"
            )
        return drawn | {"method_state": {}}

    def loss(variables, batch: Batch, *, key, progress, hparams):
        del progress, hparams
        images = {"target": batch["target"]["image"]}
        outputs, statistics = forward(network, variables, images, key=fold_in_name(key, "dropout"))
        unsure, diverse = entropies(outputs["target"].logits)
        metrics = {"entropy": unsure, "diversity": diverse}
        return unsure, Aux(statistics, variables["method_state"], metrics)

    return Method(
        init=init,
        phases=(Phase(loss),),
        predict=lambda variables, images, domain: predict(network, variables, images, domain),
        needs={"target": ("image",)},
        trains=SCALES_AND_BIASES,
    )
