"""Tests of the domain discriminator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dann.discriminator import DomainDiscriminator


@pytest.fixture
def features():
    return jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)


def test_logits_are_those_of_a_network_with_relu_and_one_output(features):
    module = DomainDiscriminator(hidden=(4, 6))
    params = module.init(jax.random.key(0), features)["params"]
    weights = jax.tree.map(np.asarray, params)
    value = np.asarray(features)
    for layer in ("dense_0", "dense_1"):
        value = np.maximum(value @ weights[layer]["kernel"] + weights[layer]["bias"], 0)
    expected = value @ weights["logit"]["kernel"][:, 0] + weights["logit"]["bias"]
    logits = np.asarray(module.apply({"params": params}, features))
    assert logits.shape == (5,)
    np.testing.assert_allclose(logits, expected, 1e-5, 1e-6)


def test_without_hidden_layers_it_is_a_logistic_unit_that_may_start_at_zero(features):
    module = DomainDiscriminator(hidden=(), kernel_init="zeros")
    params = module.init(jax.random.key(0), features)["params"]
    assert set(params) == {"logit"}
    np.testing.assert_array_equal(module.apply({"params": params}, features), np.zeros(5))


def test_zeros_are_refused_below_a_hidden_layer(features):
    with pytest.raises(ValueError, match="never learns from kernel_init='zeros'"):
        DomainDiscriminator(hidden=(4,), kernel_init="zeros").init(jax.random.key(0), features)
