"""Folders of pictures with any names, any layout and damaged bytes."""

import io
import os
import tempfile
import unicodedata
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from common.data.folder import HIDDEN, LIKE_PARTS, read_folder
from common.data.picture import Form, decode_picture, encode_png

FORM = Form(3, "center", 1)
PARTS = ("train", "val", "test")


def is_allowed(name):
    """Says whether the name is one that a user would see, and none that means something else."""
    return not (
        name.startswith(".")
        or name.casefold() in (*HIDDEN, *LIKE_PARTS)
        or len(os.fsencode(name)) > 255
    )


names = st.one_of(
    st.text(
        st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12
    ),
    st.sampled_from(
        [
            "a b",
            " a",
            "a ",
            "a\nb",
            "\r\n",
            "é",
            "e\u0301",
            "Ⅷ",
            "日本",
            "a.png.",
            "x" * 255,
            "😀" * 63,
        ]
        + ["-rf", "~", "$HOME", "%s{0}", "'\"", "\\", "\u202e", "CON", "*", "?", "a" + "." * 9]
    ),
).filter(is_allowed)


def is_free(path):
    """Says whether the file system allows the name and has no other that it takes for the same."""
    try:
        path.touch(exist_ok=False)
        path.unlink()
    except OSError:
        return False
    return True


@hypothesis.given(
    part=st.sampled_from(["", *PARTS]),
    tree=st.dictionaries(names, st.sets(names, max_size=3), max_size=4),
    loose=st.sets(names, max_size=2),
)
def test_any_tree_is_read_in_order_or_refused_in_one_sentence(part, tree, loose):
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder, part)
        top.mkdir(exist_ok=True)
        values, taken = {}, []
        for label, files in tree.items():
            if not is_free(top / label):
                continue
            (top / label).mkdir()
            taken.append(label)
            for name in sorted(files):
                if not is_free(top / label / name):
                    continue
                value = len(values)
                (top / label / name).write_bytes(encode_png(np.full((3, 3, 1), value, np.uint8)))
                values[label, name] = value
        for name in loose - set(taken):
            if is_free(top / name):
                (top / name).write_bytes(b"text")
        normal = {label: unicodedata.normalize("NFC", label) for label in taken}
        alone = set(os.listdir(top)) - set(taken)
        pictures = any(name.lower().endswith((".png", ".jpg")) for name in alone)
        good = taken and all(any(own == label for own, _ in values) for label in taken)
        if not good or pictures:
            with pytest.raises(ValueError) as refused:
                read_folder(folder, FORM, skip_bad=False)
            assert len(str(refused.value).splitlines()) == 1
            return
        examples = read_folder(folder, FORM, skip_bad=False)
        classes = sorted(set(normal.values()))
        order = sorted(
            values,
            key=lambda own: (
                normal[own[0]],
                unicodedata.normalize("NFC", "/".join([part, *own]).lstrip("/")),
                own,
            ),
        )
        assert examples.classes == tuple(classes)
        assert examples.labels.tolist() == [classes.index(normal[label]) for label, _ in order]
        assert examples.images[:, 0, 0, 0].tolist() == [values[own] for own in order]
        assert list(examples.splits or {}) == ([part] if part else [])


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def valid_pictures():
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a maker"
    colour = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8))
    clear = Image.fromarray(rng.integers(0, 256, (9, 12, 4), np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (9, 12), np.uint16))
    palette = colour.quantize(16)
    frames = {"save_all": True, "append_images": [palette.rotate(180)]}
    return {
        "colour.jpg": encode(colour, "JPEG", exif=exif),
        "progressive.jpg": encode(colour, "JPEG", progressive=True),
        "cmyk.jpg": encode(colour.convert("CMYK"), "JPEG"),
        "clear.png": encode(clear, "PNG", exif=exif),
        "palette.png": encode(palette, "PNG", transparency=bytes(range(16))),
        "deep.png": encode(deep, "PNG"),
        "bits.png": encode(colour.convert("1"), "PNG"),
        "film.png": encode(colour, "PNG", save_all=True, append_images=[colour.rotate(180)]),
        "film.gif": encode(palette, "GIF", **frames, transparency=3),
        "colour.bmp": encode(colour, "BMP"),
        "palette.bmp": encode(palette, "BMP"),
        "colour.webp": encode(clear, "WEBP", exif=exif),
        "lossless.webp": encode(colour, "WEBP", lossless=True),
        "raw.tif": encode(clear, "TIFF", exif=exif),
        "packed.tif": encode(colour, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": encode(colour, "TIFF", compression="jpeg"),
        "deep.tif": encode(deep, "TIFF", compression="tiff_deflate"),
        "colour.ppm": encode(colour, "PPM"),
        "deep.pgm": encode(deep, "PPM"),
    }


VALID = valid_pictures()


@pytest.mark.parametrize("name", VALID)
def test_the_undamaged_pictures_are_pictures(name):
    assert sorted(decode_picture(VALID[name]).shape[:2]) == [9, 12]


@st.composite
def damaged(draw, data):
    """Cuts, flips, inserts and doubles bytes; the beginning, which holds the sizes, more often."""
    data = bytearray(data)
    places = st.one_of(st.integers(0, min(80, len(data) - 1)), st.integers(0, len(data) - 1))
    kind = draw(st.sampled_from(["cut", "flip", "set", "insert", "double"]))
    if kind == "cut":
        return bytes(data[: draw(st.integers(0, len(data) - 1))])
    for place in draw(st.lists(places, min_size=1, max_size=4)):
        if kind == "flip":
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set":
            data[place] = draw(st.sampled_from([0, 1, 127, 128, 255]))
        elif kind == "insert":
            data[place:place] = draw(st.binary(min_size=1, max_size=6))
        else:
            data[place:place] = data[place : place + 20]
    return bytes(data)


@pytest.mark.parametrize("name", VALID)
@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=15)
def test_damaged_bytes_are_a_picture_or_are_named(name, data):
    content = data.draw(damaged(VALID[name]))
    try:
        decoded = decode_picture(content)
        assert decoded.dtype == np.uint8 and decoded.shape[2] in (1, 3) and decoded.size
    except ValueError as error:
        reason = str(error)
        assert reason.startswith("it ") and len(reason.splitlines()) == 1
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, name).write_bytes(content)
            with pytest.raises(ValueError) as refused:
                read_folder(folder, FORM, skip_bad=False)
            assert f"{name!r} ({reason})" in str(refused.value)


@pytest.mark.parametrize("name", VALID)
def test_cut_anywhere_a_picture_is_whole_or_refused(name):
    content = VALID[name]
    whole = decode_picture(content)
    for end in np.unique(np.linspace(0, len(content) - 1, 60).astype(int)):
        try:
            assert decode_picture(content[:end]).shape == whole.shape
        except ValueError as error:
            assert str(error).startswith("it ")


@hypothesis.given(st.binary(max_size=200))
def test_any_bytes_are_a_picture_or_refused(content):
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"II*\0", b"\xff\xd8\xff", b"GIF89a", b"BM", b"P5 "):
        try:
            decode_picture(start + content)
        except ValueError as error:
            assert str(error).startswith("it ")


@hypothesis.given(st.text(max_size=60))
def test_any_manifest_is_read_or_refused(text):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a").write_bytes(encode_png(np.zeros((3, 3, 1), np.uint8)))
        path = Path(folder, "list.csv")
        for start in ("", "path,label\n", "path,label\na,"):
            path.write_bytes((start + text).encode(errors="replace"))
            try:
                read_folder(str(path), FORM, skip_bad=False)
            except ValueError as error:
                assert len(str(error).splitlines()) == 1
