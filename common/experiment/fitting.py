"""Populations as large as memory allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from common.data.table import is_streamed
from common.data.task import load_task
from common.experiment.check import MakeMethod, batch_shapes
from common.training import parallel
from common.training.hparam import make_hparams
from common.training.memory import bytes_of, member_bytes
from common.training.optimizer import make_optimizer

Config = Mapping[str, Any]

# Share of the free memory that a population may take: the rest is for what other programs begin
# to take, and for the compiler.
SHARE = 0.8


def sizes_of(members: int, most: int, devices: int) -> list[int]:
    """Parts a population.

    Args:
        members: How many there are.
        most: How many fit at a time, at least 1.
        devices: Over how many devices a part is spread; where it can be, each gets as many.

    Returns:
        Sizes, which differ in the last part alone.
    """
    if members <= most:
        return [members]
    size = math.ceil(members / math.ceil(members / most))
    if devices > 1 and size >= devices:
        # Up where that fits, else down.
        up = math.ceil(size / devices) * devices
        size = up if up <= most else size // devices * devices
    full, rest = divmod(members, size)
    return [size] * full + [rest] * bool(rest)


def need_of(config: Config, make_method: MakeMethod) -> tuple[int, int]:
    """Estimates the memory of a population from the shapes of its traced step.

    Args:
        config: The resolved config of any member.
        make_method: `(config, num_classes) -> Method`.

    Returns:
        Bytes of each member, and bytes that all of them share.
    """
    task = load_task(config)
    method = make_method(config, len(task["source"].examples.classes))
    batch = batch_shapes(method, config, task)
    params = jax.eval_shape(method.init, jax.random.key(0), batch)["params"]
    optimizer = make_optimizer(config["optimizer"], params, method.trains, method.groups)
    rules = tuple(config["evaluation"]["keep"])
    member = member_bytes(method, optimizer, config, batch, make_hparams(config), rules)
    if is_streamed([task], config["runtime"]):
        return member, config["runtime"]["stream_bytes"]
    pictures = {id(own.examples.images): own.examples.images for own in task.values()}
    return member, bytes_of(list(pictures.values()))


def fit(
    configs: Sequence[Config], make_method: MakeMethod, say: Callable[[str], None]
) -> list[list[Config]]:
    """Parts runs of equal structure into populations that fit into memory.

    Args:
        configs: The resolved configs of a population.
        make_method: `(config, num_classes) -> Method`.
        say: Tells a person that the population is parted, or that a single run may not fit.

    Returns:
        The populations, in order.
    """
    config, members = configs[0], len(configs)
    free, devices, shares_memory = parallel.free_memory(config["runtime"]["devices"])
    free = config["runtime"]["memory_bytes"] or int(SHARE * free)
    if not free:
        # Nobody knows; what does not fit will say so.
        return [list(configs)]
    member, shared = need_of(config, make_method)
    # The cores of a processor share its memory, each with pictures of its own; accelerators have
    # memories of their own, over which members are spread.
    most = (free - shared * (devices if shares_memory else 1)) // member
    most = max(0, most) * (1 if shares_memory else devices)
    name = f"{config['experiment']}/{config['method']}"
    if most < 1:
        say(
            f"{name}: one run may need {_gib(member + shared)}, and {_gib(free)} are there "
            "(config.runtime.memory_bytes): it may run out of memory; smaller batches, "
            "config.model.remat=True or config.runtime.evaluation_batch_size help"
        )
    sizes = sizes_of(members, max(1, most), devices)
    if len(sizes) > 1:
        say(
            f"{name}: {members} runs of about {_gib(member)} each do not fit into {_gib(free)} "
            f"(config.runtime.memory_bytes) together: {len(sizes)} populations of "
            f"{', '.join(map(str, sizes))}"
        )
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    return [list(configs[start : start + size]) for start, size in zip(starts, sizes, strict=True)]


def _gib(count: int) -> str:
    return f"{count / 2**30:.2g} GiB"
