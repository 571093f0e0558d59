"""Tests of the rendered digits."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from common.data import synthetic_digits
from common.data.synthetic_digits import (
    CLASSES,
    FONTS,
    MAX_ROTATION_DEGREES,
    MAX_VALUE,
    correct_stroke_width,
    count_blocks,
    remove_slant,
    render_digits,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def rendered():
    """Pictures of shape (1000, 8, 8, 1) and their labels."""
    return render_digits(100, seed=0)


@pytest.fixture(scope="module")
def prepared():
    """The same digits, prepared as the handwritten ones were."""
    return render_digits(100, seed=0, preparation="nist")


@pytest.fixture(scope="module")
def handwritten():
    """Pictures of shape (1797, 8, 8) with values 0 to 16, and their labels."""
    pictures, labels = load_digits(return_X_y=True)
    return pictures.reshape(-1, 8, 8), labels


def digest(pictures, labels):
    return hashlib.sha256(pictures.tobytes() + labels.tobytes()).hexdigest()


def bar(height, width):
    bitmap = np.zeros((32, 32), dtype=bool)
    top, left = (32 - height) // 2, (32 - width) // 2
    bitmap[top : top + height, left : left + width] = True
    return bitmap


def slanted_line(columns_per_row):
    """A line four pixels wide from top to bottom through the middle of the bitmap."""
    bitmap = np.zeros((32, 32), dtype=bool)
    for row in range(32):
        left = 14 + round((row - 16) * columns_per_row)
        bitmap[row, left : left + 4] = True
    return bitmap


def draw(font, character):
    picture = Image.new("L", (256, 256))
    ImageDraw.Draw(picture).text((64, 64), character, fill=255, font=font)
    return picture.tobytes()


def digits_are_drawn(font_name):
    """Whether a font has ten different digits, none of them its sign for a missing character."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font_name}.ttf"
    font = ImageFont.truetype(str(path), 64, layout_engine=ImageFont.Layout.BASIC)
    # A noncharacter: no font may assign it a glyph.
    missing, *digits = (draw(font, character) for character in ("\U0010ffff", *CLASSES))
    return len(set(digits)) == len(CLASSES) and missing not in digits


def test_shapes_types_and_values(rendered):
    pictures, labels = rendered
    assert pictures.shape == (1000, 8, 8, 1)
    assert pictures.dtype == np.uint8
    assert labels.shape == (1000,)
    assert labels.dtype == np.int32
    assert pictures.min() == 0
    assert pictures.max() == MAX_VALUE


def test_every_run_of_ten_holds_each_digit_once_in_its_own_order(rendered):
    runs = rendered[1].reshape(-1, 10)
    np.testing.assert_array_equal(np.sort(runs, axis=1), np.tile(np.arange(10), (100, 1)))
    assert len(np.unique(runs, axis=0)) > 95


def test_another_process_draws_the_same():
    program = (
        "import hashlib, numpy\n"
        "from common.data.synthetic_digits import render_digits\n"
        "numpy.random.seed(7)\n"
        "pictures, labels = render_digits(3, seed=5)\n"
        "print(hashlib.sha256(pictures.tobytes() + labels.tobytes()).hexdigest())\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "11"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == digest(*render_digits(3, seed=5))


def test_global_random_state_is_left_alone():
    np.random.seed(3)
    expected = np.random.random(4)
    np.random.seed(3)
    render_digits(1, seed=0)
    np.testing.assert_array_equal(np.random.random(4), expected)


def test_fewer_pictures_are_a_prefix_of_more(rendered):
    pictures, labels = render_digits(3, seed=0)
    np.testing.assert_array_equal(pictures, rendered[0][:30])
    np.testing.assert_array_equal(labels, rendered[1][:30])


def test_seeds_differ_in_pictures_and_order(rendered):
    pictures, labels = render_digits(100, seed=1)
    assert not np.array_equal(labels, rendered[1])
    for digit in range(10):
        assert not np.array_equal(pictures[labels == digit], rendered[0][rendered[1] == digit])


def test_pictures_of_one_digit_vary(rendered):
    pictures, labels = rendered
    for digit in range(10):
        assert len(np.unique(pictures[labels == digit], axis=0)) > 90


@pytest.mark.parametrize("font_name", FONTS)
def test_fonts_have_ten_different_digits(font_name):
    assert digits_are_drawn(font_name)


@pytest.mark.parametrize("font_name", ["DejaVuSansDisplay", "STIXSizOneSymReg"])
def test_fonts_without_digits_are_told_apart(font_name):
    assert not digits_are_drawn(font_name)


def test_every_font_is_used(monkeypatch):
    used = set()
    load_glyph = synthetic_digits._load_glyph

    def record(font_name, digit):
        used.add(font_name)
        return load_glyph(font_name, digit)

    monkeypatch.setattr(synthetic_digits, "_load_glyph", record)
    render_digits(20, seed=0)
    assert used == set(FONTS)


@pytest.mark.parametrize("draw_of_rotation", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("digit", ["2", "4", "7"])
def test_rotation_agrees_with_the_one_of_pillow(digit, draw_of_rotation):
    unsheared, first_font, aspect_of_one = 0.5, 0.0, 0.5
    bitmap = synthetic_digits._draw_bitmap(
        digit, np.array([first_font, aspect_of_one, unsheared, draw_of_rotation]), 20
    )
    degrees = MAX_ROTATION_DEGREES * (2 * draw_of_rotation - 1)
    mask = synthetic_digits._load_glyph(FONTS[0], digit).mask
    # Pillow turns counterclockwise; here y points down, so positive angles turn clockwise.
    turned = mask.rotate(-degrees, Image.Resampling.BILINEAR, expand=True)
    box = turned.crop(Image.fromarray(np.asarray(turned) > 127).getbbox())
    expected = np.asarray(box.resize((20, 32), Image.Resampling.BOX)) > 127
    assert (bitmap[:, 6:26] == expected).mean() > 0.95
    assert not bitmap[:, :6].any()
    assert not bitmap[:, 26:].any()


def test_digits_fill_the_height_but_not_the_width(prepared):
    pictures, labels = prepared
    assert pictures[:, [0, -1]].any(axis=(2, 3)).all()
    for digit in range(10):
        of_digit = pictures[labels == digit]
        assert of_digit[:, :, [0, 7]].sum() < 0.03 * of_digit.sum()


def test_framing_and_ink_are_those_of_the_handwritten_set(prepared, handwritten):
    pictures, expected = prepared[0][..., 0].astype(float), handwritten[0]
    outer_columns = [0, 1, 6, 7]
    np.testing.assert_allclose(
        pictures.mean(axis=(0, 1))[outer_columns],
        expected.mean(axis=(0, 1))[outer_columns],
        atol=0.5,
    )
    np.testing.assert_allclose(
        np.quantile(pictures.sum(axis=(1, 2)), [0.05, 0.5, 0.95]),
        np.quantile(expected.sum(axis=(1, 2)), [0.05, 0.5, 0.95]),
        atol=35,
    )


def test_slant_is_removed_in_both_sets(prepared, handwritten):
    for pictures in (prepared[0][..., 0], handwritten[0]):
        left_ends = (pictures > 0).argmax(axis=2)
        assert (abs(left_ends[:, 0] - left_ends[:, 7]) <= 1).mean() > 0.99


def test_mean_pictures_of_the_classes_differ(rendered):
    pictures, labels = rendered
    means = np.stack([pictures[labels == digit].mean(axis=0).ravel() for digit in range(10)])
    distances = np.linalg.norm(means[:, np.newaxis] - means, axis=2)
    assert distances[~np.eye(10, dtype=bool)].min() > MAX_VALUE


def test_classes_are_shared_across_a_visible_gap(rendered, handwritten):
    pictures, labels = rendered
    classifier = KNeighborsClassifier(1).fit(pictures.reshape(-1, 64), labels)
    fresh_pictures, fresh_labels = render_digits(30, seed=1)
    assert classifier.score(fresh_pictures.reshape(-1, 64), fresh_labels) > 0.95
    accuracy = classifier.score(handwritten[0].reshape(-1, 64), handwritten[1])
    assert 0.4 < accuracy < 0.8


def test_plain_print_leaves_one_column_of_blocks_empty_at_each_side(rendered):
    assert not rendered[0][:, :, [0, -1]].any()
    assert rendered[0][:, :, [1, -2]].any(axis=(1, 3)).mean() > 0.95


def test_preparation_narrows_the_gap(rendered, prepared, handwritten):
    accuracies = [
        KNeighborsClassifier(1)
        .fit(pictures.reshape(-1, 64), labels)
        .score(handwritten[0].reshape(-1, 64), handwritten[1])
        for pictures, labels in (rendered, prepared)
    ]
    assert accuracies[0] + 0.05 < accuracies[1]


def test_unknown_preparation_is_refused():
    with pytest.raises(ValueError, match="legal are plain, nist"):
        render_digits(1, seed=0, preparation="none")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (bar(32, 20), bar(28, 16)),
        (bar(30, 18), bar(28, 16)),
        (bar(20, 22), bar(18, 20)),
        (bar(16, 16), bar(16, 16)),
    ],
)
def test_thick_strokes_are_thinned(before, after):
    np.testing.assert_array_equal(correct_stroke_width(before[np.newaxis])[0], after)


def test_thin_strokes_are_thickened_along_the_four_neighbours():
    thickened = correct_stroke_width(np.stack([bar(2, 2), bar(14, 14)]))
    assert thickened[0].sum() == 4 + 8 + 12
    assert thickened[1].sum() == 14 * 14 + 4 * 14
    assert not thickened[1, 8, 8]


@pytest.mark.parametrize("columns_per_row", [-0.5, -0.25, 0.0, 0.25, 0.5])
def test_a_slanted_line_is_set_upright(columns_per_row):
    line = slanted_line(columns_per_row)
    upright = remove_slant(line[np.newaxis])[0]
    assert abs(upright.argmax(axis=1) - 14).max() <= 1
    assert upright.sum() == line.sum()


def test_ink_shifted_over_the_edge_is_lost():
    bitmap = np.zeros((1, 32, 32), dtype=bool)
    bitmap[0, np.arange(32), np.arange(32)] = True
    bitmap[0, 0] = True
    np.testing.assert_array_equal(np.flatnonzero(remove_slant(bitmap)[0, 0]), np.arange(16, 32))


def test_slant_is_removed_picture_by_picture():
    lines = np.stack([slanted_line(0.5), slanted_line(-0.25)])
    np.testing.assert_array_equal(remove_slant(lines)[1], remove_slant(lines[1:])[0])


def test_blocks_are_counted_where_they_are():
    bitmap = np.zeros((1, 32, 32), dtype=bool)
    bitmap[0, 4:8, 20:24] = True
    bitmap[0, 31, 0] = True
    counts = count_blocks(bitmap)[0]
    assert counts[1, 5] == MAX_VALUE
    assert counts[7, 0] == 1
    assert counts.sum() == MAX_VALUE + 1


@pytest.mark.parametrize(
    ("num_per_class", "seed", "name"), [(0, 0, "num_per_class"), (1, -1, "seed")]
)
def test_arguments_out_of_range_are_refused(num_per_class, seed, name):
    with pytest.raises(ValueError, match=name):
        render_digits(num_per_class, seed=seed)


def test_a_missing_font_is_named(monkeypatch):
    monkeypatch.setattr(synthetic_digits, "FONTS", ("NoSuchFont",))
    with pytest.raises(FileNotFoundError, match="NoSuchFont"):
        render_digits(1, seed=0)
