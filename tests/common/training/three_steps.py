"""Three gradients of a small network, and an optimizer that takes their steps."""

import jax
import jax.numpy as jnp
import numpy as np

from common.training.hparam import make_hparams
from common.training.optimizer import make_optimizer, merge, paths_of
from configs import base

DRAW = np.random.default_rng(0)
PARAMS = {
    "feature_extractor": {
        "dense_0": {"kernel": DRAW.normal(size=(3, 4)), "bias": DRAW.normal(size=4)},
        "dense_1": {"kernel": DRAW.normal(size=(4, 2)), "bias": DRAW.normal(size=2)},
    },
    "task_head": {"logits": {"kernel": DRAW.normal(size=(2, 3)), "bias": DRAW.normal(size=3)}},
}
PATHS = sorted(paths_of(PARAMS))
GRADIENTS = [jax.tree.map(lambda leaf: DRAW.normal(size=leaf.shape), PARAMS) for _ in range(3)]
PROGRESS = (0.05, 0.3, 0.9)
BETAS, EPSILON, DECAY = (0.8, 0.95), 1e-3, 0.2


def make_config(**changes):
    config = base.get_config().optimizer.to_dict()
    return config | {"learning_rate": 0.1, "betas": BETAS, "epsilon": EPSILON} | changes


def hparams_of(config):
    return {key: jnp.asarray(value) for key, value in make_hparams({"optimizer": config}).items()}


def single(tree):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)


def run(config, gradients=GRADIENTS, progress=PROGRESS, groups=()):
    """Returns the parameters by path after some steps from `PARAMS`."""
    optimizer = make_optimizer(config, single(PARAMS), own_groups=groups)
    params, frozen = optimizer.split(single(PARAMS))
    state, hparams = optimizer.init(params), hparams_of(config)
    for gradient, now in zip(gradients, progress, strict=False):
        gradient, _ = optimizer.split(single(gradient))
        params, state = optimizer.update(gradient, state, params, progress=now, hparams=hparams)
    return paths_of(merge(params, frozen))
