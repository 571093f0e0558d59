"""Named layers of every network: they are returned, and their channels can be switched off."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.models.network import OF_TEXT, make_network
from common.models.normalization import initialize, predict
from configs import base

OPTIONS = {
    "cnn": {"channels": 4, "hidden": (8, 4)},
    "mlp": {"hidden": (8, 4)},
    "svhn_net": {"channels": (4, 4, 4)},
    "cifar_resnet20": {"blocks": 1, "channels": (4, 4)},
    "resnet18": {"blocks": (1, 1), "width": 4},
    "vgg16": {"blocks": (1,), "width": 4, "hidden": (8,), "pooled": 2},
    "text_transformer": {"blocks": 1, "width": 8, "heads": 2, "hidden": 8, "vocabulary_size": 9},
    "lstm": {"width": 4, "units": (4,), "hidden": (8,), "vocabulary_size": 9},
    "vit_s16": {"blocks": 1, "width": 8, "heads": 2, "hidden": 8, "patch": 4, "picture_size": 8},
}
# One of each way to name a layer.
QUICK = ("cnn", "cifar_resnet20", "vit_s16")


@pytest.mark.parametrize(
    "name",
    [pytest.param(own, marks=() if own in QUICK else pytest.mark.matrix) for own in OPTIONS],
)
def test_the_channels_of_every_layer_can_be_switched_off(name):
    config = base.get_config()
    config.model.name, config.model.normalization = name, "none"
    config.model.options = OPTIONS[name]
    network = make_network(config.to_dict()["model"], 3)
    draw = np.random.default_rng(0)
    images = draw.integers(0, 9, (2, 6)) if name in OF_TEXT else draw.random((2, 8, 8, 1))
    images = jnp.asarray(images, jnp.float32)

    @jax.jit
    def run():
        params, stats = initialize(network, jax.random.key(0), {"source": images})
        variables = {"params": params, "batch_stats": stats}
        whole = predict(network, variables, images, "source", layers=None)
        parts = {}
        for layer, maps in whole.layers.items():
            mask = jnp.ones(maps.shape[-1]).at[1].set(0)
            parts[layer] = predict(
                network, variables, images, "source", layers=(layer,), masks={layer: mask}
            )
        return whole, parts

    whole, parts = run()
    assert parts
    for layer, part in parts.items():
        maps = np.asarray(whole.layers[layer])
        np.testing.assert_array_equal(part.layers[layer][..., 1], np.zeros(maps.shape[:-1]))
        np.testing.assert_array_equal(part.layers[layer][..., 0], maps[..., 0])
        if maps[..., 1].any():
            assert np.abs(part.logits - whole.logits).max() > 1e-6, layer
    assert any(np.asarray(whole.layers[layer])[..., 1].any() for layer in parts)
