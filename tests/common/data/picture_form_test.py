"""Tests of bringing pictures to a form: size, fit and channels."""

import numpy as np
import pytest

from common.data.picture import FITS, Form, adapt, check_form

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 7, 1), np.uint8)
COLOUR = RNG.integers(0, 256, (5, 7, 3), np.uint8)


def test_form_is_kept_where_nothing_is_asked():
    for picture in (GREY, COLOUR):
        for fit in FITS:
            assert adapt(picture, Form(0, fit, 0)) is picture
            assert adapt(picture, Form(0, fit, picture.shape[2])) is picture


def test_grey_is_repeated_and_colour_weighed():
    np.testing.assert_array_equal(
        adapt(GREY, Form(0, "center", 3)), GREY * np.ones((1, 1, 3), np.uint8)
    )
    colours = RNG.integers(0, 256, (50, 50, 3), np.uint8)
    grey = adapt(colours, Form(0, "center", 1))
    assert grey.shape == (50, 50, 1)
    np.testing.assert_allclose(grey[..., 0], colours @ [0.299, 0.587, 0.114], atol=0.502)


@pytest.mark.parametrize("size", [1, 4, 5, 6, 7, 8, 13])
@pytest.mark.parametrize("picture", [GREY, COLOUR])
def test_center_moves_no_pixel_against_the_centre(size, picture):
    found = adapt(picture, Form(size, "center", 0))
    assert found.shape == (size, size, picture.shape[2])
    assert found.flags.c_contiguous and found.base is None
    height, width = picture.shape[:2]
    down = (height - size) // 2 if height > size else -((size - height) // 2)
    across = (width - size) // 2 if width > size else -((size - width) // 2)
    for row in range(size):
        for column in range(size):
            inside = 0 <= row + down < height and 0 <= column + across < width
            expected = picture[row + down, column + across] if inside else 0
            np.testing.assert_array_equal(found[row, column], expected)


def test_mnist_is_padded_by_two():
    found = adapt(np.full((28, 28, 1), 9, np.uint8), Form(32, "center", 0))
    assert (found[2:30, 2:30] == 9).all() and found.sum() == 9 * 28 * 28


def weights(old, new):
    """A triangle about each new pixel's centre, as wide as two pixels of the coarser side."""
    scale = max(old / new, 1)
    centres = (np.arange(new) + 0.5) * old / new
    distance = np.abs(np.arange(old) + 0.5 - centres[:, None]) / scale
    triangle = np.maximum(0, 1 - distance)
    return triangle / triangle.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [1, 3, 5, 8, 20])
@pytest.mark.parametrize("picture", [GREY, COLOUR])
def test_resize_weighs_by_a_triangle(size, picture):
    found = adapt(picture, Form(size, "resize", 0))
    expected = np.einsum(
        "rh,cw,hwk->rck", weights(picture.shape[0], size), weights(picture.shape[1], size), picture
    )
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1.6)


def test_cover_resamples_the_largest_square_about_the_centre():
    wide = RNG.integers(0, 256, (10, 31, 3), np.uint8)
    square = wide[:, 10:20]
    expected = np.einsum("rh,cw,hwk->rck", weights(10, 4), weights(10, 4), square)
    np.testing.assert_allclose(adapt(wide, Form(4, "cover", 0)), expected, atol=1.6)
    np.testing.assert_array_equal(adapt(wide, Form(10, "cover", 0)), square)
    tall = adapt(wide.swapaxes(0, 1), Form(10, "cover", 0))
    np.testing.assert_array_equal(tall, square.swapaxes(0, 1))


def test_a_thin_picture_cannot_fill_the_memory():
    thin = np.zeros((1, 200_000, 3), np.uint8)
    assert adapt(thin, Form(64, "cover", 0)).shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        (Form(-1, "center", 0), "config.data.size is -1; it must be a whole number of at least 0"),
        (Form(8193, "center", 0), "config.data.size is 8193; at most 8192 are possible"),
        (Form(8, "centre", 0), "config.data.fit is 'centre'; did you mean 'center'?"),
        (Form(8, "center", 2), "config.data.channels is 2; legal are 0 "),
        (Form(8, "center", 4), "config.data.channels is 4; legal are 0 "),
    ],
)
def test_a_form_that_does_not_exist_is_refused(form, sentence):
    for refuse in (check_form, lambda form: adapt(GREY, form)):
        with pytest.raises(ValueError) as refused:
            refuse(form)
        assert str(refused.value).startswith(sentence)
