import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.data.builders.synthetic_digits import render
from common.data.builders.synthetic_digits import synthetic_digits_dataset_builder as builders
from common.data.builders.synthetic_digits.render import (
    BLUR_RANGE,
    HEIGHT_RANGE,
    MIN_CONTRAST,
    render_picture,
    render_pictures,
)
from common.data.synthetic_digits import FONTS

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def rendered():
    return render_pictures(1200, seed=0)


def digest(pictures, labels):
    return hashlib.sha256(pictures.tobytes() + labels.tobytes()).hexdigest()


def ink_of(text, middle, font, choice=(0.5,) * 8):
    ink = render._draw_text(text, middle, font, np.array(choice))
    return np.asarray(ink.reduce(2), float) / 255


def test_shapes_types_and_values(rendered):
    pictures, labels = rendered
    assert pictures.shape == (1200, 32, 32, 3) and pictures.dtype == np.uint8
    assert labels.shape == (1200,) and labels.dtype == np.int32
    assert (np.bincount(labels, minlength=10) > 80).all()
    assert pictures.min() < 5 and pictures.max() > 250


def test_another_process_draws_the_same():
    program = (
        "import hashlib, numpy\n"
        "from common.data.builders.synthetic_digits.render import render_pictures\n"
        "numpy.random.seed(7)\n"
        "pictures, labels = render_pictures(20, seed=5, first=3)\n"
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
    assert result.stdout.strip() == digest(*render_pictures(20, seed=5, first=3))


def test_a_picture_depends_on_its_number_and_the_seed_alone(rendered):
    pictures, labels = rendered
    for number in (1199, 0, 700, 0):
        picture, label = render_picture(0, number)
        np.testing.assert_array_equal(picture, pictures[number])
        assert label == labels[number]
    later, later_labels = render_pictures(5, seed=0, first=695)
    np.testing.assert_array_equal(later, pictures[695:700])
    np.testing.assert_array_equal(later_labels, labels[695:700])


def test_global_random_state_is_left_alone():
    np.random.seed(3)
    expected = np.random.random(4)
    np.random.seed(3)
    render_pictures(2, seed=0)
    np.testing.assert_array_equal(np.random.random(4), expected)


def test_no_two_pictures_are_the_same(rendered):
    other, _ = render_pictures(100, seed=1)
    everything = np.concatenate([rendered[0], other]).reshape(1300, -1)
    assert len(np.unique(everything, axis=0)) == 1300


@pytest.mark.parametrize("text", ["7", "70", "07", "172", "888"])
def test_the_labelled_digit_is_in_the_middle(text):
    for middle, digit in enumerate(text):
        for font in FONTS[::4]:
            together, alone = ink_of(text, middle, font), ink_of(digit, 0, font)
            # The labelled digit is drawn as if it stood alone; the others only add ink.
            assert (together >= alone - 0.02).all()
            columns, rows = np.flatnonzero(alone.any(0)), np.flatnonzero(alone.any(1))
            assert (columns[0] + columns[-1]) / 2 == pytest.approx(15.5, abs=0.75)
            assert (rows[0] + rows[-1]) / 2 == pytest.approx(15.5, abs=0.75)
            distractors = together - alone
            left, right = (
                distractors[:, : columns[0]].sum(),
                distractors[:, columns[-1] + 1 :].sum(),
            )
            assert (left > 5) == (middle > 0)
            assert (right > 5) == (middle < len(text) - 1)


def test_no_shift_brings_a_distractor_nearer_to_the_middle_than_the_label():
    narrowest = min(
        render._load_glyph(font, digit).width for font in FONTS for digit in render.CLASSES
    )
    scale = HEIGHT_RANGE[0] / render._GLYPH_HEIGHT
    ink = narrowest * scale * render.ASPECT_RANGE[0]
    gap = render.SPACING_RANGE[0] * HEIGHT_RANGE[0] * render.ASPECT_RANGE[0]
    apart = (ink + gap) * np.cos(np.deg2rad(render.MAX_ROTATION_DEGREES))
    assert apart / 2 > render.MAX_SHIFT


@pytest.mark.parametrize(("draw", "height"), [(0.0, HEIGHT_RANGE[0]), (1.0, HEIGHT_RANGE[1])])
def test_the_height_is_that_of_the_ink(draw, height):
    upright = [draw, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    rows = np.flatnonzero((ink_of("8", 0, FONTS[0], upright) > 0.5).any(axis=1))
    assert rows[-1] - rows[0] + 1 == pytest.approx(height, abs=1)


def test_turning_and_shifting_go_the_stated_way():
    level = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    places = np.arange(32)

    def centre(ink):
        return (ink.sum(0) @ places / ink.sum(), ink.sum(1) @ places / ink.sum())

    x, y = centre(ink_of("8", 0, FONTS[0], level))
    for index, expected in ((5, (2.5, 0.0)), (6, (0.0, 2.5))):
        moved = list(level)
        moved[index] = 1.0
        there = centre(ink_of("8", 0, FONTS[0], moved))
        assert there == pytest.approx((x + expected[0], y + expected[1]), abs=0.1)
    turned = list(level)
    turned[4] = 1.0
    upright = Image.fromarray((ink_of("1", 0, FONTS[0], level) * 255).astype(np.uint8))
    # Pillow turns counterclockwise, and y points down here.
    differences = [
        np.abs(
            ink_of("1", 0, FONTS[0], turned)
            - np.asarray(upright.rotate(degrees, Image.Resampling.BILINEAR), float) / 255
        ).mean()
        for degrees in (-14, 0, 14)
    ]
    assert 2 * differences[0] < differences[1] < differences[2]


def test_every_font_and_every_length_is_drawn(monkeypatch):
    drawn = []
    draw_text = render._draw_text

    def record(text, middle, font, choice):
        drawn.append((text, middle, font))
        return draw_text(text, middle, font, choice)

    monkeypatch.setattr(render, "_draw_text", record)
    _, labels = render_pictures(400, seed=0)
    assert {font for _, _, font in drawn} == set(FONTS)
    shares = np.bincount([len(text) for text, _, _ in drawn], minlength=4) / 400
    assert shares[0] == 0 and (shares[1:] > 0.25).all()
    assert {(len(text), middle) for text, middle, _ in drawn} == {
        (1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2),
    }  # fmt: skip
    assert [int(text[middle]) for text, middle, _ in drawn] == labels.tolist()


def test_strokes_differ_from_the_background_in_brightness():
    weights = np.array([0.299, 0.587, 0.114])
    for number in range(50):
        generator = np.random.default_rng(number)
        background = render._draw_background(generator)
        assert background.min() >= 0 and background.max() <= 255
        colour = render._draw_colour(generator, background)
        behind = background[8:24, 8:24].reshape(-1, 3).mean(axis=0)
        assert abs(colour @ weights - behind @ weights) >= MIN_CONTRAST - 1e-3


def test_colours_of_strokes_and_backgrounds_vary(rendered):
    corners = rendered[0][:, 0, 0].astype(float)
    middles = rendered[0][:, 15:17, 15:17].mean(axis=(1, 2))
    assert (corners.std(axis=0) > 55).all()
    assert (middles.std(axis=0) > 55).all()


def test_blur_removes_detail(monkeypatch):
    def detail(blur):
        monkeypatch.setattr(render, "BLUR_RANGE", (blur, blur))
        pictures, _ = render_pictures(30, seed=0)
        return np.abs(np.diff(pictures.astype(float), axis=2)).mean()

    sharp, some, most = detail(BLUR_RANGE[0]), detail(0.8), detail(BLUR_RANGE[1])
    assert sharp > 1.1 * some > 1.2 * most


def test_digits_can_be_told_from_their_pictures(rendered):
    from sklearn.neighbors import KNeighborsClassifier

    pictures, labels = rendered
    grey = pictures[:, 4:28:2, 7:25:2].astype(float).mean(axis=3).reshape(1200, -1)
    centred = grey - np.median(grey, axis=1, keepdims=True)
    # Bright strokes on dark ground and dark ones on bright ground are the same to a square.
    strokes = np.square(centred / (np.abs(centred).max(axis=1, keepdims=True) + 1))
    model = KNeighborsClassifier(5).fit(strokes[:1000], labels[:1000])
    accuracy = model.score(strokes[1000:], labels[1000:])
    assert accuracy > 0.4
    shuffled = np.random.default_rng(0).permutation(labels[1000:])
    assert model.score(strokes[1000:], shuffled) < 0.2


def test_a_set_of_any_size_is_prepared_in_order(prepare):
    builder = prepare(builders.Builder, config=builders.make_config(12, 5, seed=4))
    assert builder.info.full_name == "synthetic_digits/train12_test5_seed4/1.0.0"
    assert builder.info.disable_shuffling
    for split, count, first in (("train", 12, 0), ("test", 5, 2**32)):
        pictures, labels = render_pictures(count, seed=4, first=first)
        examples = list(builder.as_data_source(split))
        np.testing.assert_array_equal([example["image"] for example in examples], pictures)
        assert [example["label"] for example in examples] == labels.tolist()


def test_published_configs(tmp_path):
    configs = builders.Builder.builder_configs
    sizes = {name: (vars(own)["num_train"], vars(own)["num_test"]) for name, own in configs.items()}
    assert sizes == {
        "default": (100_000, 10_000),
        "large": (479_400, 9_553),
    }
    info = builders.Builder(data_dir=tmp_path).info
    assert info.config_name == "default"
    assert "ganin2016" in info.citation and info.homepage and info.redistribution_info.license


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 0), "num_train of synthetic_digits is 0"),
        ((1, 500_001, 0), "num_test of synthetic_digits is 500001; it must be at most 500000"),
        ((1, 1, -1), "seed of synthetic_digits is -1"),
    ],
)
def test_configs_out_of_range_are_refused(arguments, message):
    num_train, num_test, seed = arguments
    with pytest.raises(ValueError, match=message):
        builders.make_config(num_train, num_test, seed=seed)


@pytest.mark.parametrize(
    ("num_pictures", "options", "name"),
    [
        (0, {"seed": 0}, "num_pictures"),
        (1, {"seed": -1}, "seed"),
        (1, {"seed": 0, "first": -1}, "first"),
    ],
)
def test_arguments_out_of_range_are_refused(num_pictures, options, name):
    with pytest.raises(ValueError, match=name):
        render_pictures(num_pictures, **options)


def test_a_missing_font_is_named(monkeypatch):
    monkeypatch.setattr(render, "FONTS", ("NoSuchFont",))
    with pytest.raises(FileNotFoundError, match="NoSuchFont"):
        render_picture(0, 0)


def test_a_config_of_any_size_is_found_again_by_its_name():
    made = builders.make_config(50, 10, seed=3)
    found = builders.find_config(made.name)
    assert found is not None
    assert (found.name, found.num_train, found.num_test, found.seed) == (made.name, 50, 10, 3)
    assert builders.find_config("default") is None
    with pytest.raises(ValueError, match="num_train of synthetic_digits is 0"):
        builders.find_config("train0_test10_seed3")
