"""Tests of decoding pictures, and of what is refused as none."""

import io
import struct
import warnings
import zlib

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from common.data import picture as module
from common.data.picture import decode_picture, encode_png

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 7, 1), np.uint8)
COLOUR = RNG.integers(0, 256, (5, 7, 3), np.uint8)


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def make_png(width, height, rows, colour_type, depth=8, extra=b""):
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [
        chunk(b"IHDR", header),
        extra,
        chunk(b"IDAT", zlib.compress(rows)),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def on_white(colours, alpha):
    share = alpha / 255
    return np.rint(colours * share + 255 * (1 - share))


@hypothesis.given(
    arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]))
    )
)
def test_encoding_loses_nothing(picture):
    np.testing.assert_array_equal(decode_picture(encode_png(picture)), picture)


@pytest.mark.parametrize("shape", [(4, 4, 2), (4, 4, 4), (0, 4, 3)])
def test_what_png_cannot_hold_is_not_encoded(shape):
    with pytest.raises(ValueError, match="one channel or three"):
        encode_png(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_every_lossless_format_gives_the_pixels(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(Image.fromarray(COLOUR), kind, **options)
    np.testing.assert_array_equal(decode_picture(data), COLOUR)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_grey_keeps_one_channel(kind):
    # The first has all grey levels; the palette that GIF makes of the second has those used.
    for grey in (np.arange(256, dtype=np.uint8).reshape(16, 16), GREY[..., 0]):
        np.testing.assert_array_equal(
            decode_picture(encode(Image.fromarray(grey), kind)), grey[..., None]
        )


def test_a_jpeg_is_near_what_was_saved():
    smooth = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8)
    grey = decode_picture(encode(Image.fromarray(smooth), "JPEG", quality=95))
    assert grey.shape == (32, 32, 1)
    np.testing.assert_allclose(grey[..., 0], smooth, atol=4)
    colour = np.stack([smooth, smooth[::-1], 255 - smooth], -1)
    decoded = decode_picture(encode(Image.fromarray(colour), "JPEG", quality=95, subsampling=0))
    np.testing.assert_allclose(decoded, colour, atol=8)


def test_a_palette_becomes_its_colours():
    numbers = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    colours = np.array([[10, 20, 30], [200, 0, 7], [255, 255, 255]], np.uint8)
    image = Image.fromarray(numbers).convert("P")
    image.putpalette(colours.tobytes())
    for kind in ("PNG", "GIF", "BMP", "TIFF"):
        np.testing.assert_array_equal(decode_picture(encode(image, kind)), colours[numbers])


def test_transparent_colours_of_a_palette_lie_on_white():
    numbers = np.array([[0, 1, 2]], np.uint8)
    image = Image.fromarray(numbers).convert("P")
    colours = np.array([[10, 20, 30], [200, 0, 7], [40, 50, 60]], np.uint8)
    image.putpalette(colours.tobytes())
    alpha = np.array([[255], [0], [100]])
    expected = on_white(colours, alpha)[None]
    data = encode(image, transparency=bytes(alpha[:, 0].tolist()))
    np.testing.assert_array_equal(decode_picture(data), expected)
    single = decode_picture(encode(image, "GIF", transparency=1))
    np.testing.assert_array_equal(single, on_white(colours, np.array([[255], [0], [255]]))[None])


@pytest.mark.parametrize(("channels", "mode"), [(4, "RGBA"), (2, "LA")])
def test_transparent_parts_lie_on_white(channels, mode):
    # Every alpha, with colours that differ.
    alpha = np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 40, 1))
    colours = RNG.integers(0, 256, (256, 40, channels - 1), np.uint8)
    image = Image.fromarray(np.concatenate([colours, alpha], -1))
    assert image.mode == mode
    decoded = decode_picture(encode(image))
    assert decoded.shape == (256, 40, channels - 1)
    np.testing.assert_array_equal(decoded, on_white(colours.astype(np.float64), alpha))


def test_one_colour_that_is_named_transparent_becomes_white():
    grey = make_png(3, 1, b"\0\x05\x06\x05", 0, extra=chunk(b"tRNS", b"\0\x05"))
    np.testing.assert_array_equal(decode_picture(grey)[..., 0], [[255, 6, 255]])
    deep = make_png(2, 1, struct.pack(">B2H", 0, 300, 65535), 0, 16, chunk(b"tRNS", b"\x01\x2c"))
    np.testing.assert_array_equal(decode_picture(deep)[..., 0], [[255, 255]])
    colours = make_png(2, 1, bytes([0, 1, 2, 3, 4, 5, 6]), 2, extra=chunk(b"tRNS", b"\0\1\0\2\0\3"))
    np.testing.assert_array_equal(decode_picture(colours), [[[255, 255, 255], [4, 5, 6]]])


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_divided_by_257(kind):
    levels = np.r_[np.arange(0, 65536, 19), 65535].astype(np.uint16)[None]
    decoded = decode_picture(encode(Image.fromarray(levels), kind))
    assert decoded.shape == (*levels.shape, 1)
    np.testing.assert_array_equal(decoded[..., 0], np.rint(levels / 65535 * 255))


def test_big_endian_16_bit_grey_is_divided_by_257():
    image = Image.frombytes("I;16B", (3, 1), struct.pack(">3H", 0, 0x8080, 0xFFFF))
    np.testing.assert_array_equal(decode_picture(encode(image, "TIFF"))[..., 0], [[0, 128, 255]])


@pytest.mark.parametrize("level", [-1, 65536, 2**31 - 1])
def test_grey_levels_beyond_16_bit_are_refused(level):
    image = Image.fromarray(np.array([[5, level]], np.int32))
    with pytest.raises(ValueError, match=f"the colour mode I: grey levels .*{level}.* 0 to 65535"):
        decode_picture(encode(image, "TIFF"))


def test_fractional_grey_levels_are_refused():
    image = Image.fromarray(np.array([[0.5, 1]], np.float32))
    with pytest.raises(ValueError, match="colour mode F: fractional grey levels have no known"):
        decode_picture(encode(image, "TIFF"))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "BMP"])
def test_one_bit_becomes_black_and_white(kind):
    bits = RNG.integers(0, 2, (5, 11)).astype(bool)
    decoded = decode_picture(encode(Image.fromarray(bits), kind))
    np.testing.assert_array_equal(decoded[..., 0], np.where(bits, 255, 0))


def test_cmyk_becomes_red_green_blue():
    inks = RNG.integers(0, 256, (6, 6, 4), np.uint8)
    decoded = decode_picture(encode(Image.fromarray(inks, "CMYK"), "TIFF"))
    light = 1 - inks / 255
    np.testing.assert_allclose(decoded, 255 * light[..., :3] * light[..., 3:], atol=1.01)
    flat = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    (cyan,) = np.unique(decode_picture(encode(flat, "JPEG")).reshape(-1, 3), axis=0)
    np.testing.assert_allclose(cyan, [0, 255, 255], atol=3)


def test_other_colour_spaces_become_red_green_blue():
    red = Image.new("RGB", (2, 2), (255, 0, 0)).convert("YCbCr")
    white = Image.new("LAB", (2, 2), (255, 128, 128))
    for image, colour in ((red, [255, 0, 0]), (white, [255, 255, 255])):
        decoded = decode_picture(encode(image, "TIFF"))
        np.testing.assert_allclose(decoded, np.tile(colour, (2, 2, 1)), atol=2)


def test_of_a_film_the_first_frame_is_taken():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for kind, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        np.testing.assert_array_equal(decode_picture(data), np.tile([255, 0, 0], (4, 4, 1)))


# Where the standard places row 0 and column 0 of what is stored.
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def place(stored, orientation):
    """Puts every stored pixel where the standard says."""
    first_row, first_column = SIDES[orientation]
    num_rows, num_columns = stored.shape[:2]
    upright = first_row in ("top", "bottom")
    shown = np.zeros_like(stored if upright else stored.swapaxes(0, 1))
    for row in range(num_rows):
        for column in range(num_columns):
            down = row if first_row in ("top", "left") else num_rows - 1 - row
            across = column if first_column in ("top", "left") else num_columns - 1 - column
            shown[(down, across) if upright else (across, down)] = stored[row, column]
    return shown


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", SIDES)
def test_a_picture_is_turned_as_exif_asks(kind, orientation):
    exif = Image.Exif()
    exif[module.ORIENTATION] = orientation
    options = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}, "JPEG": {"quality": 95}}[kind]
    # Blocks as large as JPEG's stay nearly as they are.
    stored = np.kron(np.array([[0, 60, 120], [180, 220, 250]]), np.ones((8, 8))).astype(np.uint8)
    stored = np.stack([stored] * 3, -1)
    decoded = decode_picture(encode(Image.fromarray(stored), kind, exif=exif, **options))
    assert decoded.flags.c_contiguous
    np.testing.assert_allclose(decoded, place(stored, orientation), atol=3)


@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0", b"garbage" * 5, b"Exif\0\0II*\0\xff\xff\xff\x7f"]
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_exif_that_cannot_be_read_counts_as_none(exif, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = decode_picture(encode(Image.fromarray(COLOUR), kind, exif=exif, **options))
    assert decoded.shape == COLOUR.shape


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation):
    exif = Image.Exif()
    exif[module.ORIENTATION] = orientation
    data = encode(Image.fromarray(COLOUR), exif=exif)
    np.testing.assert_array_equal(decode_picture(data), COLOUR)


def test_what_pillow_says_about_metadata_is_neither_shown_nor_an_error():
    # An EXIF tag whose value lies beyond the data; Pillow reads it while it opens a JPEG.
    entries = struct.pack("<HHHII", 1, 0x011A, 5, 1, 60000) + struct.pack("<I", 0)
    data = encode(Image.fromarray(COLOUR), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + entries)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        Image.open(io.BytesIO(data)).getexif()
    assert heard
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("error")
        decode_picture(data)
    assert not heard


def test_nothing_is_no_picture():
    with pytest.raises(ValueError, match="^it is empty$"):
        decode_picture(b"")


@pytest.mark.parametrize("data", [b"x", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n", b"\0" * 999])
def test_another_kind_of_file_is_no_picture(data):
    with pytest.raises(ValueError, match="^it is no picture, or none of JPEG, PNG"):
        decode_picture(data)


def test_a_picture_that_is_cut_short_is_refused():
    noise = RNG.integers(0, 256, (40, 40, 3), np.uint8)
    for kind in ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM", "GIF"):
        data = encode(Image.fromarray(noise), kind)
        assert decode_picture(data).shape == noise.shape
        with pytest.raises(ValueError, match="^it is (cut short or damaged|no picture)"):
            decode_picture(data[: len(data) // 2])


def test_whatever_pillow_raises_becomes_one_sentence(monkeypatch):
    wrong_sum = make_png(3, 1, b"\0\x05\x06\x05", 0).replace(b"IHDR\0", b"IHDR\1")
    with pytest.raises(ValueError, match="^it is (cut short or damaged|no picture)"):
        decode_picture(wrong_sum)
    data = encode(Image.new("CMYK", (2, 2)), "TIFF")
    for error in (KeyError, struct.error, SyntaxError, ZeroDivisionError, MemoryError):

        def fail(*arguments, error=error, **options):
            raise error("two\nlines")

        with monkeypatch.context() as patch:
            patch.setattr(Image.Image, "convert", fail)
            with pytest.raises(ValueError, match="^it has the colour mode CMYK: .*two.*lines"):
                decode_picture(data)
        with monkeypatch.context() as patch:
            patch.setattr(Image, "open", fail)
            with pytest.raises(ValueError, match="^it is cut short or damaged .*two.*lines"):
                decode_picture(data)
        with monkeypatch.context() as patch:
            patch.setattr(Image.Image, "getexif", fail)
            assert decode_picture(encode(Image.new("L", (3, 2)))).shape == (2, 3, 1)


def test_a_picture_of_too_many_pixels_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(module, "MAX_PIXELS", 35)
    assert decode_picture(encode(Image.new("L", (7, 5)))).shape == (5, 7, 1)
    with pytest.raises(ValueError, match="^it has 6 x 6 pixels, and at most 35 are read$"):
        decode_picture(encode(Image.new("L", (6, 6))))


@pytest.mark.parametrize("side", [9000, 12000, 2**31 - 1])
def test_a_bomb_of_few_bytes_is_refused(side):
    # Below Pillow's own limit, where it only warns, and where it refuses.
    with pytest.raises(ValueError, match="^it has .* pixels, and at most 67108864 are read$"):
        decode_picture(make_png(side, side, b"", 2))
