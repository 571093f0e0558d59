"""Amazon reviews as the DANN authors published them: word counts with positive or negative."""

from __future__ import annotations

import hashlib
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int, UInt8

from common.data.builders.manual import (
    check_manual,
    check_num_examples,
    check_sha256,
    find_manual,
    manual_folder,
)

CLASSES = ("negative", "positive")
NUM_FEATURES = 5000

NUM_EXAMPLES = {
    "books": {"train": 2000, "test": 4465},
    "dvd": {"train": 2000, "test": 3586},
    "electronics": {"train": 2000, "test": 5681},
    "kitchen": {"train": 2000, "test": 5945},
}
SHA256 = {
    "books_train.svmlight": "317f9a2ec34b81de770b63a84d8c5cc2dc16bd0be6e079d2ff5b5bad5213ea19",
    "books_test.svmlight": "fe4605c7dcf0e0a9410fd2a32f247caaf9abb352cc6e4c3e0f400853163ad9c4",
    "dvd_train.svmlight": "95f602aa08bf6b55758f7b0b18df3882fe30acb11987ee60b6b4bb3c44cba733",
    "dvd_test.svmlight": "4fe1b1a15010f78d8d0c49fe362d35fd4677463a45f1ac02a9f410ae1e638060",
    "electronics_train.svmlight": (
        "7d0061f03ff3827e4f8036b051b5e5828fddc0cd115aa5b212cd28d624dc14e4"
    ),
    "electronics_test.svmlight": "641783bc941839c3a111d3488a1b7e3bd820a61ec14a129e7429b47703aa961d",
    "kitchen_train.svmlight": "a70b5ebfe1413e0e16280360905f5c3b64389c435cd20c0165dc9d7f293b31b5",
    "kitchen_test.svmlight": "e1502b97a824eb12314be4447394fa736fecb781c0724e6529cd6733ac7ff6d8",
}

ARCHIVE = "amazon_reviews.tar.xz"
# Folders that may hold the files: the manual folder, one named after the set, the authors' own.
_PLACES = ("", "amazon_reviews/", "data/")

INSTRUCTIONS = f"""
get <product>_train.svmlight and <product>_test.svmlight for books, dvd, electronics and kitchen
from the folder data of https://github.com/GRAAL-Research/domain_adversarial_neural_network, and put
them, or {ARCHIVE} with them, into the manual folder or into a folder amazon_reviews in it
"""


def parse_reviews(
    content: bytes, where: str
) -> tuple[UInt8[np.ndarray, "review 5000"], Int[np.ndarray, " review"]]:
    """Reads reviews from svmlight lines: -1 or 1, then `index:count` with indices from 0.

    Args:
        content: The file.
        where: Its name, for errors.

    Returns:
        The counts of each review, and its row of `CLASSES`.

    Raises:
        ValueError: The lines are no svmlight lines; an index is not below 5000; a count is no whole
            number of at most 255, which a byte holds; or a label is neither -1 nor 1.
    """
    from sklearn.datasets import load_svmlight_file

    try:
        # scikit-learn's stubs lack the boolean.
        loaded = load_svmlight_file(
            io.BytesIO(content), n_features=NUM_FEATURES, zero_based=cast(Any, True)
        )
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{where} holds no svmlight lines with indices 0 to {NUM_FEATURES - 1} ({error})"
        ) from None
    table, labels = cast(Any, loaded)
    largest = np.iinfo(np.uint8).max
    fits = (table.data >= 0) & (table.data <= largest) & (table.data == np.trunc(table.data))
    if not fits.all():
        wrong = table.data[~fits][0]
        raise ValueError(f"{where} holds the count {wrong:g}; counts are whole numbers 0 to 255")
    if not np.isin(labels, (-1, 1)).all():
        wrong = labels[~np.isin(labels, (-1, 1))][0]
        raise ValueError(f"{where} holds the label {wrong:g}; labels are -1 and 1")
    return table.astype(np.uint8).toarray(), (labels > 0).astype(np.int64)


def read_product(folder: Path, product: str) -> dict[str, bytes]:
    """Reads the two files of a product from a manual folder, unpacked or in the archive.

    Args:
        folder: The manual folder.
        product: A key of `NUM_EXAMPLES`.

    Returns:
        Contents of the files by split.

    Raises:
        ValueError: A file is missing or not the published one, or the archive is damaged.
    """
    names = {split: f"{product}_{split}.svmlight" for split in NUM_EXAMPLES[product]}
    archives = "|".join(place + ARCHIVE for place in _PLACES)
    patterns = {
        name: "|".join(place + name for place in _PLACES) + "|" + archives
        for name in names.values()
    }
    check_manual(
        folder, {patterns[name]: f"reviews of {name}" for name in names.values()}, INSTRUCTIONS
    )
    contents = {}
    for name in names.values():
        path = find_manual(folder, patterns[name])[0]
        contents.update({name: path.read_bytes()} if path.name == name else _unpack(path, name))
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    expected = {name: SHA256.get(name, sums.get(name, "")) for name in names.values()}
    check_sha256(str(folder), sums, expected)
    return {split: contents[name] for split, name in names.items()}


def _unpack(path: Path, name: str) -> dict[str, bytes]:
    """Returns the file of that name in a tar by its name, or nothing."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                content = archive.extractfile(member)
                if PurePosixPath(member.name).name == name and content is not None:
                    return {name: content.read()}
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError, zlib.error) as error:
        raise ValueError(f"{path} is no whole tar archive ({error}); get it again") from None
    return {}


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Amazon reviews: a config for each product, records in the order of the files."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "As the DANN authors published them."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=product, description=f"Reviews of {product}.")
        for product in NUM_EXAMPLES
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "counts": tfds.features.Tensor(
                        shape=(NUM_FEATURES,),
                        dtype=np.uint8,
                        encoding=tfds.features.Encoding.ZLIB,
                        doc="How often each word or pair of words occurs.",
                    ),
                    "label": tfds.features.ClassLabel(names=CLASSES),
                }
            ),
            supervised_keys=("counts", "label"),
            homepage="https://www.cs.jhu.edu/~mdredze/datasets/sentiment/",
            license="No licence is stated by the authors; reviews written by Amazon's customers.",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        folder = manual_folder(dl_manager)
        product = self.builder_config_name or ""
        reviews = {}
        for split, content in read_product(folder, product).items():
            where = f"{product}_{split}.svmlight in {folder}"
            reviews[split] = parse_reviews(content, where)
            check_num_examples(where, len(reviews[split][1]), NUM_EXAMPLES[product][split])
        return {split: self._generate_examples(*reviews[split]) for split in reviews}

    def _generate_examples(
        self, counts: np.ndarray, labels: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, (row, label) in enumerate(zip(counts, labels, strict=True)):
            yield number, {"counts": row, "label": int(label)}
