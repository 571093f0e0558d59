"""What a pretrained network was given: pictures less a mean, divided by a deviation."""

import jax.numpy as jnp
from jaxtyping import Array, Float

# By channel, of pictures in [0, 1]. `symmetric` brings them to [-1, 1].
INPUT_STATISTICS = {
    "none": None,
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "symmetric": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


def standardize(
    images: Float[Array, "batch height width channel"], name: str
) -> Float[Array, "batch height width channel"]:
    """Brings pictures to the range that the weights of a network were trained with.

    Args:
        images: Pictures in [0, 1].
        name: A key of `INPUT_STATISTICS`.

    Returns:
        The pictures less the mean, divided by the standard deviation; unchanged for `none`.

    Raises:
        ValueError: The statistics are of colours and the pictures have none.
    """
    statistics = INPUT_STATISTICS[name]
    if statistics is None:
        return images
    if images.shape[-1] != 3:
        raise ValueError(
            f"config.model.options.input_statistics is {name!r}, which is of three colours, but "
            f"the pictures have {images.shape[-1]}; set config.data.channels=3"
        )
    mean, deviation = (jnp.asarray(own, images.dtype)[None, None, None] for own in statistics)
    return (images - mean) / deviation
