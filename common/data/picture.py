"""Pictures as arrays: decoded from a file's bytes, brought to one form.

A picture is unsigned 8 bit, channels last, with one channel (grey) or three (red, green, blue).
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from common.legal import check_count, check_name

FITS = ("center", "resize", "cover")
CHANNELS = (0, 1, 3)
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")

# A file of a few bytes can claim any size; more than this is never unpacked.
MAX_PIXELS = 2**26

# The tag of EXIF that says which way up the picture is, and what its values ask for.
ORIENTATION = 0x0112
_TURNS: dict[Any, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda picture: picture[:, ::-1],
    3: lambda picture: picture[::-1, ::-1],
    4: lambda picture: picture[::-1],
    5: lambda picture: picture.swapaxes(0, 1),
    6: lambda picture: picture.swapaxes(0, 1)[:, ::-1],
    7: lambda picture: picture[::-1, ::-1].swapaxes(0, 1),
    8: lambda picture: picture.swapaxes(0, 1)[::-1],
}

# What Pillow says about odd metadata changes no pixel, so it must neither be printed nor become an
# error. warnings.catch_warnings would not do, since it is not safe in threads.
_QUIET = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


class Form(NamedTuple):
    """What all pictures of a run have in common.

    Attributes:
        size: Height and width in pixels; 0: as stored.
        fit: How a picture gets that size. `center`: cropped or padded with zeros about its centre,
            never resampled; where a number of rows or columns is odd, the last one goes or comes
            on the lower and right side. `resize`: both sides resampled, whatever the picture's
            proportions. `cover`: the largest square about the centre, resampled.
        channels: 1 for grey, 3 for colour; 0: as stored.
    """

    size: int
    fit: str
    channels: int


def check_form(form: Form) -> None:
    """Refuses a form that does not exist.

    Args:
        form: `config.data.size`, `config.data.fit` and `config.data.channels`.

    Raises:
        ValueError: With the key, the value and what is legal.
    """
    check_count("config.data.size", form.size, 0)
    check_name("config.data.fit", form.fit, FITS)
    check_count("config.data.channels", form.channels, 0)
    if form.channels not in CHANNELS:
        raise ValueError(
            f"config.data.channels is {form.channels}; legal are 0 (as stored), 1 (grey) and 3 "
            "(red, green, blue)"
        )
    if form.size**2 > MAX_PIXELS:
        raise ValueError(
            f"config.data.size is {form.size}; at most {math.isqrt(MAX_PIXELS)} are possible"
        )


def decode_picture(data: bytes) -> UInt8[np.ndarray, "height width channel"]:
    """Decodes a picture file (JPEG, PNG, BMP, GIF, WebP, TIFF or PPM), of a film the first frame.

    Grey pictures keep one channel, and so do palettes of greys; palettes of colours, CMYK and other
    colour spaces become red, green and blue, without regard to colour profiles. Transparent parts
    are laid on white. Grey levels of 16 bit are divided by 257 and rounded, those of one bit become
    0 and 255. The picture is turned the way its EXIF data ask for; EXIF data that cannot be
    read count as none.

    Args:
        data: The bytes of the file.

    Returns:
        The picture, with one channel or three.

    Raises:
        ValueError: It is empty, of another kind, cut short, damaged, too large, or has grey levels
            of unknown range. The sentence begins with "it", so that the caller can name the file.
    """
    if not data:
        raise ValueError("it is empty")
    image = _open(data)
    try:
        picture = _channels_last(image)
    except Exception as error:  # As in _open.
        raise ValueError(f"it has the colour mode {image.mode}: {_reason(error)}") from error
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # As in _open.
        orientation = None
    turned = _TURNS[orientation](picture) if orientation in _TURNS else picture
    return np.ascontiguousarray(turned)


def _open(data: bytes) -> Any:
    """Returns Pillow's picture, all of it unpacked."""
    from PIL import (  # The modules of the formats, too: loading all of Pillow's takes long.
        Image,
        MpoImagePlugin,  # noqa: F401  # JPEG, as some cameras write it.
        TiffImagePlugin,  # noqa: F401
        WebPImagePlugin,  # noqa: F401
    )

    if _QUIET not in warnings.filters:
        warnings.filterwarnings("ignore", module=_QUIET[3].pattern)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height <= MAX_PIXELS:
            image.load()
            return image
        size = f"{image.width} x {image.height} pixels"
    except Image.UnidentifiedImageError:
        raise ValueError(f"it is no picture, or none of {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:
        size = "very many pixels"
    # Pillow's decoders meet untrusted bytes here, and raise nearly everything.
    except Exception as error:
        raise ValueError(f"it is cut short or damaged ({_reason(error)})") from error
    raise ValueError(f"it has {size}, and at most {MAX_PIXELS} are read")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _channels_last(image: Any) -> np.ndarray:
    """Returns the pixels of Pillow's picture with one channel or three; alpha lies on white."""
    mode = image.mode
    if mode == "F":
        raise ValueError("fractional grey levels have no known range; store 8 or 16 bit")
    if mode == "I" or mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError(
                f"grey levels from {levels.min()} to {levels.max()} lie outside 0 to 65535; store "
                "8 or 16 bit"
            )
        eight_bit = ((levels + 128) // 257).astype(np.uint8)
        if isinstance(clear := image.info.get("transparency"), int):
            eight_bit[levels == clear] = 255
        return eight_bit[..., None]
    if image.has_transparency_data:
        pixels = np.asarray(image.convert("LA" if mode in ("1", "L", "LA") else "RGBA"), np.uint16)
        colours, alpha = pixels[..., :-1], pixels[..., -1:]
        picture = ((colours * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    elif mode in ("1", "L"):
        return np.array(image.convert("L"))[..., None]
    else:
        picture = np.array(image.convert("RGB"))
    if mode in ("P", "PA"):
        palette = np.asarray(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        if (palette == palette[:, :1]).all():
            return picture[..., :1]
    return picture


def encode_png(picture: UInt8[np.ndarray, "height width channel"]) -> bytes:
    """Encodes a picture without loss.

    Args:
        picture: With one channel or three.

    Returns:
        The bytes of a PNG file.

    Raises:
        ValueError: Another number of channels, or a picture without pixels.
    """
    from PIL import Image

    if picture.shape[2] not in (1, 3) or not picture.size:
        raise ValueError(
            f"a picture of shape {picture.shape} cannot be encoded: it must have pixels, and one "
            "channel or three"
        )
    buffer = io.BytesIO()
    Image.fromarray(np.squeeze(picture, 2) if picture.shape[2] == 1 else picture).save(
        buffer, "PNG"
    )
    return buffer.getvalue()


def adapt(
    picture: UInt8[np.ndarray, "height width channel"], form: Form
) -> UInt8[np.ndarray, "new_height new_width new_channel"]:
    """Brings a picture to a form: first its channels, then its size.

    Colour becomes grey as `0.299 red + 0.587 green + 0.114 blue` (ITU-R BT.601), grey becomes
    colour by repetition. Resampling weighs pixels by a triangle that is as wide as two pixels of
    the coarser picture (bilinear, antialiased).

    Args:
        picture: With one channel or three.
        form: What it shall be.

    Returns:
        The picture; the same array where nothing was to be done.

    Raises:
        ValueError: A form that does not exist.
    """
    check_form(form)
    channels, size = picture.shape[2], form.size
    if form.channels == 3 and channels == 1:
        picture = np.repeat(picture, 3, axis=2)
    elif form.channels == 1 and channels == 3:
        picture = _resampled(picture, "L")
    if size == 0 or picture.shape[:2] == (size, size):
        return picture
    if form.fit == "center":
        return _centred(picture, size, size)
    if form.fit == "cover":
        side = min(picture.shape[:2])
        picture = _centred(picture, side, side)
    return _resampled(picture, size=size)


def _centred(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Crops or pads each side about its centre."""
    for axis, size in enumerate((height, width)):
        surplus = picture.shape[axis] - size
        if surplus > 0:
            start = surplus // 2
            picture = picture[start : start + size] if axis == 0 else picture[:, start:][:, :size]
        elif surplus < 0:
            before = -surplus // 2
            widths = [(0, 0)] * 3
            widths[axis] = (before, -surplus - before)
            picture = np.pad(picture, widths)
    return np.array(picture)


def _resampled(picture: np.ndarray, mode: str = "", size: int = 0) -> np.ndarray:
    """Changes the colour mode or the size with Pillow."""
    from PIL import Image

    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    if mode:
        image = image.convert(mode)
    if size:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.array(image).reshape(image.height, image.width, -1)
