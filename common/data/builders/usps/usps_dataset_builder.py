"""USPS: the digits of zip codes, from the text files of "The Elements of Statistical Learning"."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float, Int, UInt8

from common.data.builders.digit_record import CLASSES, describe_digits, make_digits
from common.data.builders.manual import (
    check_manual,
    check_num_examples,
    find_manual,
    manual_folder,
)

SIZE = 16

FILES = {"train": "zip.train.gz", "test": "zip.test.gz"}
NEEDED = {f"{file}|usps/{file}": f"USPS's {split} split" for split, file in FILES.items()}

# Published numbers of pictures by digit, 0 to 9: 7,291 and 2,007 in all.
NUM_EXAMPLES = {
    "train": (1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644),
    "test": (359, 264, 198, 166, 200, 160, 170, 147, 166, 177),
}

INSTRUCTIONS = """
get zip.train.gz and zip.test.gz ("ZIP code") from
https://hastie.su.domains/ElemStatLearn/data.html and put them, still compressed, into the manual
folder or into a folder usps in it
"""


def read_lines(
    path: Path,
) -> tuple[Float[np.ndarray, "example 16 16"], Int[np.ndarray, " example"]]:
    """Reads a file of digits: a line is the digit, then 256 numbers, row by row.

    Args:
        path: The gzip file.

    Returns:
        The pictures, -1 for paper and 1 for ink, and the digits.

    Raises:
        ValueError: The file is no whole gzip file, or holds other lines.
    """
    try:
        text = gzip.decompress(path.read_bytes()).decode("ascii")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no whole gzip file of text ({error}); get it again") from None
    expected = f"lines are a digit 0 to 9 and {SIZE * SIZE} numbers -1 to 1"
    if not text.strip():
        raise ValueError(f"{path} is empty; its {expected}")
    try:
        table = np.loadtxt(text.splitlines(), ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path} does not hold a table ({error}); its {expected}") from None
    if table.shape[1] != 1 + SIZE * SIZE:
        raise ValueError(f"{path} holds lines of {table.shape[1]} numbers; its {expected}")
    digits, values = table[:, 0], table[:, 1:]
    sound = np.isin(digits, range(len(CLASSES))) & (np.abs(values) <= 1).all(axis=1)
    if not sound.all():
        raise ValueError(f"{path} differs in example {np.argmin(sound)}; its {expected}")
    return values.reshape(-1, SIZE, SIZE), digits.astype(np.int64)


def to_bytes(values: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Turns grey values from -1 to 1 into bytes from 0 to 255.

    The published values have three decimals and up to 2,001 levels; each becomes the nearest of 256
    (halves go to the even one), so it moves by at most 1/255.

    Args:
        values: -1 for paper to 1 for ink.

    Returns:
        0 for paper to 255 for ink.
    """
    return np.rint((values + 1) * 127.5).astype(np.uint8)


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """USPS: handwritten digits from envelopes, records in the order of the files."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The published order, values rounded to bytes."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS

    def _info(self) -> tfds.core.DatasetInfo:
        return describe_digits(
            self,
            (SIZE, SIZE, 1),
            homepage="https://hastie.su.domains/ElemStatLearn/datasets/zip.info.txt",
            license="No licence is stated; made available by the neural network group at AT&T.",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        folder = manual_folder(dl_manager)
        check_manual(folder, NEEDED, INSTRUCTIONS)
        examples = {}
        for split, pattern in zip(FILES, NEEDED, strict=True):
            path = find_manual(folder, pattern)[0]
            examples[split] = read_lines(path)
            for digit, expected in enumerate(NUM_EXAMPLES[split]):
                found = int((examples[split][1] == digit).sum())
                check_num_examples(f"{path}, digit {digit},", found, expected)
        return {
            split: self._generate_examples(to_bytes(values)[..., np.newaxis], digits)
            for split, (values, digits) in examples.items()
        }

    _generate_examples = staticmethod(make_digits)
