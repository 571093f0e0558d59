"""Data sets that TFDS has prepared, read without TensorFlow and without their builders."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Num, UInt8

from common.data.data_folder import find_prepared
from common.data.example import Examples
from common.data.part import choose_parts
from common.data.picture import ORIENTATION, Form, adapt, check_form, decode_picture
from common.data.picture_store import Pictures
from common.data.record import Records, parse_record

PICTURE_MAXIMUM, VECTOR_MAXIMUM = 255.0, 1.0


class Chosen(NamedTuple):
    """The two features of a data set that are read.

    Attributes:
        input: Name of the picture or vector.
        label: Name of the class label; empty where there is none.
        is_picture: Whether the input is an encoded picture.
        classes: Names of the classes.
    """

    input: str
    label: str
    is_picture: bool
    classes: tuple[str, ...]


def read_prepared(name: str, parts: Mapping[str, str], form: Form, data_dir: str) -> Examples:
    """Opens a prepared data set. Labels are read now, pictures where they are asked for.

    Args:
        name: Such as `mnist`, `office31/amazon` or `mnist:3.0.1`.
        parts: Split expressions of TFDS for `train`, `val` and `test`, such as
            `train[:5000]+extra`; empty for the published split of that name (of a set that is
            published as a single split, that one is `train`); `none` for no published one.
        form: The form that pictures are brought to.
        data_dir: The data folder; empty for the default of TFDS.

    Returns:
        The examples of these parts in the order in which they are stored, part after part. Pictures
        are a store, vectors an array of the type they are stored as.

    Raises:
        ValueError: Nothing is prepared under this name, a wrong split expression, parts that share
            examples, no single picture, vector or label among the features, pictures of several
            sizes without `form.size`, or a damaged file.
    """
    check_form(form)
    found = find_prepared(name, data_dir)
    try:
        return _read(_load_info(found.folder), parts, form)
    except ValueError as error:
        raise ValueError(f"{name} in {found.folder}: {error}") from error


def _load_info(folder: Path) -> Any:
    import tensorflow_datasets as tfds

    try:
        return tfds.builder_from_directory(folder).info
    # Features that only the builder's own module knows, or damaged files.
    except Exception as error:
        said = " ".join(str(error).split())
        raise ValueError(
            f"its dataset_info.json or features.json cannot be read: {said}"
        ) from error


def _read(info: Any, parts: Mapping[str, str], form: Form) -> Examples:
    pieces = choose_parts(info.splits, parts)
    features = dict(info.features.items()) if hasattr(info.features, "items") else {}
    chosen = choose_features(features, info.supervised_keys)
    records = Records([piece for own in pieces.values() for piece in own])
    counts = [sum(piece.count for piece in own) for own in pieces.values()]
    rows = np.split(np.arange(len(records), dtype=np.int32), np.cumsum(counts)[:-1])
    feature = features[chosen.input]
    images: Any
    if chosen.is_picture:
        labels, images = _open_pictures(records, chosen, feature, form)
    else:
        labels, images = _read_vectors(records, chosen, feature)
    maximum = PICTURE_MAXIMUM if chosen.is_picture else VECTOR_MAXIMUM
    splits = dict(zip(pieces, rows, strict=True))
    return Examples(images, labels, chosen.classes, maximum, splits)


def choose_features(features: Mapping[str, Any], supervised: Any) -> Chosen:
    """Chooses what a data set's examples are recognised by.

    Args:
        features: `info.features`.
        supervised: `info.supervised_keys`; followed where it names a picture or vector and a label.

    Returns:
        The only picture, or else the only vector, and the only class label.

    Raises:
        ValueError: There is none, or there are several and `supervised` does not say which.
    """
    import tensorflow_datasets as tfds

    kinds: Any = tfds.features
    pictures = [name for name, own in features.items() if type(own) is kinds.Image]
    vectors = [
        name
        for name, own in features.items()
        if type(own) is kinds.Tensor
        and len(own.shape) == 1
        and own.shape[0]
        and np.issubdtype(own.np_dtype, np.number)
    ]
    labels = [name for name, own in features.items() if isinstance(own, kinds.ClassLabel)]
    keys = [own for own in supervised if isinstance(own, str)] if supervised else []
    named_inputs = [own for own in keys[:1] if own in (*pictures, *vectors)]
    named_labels = [own for own in keys[1:2] if own in labels]
    inputs, labels = named_inputs or pictures or vectors, named_labels or labels
    if len(inputs) != 1 or len(labels) > 1:
        kind, found = ("picture or vector", inputs) if len(inputs) != 1 else ("label", labels)
        raise ValueError(
            f"{len(found)} of its features ({', '.join(features)}) could be its {kind} "
            f"({', '.join(found) or 'none'}); sets with one picture or vector and at most one "
            "class label are read"
        )
    picture = inputs[0] in pictures
    if picture and features[inputs[0]].np_dtype != np.uint8:
        raise ValueError(
            f"its pictures {inputs[0]!r} are of type {features[inputs[0]].np_dtype}; only those of "
            "8 bits are read"
        )
    label = labels[0] if labels else ""
    return Chosen(inputs[0], label, picture, tuple(features[label].names) if labels else ())


def _open_pictures(
    records: Records, chosen: Chosen, feature: Any, form: Form
) -> tuple[Int[np.ndarray, "example"], Pictures]:
    """Reads the labels, and the sizes of the pictures where the data set does not tell them."""
    form = form._replace(channels=form.channels or (1 if feature.shape[-1] == 1 else 3))
    size: Any = (form.size, form.size) if form.size else feature.shape[:2]
    labels = np.full(len(records), -1, np.int32)
    for row, values in enumerate(_parse(records)):
        labels[row] = _read_label(values, chosen, row)
        if form.size or None not in feature.shape[:2]:
            continue
        own = _picture_size(_read_bytes(values, chosen))
        size = own if None in size else size
        if own != size:
            raise ValueError(
                f"its pictures have different sizes, such as {size[0]} x {size[1]} and {own[0]} x "
                f"{own[1]}; bring them to one by config.data.size, such as --config.data.size=224"
            )

    def read(row: int) -> UInt8[np.ndarray, "height width channel"]:
        try:
            return adapt(decode_picture(_read_bytes(parse_record(records[row]), chosen)), form)
        except ValueError as error:
            raise ValueError(f"the picture in {records.place(row)}: {error}") from error

    return labels, Pictures(read, len(records), (*size, form.channels))


def _picture_size(data: bytes) -> tuple[int, int]:
    """Reads height and width from the head of a picture file."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and b"eXIf" not in data:
        width, height = struct.unpack_from(">II", data, 16)
        return height, width
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(data))
        is_turned = image.getexif().get(ORIENTATION, 1) >= 5
    # What is damaged is named when it is decoded.
    except Exception:
        return decode_picture(data).shape[:2]
    return (image.width, image.height) if is_turned else (image.height, image.width)


def _read_vectors(
    records: Records, chosen: Chosen, feature: Any
) -> tuple[Int[np.ndarray, "example"], Num[np.ndarray, "example feature"]]:
    kind = np.dtype(feature.np_dtype)
    # Types that the device has no room for become its only float.
    kind = kind if kind.itemsize <= 2 and kind.kind in "iu" else np.dtype(np.float32)
    vectors = np.empty((len(records), int(feature.shape[0])), kind)
    labels = np.full(len(records), -1, np.int32)
    for row, values in enumerate(_parse(records)):
        labels[row] = _read_label(values, chosen, row)
        own = values[chosen.input]
        if own.HasField("bytes_list"):
            vectors[row] = feature.decode_example_np(own.bytes_list.value[0])
        else:
            numbers = own.float_list if own.HasField("float_list") else own.int64_list
            if len(numbers.value) != vectors.shape[1]:
                raise ValueError(
                    f"record {row} has {len(numbers.value)} numbers, not {vectors.shape[1]}"
                )
            vectors[row] = np.fromiter(numbers.value, kind, vectors.shape[1])
    return labels, vectors


def _parse(records: Records) -> Iterator[Any]:
    for block in records.blocks():
        yield from map(parse_record, block)


def _read_label(values: Any, chosen: Chosen, row: int) -> int:
    if not chosen.label:
        return -1
    stored = values[chosen.label].int64_list.value
    if len(stored) != 1:
        raise ValueError(f"record {row} has no {chosen.label!r}")
    label = stored[0]
    if not -1 <= label < len(chosen.classes):
        raise ValueError(f"record {row} has the label {label} of {len(chosen.classes)} classes")
    return label


def _read_bytes(values: Any, chosen: Chosen) -> bytes:
    stored = values[chosen.input].bytes_list.value
    if len(stored) != 1:
        raise ValueError(f"it has no {chosen.input!r}")
    return stored[0]
