"""Folders of pictures for tests: written, read, and refused in one sentence."""

import os
from pathlib import Path

import numpy as np
import pytest

from common.data.folder import read_folder
from common.data.picture import Form, encode_png

AS_STORED = Form(0, "center", 0)
PNG = encode_png(np.full((4, 4, 1), 7, np.uint8))


def png(value, shape=(4, 4, 1)):
    return encode_png(np.full(shape, value, np.uint8))


def fill(root, files):
    """Writes files; of a name alone a picture, whose value is its number."""
    for number, name in enumerate(files):
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[name] if isinstance(files, dict) else png(number))
    return str(root)


def read(path, form=AS_STORED, skip_bad=False, kind="multi_class"):
    return read_folder(str(path), form, skip_bad=skip_bad, kind=kind)


def values(examples):
    return examples.images[:][:, 0, 0, 0].tolist()


def split_rows(examples):
    splits = examples.splits or {}
    assert all(rows.dtype == np.int32 for rows in splits.values())
    return {part: rows.tolist() for part, rows in splits.items()}


def refuse(path, *parts, form=AS_STORED, skip_bad=False, kind="multi_class"):
    """Checks that one sentence names the path and contains the parts."""
    with pytest.raises(ValueError) as refused:
        read(path, form, skip_bad, kind)
    sentence = str(refused.value)
    assert "\n" not in sentence and not sentence.endswith(".")
    for part in (os.path.basename(str(path)), *parts):
        assert part in sentence, sentence
    return sentence
