import hashlib
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.data.builders.manual import sha256
from common.data.builders.mnist import mnist_dataset_builder as mnist
from common.data.builders.mnist_m import mnist_m_dataset_builder as mnist_m
from common.data.builders.mnist_m.blend import Crops, blend, draw_crops, make_pictures

DIGITS = {"train": 7, "test": 4}
PICTURES = {"train": 5, "test": 3}
SIZES = {"b.jpg": (40, 64), "a.jpg": (64, 40), "c.jpg": (32, 33)}


def make_digits(split):
    generator = np.random.default_rng(DIGITS[split])
    ink = generator.integers(256, size=(DIGITS[split], 28, 28), dtype=np.uint8)
    paper = generator.random(ink.shape) < 0.5
    return np.where(paper, np.uint8(0), ink), np.arange(DIGITS[split], dtype=np.uint8)


def make_photographs():
    generator = np.random.default_rng(1)
    return {
        name: generator.integers(256, size=(*size, 3), dtype=np.uint8)
        for name, size in SIZES.items()
    }


def as_jpeg(photograph):
    buffer = io.BytesIO()
    Image.fromarray(photograph).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def pack(path, files, folder=""):
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(folder + name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_index(path, **changes):
    index = {
        "files": np.array(["b.jpg", "a.jpg", "c.jpg"]),
        "image": np.array([0, 1, 2, 1, 0, 2, 1, 0], np.uint8),
        "y": np.array([8, 32, 0, 0, 3, 0, 1, 2], np.uint16),
        "x": np.array([32, 8, 1, 0, 5, 0, 7, 6], np.uint16),
        "n_train": np.array(PICTURES["train"]),
        "n_test": np.array(PICTURES["test"]),
        **changes,
    }
    np.savez(path, **{name: array for name, array in index.items() if array is not None})


def blend_slowly(digit, patch):
    picture = patch.copy()
    for row in range(28):
        for column in range(28):
            if digit[row, column] > 0:
                for channel in range(3):
                    here = (row + 2, column + 2, channel)
                    picture[here] = 255 - int(patch[here])
    return picture


@pytest.fixture
def jpegs():
    return {name: as_jpeg(photograph) for name, photograph in make_photographs().items()}


@pytest.fixture
def manual(tmp_path, monkeypatch, jpegs):
    """A folder in the published layout with a few digits and photographs."""
    import gzip
    import struct

    folder = tmp_path / "manual"
    for name in ("mnist", "bsds500", "mnist_m"):
        (folder / name).mkdir(parents=True)
    for split in DIGITS:
        for files, values in zip(
            (mnist.PICTURE_FILES, mnist.LABEL_FILES), make_digits(split), strict=True
        ):
            header = struct.pack(f">{values.ndim + 1}i", 0x800 + values.ndim, *values.shape)
            (folder / "mnist" / files[split]).write_bytes(gzip.compress(header + values.tobytes()))
    pack(folder / "bsds500" / "bsds500_train.tar", jpegs)
    write_index(folder / "mnist_m" / mnist_m.INDEX)
    sums = tmp_path / "sums"
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in jpegs.items()]
    sums.write_text("".join(lines))
    monkeypatch.setattr(mnist, "NUM_EXAMPLES", DIGITS)
    monkeypatch.setattr(mnist, "SHA256", {})
    monkeypatch.setattr(mnist_m, "NUM_EXAMPLES", PICTURES)
    monkeypatch.setattr(mnist_m, "PHOTOGRAPH_SUMS", sums)
    monkeypatch.setattr(mnist_m, "INDEX_SHA256", {})
    return folder


def test_ink_of_any_amount_inverts_and_paper_does_not():
    digit = np.zeros((28, 28), np.uint8)
    digit[0, 0], digit[27, 27], digit[5, 9] = 1, 255, 128
    patch = np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)
    picture = blend(digit, patch)
    assert picture.dtype == np.uint8
    changed = np.argwhere((picture != patch).any(axis=2))
    assert changed.tolist() == [[2, 2], [7, 11], [29, 29]]
    np.testing.assert_array_equal(picture, blend_slowly(digit, patch))


def test_many_digits_are_blended_one_by_one():
    digits, _ = make_digits("train")
    patches = np.random.default_rng(3).integers(256, size=(7, 32, 32, 3), dtype=np.uint8)
    pictures = blend(digits, patches)
    for picture, digit, patch in zip(pictures, digits, patches, strict=True):
        np.testing.assert_array_equal(picture, blend_slowly(digit, patch))


def test_every_digit_gets_its_own_crop():
    photographs, (digits, _) = make_photographs(), make_digits("test")
    rows, tops, lefts = [2, 0, 1, 0], [0, 8, 31, 0], [1, 32, 8, 17]
    crops = Crops(tuple(SIZES), np.array(rows), np.array(tops), np.array(lefts))
    pictures = make_pictures(digits, photographs, crops)
    for picture, digit, row, top, left in zip(pictures, digits, rows, tops, lefts, strict=True):
        patch = photographs[list(SIZES)[row]][top : top + 32, left : left + 32]
        np.testing.assert_array_equal(picture, blend_slowly(digit, patch))


@pytest.mark.parametrize(("top", "left"), [(9, 0), (0, 33), (-1, 0), (0, -1)])
def test_a_crop_that_leaves_its_photograph_is_refused(top, left):
    crops = Crops(("b.jpg",), np.array([0, 0]), np.array([8, top]), np.array([32, left]))
    with pytest.raises(ValueError, match=r"the crop of digit 1.* leaves b.jpg of size \(40, 64\)"):
        make_pictures(np.zeros((2, 28, 28), np.uint8), make_photographs(), crops)


def test_drawn_crops_lie_inside_and_reach_every_edge():
    photographs = make_photographs()
    crops = draw_crops(photographs, 3000, seed=0)
    assert crops.files == ("a.jpg", "b.jpg", "c.jpg")
    assert np.bincount(crops.photograph).min() > 900
    for row, name in enumerate(crops.files):
        tops, lefts = (own[crops.photograph == row] for own in (crops.top, crops.left))
        height, width = SIZES[name]
        assert (tops.min(), tops.max()) == (0, height - 32)
        assert (lefts.min(), lefts.max()) == (0, width - 32)


def test_drawn_crops_depend_on_the_seed_and_not_on_the_order_of_the_photographs():
    photographs = make_photographs()
    crops = draw_crops(photographs, 50, seed=0)
    again = draw_crops(dict(reversed(photographs.items())), 50, seed=0)
    other = draw_crops(photographs, 50, seed=1)
    for one, same, different in zip(crops[1:], again[1:], other[1:], strict=True):
        np.testing.assert_array_equal(one, same)
        assert (one != different).any()


def test_published_pictures_are_prepared_in_the_order_of_mnist(manual, prepare, jpegs):
    builder = prepare(mnist_m.Builder, manual)
    assert builder.info.full_name == "mnist_m/published/1.0.0"
    assert builder.info.disable_shuffling
    decoded = {name: np.asarray(Image.open(io.BytesIO(data))) for name, data in jpegs.items()}
    places = iter(
        [("b.jpg", 8, 32), ("a.jpg", 32, 8), ("c.jpg", 0, 1), ("a.jpg", 0, 0), ("b.jpg", 3, 5)]
        + [("c.jpg", 0, 0), ("a.jpg", 1, 7), ("b.jpg", 2, 6)]
    )
    for split, count in PICTURES.items():
        digits, labels = make_digits(split)
        source = builder.as_data_source(split)
        assert len(source) == count
        for row, example in enumerate(source):
            name, top, left = next(places)
            patch = decoded[name][top : top + 32, left : left + 32]
            np.testing.assert_array_equal(example["image"], blend_slowly(digits[row], patch))
            assert example["label"] == labels[row]


def test_blocks_join_without_a_seam(manual, prepare, monkeypatch):
    whole = [
        example["image"] for example in prepare(mnist_m.Builder, manual).as_data_source("train")
    ]
    monkeypatch.setattr(mnist_m, "_BLOCK", 2)
    pieces = mnist_m.Builder(data_dir=manual.parent)._generate_examples(
        *make_digits("train"),
        mnist_m.read_photographs(manual),
        mnist_m.read_index(manual / "mnist_m" / mnist_m.INDEX)["train"],
    )
    numbers, examples = zip(*pieces, strict=True)
    assert numbers == (0, 1, 2, 3, 4)
    for picture, example in zip(whole, examples, strict=True):
        np.testing.assert_array_equal(picture, np.asarray(Image.open(io.BytesIO(example["image"]))))


def test_generated_pictures_need_no_index_and_use_every_digit(manual, prepare):
    (manual / "mnist_m" / mnist_m.INDEX).unlink()
    builder = prepare(mnist_m.Builder, manual, config="generated")
    assert builder.info.full_name == "mnist_m/generated/1.0.0"
    photographs = mnist_m.read_photographs(manual)
    for split, count in DIGITS.items():
        digits, labels = make_digits(split)
        crops = draw_crops(photographs, count, mnist_m.SEEDS[split])
        expected = make_pictures(digits, photographs, crops)
        examples = list(builder.as_data_source(split))
        np.testing.assert_array_equal([example["image"] for example in examples], expected)
        assert [example["label"] for example in examples] == labels.tolist()


def test_without_the_index_the_other_config_is_named(manual, prepare):
    (manual / "mnist_m" / mnist_m.INDEX).unlink()
    instead = r"--dataset=mnist_m/generated .* target=mnist_m/generated\); it holds"
    with pytest.raises(ValueError, match=f"lacks mnistm_index.npz .*; {instead}"):
        prepare(mnist_m.Builder, manual)


def test_everything_that_is_missing_is_named_at_once(manual, prepare):
    (manual / "mnist" / "train-labels-idx1-ubyte.gz").unlink()
    (manual / "bsds500" / "bsds500_train.tar").unlink()
    (manual / "mnist_m" / mnist_m.INDEX).unlink()
    with pytest.raises(ValueError) as caught:
        prepare(mnist_m.Builder, manual)
    lacks = str(caught.value).split("it holds")[0]
    for name in ("train-labels-idx1-ubyte.gz", "bsds500_train.tar", "mnistm_index.npz"):
        assert name in lacks
    assert "t10k" not in lacks


@pytest.mark.parametrize(
    "name",
    [
        "bsds500_train.tar",
        "bsds500/bsds500_train.tar",
        "BSR_bsds500.tgz",
        "bsds500/BSR_bsds500.tgz",
        "bsds500",
        "BSR/BSDS500/data/images/train",
    ],
)
def test_photographs_are_found_packed_or_unpacked(manual, jpegs, name):
    (manual / "bsds500" / "bsds500_train.tar").unlink()
    path = manual / name
    # The published archive has pictures of other splits, too.
    files = {"z.jpg": b"another split's", "Thumbs.db": b"0", **jpegs}
    if path.suffix:
        pack(path, files, "BSR/BSDS500/data/images/train/" if path.suffix == ".tgz" else "")
    else:
        path.mkdir(parents=True, exist_ok=True)
        for file, data in files.items():
            (path / file).write_bytes(data)
    photographs = mnist_m.read_photographs(manual)
    assert sorted(photographs) == ["a.jpg", "b.jpg", "c.jpg"]
    for file, data in jpegs.items():
        np.testing.assert_array_equal(photographs[file], np.asarray(Image.open(io.BytesIO(data))))


def test_missing_and_changed_photographs_are_named(manual, jpegs):
    pack(manual / "bsds500" / "bsds500_train.tar", {"a.jpg": jpegs["a.jpg"], "c.jpg": b"0"})
    with pytest.raises(
        ValueError, match=r"bsds500_train.tar lacks b.jpg and has other .* c.jpg \("
    ):
        mnist_m.read_photographs(manual)


@pytest.mark.parametrize("keep", [0, 100, 20_000])
def test_a_broken_archive_is_named(manual, jpegs, keep):
    path = manual / "bsds500" / "bsds500_train.tar"
    path.unlink()
    path = path.with_name("BSR_bsds500.tgz")
    pack(path, jpegs)
    data = path.read_bytes()
    assert len(data) < 20_000 or keep < len(data)
    path.write_bytes(data[:keep] if keep < len(data) else data[:-100] + bytes(100))
    with pytest.raises(ValueError, match="BSR_bsds500.tgz is no whole tar archive"):
        mnist_m.read_photographs(manual)


def test_a_changed_index_is_refused(manual, monkeypatch):
    path = manual / "mnist_m" / mnist_m.INDEX
    monkeypatch.setattr(mnist_m, "INDEX_SHA256", {mnist_m.INDEX: sha256(path)})
    mnist_m.read_index(path)
    write_index(path, y=np.zeros(8, np.uint16))
    with pytest.raises(ValueError, match="other content than was published in mnistm_index.npz"):
        mnist_m.read_index(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": None}, "is no .npz file of the arrays files, image, y, x, n_train, n_test"),
        ({"n_train": np.array(6)}, "the train part of .* holds 6 examples.* holds 5"),
        ({"n_test": np.array(2)}, "the test part of .* holds 2 examples.* holds 3"),
        ({"image": np.zeros(7, np.uint8)}, "holds 7 examples; the published one holds 8"),
    ],
)
def test_an_incomplete_index_is_refused(manual, changes, message):
    path = manual / "mnist_m" / mnist_m.INDEX
    write_index(path, **changes)
    with pytest.raises(ValueError, match=message):
        mnist_m.read_index(path)


@pytest.mark.parametrize("content", ["", "no zip", "PK\x03\x04 broken", "array"])
def test_an_index_that_is_no_npz_file_is_refused(manual, content):
    path = manual / "mnist_m" / mnist_m.INDEX
    if content == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        path.write_text(content)
    with pytest.raises(ValueError, match="is no .npz file of the arrays"):
        mnist_m.read_index(path)


def test_the_checksums_name_two_hundred_photographs():
    sums = mnist_m.read_sums(mnist_m.PHOTOGRAPH_SUMS)
    assert len(sums) == 200
    assert all(len(digest) == 64 and name.endswith(".jpg") for name, digest in sums.items())


@pytest.mark.real_data
def test_the_real_files_make_the_published_pictures():
    folder = Path(os.environ["ADAPTAX_DATA"])
    photographs = mnist_m.read_photographs(folder)
    crops = mnist_m.read_index(folder / "mnist_m" / mnist_m.INDEX)
    sums = {
        "train": "3c689850ded80df111260294d02c79ee0a6e602a9fd634c4e08e1339628f8d33",
        "test": "47415b066fe8a39de3f0e86f65a72d4c4078f1e2557a388ca0a7cfd8dfe90b14",
    }
    for split, expected in sums.items():
        digits, _ = mnist.read_digits(folder, split)
        pictures = make_pictures(digits[: mnist_m.NUM_EXAMPLES[split]], photographs, crops[split])
        assert pictures.shape == (mnist_m.NUM_EXAMPLES[split], 32, 32, 3)
        assert hashlib.sha256(pictures.tobytes()).hexdigest() == expected
