"""Low-rank adaptation (LoRA): kernels stay, and an update of low rank beside each is trained."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import traverse_util

from common.legal import check_count, check_keys, check_number
from common.method import Method, fold_in_name
from common.models.adapter import ROOT, draw_factors, merge
from common.training.optimizer import paths_of
from finetune.freezing import EXTRACTOR, KEY, OF_ADAPTERS, Plan


def with_adapters(plan: Plan, options: Mapping[str, Any]) -> Plan:
    """Turns a plan of what is trained into one in which adapters are trained instead.

    Args:
        plan: What of the network would be trained.
        options: `config.transfer`.

    Returns:
        The plan: the extractor keeps its parameters, and, where frozen statistics are kept, the
        statistics of every layer; adapters have the rates and starts of their kernels' stages.

    Raises:
        ValueError: An option that is missing or impossible, or a wholly frozen extractor.
    """
    check_keys(KEY, options, options, OF_ADAPTERS)
    check_count(f"{KEY}.rank", options["rank"])
    check_number(f"{KEY}.alpha", options["alpha"])
    try:
        re.compile(options["pattern"])
    except (re.error, TypeError) as error:
        raise ValueError(
            f"{KEY}.pattern is {options['pattern']!r}, no regular expression: {error}"
        ) from None
    if options["freeze"] == "all_but_head":
        raise ValueError(
            f"{KEY}.freeze is 'all_but_head', which leaves no stage to adapt; set it to none or "
            "last_<k>_stages"
        )
    groups = tuple(own._replace(pattern=f"{ROOT}/(?:{own.pattern})") for own in plan.groups)
    return Plan(
        rf"(?!{EXTRACTOR}/).*",
        groups,
        # The extractor as a whole still drops units: it is no fixed function.
        None if plan.evaluates is None else lambda path, _: path.startswith(f"{EXTRACTOR}/"),
    )


def lora(method: Method, options: Mapping[str, Any], trains: str) -> Method:
    """Adds to each matched kernel W, `[inputs, unit]`, an update of low rank.

    With A normal and B = 0 at the start, the method sees in the place of W

        W + (alpha / r) A B,    A in R^(inputs x r),  B in R^(r x unit),

    where `rank` is r and W, like all else of the extractor, is never changed. A convolution's
    kernel `[height, width, channel, unit]` has height * width * channel inputs: the update is a
    convolution to r maps, then one of 1 x 1. Attention has dense layers. r (inputs + unit)
    numbers a kernel are trained, and the task head.

    The paper adapts query and value of attention alone; here `pattern` says which kernels. Its A is
    normal without a scale, the authors' code draws it uniform with variance 1 / (3 inputs); here it
    is normal with that variance. For a k x k convolution the authors' factors have the rank r k and
    are cut into the kernel in an order that mixes its axes. Inputs of A are never dropped. Each
    step adds the update to W first, as their convolution does: nothing more is kept for the
    backward pass, but a gradient as large as W exists for a moment.

    Args:
        method: Plain training.
        options: `config.transfer`: `rank`; `alpha`, a traced number; `pattern`, a full-match
            pattern of paths of kernels of the extractor.
        trains: Full-match pattern of the parameters that a plan without adapters trains; kernels
            that it leaves out have none.

    Returns:
        The method; its parameters have one root more, its state alpha / r of the latest step.

    References:
        Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR (2022), section 4.1.
    """
    rank, (phase,) = options["rank"], method.phases

    def init(key, batch):
        drawn = method.init(key, batch)
        kernels = _adapted(drawn["params"], options, trains)
        adapters = {
            path: draw_factors(fold_in_name(key, f"{ROOT}/{path}"), shape, rank)
            for path, shape in kernels.items()
        }
        # Until the first step the updates are 0, whatever their scale.
        state = {**drawn["method_state"], ROOT: {"scale": jnp.zeros(())}}
        params = {**drawn["params"], ROOT: traverse_util.unflatten_dict(adapters, sep="/")}
        return drawn | {"params": params, "method_state": state}

    def plain(variables, scale):
        state = {name: own for name, own in variables["method_state"].items() if name != ROOT}
        return {**variables, "params": merge(variables["params"], scale), "method_state": state}

    def loss(variables, batch, *, key, progress, hparams):
        scale = hparams["transfer.alpha"] / rank
        inner = plain(variables, scale)
        value, aux = phase.loss(inner, batch, key=key, progress=progress, hparams=hparams)
        return value, aux._replace(method_state={**aux.method_state, ROOT: {"scale": scale}})

    def predict(variables, images, domain):
        scale = variables["method_state"][ROOT]["scale"]
        return method.predict(plain(variables, scale), images, domain)

    return method._replace(init=init, phases=(phase._replace(loss=loss),), predict=predict)


def _adapted(
    params: Mapping[str, Any], options: Mapping[str, Any], trains: str
) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the kernels that get an adapter; refuses a rank that is none."""
    rank, pattern = options["rank"], options["pattern"]
    kernels = {
        path: leaf.shape
        for path, leaf in paths_of(params).items()
        if re.fullmatch(rf"{EXTRACTOR}/(.*/)?kernel", path) and re.fullmatch(trains, path)
    }
    matched = {path: shape for path, shape in kernels.items() if re.fullmatch(pattern, path)}
    if not matched:
        raise ValueError(
            f"{KEY}.pattern is {pattern!r}, which matches no kernel; the kernels of the stages "
            f"that {KEY}.freeze leaves are {', '.join(kernels) or 'none'}"
        )
    for path, shape in matched.items():
        most = min(math.prod(shape[:-1]), shape[-1])
        if rank > most:
            raise ValueError(
                f"{KEY}.rank is {rank}, but {path} has the shape {shape} and no more than rank "
                f"{most}; set it to at most {most}, or leave this kernel out of {KEY}.pattern"
            )
    return matched
