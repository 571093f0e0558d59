"""Under `config.model.dtype=bfloat16` only layers compute in bfloat16, never a loss."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.extend import core

from configs.catalogue import METHODS, PLAIN, TERMS
from tests import tiny

ROWS = (*PLAIN, *TERMS, *METHODS)
HALF = jnp.bfloat16
# What layers do: products, biases, ReLU, and moving numbers about. A loss sums, divides, takes
# logarithms, exponentials or factors of matrices; none of that stands here.
OF_LAYERS = {
    *(
        "dot_general",
        "add",
        "add_any",
        "max",
        "mul",
        "neg",
        "select_n",
        "gt",
        "convert_element_type",
    ),
    *("broadcast_in_dim", "reshape", "transpose", "concatenate", "slice", "split", "squeeze"),
    *("stop_gradient", "copy", "pad", "dynamic_slice", "copy_p", "name", "optimization_barrier"),
}


def operations(jaxpr: Any) -> Iterator[Any]:
    """Walks what a program does; what it calls is walked in its place."""
    for equation in jaxpr.eqns:
        values = jax.tree.leaves(list(equation.params.values()))
        called = [own for own in values if isinstance(own, core.ClosedJaxpr | core.Jaxpr)]
        for own in called:
            yield from operations(own.jaxpr if isinstance(own, core.ClosedJaxpr) else own)
        if not called:
            yield equation


def computed_in_half(jaxpr: Any) -> set[str]:
    """Names the operations that read or make numbers of bfloat16."""
    return {
        equation.primitive.name
        for equation in operations(jaxpr)
        if any(
            getattr(variable.aval, "dtype", None) == HALF
            for variable in (*equation.invars, *equation.outvars)
        )
    }


def trace_losses(config: Any) -> list[Any]:
    """Traces the losses of all phases of a row."""
    method = tiny.MAKERS[config["package"]](config, tiny.NUM_CLASSES)
    image = jnp.zeros((8, 4, 4, 1))
    fields = {
        **{"image": image, "strong_image": image, "label": jnp.arange(8) % tiny.NUM_CLASSES},
        **{"index": jnp.arange(8), "domain": jnp.zeros(8, jnp.int32)},
    }
    batch = {
        domain: {field: fields[field] for field in own} for domain, own in method.needs.items()
    }
    hparams = {name: jnp.asarray(own) for name, own in tiny.make_hparams(config).items()}
    variables = jax.eval_shape(method.init, jax.random.key(0), batch)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables["params"]))
    averages = {"params": variables["params"], "batch_stats": variables["batch_stats"]}
    variables = {**variables, "ema": averages}

    def trace(phase):
        def loss(variables, batch, key):
            return phase.loss(variables, batch, key=key, progress=jnp.float32(0.5), hparams=hparams)

        return jax.make_jaxpr(loss, return_shape=True)(variables, batch, jax.random.key(0))

    return [trace(phase) for phase in method.phases]


@pytest.mark.parametrize("row", ROWS)
def test_no_loss_is_computed_in_bfloat16(row):
    config = tiny.make_row_config(row, {"model.dtype": "bfloat16"})
    for jaxpr, (value, aux) in trace_losses(config):
        kept = (value, aux.metrics, aux.batch_stats, aux.method_state)
        found = {leaf.dtype for leaf in jax.tree.leaves(kept)}
        assert HALF not in found and value.dtype == jnp.float32
        used = computed_in_half(jaxpr)
        # The network is in bfloat16 indeed; a method that has features kept reads them alone.
        assert "dot_general" in used or "feature" in row
        assert used <= OF_LAYERS, used - OF_LAYERS


@pytest.mark.parametrize(
    ("loss", "named"),
    [
        (lambda x: jnp.exp(x).astype(jnp.float32).sum(), "exp"),
        (lambda x: jax.nn.log_softmax(x).astype(jnp.float32).sum(), "log"),
        (lambda x: jax.lax.reduce(x, HALF.dtype.type(0), jax.lax.add, (0, 1)), "reduce_sum"),
        (lambda x: jax.jit(lambda x: x / 2)(x).astype(jnp.float32).sum(), "div"),
        (lambda x: jax.lax.scan(lambda c, r: (c, jnp.sqrt(r)), 0, x)[1], "sqrt"),
    ],
)
def test_a_loss_in_bfloat16_would_be_found(loss, named):
    jaxpr = jax.make_jaxpr(loss)(jnp.ones((3, 3), HALF))
    assert named in computed_in_half(jaxpr.jaxpr) - OF_LAYERS
