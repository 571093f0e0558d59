"""MNIST from its four original files, prepared without TensorFlow and in the published order."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from common.data.builders.digit_record import CLASSES, describe_digits, make_digits
from common.data.builders.manual import (
    check_manual,
    check_num_examples,
    check_sha256,
    find_manual,
    manual_folder,
    sha256,
)

SIZE = 28

# By split: the names of the two files in the published collection.
PICTURE_FILES = {"train": "train-images-idx3-ubyte.gz", "test": "t10k-images-idx3-ubyte.gz"}
LABEL_FILES = {"train": "train-labels-idx1-ubyte.gz", "test": "t10k-labels-idx1-ubyte.gz"}

NUM_EXAMPLES = {"train": 60_000, "test": 10_000}
SHA256 = {
    "train-images-idx3-ubyte.gz": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte.gz": (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}

# Patterns of a manual folder: the files themselves, or a folder `mnist` with them.
NEEDED = {
    f"{file}|mnist/{file}": f"MNIST's {kind} of {split}"
    for kind, files in (("pictures", PICTURE_FILES), ("labels", LABEL_FILES))
    for split, file in files.items()
}

INSTRUCTIONS = """
get train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and
t10k-labels-idx1-ubyte.gz, for instance from https://storage.googleapis.com/cvdf-datasets/mnist/,
and put them, still compressed, into the manual folder or into a folder mnist in it
"""

_UNSIGNED_BYTE = 8


def read_idx(path: Path, num_axes: int) -> UInt8[np.ndarray, "example *shape"]:
    """Reads one of MNIST's files: big-endian sizes, then unsigned bytes.

    Args:
        path: The gzip file.
        num_axes: 3 for pictures, 1 for labels.

    Returns:
        What the file holds, in its order.

    Raises:
        ValueError: The file is no whole gzip file, or no idx file of bytes with that many axes.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is no whole gzip file ({error}); get it again") from None
    start = 4 + 4 * num_axes
    if len(content) < start or content[:4] != bytes([0, 0, _UNSIGNED_BYTE, num_axes]):
        raise ValueError(f"{path} is no idx file of unsigned bytes with {num_axes} axes")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", num_axes, offset=4))
    values = np.frombuffer(content, np.uint8, offset=start)
    if values.size != np.prod(shape, dtype=np.int64):
        raise ValueError(f"{path} holds {values.size} bytes of values; its header says {shape}")
    return values.reshape(shape)


def read_digits(
    folder: Path, split: str
) -> tuple[UInt8[np.ndarray, "example 28 28"], UInt8[np.ndarray, " example"]]:
    """Reads the digits of one split, in the published order.

    Args:
        folder: The manual folder, with all of `NEEDED`.
        split: `train` or `test`.

    Returns:
        The pictures, 0 for paper, and the digits.

    Raises:
        ValueError: A file is not the published one, damaged, or of another size.
    """
    pictures_path, labels_path = (
        find_manual(folder, f"{files[split]}|mnist/{files[split]}")[0]
        for files in (PICTURE_FILES, LABEL_FILES)
    )
    sums = {path.name: sha256(path) for path in (pictures_path, labels_path)}
    check_sha256(
        str(pictures_path.parent), sums, {name: SHA256[name] for name in sums if name in SHA256}
    )
    pictures, labels = read_idx(pictures_path, 3), read_idx(labels_path, 1)
    check_num_examples(str(pictures_path), len(pictures), NUM_EXAMPLES[split])
    check_num_examples(str(labels_path), len(labels), NUM_EXAMPLES[split])
    if pictures.shape[1:] != (SIZE, SIZE):
        raise ValueError(f"{pictures_path} holds pictures of {pictures.shape[1:]}, not 28 x 28")
    if labels.max() >= len(CLASSES):
        raise ValueError(f"{labels_path} holds the label {labels.max()}; labels are 0 to 9")
    return pictures, labels


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """MNIST: handwritten digits.

    Name, splits and features are those of the set of the same name in TFDS's catalogue. The major
    version differs, since the records stand in the published order here and shuffled there.
    """

    VERSION = tfds.core.Version("4.0.0")
    RELEASE_NOTES = {"4.0.0": "The published order."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS

    def _info(self) -> tfds.core.DatasetInfo:
        return describe_digits(
            self,
            (SIZE, SIZE, 1),
            homepage="http://yann.lecun.com/exdb/mnist/",
            license="No licence is stated by the authors; made from NIST's public databases.",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        folder = manual_folder(dl_manager)
        check_manual(folder, NEEDED, INSTRUCTIONS)
        digits = {split: read_digits(folder, split) for split in NUM_EXAMPLES}
        return {
            split: self._generate_examples(pictures[..., np.newaxis], labels)
            for split, (pictures, labels) in digits.items()
        }

    _generate_examples = staticmethod(make_digits)
