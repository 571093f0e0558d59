"""How much memory a member of a population takes, told from its traced step without compiling."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from common.method import Method
from common.training.optimizer import Optimizer
from common.training.state import create, evaluated_variables_of
from common.training.step import make_train_step

# Matrix products of the backward pass read their operands transposed. What XLA's compiler for
# processors set aside for a step (`memory_analysis`) was 2.2 times the sum below for the MNIST
# network of the DANN paper, and 0.8 times for the network of the embedded benchmark.
LAYOUTS = 2


def bytes_of(tree: Any) -> int:
    """Adds up arrays or their shapes.

    Args:
        tree: Anything whose leaves have a shape and a type.

    Returns:
        Bytes.
    """
    return sum(_size(leaf) for leaf in jax.tree.leaves(tree))


def _size(leaf: Any) -> int:
    dtype = leaf.dtype
    # A key is two words; other extended types do not occur.
    item = 8 if jnp.issubdtype(dtype, jax.dtypes.extended) else np.dtype(dtype).itemsize
    return math.prod(leaf.shape) * item


def peak_of(function: Callable, *shapes: Any) -> int:
    """Adds up what is alive at a time while a function runs, and finds the largest sum.

    Every intermediate array counts from where it is computed to where it is last read. Compilers
    fuse some of them away, and copy others into another layout.

    Args:
        function: A pure function of arrays.
        *shapes: Arrays or their shapes.

    Returns:
        Bytes beside the arguments.
    """
    return _peak(jax.make_jaxpr(function)(*shapes).jaxpr, {})


def _peak(jaxpr: Any, known: dict[int, int]) -> int:
    """Walks the operations in order; what they call runs within them."""
    if id(jaxpr) in known:
        return known[id(jaxpr)]
    last = {}
    for number, operation in enumerate(jaxpr.eqns):
        for variable in operation.invars:
            if isinstance(variable, core.Var):
                last[variable] = number
    for variable in jaxpr.outvars:
        if isinstance(variable, core.Var):
            last[variable] = len(jaxpr.eqns)
    own: set[Any] = set()
    alive, most = 0, 0
    for number, operation in enumerate(jaxpr.eqns):
        made = sum(_size(variable.aval) for variable in operation.outvars)
        within = max((_peak(called, known) for called in _called(operation)), default=0)
        most = max(most, alive + max(made, within))
        for variable in operation.outvars:
            # What nobody reads is never made.
            if last.get(variable, -1) > number:
                own.add(variable)
                alive += _size(variable.aval)
        for variable in operation.invars:
            # Constants cannot be members of a set.
            if isinstance(variable, core.Var) and variable in own and last[variable] == number:
                own.remove(variable)
                alive -= _size(variable.aval)
    known[id(jaxpr)] = most
    return most


def _called(operation: Any) -> list[Any]:
    """Finds the programs that an operation runs: of a loop its body, of a choice its branches."""
    found = []
    for value in operation.params.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            if isinstance(one, core.ClosedJaxpr):
                found.append(one.jaxpr)
            elif isinstance(one, core.Jaxpr):
                found.append(one)
    return found


def member_bytes(
    method: Method,
    optimizer: Optimizer,
    config: Mapping[str, Any],
    batch: Mapping[str, Mapping[str, Any]],
    hparams: Mapping[str, np.ndarray],
    rules: tuple[str, ...],
) -> int:
    """Estimates what a member takes while it trains, or is evaluated, whichever is more.

    Args:
        method: The method.
        optimizer: Its optimizer.
        config: The resolved config.
        batch: Shapes of a step's batch.
        hparams: Traced values of the config.
        rules: Selection rules for which variables are kept.

    Returns:
        Bytes: the state before and after a chunk and what a step, or a pass over a batch of the
        evaluation, holds beside them.
    """
    average = config["optimizer"]["ema_decay"]

    def begin(batch, hparams):
        return create(
            *(method, optimizer, hparams["seed"], batch, hparams),
            average=bool(average),
            rules=rules,
        )

    state = jax.eval_shape(begin, batch, dict(hparams))
    step = make_train_step(method, optimizer, config["num_steps"], average)
    trained = peak_of(step, state, batch)
    role, fields = next(iter(batch.items()))
    picture = next(own for name, own in fields.items() if "image" in name)
    count = config["runtime"]["evaluation_batch_size"]
    pictures = jax.ShapeDtypeStruct((count, *picture.shape[1:]), picture.dtype)
    role = "source" if role == "source" else "target"
    evaluated = peak_of(
        lambda state, pictures: method.predict(evaluated_variables_of(state), pictures, role),
        *(state, pictures),
    )
    return 2 * bytes_of(state) + max(LAYOUTS * trained, evaluated + bytes_of(pictures))
