"""What methods have in common that adapt a trained network without its source."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from jaxtyping import Array, Key

from common.method import Batch
from common.models.network import make_network
from common.models.normalization import Network, initialize

DOMAINS = ("target",)


def make_trained_network(
    config: Mapping[str, Any], num_classes: int, policies: Collection[str], why: str
) -> Network:
    """Builds the network of a method that sees target pictures alone.

    Args:
        config: The resolved config.
        num_classes: Number of classes of the task.
        policies: The normalisation policies under which the method works.
        why: What the method does with the normalisation, for the message.

    Returns:
        The network; its weights come from the run that `config.init_from` names.

    Raises:
        ValueError: Other domains than the target, a term, no run to start from, or a policy that
            leaves nothing to adapt.
    """
    method, options = config["method"], config["init_from"]
    if tuple(config["domains"]) != DOMAINS:
        raise ValueError(
            f"config.domains is {tuple(config['domains'])}; {method} sees target pictures alone, "
            f"so it must be {DOMAINS}"
        )
    if config["alignment"]:
        raise ValueError(
            f"config.alignment has {', '.join(config['alignment'])}, which compares source and "
            f"target; {method} sees no source, so leave it empty"
        )
    has_head = options.get("weights") and options["head"]
    if not (options["run"] or options.get("method") or has_head):
        raise ValueError(
            f"{method} adapts a trained network; name its row by config.init_from.method, such as "
            "'source_only', or its folder by config.init_from.run, or a file that has the task's "
            "classes by config.init_from.weights with config.init_from.head=True"
        )
    network = make_network(config["model"], num_classes, config["task"])
    if network.policy not in policies:
        raise ValueError(
            f"config.model.normalization is {network.policy!r}, but {method} {why}; legal are "
            f"{', '.join(policies)}"
        )
    return network


def draw(network: Network, key: Key[Array, ""], batch: Batch) -> dict[str, Any]:
    """Draws parameters and statistics, in whose place those of the trained network are put.

    Args:
        network: The network.
        key: Source of randomness.
        batch: A batch of the target.

    Returns:
        `params` and `batch_stats`; under `per_domain` both domains have statistics, so that
        source pictures are evaluated with their own.
    """
    images = batch["target"]["image"]
    params, batch_stats = initialize(network, key, {"source": images, "target": images})
    return {"params": params, "batch_stats": batch_stats}
