"""What a data set of digits is made of: a picture, and one of ten classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8

from common.data.picture import encode_png

CLASSES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")


def describe_digits(builder: Any, shape: tuple[int, int, int], homepage: str, license: str) -> Any:
    """Describes a data set of digits whose records stand in the order in which they are made.

    Args:
        builder: The `tfds.core.DatasetBuilder`.
        shape: Height, width and channels of its pictures.
        homepage: Where it was published.
        license: On what terms.

    Returns:
        A `tfds.core.DatasetInfo`.
    """
    import tensorflow_datasets as tfds

    return builder.dataset_info_from_configs(
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=shape, encoding_format="png"),
                "label": tfds.features.ClassLabel(names=CLASSES),
            }
        ),
        supervised_keys=("image", "label"),
        homepage=homepage,
        license=license,
        disable_shuffling=True,
    )


def make_digits(
    pictures: UInt8[np.ndarray, "example height width channel"],
    digits: Integer[np.ndarray, " example"],
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Makes the records of a split.

    Args:
        pictures: The pictures, in the order of the records.
        digits: What they show.

    Yields:
        Numbers and features.
    """
    for number, (picture, digit) in enumerate(zip(pictures, digits, strict=True)):
        yield number, {"image": encode_png(picture), "label": int(digit)}
