import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from common.data.builders.amazon_reviews import amazon_reviews_dataset_builder as amazon
from common.data.builders.manual import sha256

COUNTS = {"train": 3, "test": 2}
# By product and split: per review the label and the counts by index.
REVIEWS = {
    (product, split): [
        (1 if (row + number) % 2 else -1, {0: 1 + number, 7: row + 1, 4999: 255 - row})
        for row in range(count)
    ]
    for number, product in enumerate(amazon.NUM_EXAMPLES)
    for split, count in COUNTS.items()
}


def make_text(product, split):
    return "".join(
        f"{label} " + " ".join(f"{index}:{count}" for index, count in counts.items()) + " \n"
        for label, counts in REVIEWS[product, split]
    )


def parse(text):
    return amazon.parse_reviews(text.encode(), "here")


@pytest.fixture
def manual(tmp_path, monkeypatch):
    """A folder in the published layout with a few reviews, unpacked, and their sums and counts."""
    folder = tmp_path / "manual"
    folder.mkdir()
    for product, split in REVIEWS:
        (folder / f"{product}_{split}.svmlight").write_text(make_text(product, split))
    monkeypatch.setattr(amazon, "NUM_EXAMPLES", dict.fromkeys(amazon.NUM_EXAMPLES, COUNTS))
    monkeypatch.setattr(amazon, "SHA256", {path.name: sha256(path) for path in folder.iterdir()})
    return folder


def pack(folder, archive):
    with tarfile.open(archive, "w:xz") as packed:
        for path in sorted(folder.glob("*.svmlight")):
            packed.add(path, path.name)
            path.unlink()


def check(builder, product):
    assert builder.info.full_name == f"amazon_reviews/{product}/1.0.0"
    for split in COUNTS:
        examples = list(builder.as_data_source(split))
        assert len(examples) == COUNTS[split]
        for example, (label, counts) in zip(examples, REVIEWS[product, split], strict=True):
            expected = np.zeros(5000, np.uint8)
            expected[list(counts)] = list(counts.values())
            assert example["counts"].dtype == np.uint8
            np.testing.assert_array_equal(example["counts"], expected)
            assert amazon.CLASSES[example["label"]] == ("positive" if label > 0 else "negative")


@pytest.mark.parametrize("product", amazon.NUM_EXAMPLES)
def test_reviews_of_each_product_are_prepared_in_the_order_of_the_files(manual, prepare, product):
    check(prepare(amazon.Builder, manual, config=product), product)


@pytest.mark.parametrize("place", ["", "amazon_reviews"])
@pytest.mark.parametrize("packed", [True, False])
def test_files_are_found_packed_or_not_in_a_folder_of_their_name_or_not(
    manual, prepare, place, packed
):
    inner = manual / place
    inner.mkdir(exist_ok=True)
    for path in list(manual.glob("*.svmlight")):
        path.rename(inner / path.name)
    if packed:
        pack(inner, inner / amazon.ARCHIVE)
    check(prepare(amazon.Builder, manual, config="dvd"), "dvd")


def test_what_a_preparation_says_about_itself(tmp_path):
    info = amazon.Builder(data_dir=tmp_path, config="books").info
    assert info.supervised_keys == ("counts", "label")
    assert info.disable_shuffling
    assert "blitzer2007" in info.citation and info.homepage and info.redistribution_info.license
    assert set(amazon.Builder.builder_configs) == {"books", "dvd", "electronics", "kitchen"}


def test_a_missing_file_is_named(manual, prepare):
    (manual / "dvd_test.svmlight").unlink()
    check(prepare(amazon.Builder, manual, config="books"), "books")
    with pytest.raises(ValueError, match=r"lacks dvd_test.svmlight or .*it holds books_test"):
        prepare(amazon.Builder, manual, config="dvd")


def test_a_file_missing_from_the_archive_is_named(manual, prepare):
    (manual / "dvd_test.svmlight").unlink()
    pack(manual, manual / amazon.ARCHIVE)
    with pytest.raises(ValueError, match="lacks dvd_test.svmlight; get these files again"):
        prepare(amazon.Builder, manual, config="dvd")


@pytest.mark.parametrize("split", COUNTS)
def test_a_changed_file_is_named(manual, prepare, split):
    path = manual / f"dvd_{split}.svmlight"
    path.write_text(path.read_text().replace(":1", ":2", 1))
    with pytest.raises(ValueError, match=f"other content than was published in {path.name}"):
        prepare(amazon.Builder, manual, config="dvd")


def test_a_broken_archive_is_named(manual, prepare):
    pack(manual, manual / amazon.ARCHIVE)
    data = (manual / amazon.ARCHIVE).read_bytes()
    for broken in (data[: len(data) // 2], b"no archive", data[:40] + bytes(40) + data[80:]):
        (manual / amazon.ARCHIVE).write_bytes(broken)
        with pytest.raises(ValueError, match="amazon_reviews.tar.xz is no whole tar archive"):
            prepare(amazon.Builder, manual, config="dvd")


def test_a_wrong_count_is_refused(manual, prepare, monkeypatch):
    monkeypatch.setattr(amazon, "SHA256", {})
    path = manual / "dvd_train.svmlight"
    path.write_text(path.read_text() + "1 0:1\n")
    with pytest.raises(ValueError, match="dvd_train.svmlight in .* holds 4 examples.* holds 3"):
        prepare(amazon.Builder, manual, config="dvd")


def test_indices_count_from_0_even_where_none_is_0():
    counts, labels = parse("1 1:3\n-1 2:5 4999:255\n")
    assert np.argwhere(counts).tolist() == [[0, 1], [1, 2], [1, 4999]]
    assert counts[counts > 0].tolist() == [3, 5, 255]
    assert labels.tolist() == [1, 0]


def test_a_review_without_words_is_kept():
    counts, labels = parse("1\n-1 0:1\n")
    assert counts.sum(axis=1).tolist() == [0, 1]
    assert labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0:256\n", "the count 256;"),
        ("1 0:-1\n", "the count -1;"),
        ("1 0:1.5\n", "the count 1.5;"),
        ("1 0:nan\n", "the count nan;"),
        ("1 0:inf\n", "the count inf;"),
        ("0 0:1\n", "the label 0;"),
        ("1 5000:1\n", "no svmlight lines with indices 0 to 4999"),
        ("1 -1:1\n", "no svmlight lines with indices 0 to 4999"),
        ("1 3:1 2:1\n", "no svmlight lines with indices 0 to 4999"),
        ("good 0:1\n", "no svmlight lines with indices 0 to 4999"),
        ("1 0=1\n", "no svmlight lines with indices 0 to 4999"),
    ],
)
def test_other_lines_are_refused(text, message):
    with pytest.raises(ValueError, match=f"here holds {message}"):
        parse("-1 0:2\n" + text)


# By source and target: accuracies of logistic regression on raw counts, by another program.
# It names no regularisation; C = .003, found by trying, comes within .011 of all twelve.
ORIENTATION = {
    "books": {"dvd": 0.772, "electronics": 0.699, "kitchen": 0.732},
    "dvd": {"books": 0.727, "electronics": 0.722, "kitchen": 0.770},
    "electronics": {"books": 0.688, "dvd": 0.711, "kitchen": 0.832},
    "kitchen": {"books": 0.675, "dvd": 0.705, "electronics": 0.792},
}
# By the inputs of a linear support vector machine: its C, and the mean accuracy over the pairs.
MEANS = {"counts": (0.01, 0.768), "logarithms": (0.02, 0.773)}


@pytest.mark.real_data
def test_the_real_reviews_have_the_published_counts_and_carry_over_to_the_other_products():
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    folder = Path(os.environ["ADAPTAX_DATA"])
    reviews = {
        (product, split): amazon.parse_reviews(content, f"{product}_{split}")
        for product in ORIENTATION
        for split, content in amazon.read_product(folder, product).items()
    }
    for (product, split), (counts, labels) in reviews.items():
        assert counts.shape == (amazon.NUM_EXAMPLES[product][split], 5000)
        assert 0.49 < labels.mean() < 0.51
    assert [reviews[product, "train"][1].sum() for product in ORIENTATION] == [1000] * 4
    books_and_dvd = [own for key, (own, _) in reviews.items() if key[0] in ("books", "dvd")]
    assert max(counts.max() for counts in books_and_dvd) == 84
    tables = {
        "counts": {key: sparse.csr_array(own.astype(float)) for key, (own, _) in reviews.items()}
    }
    tables["logarithms"] = {key: own.copy() for key, own in tables["counts"].items()}
    for own in tables["logarithms"].values():
        own.data = np.log1p(own.data)

    def score_pairs(machine, inputs):
        scores: dict[str, dict[str, float]] = {source: {} for source in ORIENTATION}
        for source in ORIENTATION:
            machine.fit(tables[inputs][source, "train"], reviews[source, "train"][1])
            for target in ORIENTATION[source]:
                test = tables[inputs][target, "test"], reviews[target, "test"][1]
                scores[source][target] = machine.score(*test)
        return scores

    # An independent check of the rows against their labels.
    found = score_pairs(LogisticRegression(C=0.003, max_iter=500), "counts")
    for source, expected in ORIENTATION.items():
        assert found[source] == pytest.approx(expected, abs=0.015), source
    for inputs, (penalty, mean) in MEANS.items():
        found = score_pairs(LinearSVC(C=penalty, random_state=0), inputs)
        accuracies = [accuracy for own in found.values() for accuracy in own.values()]
        assert np.mean(accuracies) == pytest.approx(mean, abs=0.002), inputs
