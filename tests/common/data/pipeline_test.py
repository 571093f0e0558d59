"""Tests of the order of the examples."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data.pipeline import (
    balanced_classes,
    batch_sizes_of,
    check_sizes,
    indices,
    scale_images,
)

NUM_STEPS = 6


def draw(first_step, num_steps, size, batch, seed=0):
    """Positions of one domain, one after the other."""
    drawn = indices(jax.random.key(seed), first_step, num_steps, {"a": size}, {"a": batch})["a"]
    assert drawn.shape == (num_steps, batch)
    return np.asarray(drawn).ravel()


def by_epoch(positions, first_step, size, batch):
    """Splits positions where epochs end, counted in Python's unbounded integers."""
    start = first_step * batch
    epochs = [(start + offset) // size for offset in range(len(positions))]
    pairs = zip(epochs, positions.tolist(), strict=True)
    groups = itertools.groupby(pairs, key=lambda pair: pair[0])
    return [[position for _, position in group] for _, group in groups]


def assert_without_replacement(epochs, size):
    for number, epoch in enumerate(epochs):
        assert len(set(epoch)) == len(epoch)
        assert set(epoch) <= set(range(size))
        if 0 < number < len(epochs) - 1:
            assert len(epoch) == size


@pytest.mark.parametrize(("size", "batch"), [(7, 3), (6, 3), (5, 5), (9, 8), (1, 1)])
@given(first_step=st.integers(0, 1000), seed=st.integers(0, 2**32 - 1))
def test_every_epoch_holds_every_example_once(size, batch, first_step, seed):
    positions = draw(first_step, NUM_STEPS, size, batch, seed)
    assert_without_replacement(by_epoch(positions, first_step, size, batch), size)


def test_the_ragged_tail_is_used_and_no_epoch_is_cut_short():
    """Seven steps of three are three whole epochs of seven."""
    positions = draw(0, 7, 7, 3)
    np.testing.assert_array_equal(np.bincount(positions), [3] * 7)


@given(first_step=st.integers(0, 10**6), cuts=st.sets(st.integers(1, NUM_STEPS - 1)).map(sorted))
def test_any_chunks_give_the_same_positions(first_step, cuts):
    whole = draw(first_step, NUM_STEPS, 7, 3)
    ends = [*cuts, NUM_STEPS]
    chunks = [
        draw(first_step + start, end - start, 7, 3)
        for start, end in zip([0, *cuts], ends, strict=True)
    ]
    np.testing.assert_array_equal(np.concatenate(chunks), whole)


@pytest.mark.parametrize("first_step", [10**8, 2**31 - 5, 10**9])
def test_large_step_numbers_do_not_overflow(first_step):
    """The number of examples seen is beyond 32 bits, and no power of two is a multiple of 100."""
    size, batch = 100, 64
    positions = draw(first_step, NUM_STEPS, size, batch)
    epochs = by_epoch(positions, first_step, size, batch)
    assert len(epochs) >= 4
    assert_without_replacement(epochs, size)
    np.testing.assert_array_equal(
        draw(first_step + 3, 2, size, batch), positions[3 * batch : 5 * batch]
    )


def test_epochs_and_seeds_differ():
    runs = [draw(0, 4, 50, 50, seed).reshape(4, 50) for seed in (0, 1)]
    orders = {tuple(order) for run in runs for order in run.tolist()}
    assert len(orders) == 8
    assert tuple(range(50)) not in orders


def test_one_domain_does_not_change_the_order_of_another():
    def orders(**sizes):
        batch_sizes = {domain: 5 + (size == 9) for domain, size in sizes.items()}
        drawn = indices(jax.random.key(0), 3, 4, sizes, batch_sizes)
        return {domain: np.asarray(order) for domain, order in drawn.items()}

    alone = orders(source=20)["source"]
    for others in ({"target": 20}, {"target": 9}, {"target": 20, "target_labelled": 20}):
        drawn = orders(**others, source=20)
        np.testing.assert_array_equal(drawn.pop("source"), alone)
        assert not any(np.array_equal(order, alone) for order in drawn.values())


def test_members_of_a_population_draw_as_they_would_alone():
    keys = jax.random.split(jax.random.key(0), 3)
    sizes, batch_sizes = {"a": 7}, {"a": 3}
    together = jax.vmap(lambda key: indices(key, 5, 4, sizes, batch_sizes)["a"])(keys)
    for key, drawn in zip(keys, together, strict=True):
        np.testing.assert_array_equal(indices(key, 5, 4, sizes, batch_sizes)["a"], drawn)


def test_batches_that_cannot_be_filled_are_refused():
    check_sizes({"source": 5, "target": 8}, {"source": 5, "target": 1})
    for batch in (0, -1, 6):
        with pytest.raises(ValueError, match=f"batch_size is {batch}; .* of target has 5 examples"):
            check_sizes({"source": 8, "target": 5}, {"source": 1, "target": batch})


def test_pictures_are_scaled_to_one_as_floats():
    stored = jnp.asarray([[0, 4, 16]], jnp.uint8)
    scaled = scale_images(stored, jnp.asarray(16.0))
    assert scaled.dtype == jnp.float32
    np.testing.assert_array_equal(scaled, [[0.0, 0.25, 1.0]])


def test_a_domain_may_have_a_batch_size_of_its_own():
    config = {"batch_size": 64, "batch_sizes": {"target": 192}}
    sizes = batch_sizes_of(config, ("source", "target"))
    assert sizes == {"source": 64, "target": 192}
    with pytest.raises(ValueError, match="batch_sizes.target is unknown"):
        batch_sizes_of(config, ("source",))
    with pytest.raises(ValueError, match="batch_sizes.target is '3'"):
        batch_sizes_of({"batch_size": 64, "batch_sizes": {"target": "3"}}, ("target",))


def draw_balanced(first_step, num_steps, classes, each, batch):
    sizes, batch_sizes = {"a": classes * each}, {"a": batch}
    drawn = indices(jax.random.key(0), first_step, num_steps, sizes, batch_sizes, {"a": classes})[
        "a"
    ]
    assert drawn.shape == (num_steps, batch)
    return np.asarray(drawn)


@pytest.mark.parametrize(
    ("classes", "each", "batch"), [(10, 1, 16), (10, 3, 16), (3, 5, 3), (3, 2, 16), (10, 3, 4)]
)
def test_balanced_steps_see_classes_equally_often_and_so_their_examples(classes, each, batch):
    drawn = draw_balanced(0, 1000, classes, each, batch)
    assert drawn.min() == 0 and drawn.max() == classes * each - 1
    for step in drawn[:50]:
        counts = np.bincount(step, minlength=classes * each).reshape(each, classes)
        of_classes = counts.sum(0)
        assert of_classes.max() - of_classes.min() <= 1
        assert (np.ptp(counts, axis=0) <= 1).all()
    # In the long run no example of a class is preferred, nor a class where a batch cuts a turn.
    shares = np.bincount(drawn.ravel(), minlength=classes * each) / drawn.size
    np.testing.assert_allclose(shares, 1 / (classes * each), rtol=0.5)


def test_balanced_steps_are_the_same_in_any_chunks():
    whole = draw_balanced(7, 6, 10, 3, 16)
    parts = [draw_balanced(7, 2, 10, 3, 16), draw_balanced(9, 4, 10, 3, 16)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert len({step.tobytes() for step in whole}) == 6


def test_a_budget_of_labels_sets_the_labelled_part_of_a_batch():
    config = {"batch_size": 64, "batch_sizes": {}, "target_labels_per_class": 3}
    domains = ("source", "target_labelled")
    assert batch_sizes_of(config, domains) == {"source": 64, "target_labelled": 16}
    chosen = config | {"batch_sizes": {"target_labelled": 5}}
    assert batch_sizes_of(chosen, domains)["target_labelled"] == 5
    whole = config | {"target_labels_per_class": 0}
    assert batch_sizes_of(whole, domains)["target_labelled"] == 64
    sizes = {"source": 900, "target_labelled": 12}
    classes = balanced_classes(config, sizes)
    assert classes == {"target_labelled": 4} and balanced_classes(whole, sizes) == {}
    check_sizes(sizes, batch_sizes_of(config, domains), classes)
    with pytest.raises(ValueError, match="target_labelled has 12 examples"):
        check_sizes(sizes, batch_sizes_of(config, domains))
