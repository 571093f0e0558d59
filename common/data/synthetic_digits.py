"""Rendered digits in the format of the UCI handwritten digits.

Printed digits, drawn with the fonts that matplotlib ships, in the classes, the shape and the value
range of the UCI handwritten digits (`sklearn.datasets.load_digits`): a source and a target domain
for which nothing has to be downloaded. How far apart the two are is chosen by the preparation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int32, UInt8
from PIL import Image, ImageDraw, ImageFont

CLASSES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
MAX_VALUE = 16

# DejaVu Sans Mono is left out: at 8x8 the dot inside its zero makes an eight of it. The other
# faces beside these have no digits, or old-style ones that do not share one height.
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-BoldOblique",
    "DejaVuSans-Oblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-BoldItalic",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralBolIta",
    "STIXGeneralItalic",
    "cmb10",
    "cmr10",
    "cmss10",
    "cmti10",
    "cmtt10",
)

MAX_ROTATION_DEGREES = 12.0
MAX_SHEAR = 0.3
ASPECT_RANGE = (0.7, 1.3)

BITMAP_SIZE = 32
BLOCK_SIZE = 4

# Numbers of ink pixels in a bitmap at which the NIST program thins or thickens the strokes.
THIN_TWICE_ABOVE = 560
THIN_ABOVE = 412
THICKEN_BELOW = 256
THICKEN_TWICE_BELOW = 108

_GLYPH_SIZE = 128
_SUPERSAMPLING = 3
_FOUR_NEIGHBOURS = np.asarray([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)[np.newaxis]


def render_digits(
    num_per_class: int, *, seed: int, preparation: str = "plain"
) -> tuple[UInt8[np.ndarray, "picture 8 8 1"], Int32[np.ndarray, " picture"]]:
    """Renders pictures of the digits 0 to 9, equally many of each.

    Each picture is one digit in one of `FONTS`, with its aspect (width over height) multiplied
    by a factor in `ASPECT_RANGE`, sheared sideways by up to `MAX_SHEAR` of its height and rotated
    by up to `MAX_ROTATION_DEGREES`, all drawn uniformly. Then the bounding box of the ink is
    stretched to a number of columns by 32 rows, whatever its aspect, centred in a bitmap of 32 by
    32 pixels, and `count_blocks` reduces the bitmap to 8 by 8 counts. Two preparations differ in
    what lies between:

    - `plain`: 24 columns, and nothing more. Framing, slant and stroke width are those of print,
      and are part of the gap between the domains.
    - `nist`: 20 columns, then `correct_stroke_width` and `remove_slant`, as NIST's form reader
      prepared the handwritten set. The two sets then agree in framing, slant and amount of ink,
      and differ in what was written alone. The handwritten set bears the marks of these steps:
      only 1 % of its pictures reach the first column and 12 % the last; the left ends of the
      first and the last row are at most one block apart in 99.8 %; and nine tenths hold 261 to
      368 ink pixels.

    Picture number i depends on `seed` and i alone, never on `num_per_class` or on any global
    state: fewer pictures are a prefix of more. Every run of ten pictures that starts at a
    multiple of ten holds each digit once, in random order, so prefixes are balanced too. The
    pictures are the same in every process with the same numpy, Pillow and matplotlib; other
    releases of these may draw single pixels differently.

    Args:
        num_per_class: Number of pictures of each digit, at least 1.
        seed: Seed of all random choices, not negative.
        preparation: A key of `PREPARATIONS`.

    Returns:
        The pictures, with values 0 (paper) to `MAX_VALUE` (ink everywhere in the block), and
        their labels 0 to 9, indices into `CLASSES`.

    Raises:
        ValueError: If `num_per_class` is less than 1, `seed` is negative, or there is no such
            preparation.
        FileNotFoundError: If the installed matplotlib came without one of `FONTS`.

    References:
        E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
        Learning Repository, 1998, doi:10.24432/C50P49.

        M. D. Garris et al., "NIST Form-Based Handprint Recognition System", NISTIR 5469, 1994,
        and the program published with it: spatial normalization and shear of characters.
    """
    if num_per_class < 1:
        raise ValueError(f"num_per_class is {num_per_class}; it must be at least 1")
    if seed < 0:
        raise ValueError(f"seed is {seed}; it must not be negative")
    if preparation not in PREPARATIONS:
        raise ValueError(f"preparation is {preparation!r}; legal are {', '.join(PREPARATIONS)}")
    box_width, corrections = PREPARATIONS[preparation]
    # One block of draws per run of ten pictures, in order, is what makes prefixes agree.
    draws = np.random.default_rng(seed).random((num_per_class, len(CLASSES), 5))
    labels = draws[..., 0].argsort(axis=1, kind="stable").ravel()
    choices = draws[..., 1:].reshape(-1, 4)
    bitmaps = np.stack(
        [
            _draw_bitmap(CLASSES[label], choice, box_width)
            for label, choice in zip(labels, choices, strict=True)
        ]
    )
    for correct in corrections:
        bitmaps = correct(bitmaps)
    return count_blocks(bitmaps)[..., np.newaxis], labels.astype(np.int32)


def correct_stroke_width(
    bitmaps: Bool[np.ndarray, "picture row column"],
) -> Bool[np.ndarray, "picture row column"]:
    """Thins bitmaps with much ink and thickens those with little, by one or two pixels a side.

    An ink pixel stays when its four neighbours are ink (thinning), a paper pixel becomes ink when
    one of its four neighbours is (thickening). Beyond the edge of the bitmap there is paper.

    Args:
        bitmaps: True for ink.

    Returns:
        The bitmaps, each eroded or dilated zero, one or two times according to its own number of
        ink pixels and the constants of this module.
    """
    # It takes long to import, and reports read the names of domains alone.
    from scipy import ndimage

    ink = bitmaps.sum(axis=(1, 2))
    once_thinner = ndimage.binary_erosion(bitmaps, _FOUR_NEIGHBOURS)
    once_thicker = ndimage.binary_dilation(bitmaps, _FOUR_NEIGHBOURS)
    cases = (
        (ink > THIN_TWICE_ABOVE, ndimage.binary_erosion(once_thinner, _FOUR_NEIGHBOURS)),
        (ink > THIN_ABOVE, once_thinner),
        (ink < THICKEN_TWICE_BELOW, ndimage.binary_dilation(once_thicker, _FOUR_NEIGHBOURS)),
        (ink < THICKEN_BELOW, once_thicker),
    )
    return np.select(
        [condition[:, np.newaxis, np.newaxis] for condition, _ in cases],
        [changed for _, changed in cases],
        default=bitmaps,
    )


def remove_slant(
    bitmaps: Bool[np.ndarray, "picture row column"],
) -> Bool[np.ndarray, "picture row column"]:
    """Shifts the rows of each bitmap so that its left ends at top and bottom are in one column.

    The two ends are taken two rows inside the ink, which must be at least six rows high and
    without an empty row there. The shift grows linearly with the distance from the middle row;
    ink that is shifted over the edge is lost.

    Args:
        bitmaps: True for ink, at least one ink pixel in each.

    Returns:
        The bitmaps, sheared.
    """
    _, height, width = bitmaps.shape
    inked_rows = np.any(bitmaps, axis=2)
    top = inked_rows.argmax(axis=1) + 2
    bottom = height - 1 - inked_rows[:, ::-1].argmax(axis=1) - 2
    left_ends = bitmaps.argmax(axis=2)
    top_end = np.take_along_axis(left_ends, top[:, np.newaxis], axis=1)
    bottom_end = np.take_along_axis(left_ends, bottom[:, np.newaxis], axis=1)
    slope = (top_end - bottom_end) / (bottom - top)[:, np.newaxis]
    shift = np.rint((np.arange(height) - height // 2) * slope).astype(int)
    origin = np.arange(width) - shift[..., np.newaxis]
    inside = (origin >= 0) & (origin < width)
    return np.take_along_axis(bitmaps, origin.clip(0, width - 1), axis=2) & inside


def count_blocks(
    bitmaps: Bool[np.ndarray, "picture 32 32"],
) -> UInt8[np.ndarray, "picture 8 8"]:
    """Counts the ink pixels of each block of 4 by 4.

    Args:
        bitmaps: True for ink.

    Returns:
        The counts, 0 to `MAX_VALUE`.
    """
    num_blocks = BITMAP_SIZE // BLOCK_SIZE
    blocks = bitmaps.reshape(-1, num_blocks, BLOCK_SIZE, num_blocks, BLOCK_SIZE)
    return blocks.sum(axis=(2, 4), dtype=np.uint8)


# The width of the box in columns, and the corrections after it.
PREPARATIONS: dict[str, tuple[int, tuple[Callable[[np.ndarray], np.ndarray], ...]]] = {
    "plain": (24, ()),
    "nist": (20, (correct_stroke_width, remove_slant)),
}


class _Glyph(NamedTuple):
    """One digit of one font.

    Attributes:
        mask: Grey picture of the digit, cropped to its ink.
        outline: Corners of the first and the last ink pixel of every row, as (x, y) in pixels
            of the mask. Their bounding box is that of the ink under every linear map.
    """

    mask: Image.Image
    outline: Float[np.ndarray, "corner 2"]


@functools.cache
def _load_glyph(font_name: str, digit: str) -> _Glyph:
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font_name}.ttf"
    if not path.is_file():
        raise FileNotFoundError(
            f"The font file {path} is missing; a matplotlib that ships its fonts is needed."
        )
    font = ImageFont.truetype(str(path), _GLYPH_SIZE, layout_engine=ImageFont.Layout.BASIC)
    canvas = Image.new("L", (2 * _GLYPH_SIZE, 2 * _GLYPH_SIZE))
    ImageDraw.Draw(canvas).text((_GLYPH_SIZE // 2, _GLYPH_SIZE // 4), digit, fill=255, font=font)
    mask = canvas.crop(canvas.getbbox())
    ink = np.asarray(mask) > 127
    rows = np.flatnonzero(ink.any(axis=1))
    first = ink[rows].argmax(axis=1)
    last = ink.shape[1] - 1 - ink[rows, ::-1].argmax(axis=1)
    corners = [(x, y) for x in (first, last + 1) for y in (rows, rows + 1)]
    return _Glyph(
        mask, np.concatenate([np.stack(corner, axis=1) for corner in corners], dtype=float)
    )


def _draw_bitmap(
    digit: str, choice: Float[np.ndarray, " 4"], box_width: int
) -> Bool[np.ndarray, "32 32"]:
    """Draws one digit, distorted and stretched to the box, from four draws in [0, 1)."""
    font_draw, aspect_draw, shear_draw, rotation_draw = choice
    glyph = _load_glyph(FONTS[int(font_draw * len(FONTS))], digit)
    aspect = ASPECT_RANGE[0] + (ASPECT_RANGE[1] - ASPECT_RANGE[0]) * aspect_draw
    shear = MAX_SHEAR * (2 * shear_draw - 1)
    angle = np.deg2rad(MAX_ROTATION_DEGREES) * (2 * rotation_draw - 1)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    distortion = rotation @ np.array([[aspect, shear], [0.0, 1.0]])

    corners = glyph.outline @ distortion.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    size = (box_width * _SUPERSAMPLING, BITMAP_SIZE * _SUPERSAMPLING)
    # Pillow wants the map from the new picture back to the glyph.
    back = np.linalg.inv(distortion)
    linear, offset = back @ np.diag((high - low) / size), back @ low
    coefficients = (*linear[0], offset[0], *linear[1], offset[1])
    box = glyph.mask.transform(
        size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    ).reduce(_SUPERSAMPLING)

    margin = (BITMAP_SIZE - box_width) // 2
    return np.pad(np.asarray(box) > 127, ((0, 0), (margin, margin)))
