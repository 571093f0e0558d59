"""Tests of the augmentations."""

import inspect
import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from common.data import augment
from common.data.augment import make_augment
from common.data.augmentation.crop import shift
from common.training.batch import make_assemble

PIXELS = 2
DISTANCES = list(itertools.product(range(-PIXELS, PIXELS + 1), repeat=2))
KEY = jax.random.key(0)
# No value is zero or occurs twice, so that every translation can be told from every other.
IMAGES = jnp.arange(1.0, 1 + 400 * 5 * 6 * 2).reshape(400, 5, 6, 2)

jitted = jax.jit(partial(shift, pixels=PIXELS), static_argnames="probability")


def translate(picture, rows, columns):
    """Moves a picture down and to the right; what comes in is zero."""
    height, width, _ = picture.shape
    moved = np.zeros_like(picture)
    moved[max(rows, 0) : height + rows, max(columns, 0) : width + columns] = picture[
        max(-rows, 0) : height - rows, max(-columns, 0) : width - columns
    ]
    return moved


def find_distances(before, after):
    """The distances by which pictures were translated; fails for anything but a translation."""
    found = []
    for picture, moved in zip(np.asarray(before), np.asarray(after), strict=True):
        matches = [
            distance
            for distance in DISTANCES
            if np.array_equal(translate(picture, *distance), moved)
        ]
        assert len(matches) == 1
        found += matches
    return found


def test_every_picture_is_translated_and_every_distance_occurs():
    found = find_distances(IMAGES, jitted(KEY, IMAGES, probability=1.0))
    assert set(found) == set(DISTANCES)
    # Of 400 draws, 80 fall on each of five distances.
    for axis in range(2):
        counts = np.bincount([distance[axis] + PIXELS for distance in found])
        assert counts.min() > 50


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_the_probability_is_respected(probability):
    found = find_distances(IMAGES, jitted(KEY, IMAGES, probability=probability))
    stayed = np.mean([distance == (0, 0) for distance in found])
    if probability == 0:
        assert stayed == 1
    # One of 25 draws moves a picture by nothing.
    assert stayed == pytest.approx(1 - probability * 24 / 25, abs=0.06)


def test_a_key_gives_one_result_and_another_key_another():
    first = jitted(KEY, IMAGES, probability=1.0)
    np.testing.assert_array_equal(first, jitted(KEY, IMAGES, probability=1.0))
    other = jitted(jax.random.key(1), IMAGES, probability=1.0)
    assert find_distances(IMAGES, other) != find_distances(IMAGES, first)


def test_nothing_moves_by_zero_pixels():
    stay = jax.jit(partial(shift, pixels=0, probability=1.0))
    moved = stay(KEY, IMAGES[:3])
    np.testing.assert_array_equal(moved, IMAGES[:3])


def test_a_config_chains_augmentations_each_with_a_key_of_its_name(monkeypatch):
    options = {"pixels": PIXELS, "probability": 1.0}
    negate = lambda key, images, *, factor: -factor * images  # noqa: E731
    monkeypatch.setitem(augment.AUGMENTATIONS, "negate", negate)
    np.testing.assert_array_equal(make_augment({})(KEY, IMAGES), IMAGES)
    alone = jax.jit(make_augment({"shift": options}))(KEY, IMAGES)
    assert len(set(find_distances(IMAGES, alone))) > 1
    chain = make_augment({"negate": {"factor": 2}, "shift": options})
    chained = jax.jit(chain)(KEY, IMAGES)
    np.testing.assert_array_equal(chained, -2 * alone)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"pixels": 1}, "augment.shift.probability is missing"),
        ({"pixels": 1, "probability": 0.5, "angle": 3}, "augment.shift.angle is unknown; legal"),
        ({"pixels": 0.5, "probability": 0.5}, "augment.shift.pixels is 0.5; it must be a whole"),
        ({"pixels": 1, "probability": -0.5}, "augment.shift.probability is -0.5; it must lie in"),
    ],
)
def test_options_that_cannot_be_are_refused_under_their_key(options, sentence):
    with pytest.raises(ValueError, match=f"config.data.strong_{sentence}"):
        make_augment({"shift": options}, "config.data.strong_augment")


WRONG = {"probability": 1.5, "fill": -0.1, "pixels": True, "area": 0.5, "ratio": [2, 1]}
WRONG |= {"degrees": 200, "scale": [0, 1], "shear": 90, "translate": 2, "side": [0.5, 1.5]}
WRONG |= {"brightness": -1, "contrast": "1", "saturation": None, "hue": 0.6, "sigma": [-1, 1]}
WRONG |= {"number": 1.5, "magnitude": 10, "random_magnitude": 1, "operations": ["invert"]}
WRONG |= {"mode": "wrap"}


@pytest.mark.parametrize("name", augment.AUGMENTATIONS)
def test_every_option_of_every_augmentation_is_checked(name):
    parameters = inspect.signature(augment.AUGMENTATIONS[name]).parameters.values()
    own = [one for one in parameters if one.kind is one.KEYWORD_ONLY]
    # The defaults are legal, and those that must be given have legal values of one kind.
    legal = {"pixels": 1, "probability": 1} | {
        one.name: one.default for one in own if one.default is not one.empty
    }
    legal = {one.name: legal[one.name] for one in own}
    make_augment({name: legal})
    for option in legal:
        value = WRONG[option]
        with pytest.raises(ValueError, match=rf"^config.data.augment.{name}.{option}") as error:
            make_augment({name: legal | {option: value}})
        assert "\n" not in str(error.value)


def test_an_augmentation_of_ones_own_is_checked_by_its_annotations(monkeypatch):
    def spin(key, images, *, times: int, probability: float, note="x"):
        return images

    monkeypatch.setitem(augment.AUGMENTATIONS, "spin", spin)
    make_augment({"spin": {"times": 1, "probability": 0.5, "note": 3}})
    for options, sentence in (
        ({"times": -1, "probability": 0.5}, "spin.times is -1; it must be a whole number"),
        ({"times": 1, "probability": 2.0}, "spin.probability is 2.0; it must lie in"),
    ):
        with pytest.raises(ValueError, match=sentence):
            make_augment({"spin": options})


def test_an_unknown_augmentation_is_refused():
    with pytest.raises(ValueError, match="augment.blurr is unknown; did you mean 'blur'?"):
        make_augment({"shift": {"pixels": 1, "probability": 1.0}, "blurr": {}})


def applied(config):
    """The order in which a chain applies its augmentations."""
    calls = []

    def note(name):
        def own(key, images):
            calls.append((name, jax.random.key_data(key).tolist()))
            return images

        return own

    with pytest.MonkeyPatch.context() as patch:
        for name in augment.AUGMENTATIONS:
            patch.setitem(augment.AUGMENTATIONS, name, note(name))
        make_augment(config)(KEY, IMAGES)
    return calls


def test_the_order_is_that_of_the_table_unless_it_is_given():
    chain = ConfigDict({"cutout": {}, "flip": {}, "blur": {}})
    # A ConfigDict sorts its keys, so their order cannot mean anything.
    assert [name for name, _ in applied(chain.to_dict())] == ["flip", "blur", "cutout"]
    assert [name for name, _ in applied({"flip": {}, "cutout": {}, "blur": {}})] == [
        "flip",
        "blur",
        "cutout",
    ]
    given = applied(chain.to_dict() | {"order": ["cutout", "blur", "flip"]})
    assert [name for name, _ in given] == ["cutout", "blur", "flip"]


def test_a_key_is_the_names_own_whatever_else_stands_in_the_config():
    alone = dict(applied({"blur": {}}))
    both = dict(applied({"blur": {}, "flip": {}, "order": ["flip", "blur"]}))
    assert alone["blur"] == both["blur"] != both["flip"]


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        (["flip"], r"augment.order is \['flip'\]; it must name all of flip, blur"),
        (["flip", "flip", "blur"], "augment.order names 'flip' twice"),
        (["flip", "blur", "cutout"], "augment.order names 'cutout'; legal are flip, blur"),
        ("flip", "augment.order is 'flip'; it must be a list of flip, blur"),
    ],
)
def test_an_order_that_is_none_is_refused(order, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_augment({"flip": {}, "blur": {}, "order": order})


def test_weak_and_strong_views_show_the_same_example_by_draws_of_their_own():
    options = {"shift": {"pixels": PIXELS, "probability": 1.0}}
    config = {"augment": options, "strong_augment": options}
    views = ("image", "strong_image", "index")
    assemble = make_assemble(config, {"source": views, "target": views})
    tables = {
        role: {
            "maximum": jnp.float32(1),
            "mean": jnp.zeros((1, 1, 1, 1)),
            "train": jnp.arange(400),
            "label": jnp.zeros(400, jnp.int32),
        }
        for role in ("source", "target")
    }
    drawn = {role: jax.random.permutation(KEY, 400) for role in tables}
    stored = {role: IMAGES[drawn[role]] for role in tables}
    batch = jax.jit(assemble)(tables, drawn, stored, KEY)
    found = [
        find_distances(stored[role], batch[role][field])
        for role in ("source", "target")
        for field in ("image", "strong_image")
    ]
    # Two draws agree in one of 25 pictures by chance.
    for one, other in itertools.combinations(found, 2):
        same = np.mean([a == b for a, b in zip(one, other, strict=True)])
        assert same == pytest.approx(1 / 25, abs=0.04)
