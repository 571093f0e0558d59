"""Features of a frozen extractor are computed once, not in every step."""

from __future__ import annotations

import jax.numpy as jnp

from common.method import CACHE, Method
from common.models.mlp import MLP
from common.models.normalization import Network


def without_extractor(network: Network) -> Network:
    """Leaves a network's head alone.

    Args:
        network: The network.

    Returns:
        A network that takes features in the place of pictures.
    """
    # Without layers it gives back what it is given.
    return network._replace(feature_extractor=MLP(hidden=()))


def cache_features(method: Method, on_features: Method) -> Method:
    """Lets a method whose extractor never changes learn from stored features.

    Before step 0 the features of each whole training split are computed in evaluation mode; a step
    gathers those of its batch. The loss and its gradient are those of the method itself, up to
    rounding. The features stand in the state, one row an example, and in its checkpoints until the
    run has finished.

    Args:
        method: The method; its draws, its fields and its prediction stay.
        on_features: The same with a network `without_extractor`; its loss is taken.

    Returns:
        The method.
    """
    (phase,) = on_features.phases

    def init(key, batch):
        unset = {domain: jnp.zeros(()) for domain in method.needs}
        return method.init(key, batch) | {"method_state": {CACHE: unset}}

    def loss(variables, batch, *, key, progress, hparams):
        state = variables["method_state"]
        stored = {
            domain: {**fields, "image": state[CACHE][domain][fields["index"]]}
            for domain, fields in batch.items()
        }
        value, aux = phase.loss(variables, stored, key=key, progress=progress, hparams=hparams)
        return value, aux._replace(method_state=state)

    def refresh(variables, outputs, hparams):
        del variables, hparams
        return {CACHE: {domain: outputs[domain]["features"] for domain in method.needs}}

    return method._replace(
        init=init,
        phases=(phase._replace(loss=loss),),
        needs={domain: (*fields, "index") for domain, fields in method.needs.items()},
        refresh=refresh,
    )
