"""Tests of several sources: names, pooled classes and rows, equal shares."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.data import reader, task
from common.data.domain import Domain
from common.data.example import Examples
from common.data.fingerprint import fingerprint
from common.data.pipeline import check_sizes, indices, shares_of
from common.data.pool import ConcatenatedPictures, list_sources, pool
from common.data.stream import Stream
from common.data.table import make_tables
from common.experiment.folder import resolve
from common.experiment.reporting.cell import shorten
from common.training.batch import make_assemble
from configs import base
from tests import tiny

BOTH = "folder:left+folder:right"


def examples_of(classes, labels, first=0, shape=(4, 4, 1), maximum=255.0):
    """Pictures that carry their own number, so that a mix-up shows."""
    labels = np.asarray(labels, np.int32)
    numbers = first + np.arange(len(labels), dtype=np.uint8)
    images = np.broadcast_to(numbers[:, None, None, None], (len(labels), *shape))
    return Examples(np.ascontiguousarray(images), labels, tuple(classes), maximum)


@pytest.fixture
def files(monkeypatch):
    """Domains as if read from files."""
    found = {
        "left": examples_of("abc", np.arange(40) % 3),
        "right": examples_of("cab", np.arange(60) % 3, first=100),
        "other": examples_of("abc", np.arange(50) % 3, first=200),
    }
    monkeypatch.setitem(reader.READERS, "folder", lambda place, options: found[place])
    reader.read.cache_clear()
    yield found
    reader.read.cache_clear()


def config_of(source=BOTH, **changes):
    config = base.get_config()
    config.source, config.target = source, "folder:other"
    config.update_from_flattened_dict(changes)
    return resolve(config)


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("moons", ["moons"]),
        ("moons+rotated_moons", ["moons", "rotated_moons"]),
        ("folder:a+b", ["folder:a+b"]),
        ("folder:a+moonshine", ["folder:a+moonshine"]),
        ("folder:a+b+npz:c+d.npz+digits", ["folder:a+b", "npz:c+d.npz", "digits"]),
        ("tfds:mnist+svmlight:x", ["tfds:mnist", "svmlight:x"]),
    ],
)
def test_a_plus_sign_joins_only_what_a_domains_name_follows(name, names):
    assert list_sources(name) == names


def test_a_domain_that_is_named_twice_is_refused():
    with pytest.raises(ValueError, match="it must name 'moons' once"):
        list_sources("moons+digits+moons")


def test_classes_are_pooled_by_name_and_rows_keep_their_examples(files):
    source = task.load_task(config_of())["source"]
    assert source.name == BOTH and source.examples.classes == tuple("abc")
    for row, name in ((5, "left"), (40 + 7, "right")):
        own = files[name]
        place = row if name == "left" else row - 40
        assert source.examples.images[row, 0, 0, 0] == own.images[place, 0, 0, 0]
        assert "abc"[source.examples.labels[row]] == own.classes[own.labels[place]]
    alone = [task.load_task(config_of(f"folder:{name}"))["source"] for name in ("left", "right")]
    for split in ("train", "val", "test"):
        first, second = (own.splits[split] for own in alone)
        np.testing.assert_array_equal(source.splits[split], [*first, *(second + 40)])
    counts = [len(own.splits["train"]) for own in alone]
    np.testing.assert_array_equal(source.origin, np.repeat([0, 1], counts))


def test_equal_questions_share_one_pool(files):
    first, second = (
        task.load_task(config_of(BOTH, **{"data.split_seed": seed}))["source"] for seed in (0, 1)
    )
    assert first.examples is second.examples
    assert not np.array_equal(first.splits["train"], second.splits["train"])


def test_a_single_source_is_the_very_domain(files):
    only = task.load_task(config_of("folder:left"))["source"]
    assert only.origin is None and only.examples is files["left"]
    assert pool("x", [only]) is only
    tables, _ = make_tables([task.load_task(config_of("folder:left"))], "none")
    assert "origin" not in tables["source"]


def test_sources_with_other_classes_are_refused_unless_the_config_names_them(files):
    files["right"] = examples_of("abd", np.arange(60) % 3, first=100)
    with pytest.raises(ValueError, match="'folder:left' has the classes a, b, c, 'folder:right'"):
        task.load_task(config_of())
    named = config_of(BOTH, **{"data.classes": ("a", "b")})
    assert task.load_task(named)["source"].examples.classes == ("a", "b")


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"shape": (5, 4, 1)}, r"shape \(4, 4, 1\), 'folder:right' of \(5, 4, 1\)"),
        ({"maximum": 16.0}, "largest value 255.0, 'folder:right' of 16.0"),
    ],
)
def test_pictures_of_another_form_are_refused(files, other, sentence):
    files["right"] = examples_of("abc", np.arange(60) % 3, **other)
    with pytest.raises(ValueError, match=sentence):
        task.load_task(config_of())


def test_reverse_validation_of_several_sources_is_refused(files):
    with pytest.raises(ValueError, match="trains back to one source, and config.source is"):
        task.load_task(config_of(BOTH, **{"evaluation.reverse_validation": True}))


class Store:
    """A store that is no array."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.held = array, array.shape, array.dtype, 0

    def __getitem__(self, rows):
        return self.array[rows]

    def hold(self):
        self.held += 1


def test_stores_are_concatenated_like_arrays(files):
    arrays = [files[name].images for name in ("left", "right")]
    stores = [Store(arrays[0]), Store(arrays[1])]
    both, whole = ConcatenatedPictures(stores), np.concatenate(arrays)
    assert both.shape == whole.shape and both.dtype == whole.dtype and len(both) == 100
    for rows in (slice(None), slice(30, 70, 3), np.array([[99, 0], [39, 40]]), [-1], [], 3):
        expected = whole[np.asarray(rows, int)] if not isinstance(rows, slice) else whole[rows]
        np.testing.assert_array_equal(both[rows], expected)
    assert fingerprint(both) == fingerprint(whole)
    with pytest.raises(IndexError, match="none of 100 pictures"):
        both[[100]]
    both.hold()
    assert [store.held for store in stores] == [1, 1]


def test_every_step_has_equal_shares_and_every_epoch_all_rows_of_each_source():
    sizes, batches, shares = {"source": 20, "target": 9}, {"source": 6, "target": 4}, (12, 8)
    both = {"source": shares}
    key = jax.random.key(3)
    drawn = indices(key, 0, 12, sizes, batches, shares=both)
    rows = np.asarray(drawn["source"])
    # Any even part of a batch has as many of each.
    np.testing.assert_array_equal(rows >= 12, np.tile([False, True], (12, 3)))
    for taken, first, count in ((rows[:, ::2], 0, 12), (rows[:, 1::2], 12, 8)):
        flat = taken.reshape(-1)
        for start in range(0, 36 // count * count, count):
            own = flat[start : start + count]
            assert sorted(own) == list(range(first, first + count))
    later = indices(key, 7, 5, sizes, batches, shares=both)
    np.testing.assert_array_equal(later["source"], rows[7:])
    # The other domains are drawn as ever, and so is a single source.
    plain = indices(key, 0, 12, sizes, batches)
    np.testing.assert_array_equal(plain["target"], drawn["target"])
    assert shares_of(("source",), None) == {} == shares_of(("target",), np.zeros(3, int))


@pytest.mark.parametrize(("batch", "fits"), [(6, True), (7, False), (16, True), (18, False)])
def test_batches_that_sources_cannot_share_are_refused(batch, fits):
    check = ({"source": 20}, {"source": batch}, {}, {"source": (12, 8)})
    if fits:
        check_sizes(*check)
        return
    with pytest.raises(ValueError, match="2 sources share evenly.*multiples of 2 up to 16"):
        check_sizes(*check)


def pooled_tables():
    tables = tiny.make_tables()
    tables["source"]["origin"] = np.repeat(np.arange(2, dtype=np.int32), (12, 8))
    return tables


def test_the_field_domain_counts_the_sources_first():
    needs: dict[str, tuple[str, ...]] = dict.fromkeys(
        ("source", "target", "target_labelled"), ("image", "domain")
    )
    tables = {
        role: {name: own[0] if name in tiny.OF_MEMBERS else own for name, own in table.items()}
        for role, table in pooled_tables().items()
    }
    tables = jax.tree.map(jnp.asarray, tables)
    drawn: dict[str, jax.Array] = dict.fromkeys(needs, jnp.array([0, 12, 11, 19]))
    stored: dict[str, jax.Array] = dict.fromkeys(needs, jnp.zeros((4, 4, 4, 1)))

    def numbers(count):
        assemble = make_assemble(tiny.make_config()["data"], needs, count)
        batch = assemble(tables, drawn, stored, jax.random.key(0))
        return [list(np.asarray(batch[domain]["domain"])) for domain in needs]

    assert numbers(2) == [[0, 1, 0, 1], [2] * 4, [3] * 4]
    assert numbers(1) == [[0] * 4, [1] * 4, [2] * 4]


def test_reports_name_all_sources():
    tasks = [f"{BOTH}>folder:x/other", "folder:x/left+y>moons"]
    assert shorten(tasks) == ["left+right → other", "left+y → moons"]


CHANGES = {"alignment.multi_source_adversarial.num_sources": 2, "source": "moons+digits"}


def params_after(run, tables):
    return tiny.params_of(tiny.train(run._replace(tables=tables), 5))


@pytest.mark.usefixtures("optimized")
def test_streamed_equals_resident_and_no_target_label_is_read():
    tables = pooled_tables()
    config = tiny.make_config("multi_source_dann", CHANGES)
    run = tiny.make_run(config, tables=tables)
    resident = params_after(run, tables)
    images: dict[str, Any] = {role: own["image"] for role, own in tables.items()}
    parts = [images["source"][:13], images["source"][13:]]
    images["source"] = ConcatenatedPictures([Store(own) for own in parts])
    bare = {
        role: {name: own for name, own in table.items() if name != "image"}
        for role, table in tables.items()
    }
    reading = tiny.make_run(config, tables=bare, stream=Stream(images, 2**20, 2))
    streamed = params_after(reading, bare)
    reading.program.close()
    permuted = {**tables, "target": {**tables["target"], "label": np.zeros(40, np.int32)}}
    blind = params_after(run, permuted)
    # The sources of the rows matter.
    swapped = {**tables["source"], "origin": 1 - tables["source"]["origin"]}
    other = params_after(run, {**tables, "source": swapped})
    for path, leaf in resident.items():
        np.testing.assert_array_equal(leaf, blind[path])
        np.testing.assert_array_equal(leaf, streamed[path])
    assert any(not np.array_equal(resident[path], other[path]) for path in resident)


def test_members_with_other_shares_of_the_sources_are_refused():
    examples = examples_of("ab", np.arange(40) % 2)
    splits = {part: np.arange(10, dtype=np.int32) for part in ("train", "val", "test")}
    members = [
        {
            "source": Domain("x", examples, splits, origin=np.repeat([0, 1], counts)),
            "target": Domain("y", examples, splits),
        }
        for counts in ((4, 6), (5, 5))
    ]
    with pytest.raises(ValueError, match="other numbers of training examples of each source"):
        make_tables(members, "none")
