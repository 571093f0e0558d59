import jax
import jax.numpy as jnp
import pytest

from common.training.hparam import make_hparams
from common.training.memory import bytes_of, member_bytes, peak_of
from common.training.optimizer import make_optimizer
from common.training.state import create
from common.training.step import make_train_step
from tests import tiny

VECTOR = jax.ShapeDtypeStruct((100,), jnp.float32)


@pytest.mark.parametrize(
    ("function", "vectors"),
    [
        # One after the other: what is read and what is made.
        (lambda x: jnp.exp(jnp.exp(jnp.exp(x))), 2),
        # The first is read again at the end.
        (lambda x: (lambda y: y + jnp.exp(jnp.exp(y)))(jnp.exp(x)), 3),
        # Derivatives keep all that they read: three exponentials beside two cotangents.
        (lambda x: jax.grad(lambda x: jnp.exp(jnp.exp(jnp.exp(x))).sum())(x), 5),
        # What a loop runs counts once, its results for every step.
        (lambda x: jax.lax.scan(lambda c, _: (jnp.exp(jnp.exp(c)), c), x, None, 10)[1], 11),
    ],
)
def test_peak_counts_what_is_alive(function, vectors):
    assert peak_of(function, VECTOR) // 400 == vectors


def test_estimate_is_near_what_the_compiler_sets_aside():
    config = tiny.make_config("dann", {"data.batch_size": 512, "model.options": {"hidden": (64,)}})
    method = tiny.MAKERS["dann"](config, tiny.NUM_CLASSES)
    image = jax.ShapeDtypeStruct((512, 8, 8, 1), jnp.float32)
    label = jax.ShapeDtypeStruct((512,), jnp.int32)
    batch = {"source": {"image": image, "label": label}, "target": {"image": image}}
    params = jax.eval_shape(method.init, jax.random.key(0), batch)["params"]
    optimizer = make_optimizer(config["optimizer"], params)
    hparams = make_hparams(config)
    estimated = member_bytes(method, optimizer, config, batch, hparams, ())

    step = make_train_step(method, optimizer, 10, 0.0)
    state = jax.eval_shape(
        lambda batch, hparams: create(
            *(method, optimizer, hparams["seed"], batch, hparams), average=False, rules=()
        ),
        *(batch, hparams),
    )
    used = jax.jit(step, donate_argnums=0).lower(state, batch).compile().memory_analysis()
    assert used is not None
    total = bytes_of(state) + used.temp_size_in_bytes
    assert total / 2 < estimated < 6 * total
