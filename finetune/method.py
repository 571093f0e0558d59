"""Plain supervised training: from scratch on either domain, or on from a checkpoint."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from common.legal import check_keys
from common.method import Method, Regularizer
from common.models.network import make_network
from common.training.objective import make_objective
from common.training.task_loss import make_task_loss
from finetune import autoencoder
from finetune.feature_cache import cache_features, without_extractor
from finetune.freezing import OF_ADAPTERS, make_plan
from finetune.lora import lora, with_adapters
from finetune.regularizers.bss import bss
from finetune.regularizers.co_tuning import co_tuning
from finetune.regularizers.delta import delta
from finetune.regularizers.distillation import distillation
from finetune.regularizers.l2_sp import l2_sp

REGULARIZERS: dict[str, Callable[[Mapping[str, Any]], Regularizer]] = {
    "bss": bss,
    "co_tuning": co_tuning,
    "delta": delta,
    "distillation": distillation,
    "l2_sp": l2_sp,
}
# These read predictions of classes.
OF_CLASSES_ALONE = ("co_tuning", "distillation")
# Rows that train no head: what stands there was drawn at random.
WITHOUT_HEAD = ("autoencoder",)

# A parameter that every task head has.
_OF_HEAD = "task_head/logits/kernel"


def make_method(config: Mapping[str, Any], num_classes: int) -> Method:
    """Builds plain supervised training, with the regularisers that the config names.

    `config.domains` says what it trains on: `("source",)` is `source_only`,
    `("source", "target")` lets target pictures pass through the batch statistics and nothing else
    (`statistics_only`), `("target_labelled",)` is `train_on_target`. Continuing from a checkpoint
    is `config.init_from`; what of it is trained, and how fast, is `config.transfer`, and what holds
    the weights near that checkpoint is `config.regularization`. With
    `config.transfer.reconstruction` it is `finetune/autoencoder.py` instead, which reads no label.

    Args:
        config: The resolved config.
        num_classes: Number of classes of the task, or of its labels or values.

    Returns:
        The method.

    Raises:
        ValueError: A model, policy, domain, kind of task, regulariser or option that does not
            exist, or a regulariser without what it starts from.
    """
    if autoencoder.OPTION in config["transfer"]:
        return autoencoder.make_method(config, num_classes)
    plan, domains, transfer = make_plan(config), tuple(config["domains"]), config["transfer"]
    adapts, trains = bool(set(OF_ADAPTERS) & set(transfer)), plan.trains
    if adapts:
        plan = with_adapters(plan, transfer)
    network = make_network(config["model"], num_classes, config["task"])
    network = network._replace(evaluates=plan.evaluates)
    check_keys("config.regularization", config["regularization"], sorted(REGULARIZERS))
    task_loss, builders = make_task_loss(config["task"]), REGULARIZERS
    if task_loss is not None:
        builders = builders | {"delta": functools.partial(delta, task_loss=task_loss)}
    regularizers = {name: builders[name](own) for name, own in config["regularization"].items()}
    for name, regularizer in regularizers.items():
        check_start(name, regularizer, config)
    shared = {"options": config["objective"], "task_loss": task_loss}
    method = make_objective(network, domains, {}, "finetune", regularizers, **shared)
    if plan.caches:
        on_features = make_objective(without_extractor(network), domains, {}, "finetune", **shared)
        method = cache_features(method, on_features)
    if adapts:
        method = lora(method, transfer, trains)
    return method._replace(trains=plan.trains, groups=plan.groups)


def check_start(name: str, regularizer: Regularizer, config: Mapping[str, Any]) -> None:
    """Refuses a regulariser without the start, the head, the task or the optimizer that it takes.

    Args:
        name: Of the regulariser.
        regularizer: The regulariser.
        config: The resolved config; `init_from`, `task` and `optimizer` are read.

    Raises:
        ValueError: Nothing to start from, a head that is not taken over, labels that are no
            classes, or a weight decay.
    """
    options, optimizer = config["init_from"], config["optimizer"]
    if name in OF_CLASSES_ALONE and config["task"]["kind"] != "multi_class":
        raise ValueError(
            f"config.regularization.{name} reads predictions of classes, and config.task.kind is "
            f"{config['task']['kind']!r}; take 'l2_sp', 'delta' or 'bss'"
        )
    starts = [options.get(kind) for kind in ("run", "method", "weights")]
    if regularizer.needs_start and not any(starts):
        raise ValueError(
            f"config.regularization.{name} compares with the network that a run starts from; name "
            "its row by config.init_from.method, such as 'source_only', its folder by "
            "config.init_from.run, or a file by config.init_from.weights"
        )
    if regularizer.needs_head and not re.fullmatch(options["include"], _OF_HEAD):
        raise ValueError(
            f"config.init_from.include is {options['include']!r}, which leaves out the task head, "
            f"but config.regularization.{name} reads the predictions of the network that a run "
            "starts from: include task_head/.* too"
        )
    if regularizer.needs_head and options.get("method") in WITHOUT_HEAD:
        raise ValueError(
            f"config.init_from.method is {options['method']!r}, which trains no head, but "
            f"config.regularization.{name} reads the predictions of the network that a run starts "
            "from: name a row that learns classes, such as 'source_only'"
        )
    # With a row in between, the file is where that row starts, and the head is the row's.
    is_file = options.get("weights") and not (options.get("run") or options.get("method"))
    if regularizer.needs_head and is_file and not options["head"]:
        raise ValueError(
            "config.init_from.head is False, which leaves out the head of the file "
            f"config.init_from.weights, but config.regularization.{name} reads the predictions of "
            "the network that a run starts from: set config.init_from.head=True where the file's "
            "classes are the task's, else config.init_from.method to a row that learns them, such "
            "as 'linear_probe'"
        )
    if regularizer.replaces_decay and optimizer["weight_decay"] and optimizer["decay"]:
        raise ValueError(
            f"config.optimizer.weight_decay is {optimizer['weight_decay']}, which pulls to zero "
            f"what config.regularization.{name} holds: set it to 0"
        )
