"""From stored pictures to the batch that a method asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from common.data.augment import make_augment
from common.data.pipeline import scale_images
from common.data.scaling import apply_scaling
from common.method import Batch, fold_in_name

# Labelled target examples are drawn from the target's training split.
ROLE_OF_DOMAIN = {"source": "source", "target": "target", "target_labelled": "target"}

Tables = Mapping[str, Any]


def training_split(domain: str, splits: Collection[str]) -> str:
    """Names the split that a domain of a batch is drawn from.

    Args:
        domain: Such as `target_labelled`.
        splits: The splits of its role.

    Returns:
        `train`; of labelled target examples `labelled`, where a budget limits them.
    """
    return "labelled" if domain == "target_labelled" and "labelled" in splits else "train"


def make_assemble(
    config: Mapping[str, Any], needs: Mapping[str, tuple[str, ...]], num_sources: int = 1
) -> Callable[[Tables, Mapping[str, Array], Mapping[str, Array], Any], Batch]:
    """Builds the function that makes a batch.

    Args:
        config: `config.data`.
        needs: `Method.needs`.
        num_sources: How many sources are pooled. The field `domain` counts them first, then the
            other domains.

    Returns:
        `(tables, drawn, stored, key) -> batch`, where `drawn` holds positions in each domain's
        `training_split`, and `stored` the pictures there as they are stored.

    Raises:
        ValueError: An unknown augmentation, or a strong one that is needed and empty.
    """
    augment = make_augment(config["augment"])
    augment_strongly = make_augment(config["strong_augment"])
    if any("strong_image" in fields for fields in needs.values()) and not config["strong_augment"]:
        raise ValueError(
            "the method learns from a second view of each picture, but config.data.strong_augment "
            "is empty; name the augmentations that draw it, such as "
            "{'shift': {'pixels': 2, 'probability': 1.0}}"
        )

    others = [domain for domain in needs if domain != "source"]

    def number_of(tables, domain, positions, number):
        if num_sources == 1:
            return jnp.full(positions.shape, number, jnp.int32)
        if domain == "source":
            return tables["source"]["origin"][positions]
        return jnp.full(positions.shape, num_sources + others.index(domain), jnp.int32)

    def assemble(tables, drawn, stored, key):
        batch = {}
        for number, (domain, fields) in enumerate(needs.items()):
            table = tables[ROLE_OF_DOMAIN[domain]]
            rows = table[training_split(domain, table)]
            own = fold_in_name(key, domain)
            images = scale_images(stored[domain], table["maximum"])
            values = {
                "image": to_input(tables, augment(fold_in_name(own, "weak"), images)),
                "strong_image": to_input(
                    tables, augment_strongly(fold_in_name(own, "strong"), images)
                ),
                "label": table["label"][rows[drawn[domain]]],
                "index": drawn[domain],
                "domain": number_of(tables, domain, drawn[domain], number),
            }
            batch[domain] = {field: values[field] for field in fields}
        return batch

    return assemble


def to_input(tables: Tables, images: jax.Array) -> jax.Array:
    """Scales and centres; training and evaluation both do it here.

    Args:
        tables: The data. Of the source: `mean` and, where inputs are scaled, `scaling`.
        images: Pictures from 0 to 1, or vectors.

    Returns:
        Inputs of a network.
    """
    source = tables["source"]
    return apply_scaling(source.get("scaling", ()), images) - source["mean"]


def prepare(tables: Tables, role: str, stored: jax.Array) -> jax.Array:
    """Turns stored pictures into the input of an evaluation.

    Args:
        tables: The data.
        role: Whose pictures.
        stored: Pictures as they are stored.

    Returns:
        Scaled and centred pictures.
    """
    return to_input(tables, scale_images(stored, tables[role]["maximum"]))
