"""Tests of the forms of convolution and pooling, and of the choice between them.

Whole numbers make the sums exact in every order, so equal means equal to the last bit.
"""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from common.models.convolution import (
    Convolution,
    convolve,
    convolve_native,
    convolve_patches,
    max_pool,
    max_pool_native,
    max_pool_slices,
)
from common.models.mode import EVALUATION, TRAINING
from common.models.normalization import Normalization
from tests.tiny import quick_compilation

PLATFORMS = ("cpu", "cuda", "tpu")


def draw(seed, *shape):
    """Small whole numbers."""
    return jnp.asarray(np.random.default_rng(seed).integers(-4, 5, shape), jnp.float32)


def draw_without_ties(seed, *shape):
    """Whole numbers, each of them once."""
    numbers = np.random.default_rng(seed).permutation(int(np.prod(shape))).reshape(shape)
    return jnp.asarray(numbers, jnp.float32) - numbers.size // 2


def value_and_gradients(form, *inputs):
    """The value of a form and what its backward pass makes of a drawn cotangent."""
    value, pull_back = jax.vjp(form, *inputs)
    return value, *pull_back(draw(2, *value.shape))


def assert_equal(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("window", "size"), [((3, 3), (8, 6)), ((3, 3), (7, 9)), ((2, 4), (7, 6))])
def test_patches_equal_the_native_form(stride, padding, window, size):
    inputs = draw(0, 2, *size, 3), draw(1, *window, 3, 5)
    native, patches, dispatched = jax.jit(
        lambda *inputs: [
            value_and_gradients(lambda x, k, form=form: form(x, k, stride, padding), *inputs)
            for form in (convolve_native, convolve_patches, convolve)
        ]
    )(*inputs)
    assert_equal(patches, native)
    assert_equal(dispatched, native)


@pytest.mark.parametrize(("window", "padding"), [(3, 1), (1, 0)])
def test_paddings_of_pixels_are_the_same_on_all_sides(window, padding):
    """Where strides leave pixels over, `SAME` would pad the lower right alone."""
    images, kernel = draw(0, 2, 8, 6, 2), draw(1, window, window, 2, 3)
    around = ((0, 0), (padding, padding), (padding, padding), (0, 0))

    @jax.jit
    def run(images, kernel):
        forms = [
            value_and_gradients(lambda x, k, form=form: form(x, k, 2, padding), images, kernel)
            for form in (convolve_native, convolve_patches, convolve)
        ]
        expected = convolve_native(jnp.pad(images, around), kernel, 2, "VALID")
        # No zero of the border is larger than what is in the picture.
        pooled = max_pool(images, window, 2, padding)
        lowest = jnp.pad(images, around, constant_values=-jnp.inf)
        return forms, expected, pooled, max_pool_native(lowest, window, 2, "VALID")

    with quick_compilation():
        (native, patches, dispatched), expected, *pooled = run(images, kernel)
    assert_equal(patches, native)
    assert_equal(dispatched, native)
    assert_equal(native[0], expected)
    assert_equal(*pooled)


def test_a_window_smaller_than_the_stride():
    images, kernel = draw(0, 2, 6, 7, 3), draw(1, 1, 1, 3, 4)
    forms = convolve_patches, convolve_native
    assert_equal(*jax.jit(lambda x, k: [form(x, k, 2, "SAME") for form in forms])(images, kernel))


@pytest.mark.parametrize("form", [convolve_patches, convolve])
def test_members_in_a_scan_equal_a_plain_loop(form):
    members = draw(0, 3, 3, 3, 2, 4)
    batches, cotangents = draw(1, 3, 2, 5, 6, 2), draw(2, 3, 2, 3, 3, 4)

    def step(form, kernel, batch, cotangent):
        value, pull_back = jax.vjp(lambda x, k: form(x, k, 2, "SAME"), batch, kernel)
        image_gradient, kernel_gradient = pull_back(cotangent)
        return kernel + kernel_gradient, (value, image_gradient)

    @jax.jit
    @jax.vmap
    def scan(kernel):
        return lax.scan(lambda carry, each: step(form, carry, *each), kernel, (batches, cotangents))

    kernels, outputs = scan(members)
    native_step = jax.jit(lambda *inputs: step(convolve_native, *inputs))
    for member, kernel in enumerate(members):
        for index in range(len(batches)):
            kernel, expected = native_step(kernel, batches[index], cotangents[index])
            assert_equal([part[member, index] for part in outputs], list(expected))
        assert_equal(kernels[member], kernel)


def test_second_derivatives_equal_those_of_the_native_form():
    """Virtual adversarial training differentiates through a gradient."""
    images, kernel = draw(0, 1, 4, 4, 1), draw(1, 2, 2, 1, 2)

    def slope(form, images, kernel):
        squares = lambda images: jnp.sum(form(images, kernel, 1, "SAME") ** 2)  # noqa: E731
        return jnp.sum(jax.grad(squares)(images) ** 2)

    gradients = jax.jit(
        lambda *inputs: [
            jax.grad(lambda *inputs, form=form: slope(form, *inputs), (0, 1))(*inputs)
            for form in (convolve_native, convolve)
        ]
    )
    assert_equal(*gradients(images, kernel))


def lowered(function, platform, *inputs):
    return jax.jit(function).trace(*inputs).lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platform_gets_its_form_in_both_passes(platform):
    """Elsewhere than on CPUs, no residual of the patches may be computed or kept."""
    program = lowered(
        lambda images, kernel: value_and_gradients(convolve, images, kernel),
        *(platform, draw(0, 2, 6, 6, 2), draw(1, 3, 3, 2, 4)),
    )
    assert ("stablehlo.convolution" in program) == (platform != "cpu")
    assert ("stablehlo.dot_general" in program) == (platform == "cpu")
    program = lowered(
        lambda images: value_and_gradients(max_pool, images), platform, draw(0, 2, 6, 6, 2)
    )
    assert ("stablehlo.select_and_scatter" in program) == (platform != "cpu")


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("stride", "use_bias"), [(1, True), (2, False)])
def test_the_layer_is_that_of_flax(padding, stride, use_bias):
    images, key = draw(0, 2, 7, 6, 3), jax.random.key(3)
    ours = Convolution(5, 3, stride, padding, use_bias)
    flax = nn.Conv(5, (3, 3), strides=stride, padding=padding, use_bias=use_bias)
    variables, expected = jax.jit(lambda: (ours.init(key, images), flax.init(key, images)))()
    assert_equal(variables, expected)

    variables = jax.tree.map(lambda leaf: draw(4, *leaf.shape), variables)
    assert_equal(
        *jax.jit(lambda variables: [each.apply(variables, images) for each in (ours, flax)])(
            variables
        )
    )


def test_a_window_must_fit_into_the_padded_maps():
    images, kernel = draw(0, 1, 4, 4, 1), draw(1, 7, 7, 1, 1)
    maps = jax.eval_shape(lambda images, kernel: convolve(images, kernel, 1, 2), images, kernel)
    assert maps.shape == (1, 2, 2, 1)
    with pytest.raises(ValueError, match="a window of 7 by 7 pixels does not fit into maps of 4"):
        convolve(images, kernel, 1, 1)
    with pytest.raises(ValueError, match="padding is -1; it must be a whole number of at least 0"):
        max_pool(images, 2, 2, -1)


def test_an_unknown_padding_is_refused():
    with pytest.raises(ValueError, match="padding is 'same'; legal are SAME, VALID"):
        convolve(draw(0, 1, 4, 4, 1), draw(1, 3, 3, 1, 1), 1, "same")


@pytest.mark.parametrize(
    "form", [convolve, lambda images, kernel, *where: max_pool(images, 3, *where)]
)
def test_pictures_smaller_than_the_window_are_refused(form):
    kernel = draw(1, 3, 3, 1, 1)
    message = "a window of 3 by 3 pixels does not fit into maps of 4 by 2: the pictures are too "
    with pytest.raises(ValueError, match=message + "small for this network"):
        form(draw(0, 1, 4, 2, 1), kernel, 1, "VALID")
    assert form(draw(0, 1, 4, 2, 1), kernel, 1, "SAME").shape == (1, 4, 2, 1)


@pytest.mark.parametrize("window", [2, 3])
@pytest.mark.parametrize("size", [(6, 6), (7, 8)])
def test_pooling_equals_the_native_form(window, size):
    images = draw_without_ties(0, 2, *size, 3)
    native, reshaped, dispatched = jax.jit(
        lambda images: [
            value_and_gradients(lambda x, form=form: form(x, window, window, "VALID"), images)
            for form in (max_pool_native, max_pool_slices, max_pool)
        ]
    )(images)
    assert_equal(reshaped, native)
    assert_equal(dispatched, native)
    assert_equal(native[0], nn.max_pool(images, (window, window), (window, window)))


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("window", "stride"), [(3, 2), (3, 1), (2, 1), (2, 2), (2, 3)])
@pytest.mark.parametrize("size", [(8, 6), (7, 9)])
def test_pooling_over_windows_that_overlap_equals_the_native_form(padding, window, stride, size):
    images = draw_without_ties(0, 2, *size, 3)
    with quick_compilation():
        native, slices, dispatched = jax.jit(
            lambda images: [
                value_and_gradients(lambda x, form=form: form(x, window, stride, padding), images)
                for form in (max_pool_native, max_pool_slices, max_pool)
            ]
        )(images)
    assert_equal(slices, native)
    assert_equal(dispatched, native)
    assert_equal(native[0], nn.max_pool(images, (window, window), (stride, stride), padding))


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_overlapping_windows_of_members_in_a_scan_equal_the_native_form(padding):
    images = draw_without_ties(0, 3, 2, 2, 6, 5, 1)

    def step(form, images):
        return value_and_gradients(lambda x: form(x, 3, 2, padding), images)

    scanned = jax.jit(
        jax.vmap(
            lambda images: lax.scan(lambda _, each: (None, step(max_pool, each)), None, images)[1]
        )
    )(images)
    native = jax.jit(lambda images: step(max_pool_native, images))
    for member, index in itertools.product(range(3), range(2)):
        assert_equal([part[member, index] for part in scanned], list(native(images[member, index])))


def test_pooling_members_in_a_scan_equals_the_native_form():
    images = draw_without_ties(0, 3, 2, 2, 4, 4, 1)
    step = lambda _, images: (None, value_and_gradients(max_pool, images))  # noqa: E731
    scanned = jax.jit(jax.vmap(lambda images: lax.scan(step, None, images)[1]))(images)
    native = jax.jit(
        lambda images: value_and_gradients(lambda x: max_pool_native(x, 2, 2, "VALID"), images)
    )
    for member, index in itertools.product(range(3), range(2)):
        assert_equal([part[member, index] for part in scanned], list(native(images[member, index])))


@pytest.mark.parametrize(("window", "padding"), [(2, "VALID"), (3, "VALID"), (3, "SAME")])
def test_of_a_tie_the_first_place_takes_the_gradient_as_in_the_native_form(window, padding):
    # Few numbers: nearly every window holds its maximum more than once.
    images = jnp.asarray(np.random.default_rng(0).integers(0, 2, (2, 9, 9, 3)), jnp.float32)
    assert_equal(
        *jax.jit(
            lambda images: [
                value_and_gradients(lambda x, form=form: form(x, window, 2, padding), images)
                for form in (max_pool, max_pool_native)
            ]
        )(images)
    )


@pytest.mark.parametrize("layer", [pytest.param("batch", marks=pytest.mark.matrix), "group"])
def test_gradients_behind_a_normalisation_are_those_of_the_native_form(layer, optimized):
    """The compiler may compute a normalised map twice, and round it in two ways.

    The comparison with the largest of a window must not miss it for that.
    """
    images = jnp.asarray(np.random.default_rng(0).normal(size=(3, 2, 6, 16, 16, 1)), jnp.float32)
    stage = Normalization(layer)
    first = jnp.asarray(np.random.default_rng(1).normal(size=(5, 5, 1, 8)), jnp.float32)
    second = jnp.asarray(np.random.default_rng(2).normal(size=(5, 5, 8, 8)), jnp.float32)

    def gradients(kernels, images, pool):
        def loss(kernels):
            value = images
            for kernel in kernels:
                value = convolve(value, kernel, 1, "VALID")
                variables = stage.init(jax.random.key(0), value, mode=EVALUATION)
                value, _ = stage.apply(variables, value, mode=TRAINING, mutable=["batch_stats"])
                value = pool(nn.relu(value), 2, 2, "VALID")
            return jnp.sum(value**3)

        return jax.grad(loss)(kernels)

    run = lambda pool: jax.jit(  # noqa: E731
        jax.vmap(
            lambda images: lax.scan(
                lambda _, each: (None, gradients((first, second), each, pool)), None, images
            )[1]
        ),
        compiler_options={"xla_cpu_use_fusion_emitters": True},
    )(images)
    for actual, expected in zip(run(max_pool), run(max_pool_native), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-4 * float(abs(expected).max()))


@pytest.mark.parametrize(("stride", "padding"), [(2, "VALID"), (1, "SAME")])
@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_pooling_does_not_hide_what_is_no_number(place, stride, padding):
    images = jnp.ones((1, 2, 2, 1)).at[0, *place, 0].set(jnp.nan)
    pooled = jax.jit(lambda images: max_pool(images, 2, stride, padding))(images)
    assert jnp.isnan(pooled[0, 0, 0, 0])
