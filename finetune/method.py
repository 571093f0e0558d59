"""Plain supervised training: from scratch on either domain, or on from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.method import Method
from common.models.network import make_network
from common.training.objective import make_objective
from common.training.task_loss import make_task_loss


def make_method(config: Mapping[str, Any], num_classes: int) -> Method:
    """Builds plain supervised training.

    `config.domains` says what it trains on: `("source",)` is `source_only`,
    `("source", "target")` lets target pictures pass through the batch statistics and nothing else
    (`statistics_only`), `("target_labelled",)` is `train_on_target`. Continuing from a checkpoint
    is `config.init_from`, freezing is `config.optimizer.freeze`.

    Args:
        config: The resolved config.
        num_classes: Number of classes of the task, or of its labels or values.

    Returns:
        The method.

    Raises:
        ValueError: A model, policy, domain or kind of task that does not exist.
    """
    network = make_network(config["model"], num_classes, config["task"])
    task_loss = make_task_loss(config["task"])
    return make_objective(network, tuple(config["domains"]), {}, "finetune", task_loss)
