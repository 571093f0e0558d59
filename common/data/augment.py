"""Chains of augmentations, applied on the device to every domain of every row."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxtyping import Array, Key

from common.data.augmentation.blur import blur
from common.data.augmentation.color import color, grayscale
from common.data.augmentation.crop import crop, resized_crop, shift
from common.data.augmentation.cutout import cutout
from common.data.augmentation.geometry import affine, flip
from common.data.augmentation.option import check_choices, check_option
from common.data.augmentation.rand_augment import rand_augment
from common.legal import check_keys
from common.method import fold_in_name

# By name, in the order in which they are applied. Each is a pure function
# `(key, images, *, options) -> images` of the same shape and type.
AUGMENTATIONS: dict[str, Callable[..., Array]] = {
    "resized_crop": resized_crop,
    "crop": crop,
    "shift": shift,
    "flip": flip,
    "affine": affine,
    "color": color,
    "grayscale": grayscale,
    "blur": blur,
    "rand_augment": rand_augment,
    "cutout": cutout,
}
ORDER = "order"


def make_augment(
    config: Mapping[str, Any], key: str = "config.data.augment"
) -> Callable[[Key, Array], Array]:
    """Chains the augmentations of a config.

    Configs do not keep the order of their keys, so the table's order is that of application,
    unless `order` lists all of the names in another one.

    Args:
        config: Options by name of the augmentation: its keyword-only parameters. Besides,
            optionally, `order`.
        key: Where they stand in the config, for messages.

    Returns:
        `(key, images) -> images`.

    Raises:
        ValueError: An unknown augmentation, an option that is unknown, missing or impossible.
    """
    check_keys(key, config, (*AUGMENTATIONS, ORDER))
    names = [name for name in AUGMENTATIONS if name in config]
    for name in names:
        _check_options(config[name], f"{key}.{name}", AUGMENTATIONS[name])
    if ORDER in config:
        check_choices(f"{key}.{ORDER}", config[ORDER], names)
        missing = [name for name in names if name not in config[ORDER]]
        if missing:
            raise ValueError(
                f"{key}.{ORDER} is {list(config[ORDER])}; it must name all of {', '.join(names)}"
            )
        names = list(config[ORDER])

    def augment(key, images):
        for name in names:
            images = AUGMENTATIONS[name](fold_in_name(key, name), images, **config[name])
        return images

    return augment


def _check_options(options: Any, key: str, function: Callable[..., Array]) -> None:
    """Refuses options that a function does not take, lacks or cannot use."""
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    own = {one.name: one for one in parameters if one.kind is one.KEYWORD_ONLY}
    needed = [option for option, one in own.items() if one.default is one.empty]
    check_keys(key, options, own, needed)
    for option, value in options.items():
        check_option(f"{key}.{option}", own[option], value)
