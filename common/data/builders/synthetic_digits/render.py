"""Draws coloured house-number-like digits, after the DANN paper's SYN NUMBERS."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int32, UInt8
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from common.data.builders.digit_record import CLASSES
from common.data.synthetic_digits import FONTS
from common.legal import check_count

SIZE = 32

MAX_NUM_DIGITS = 3
# In pixels of the picture.
HEIGHT_RANGE = (17.0, 28.0)
MAX_SHIFT = 2.5
BLUR_RANGE = (0.0, 1.3)
# Width over height, relative to the font's own.
ASPECT_RANGE = (0.75, 1.15)
# Between the ink of neighbours, as a part of the height.
SPACING_RANGE = (0.1, 0.28)
MAX_ROTATION_DEGREES = 14.0
MAX_SHEAR = 0.25

# Least difference in brightness, of 255, between the strokes and the background behind them.
MIN_CONTRAST = 60.0
OUTLINE_SHARE = 0.25
STRIPE_SHARE = 0.4
MAX_GRADIENT = 45.0
MAX_TEXTURE = 22.0

_BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)
_SUPERSAMPLING = 2
_GLYPH_HEIGHT = 48
_MARGIN = 16
_AXIS = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE - 0.5


class _Glyph(NamedTuple):
    """One digit of one font.

    Attributes:
        mask: Grey picture, `_MARGIN` wider on every side than the digit's ink.
        width: Width of the ink.
    """

    mask: Image.Image
    width: int


def render_pictures(
    num_pictures: int, *, seed: int, first: int = 0
) -> tuple[UInt8[np.ndarray, "picture 32 32 3"], Int32[np.ndarray, " picture"]]:
    """Draws consecutive pictures; fewer are a prefix of more.

    Args:
        num_pictures: Number of pictures, at least 1.
        seed: Seed of all random choices, not negative.
        first: Number of the first picture.

    Returns:
        The pictures and the digits in their middles.

    Raises:
        ValueError: A number out of range.
        FileNotFoundError: The installed matplotlib came without one of the fonts.
    """
    check_count("num_pictures", num_pictures)
    check_count("seed", seed, 0)
    check_count("first", first, 0)
    pictures = np.empty((num_pictures, SIZE, SIZE, 3), np.uint8)
    labels = np.empty(num_pictures, np.int32)
    for row in range(num_pictures):
        pictures[row], labels[row] = render_picture(seed, first + row)
    return pictures, labels


def render_picture(seed: int, number: int) -> tuple[UInt8[np.ndarray, "32 32 3"], int]:
    """Draws one picture, which depends on the seed and its number alone.

    A number of one, two or three digits, in one of the fonts that matplotlib ships, stands so that
    one of its digits, the label, is in the middle; the others, where they are in the picture, are
    distractors. Font, digits, height, aspect, spacing, slant, rotation, position, colours of the
    strokes, of their outline and of the background, gradient, texture and stripe of the
    background, and the amount of blur are drawn uniformly within the constants of this module.

    Args:
        seed: Seed of all random choices, not negative.
        number: Number of the picture, not negative.

    Returns:
        The picture and its label.

    References:
        Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17 (2016) 59, section
        5.2.4: SYN NUMBERS, "generated from Windows fonts by varying the text (that includes
        different one-, two-, and three-digit numbers), positioning, orientation, background and
        stroke colors, and the amount of blur". These are other fonts, and ranges chosen by eye.
    """
    generator = np.random.default_rng((seed, number))
    num_digits = 1 + int(generator.integers(MAX_NUM_DIGITS))
    middle = int(generator.integers(num_digits))
    text = "".join(CLASSES[digit] for digit in generator.integers(len(CLASSES), size=num_digits))
    font = FONTS[int(generator.integers(len(FONTS)))]
    ink = _draw_text(text, middle, font, generator.random(8))
    background = _draw_background(generator)
    colour = _draw_colour(generator, background)
    picture = background
    if generator.random() < OUTLINE_SHARE:
        around = ink.filter(ImageFilter.MaxFilter(3 if generator.random() < 0.5 else 5))
        outline = generator.random(3, np.float32) * 255
        picture = _paint(picture, around, outline)
    picture = _paint(picture, ink, colour)
    image = Image.fromarray(np.rint(picture).astype(np.uint8))
    blur = generator.uniform(*BLUR_RANGE)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(blur))), int(text[middle])


@functools.cache
def _load_glyph(font_name: str, digit: str) -> _Glyph:
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font_name}.ttf"
    if not path.is_file():
        raise FileNotFoundError(
            f"The font file {path} is missing; a matplotlib that ships its fonts is needed."
        )
    font = ImageFont.truetype(str(path), 2 * _GLYPH_HEIGHT, layout_engine=ImageFont.Layout.BASIC)
    canvas = Image.new("L", (4 * _GLYPH_HEIGHT, 4 * _GLYPH_HEIGHT))
    ImageDraw.Draw(canvas).text((_GLYPH_HEIGHT, _GLYPH_HEIGHT), digit, fill=255, font=font)
    glyph = canvas.crop(canvas.getbbox())
    width = max(1, round(glyph.width * _GLYPH_HEIGHT / glyph.height))
    padded = Image.new("L", (width + 2 * _MARGIN, _GLYPH_HEIGHT + 2 * _MARGIN))
    padded.paste(glyph.resize((width, _GLYPH_HEIGHT), Image.Resampling.LANCZOS), (_MARGIN, _MARGIN))
    return _Glyph(padded, width)


def _draw_text(text: str, middle: int, font: str, choice: Float[np.ndarray, " 8"]) -> Image.Image:
    """Returns how much ink each pixel has, with one digit in the middle, at twice the size."""
    height, aspect, spacing = (
        low + (high - low) * draw
        for (low, high), draw in zip(
            (HEIGHT_RANGE, ASPECT_RANGE, SPACING_RANGE), choice, strict=False
        )
    )
    shear, turn, right, down = 2 * choice[3:7] - 1
    glyphs = [_load_glyph(font, digit) for digit in text]
    gap = round(spacing * _GLYPH_HEIGHT)
    lefts = [0]
    for glyph in glyphs[:-1]:
        lefts.append(lefts[-1] + glyph.width + gap)
    width = lefts[-1] + glyphs[-1].width
    strip = Image.new("L", (width + 2 * _MARGIN, _GLYPH_HEIGHT + 2 * _MARGIN))
    for left, glyph in zip(lefts, glyphs, strict=True):
        strip.paste(255, (left, 0), glyph.mask)

    angle = math.radians(MAX_ROTATION_DEGREES) * turn
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    scale = _SUPERSAMPLING * height / _GLYPH_HEIGHT
    # Pillow wants the map from the new picture back to the strip.
    back = np.linalg.inv(rotation @ np.array([[aspect, MAX_SHEAR * shear], [0.0, 1.0]]) * scale)
    anchor = np.array(
        [_MARGIN + lefts[middle] + glyphs[middle].width / 2, _MARGIN + _GLYPH_HEIGHT / 2]
    )
    place = _SUPERSAMPLING * (SIZE / 2 + MAX_SHIFT * np.array([right, down]))
    offset = anchor - back @ place
    coefficients = (*back[0], offset[0], *back[1], offset[1])
    size = (_SUPERSAMPLING * SIZE, _SUPERSAMPLING * SIZE)
    return strip.transform(size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)


def _draw_background(generator: np.random.Generator) -> Float[np.ndarray, "32 32 3"]:
    """Draws a coloured background with a gradient, a soft texture and sometimes a stripe."""
    colour = generator.random(3, np.float32) * 255
    angle = generator.random() * 2 * math.pi
    direction = np.add.outer(
        np.float32(math.sin(angle)) * _AXIS, np.float32(math.cos(angle)) * _AXIS
    )
    shift = (2 * generator.random(3, np.float32) - 1) * np.float32(MAX_GRADIENT)
    background = colour + direction[..., np.newaxis] * shift
    cells = generator.integers(2, 9)
    amount = generator.random() * MAX_TEXTURE
    texture = Image.fromarray(generator.integers(256, size=(cells, cells), dtype=np.uint8))
    texture = np.asarray(texture.resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float32)
    background += ((texture - 127.5) * np.float32(amount / 127.5))[..., np.newaxis]
    if generator.random() < STRIPE_SHARE:
        angle = generator.random() * 2 * math.pi
        across = np.add.outer(
            np.float32(math.sin(angle)) * _AXIS, np.float32(math.cos(angle)) * _AXIS
        )
        edge = generator.uniform(0.2, 0.45)
        other = (2 * generator.random(3, np.float32) - 1) * np.float32(70)
        background[across > edge] += other
    return background.clip(0, 255)


def _draw_colour(
    generator: np.random.Generator, background: Float[np.ndarray, "32 32 3"]
) -> Float[np.ndarray, " 3"]:
    """Draws a colour that is brighter or darker than the middle of the background."""
    behind = float(background[8:24, 8:24].mean(axis=(0, 1)) @ _BRIGHTNESS)
    while True:
        colour = generator.random(3, np.float32) * 255
        if abs(float(colour @ _BRIGHTNESS) - behind) >= MIN_CONTRAST:
            return colour


def _paint(
    picture: Float[np.ndarray, "32 32 3"], ink: Image.Image, colour: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "32 32 3"]:
    share = np.asarray(ink.reduce(_SUPERSAMPLING), np.float32)[..., np.newaxis] / np.float32(255)
    return picture + share * (colour - picture)
