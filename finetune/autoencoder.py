"""Pretraining without labels: a decoder draws the picture back from the features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Key

from common.legal import check_count, check_keys, check_name, check_number
from common.method import Aux, Batch, Method, Outputs, Phase, fold_in_name
from common.models.decoder import Decoder
from common.models.network import make_network
from common.models.normalization import forward, initialize, predict
from common.structural_similarity import check_window, structural_similarity

# The option of `config.transfer` that makes a row one of these.
OPTION = "reconstruction"
KEY = f"config.transfer.{OPTION}"
LOSSES = ("mse", "ssim", "mixed")
COUNTS = ("window", "channels")
OPTIONS = ("loss", "ssim_share", "sigma", "layer", "noise", "masking", *COUNTS)
DOMAINS = ("source", "target")
ROOT = "decoder"
# What a validation picture is judged by.
ERROR, SIMILARITY = "reconstruction_mse", "reconstruction_ssim"


def corrupt(
    key: Key[Array, ""],
    images: Float[Array, "batch height width channel"],
    noise: Float[ArrayLike, ""],
    masking: Float[ArrayLike, ""],
) -> Float[Array, "batch height width channel"]:
    """Spoils pictures, for an encoder that has to undo it.

    Args:
        key: Source of randomness.
        images: Pictures.
        noise: Standard deviation of normal noise, drawn for every value.
        masking: Share of the pixels that become 0 in all channels.

    Returns:
        Pictures; the same where both are 0.

    References:
        Vincent, Larochelle, Bengio and Manzagol, Extracting and Composing Robust Features with
        Denoising Autoencoders, ICML (2008), section 2.3: masking.
    """
    of_noise, of_mask = jax.random.split(key)
    noisy = images + noise * jax.random.normal(of_noise, images.shape, images.dtype)
    kept = jax.random.uniform(of_mask, (*images.shape[:3], 1)) >= masking
    return jnp.where(kept, noisy, jnp.zeros_like(noisy))


def make_method(config: Mapping[str, Any], num_classes: int) -> Method:
    """Builds an autoencoder whose encoder is the feature extractor.

    With a batch x of each domain of `config.domains`, features f of a corrupted x, and a decoder d
    that all domains share,

        mse:    mean (d(f) - x)^2
        ssim:   mean 1 - SSIM(d(f), x)
        mixed:  ssim_share * (1 - SSIM) + (1 - ssim_share) * (d(f) - x)^2

    averaged over the domains. x is the network's input, after augmentation. No label is read, of
    no domain, and `config.objective`, which is about labels, does nothing. The task head is drawn
    and never changes by a bit, so predictions mean nothing: what the run is judged by are mean
    squared error and, where the loss has it, SSIM of uncorrupted validation pictures.

    With `layer` the decoder reads a map in the place of the features; what lies above the map has
    no gradient then.

    Args:
        config: The resolved config. At `transfer.reconstruction` stand `loss`; `ssim_share`;
            `window` and `sigma` of SSIM; `layer`, the name of a map, "" for the features;
            `channels` of the decoder; `noise` and `masking`, which `corrupt` takes.
        num_classes: Number of classes of the task, for the head.

    Returns:
        The method; it has one parameter root more, `decoder`.

    Raises:
        ValueError: An option that is unknown, missing or impossible, labels among the domains,
            examples that are no pictures, SSIM of inputs that are not in [0, 1], or a choice by
            predictions.

    References:
        Hinton and Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks, Science
        313 (2006). Masci, Meier, Ciresan and Schmidhuber, Stacked Convolutional Auto-Encoders for
        Hierarchical Feature Extraction, ICANN (2011): a convolutional network, trained on from
        there. Wang et al., Image Quality Assessment, IEEE Transactions on Image Processing 13
        (2004): SSIM.
    """
    own, domains = _checked(config), tuple(config["domains"])
    network = make_network(config["model"], num_classes, config["task"])
    layer, has_similarity = own["layer"], own["loss"] != "mse"
    layers = (layer,) if layer else ()

    def draw(params: Mapping[str, Any], outputs: Outputs, shape: tuple[int, ...]) -> Array:
        code = outputs.layers[layer] if layer else outputs.features
        picture: Any = _make_decoder(config, shape).apply({"params": params[ROOT]}, code)
        return picture

    def compare(pictures: Array, images: Array) -> dict[str, Array]:
        found = {ERROR: jnp.mean((pictures - images) ** 2, axis=(1, 2, 3))}
        if has_similarity:
            sizes = {"window": own["window"], "sigma": own["sigma"]}
            found[SIMILARITY] = structural_similarity(pictures, images, **sizes)
        return found

    def init(key, batch):
        images = {domain: batch[domain]["image"] for domain in domains}
        _check_pictures(own, next(iter(images.values())).shape[1:], has_similarity)
        params, batch_stats = initialize(network, key, images)
        variables = {"params": params, "batch_stats": batch_stats}
        every = None if layer else ()
        outputs, _ = forward(network, variables, images, key=key, layers=every)
        seen = outputs[domains[0]]
        if layer:
            _check_layer(layer, seen.layers)
        code = seen.layers[layer] if layer else seen.features
        decoder = _make_decoder(config, images[domains[0]].shape[1:])
        params = params | {ROOT: decoder.init(fold_in_name(key, ROOT), code)["params"]}
        return {"params": params, "batch_stats": batch_stats, "method_state": {}}

    def loss(variables, batch: Batch, *, key, progress, hparams):
        images = {domain: batch[domain]["image"] for domain in domains}
        options = {name: hparams[f"transfer.{OPTION}.{name}"] for name in ("noise", "masking")}
        spoiled = {
            domain: corrupt(fold_in_name(key, f"corruption of {domain}"), own, **options)
            for domain, own in images.items()
        }
        outputs, batch_stats = forward(
            network,
            variables,
            spoiled,
            key=fold_in_name(key, "dropout"),
            layers=layers,
            progress=progress,
        )
        found = [
            compare(draw(variables["params"], outputs[domain], own.shape[1:]), own)
            for domain, own in images.items()
        ]
        means = {name: jnp.mean(jnp.stack([one[name] for one in found])) for name in found[0]}
        total = means[ERROR]
        if has_similarity:
            share = hparams[f"transfer.{OPTION}.ssim_share"] if own["loss"] == "mixed" else 1.0
            total = share * (1 - means[SIMILARITY]) + (1 - share) * means[ERROR]
        metrics = {"reconstruction_loss": total, **means}
        return total, Aux(batch_stats, variables["method_state"], metrics)

    def measure(name):
        def measured(variables, images, domain):
            outputs = predict(network, variables, images, domain, layers=layers)
            return compare(draw(variables["params"], outputs, images.shape[1:]), images)[name]

        return measured

    return Method(
        init=init,
        phases=(Phase(loss),),
        predict=lambda variables, images, domain: predict(network, variables, images, domain),
        needs={domain: ("image",) for domain in domains},
        trains=rf"(feature_extractor|{ROOT})/.*",
        measures={name: measure(name) for name in (ERROR, SIMILARITY)[: 1 + has_similarity]},
    )


def _make_decoder(config: Mapping[str, Any], shape: tuple[int, ...]) -> Decoder:
    height, width, channels = shape
    own = config["transfer"][OPTION]
    return Decoder((height, width, channels), own["channels"], config["model"]["dtype"])


def _checked(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the options; refuses what can be refused without the data."""
    check_keys("config.transfer", config["transfer"], (OPTION,))
    own, data = config["transfer"][OPTION], config["data"]
    check_keys(KEY, own, OPTIONS, OPTIONS)
    check_name(f"{KEY}.loss", own["loss"], LOSSES)
    for name in COUNTS:
        check_count(f"{KEY}.{name}", own[name])
    for name in ("noise", "sigma"):
        check_number(f"{KEY}.{name}", own[name])
    check_number(f"{KEY}.ssim_share", own["ssim_share"], most=1.0)
    check_number(f"{KEY}.masking", own["masking"], below=1.0)
    for domain in config["domains"]:
        check_name("config.domains", domain, DOMAINS)
    for name in ("center", "scaling") if own["loss"] != "mse" else ():
        if data[name] != "none":
            raise ValueError(
                f"{KEY}.loss is {own['loss']!r}, and SSIM compares pictures in [0, 1], but "
                f"config.data.{name} is {data[name]!r}; set it to 'none', or the loss to 'mse'"
            )
    patience = config["evaluation"]["patience"]
    if patience:
        raise ValueError(
            f"config.evaluation.patience is {patience}, which stops by predictions, and "
            f"{config['method']!r} learns none; set it to 0 (config.init_from.overrides reaches a "
            "run that is trained first)"
        )
    return own


def _check_pictures(own: Mapping[str, Any], shape: tuple[int, ...], has_similarity: bool) -> None:
    """Refuses examples without rows and columns, and pictures smaller than SSIM's window."""
    if len(shape) != 3:
        raise ValueError(
            f"{KEY} draws pictures, and the examples of config.source and config.target have shape "
            f"{shape}; take domains of pictures, or another config.method"
        )
    if has_similarity:
        check_window(f"{KEY}.window", own["window"], shape)


def _check_layer(layer: str, layers: Mapping[str, Array]) -> None:
    """Refuses a layer that is no map of the network."""
    maps = sorted(name for name, value in layers.items() if value.ndim == 4)
    if layer not in maps:
        raise ValueError(
            f"{KEY}.layer is {layer!r}; the maps of this network are "
            f"{', '.join(maps) or 'none'}, and '' stands for its features"
        )
