"""MNIST-M, made from MNIST, the training pictures of BSDS500 and an index of crops."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8
from PIL import Image

from common.data.builders.digit_record import describe_digits
from common.data.builders.manual import (
    check_manual,
    check_num_examples,
    check_sha256,
    find_manual,
    manual_folder,
    sha256,
)
from common.data.builders.mnist import mnist_dataset_builder as mnist
from common.data.builders.mnist_m.blend import SIZE, Crops, draw_crops, make_pictures
from common.data.picture import encode_png

# The published set ends before MNIST does: no digit from number 59,001, or 9,001, on has a picture.
NUM_EXAMPLES = {"train": 59_001, "test": 9_001}

# By split: seeds of the crops that are drawn where the published ones are not at hand.
SEEDS = {"train": 0, "test": 1}

INDEX = "mnistm_index.npz"
INDEX_SHA256 = {INDEX: "ffe0cbf6adcf0a31f6092f56016001b9516a56c65dd14e4cce8cc124df4fef53"}
INDEX_PATTERN = f"{INDEX}|mnist_m/{INDEX}"
INDEX_ARRAYS = ("files", "image", "y", "x", "n_train", "n_test")

# One line for each of the 200 photographs, as `sha256sum` writes and checks it.
PHOTOGRAPH_SUMS = Path(__file__).parent / "bsds500_train.sha256"
PHOTOGRAPHS = "|".join(
    (
        "bsds500_train.tar",
        "bsds500/bsds500_train.tar",
        "BSR_bsds500.tgz",
        "bsds500/BSR_bsds500.tgz",
        "bsds500/*.jpg",
        "BSR/BSDS500/data/images/train/*.jpg",
    )
)

INSTRUCTIONS = f"""
put into the manual folder: MNIST's four .gz files; the 200 training pictures of BSDS500, from
https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html, as
BSR_bsds500.tgz (or unpacked in the folder BSR), as a tar of them named bsds500_train.tar, or as a
folder bsds500 of them; and, for the config published, {INDEX}, which says what crop each published
picture was made of (--dataset=mnist_m/generated does without it, on crops drawn from a fixed seed);
each may lie in a folder mnist, bsds500 or mnist_m there
"""

# What is missing without the index, and what there is instead.
INDEX_MEANING = (
    "the crops of the published pictures; --dataset=mnist_m/generated does without them, and "
    "configs/digits.py then takes target=mnist_m/generated"
)

# Pictures made at a time.
_BLOCK = 1024


def read_index(path: Path) -> dict[str, Crops]:
    """Reads which crops the published pictures were made of.

    Args:
        path: `mnistm_index.npz`: the names `files` of the photographs; for all digits, train then
            test, `image` (a row of `files`), `y` and `x`; and the counts `n_train` and `n_test`.

    Returns:
        The crops by split.

    Raises:
        ValueError: The file is not the published one, or lacks something.
    """
    check_sha256(str(path.parent), {path.name: sha256(path)}, INDEX_SHA256)
    try:
        # numpy leaves a broken file open that it opened itself.
        with path.open("rb") as file:
            stored = np.load(file)
            index = {name: stored[name] for name in INDEX_ARRAYS}
    except (OSError, EOFError, LookupError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path} is no .npz file of the arrays {', '.join(INDEX_ARRAYS)} ({error})"
        ) from None
    counts = {"train": int(index["n_train"]), "test": int(index["n_test"])}
    for split, count in counts.items():
        check_num_examples(f"the {split} part of {path}", count, NUM_EXAMPLES[split])
    crops = Crops(tuple(index["files"].tolist()), index["image"], index["y"], index["x"])
    check_num_examples(str(path), len(crops.photograph), sum(counts.values()))
    return {
        "train": crops.of(slice(counts["train"])),
        "test": crops.of(slice(counts["train"], None)),
    }


def read_photographs(folder: Path) -> dict[str, UInt8[np.ndarray, "_height _width 3"]]:
    """Reads the training pictures of BSDS500 from a manual folder.

    Args:
        folder: The manual folder, with something that matches `PHOTOGRAPHS`.

    Returns:
        The photographs by file name.

    Raises:
        ValueError: A photograph is missing or not the published one, or the archive is damaged.
    """
    expected = read_sums(PHOTOGRAPH_SUMS)
    found = find_manual(folder, PHOTOGRAPHS)
    if found[0].suffix == ".jpg":
        where = found[0].parent
        files = {path.name: path.read_bytes() for path in found if path.name in expected}
    else:
        where = found[0]
        files = _read_archive(where, expected)
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    check_sha256(str(where), sums, expected)
    return {name: np.array(Image.open(io.BytesIO(files[name])).convert("RGB")) for name in expected}


def read_sums(path: Path) -> dict[str, str]:
    """Reads a file that `sha256sum` wrote.

    Args:
        path: Lines of a sum, two spaces and a name.

    Returns:
        The sums by name.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def _read_archive(path: Path, names: Mapping[str, str]) -> dict[str, bytes]:
    """Reads the files of a tar that have one of the names, whatever their folder."""
    files = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                content = archive.extractfile(member) if name in names else None
                if content is not None:
                    files[name] = content.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise ValueError(f"{path} is no whole tar archive ({error}); get it again") from None
    return files


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """MNIST-M: record i of a split is made of the i-th digit of the same split of MNIST."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The published pictures in the published order."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(
            name="published", description="The very pictures of the paper: 59,001 and 9,001."
        ),
        tfds.core.BuilderConfig(
            name="generated",
            description="All 60,000 and 10,000 digits on other crops, drawn from a fixed seed.",
        ),
    ]
    DEFAULT_BUILDER_CONFIG_NAME = "published"

    def _info(self) -> tfds.core.DatasetInfo:
        return describe_digits(
            self,
            (SIZE, SIZE, 3),
            homepage="http://yaroslav.ganin.net/",
            license="No licence is stated by the authors; BSDS500 is for research use only.",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        folder = manual_folder(dl_manager)
        published = self.builder_config_name == "published"
        needed = {**mnist.NEEDED, PHOTOGRAPHS: "the training pictures of BSDS500"}
        if published:
            needed[INDEX_PATTERN] = INDEX_MEANING
        check_manual(folder, needed, INSTRUCTIONS)
        photographs = read_photographs(folder)
        digits = {split: mnist.read_digits(folder, split) for split in SEEDS}
        if published:
            crops = read_index(find_manual(folder, INDEX_PATTERN)[0])
        else:
            crops = {
                split: draw_crops(photographs, len(digits[split][1]), seed)
                for split, seed in SEEDS.items()
            }
        return {
            split: self._generate_examples(*digits[split], photographs, crops[split])
            for split in SEEDS
        }

    def _generate_examples(
        self,
        digits: np.ndarray,
        labels: np.ndarray,
        photographs: Mapping[str, np.ndarray],
        crops: Crops,
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        num_pictures = len(crops.photograph)
        for start in range(0, num_pictures, _BLOCK):
            rows = slice(start, min(start + _BLOCK, num_pictures))
            pictures = make_pictures(digits[rows], photographs, crops.of(rows))
            for number, picture in enumerate(pictures, start):
                yield number, {"image": encode_png(picture), "label": int(labels[number])}
