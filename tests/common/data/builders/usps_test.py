import gzip

import numpy as np
import pytest

from common.data.builders.usps import usps_dataset_builder as usps

COUNTS = {"train": (2, 0, 1, 0, 0, 0, 1, 0, 0, 0), "test": (0, 0, 0, 1, 0, 0, 0, 0, 0, 1)}
DIGITS = {"train": (6, 0, 2, 0), "test": (9, 3)}


def make_values(split):
    generator = np.random.default_rng(len(split))
    values = generator.integers(-1000, 1001, size=(len(DIGITS[split]), 256)) / 1000
    values[:, 0], values[:, 17], values[:, 255] = -1, 1, 0
    return values


def make_text(split):
    # As published: four decimals for the digit, few for the values, a blank at the end.
    return "".join(
        f"{digit:.4f} " + "".join(f"{value:.4f} " for value in row) + "\n"
        for digit, row in zip(DIGITS[split], make_values(split), strict=True)
    )


@pytest.fixture
def manual(tmp_path, monkeypatch):
    """A folder in the published layout with a few digits."""
    folder = tmp_path / "manual"
    folder.mkdir()
    for split, file in usps.FILES.items():
        (folder / file).write_bytes(gzip.compress(make_text(split).encode()))
    monkeypatch.setattr(usps, "NUM_EXAMPLES", COUNTS)
    return folder


def test_digits_are_prepared_in_the_published_order(manual, prepare):
    builder = prepare(usps.Builder, manual)
    assert builder.info.full_name == "usps/1.0.0"
    assert builder.info.disable_shuffling
    assert builder.info.supervised_keys == ("image", "label")
    assert "hull1994" in builder.info.citation and builder.info.redistribution_info.license
    for split, digits in DIGITS.items():
        source = builder.as_data_source(split)
        assert len(source) == len(digits)
        for example, digit, row in zip(source, digits, make_values(split), strict=True):
            assert example["label"] == digit
            picture = example["image"]
            assert picture.shape == (16, 16, 1) and picture.dtype == np.uint8
            # Row by row; black paper, white ink, grey between.
            assert (picture[0, 0, 0], picture[1, 1, 0], picture[15, 15, 0]) == (0, 255, 128)
            back = picture.reshape(256) / 255 * 2 - 1
            np.testing.assert_allclose(back, row, rtol=0, atol=1 / 255 + 1e-12)


def test_values_go_to_the_nearest_byte():
    levels = np.arange(256) / 127.5 - 1
    np.testing.assert_array_equal(usps.to_bytes(levels), np.arange(256))
    for value in np.linspace(-1, 1, 2001):
        nearest = np.abs(levels - value)
        assert nearest[usps.to_bytes(np.array([value]))[0]] == pytest.approx(nearest.min())


def test_a_folder_named_after_the_set_is_found(manual, prepare):
    (manual / "usps").mkdir()
    for file in usps.FILES.values():
        (manual / file).rename(manual / "usps" / file)
    assert prepare(usps.Builder, manual).info.splits["test"].num_examples == 2


def test_published_counts_add_up():
    assert {split: sum(counts) for split, counts in usps.NUM_EXAMPLES.items()} == {
        "train": 7291,
        "test": 2007,
    }


def test_every_missing_file_is_named(manual, prepare):
    (manual / "zip.train.gz").rename(manual / "zip.train")
    (manual / "zip.test.gz").unlink()
    with pytest.raises(ValueError, match=r"lacks zip.train.gz.*zip.test.gz.*it holds zip.train;"):
        prepare(usps.Builder, manual)


def test_a_lacking_digit_is_named(manual, prepare):
    lines = make_text("train").splitlines(keepends=True)
    (manual / "zip.train.gz").write_bytes(gzip.compress("".join(lines[:-1]).encode()))
    with pytest.raises(ValueError, match="zip.train.gz, digit 0, holds 1 examples.* holds 2"):
        prepare(usps.Builder, manual)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("6.0000", "10.0000", 1), "differs in example 0"),
        (lambda text: text.replace("2.0000", "2.5000", 1), "differs in example 2"),
        (lambda text: text.replace("2.0000", "-2.0000", 1), "differs in example 2"),
        (lambda text: text.replace(" 1.0000", " 1.0010", 1), "differs in example 0"),
        (lambda text: text.replace(" 1.0000", " nan", 1), "differs in example 0"),
        (lambda text: text.replace(" 1.0000", "", 1), "does not hold a table"),
        (lambda text: text.replace(" 1.0000", " one", 1), "does not hold a table"),
        (lambda text: text.replace(" 1.0000", ""), "holds lines of|does not hold a table"),
        (lambda text: "\n".join(line[7:] for line in text.splitlines()), "lines of 256 numbers"),
        (lambda text: "", "is empty"),
        (lambda text: " \n", "is empty"),
    ],
)
def test_other_lines_are_refused(manual, change, message):
    path = manual / "zip.train.gz"
    path.write_bytes(gzip.compress(change(make_text("train")).encode()))
    with pytest.raises(ValueError, match=message) as caught:
        usps.read_lines(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"text",
        lambda data: gzip.compress("6 é".encode()),
    ],
)
def test_what_is_no_gzip_file_of_text_is_refused(manual, change):
    path = manual / "zip.train.gz"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match="zip.train.gz is no whole gzip file of text"):
        usps.read_lines(path)
