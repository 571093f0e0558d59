"""A squared distance from the starting weights (L2-SP)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from common.legal import check_keys, check_name, check_number
from common.method import Regularizer, RegularizerView
from common.training.optimizer import paths_of

OPTIONS = ("weight", "head_factor", "head", "parameters")
KEY = "config.regularization.l2_sp"
HEADS = ("zero", "start")


def l2_sp(config: Mapping[str, Any]) -> Regularizer:
    """Builds the distance from the weights w0 that a run starts from.

        loss = 1/2 sum (w - w0)^2 over the feature extractor
               + head_factor * 1/2 sum w^2 over the task head

    They are sums, not means. The weight is the paper's alpha; its beta is weight * head_factor. By
    `head` the head is held to zero, as in the paper, where it is new, or to its own start, where
    it is taken over. The decay of these weights is to be off: it pulls them to zero.

    As in the authors' code, kernels alone are held by default; `parameters` ".*" holds biases and
    the scales of normalisation too, a variant of theirs. Running statistics are no parameters.

    Args:
        config: `weight` and `head_factor`; `head`: `zero` or `start`; `parameters`, the full-match
            pattern of the paths of what is held.

    Returns:
        The regulariser; it records the distance of the feature extractor from its start.

    Raises:
        ValueError: An option that is unknown, missing or impossible, or a pattern that matches no
            parameter of the feature extractor.

    References:
        Xuhong Li, Grandvalet and Davoine, Explicit Inductive Bias for Transfer Learning with
        Convolutional Networks, ICML (2018), and the authors' code: alpha 0.1 and beta 0.01 are
        those of their example.
    """
    check_keys(KEY, config, OPTIONS, OPTIONS)
    for name in ("weight", "head_factor"):
        check_number(f"{KEY}.{name}", config[name])
    check_name(f"{KEY}.head", config["head"], HEADS)
    try:
        pattern = re.compile(config["parameters"])
    except (re.error, TypeError) as error:
        raise ValueError(
            f"{KEY}.parameters is {config['parameters']!r}, which is no regular expression: {error}"
        ) from None

    def held(params, root):
        paths = paths_of({root: params[root]})
        return {path: leaf for path, leaf in paths.items() if pattern.fullmatch(path)}

    def init(params, outputs):
        del outputs
        if not held(params, "feature_extractor"):
            raise ValueError(
                f"{KEY}.parameters: {config['parameters']!r} matches no parameter of the feature "
                f"extractor; the paths are {', '.join(paths_of(params))}"
            )
        return {}

    def loss(params, state, view: RegularizerView, hparams):
        del state

        def squares(root, origin):
            own = held(params, root)
            gaps = [leaf - origin[path] if origin else leaf for path, leaf in own.items()]
            return jnp.sum(jnp.stack([jnp.sum(gap**2) for gap in gaps])) if gaps else 0.0

        features = squares("feature_extractor", held(view.start.params, "feature_extractor"))
        head = held(view.start.params, "task_head") if config["head"] == "start" else {}
        value = (features + hparams["head_factor"] * squares("task_head", head)) / 2
        return value, {"distance": jnp.sqrt(features)}

    return Regularizer(init, loss, replaces_decay=True)
