"""Data sets that TFDS has prepared, read without TensorFlow and without their builders."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Num, UInt8

from common.data.data_folder import find_prepared
from common.data.example import Examples
from common.data.picture import ORIENTATION, Form, Pictures, adapt, check_form, decode_picture
from common.data.record import Piece, Records, parse_record

# The published splits that a part is taken from where the config names none.
DEFAULTS = {"train": ("train",), "val": ("validation", "val"), "test": ("test",)}
# Written instead of a split expression, it leaves a part to the random split.
NONE = "none"
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
    import tensorflow_datasets as tfds

    check_form(form)
    found = find_prepared(name, data_dir)
    info: Any = tfds.builder_from_directory(found.folder).info
    pieces = choose_parts(info.splits, parts)
    chosen = choose_features(info.features, info.supervised_keys)
    records = Records([piece for own in pieces.values() for piece in own])
    counts = [sum(piece.count for piece in own) for own in pieces.values()]
    rows = np.split(np.arange(len(records), dtype=np.int32), np.cumsum(counts)[:-1])
    feature = info.features[chosen.input]
    images: Any
    try:
        if chosen.is_picture:
            labels, images = _open_pictures(records, chosen, feature, form)
        else:
            labels, images = _read_vectors(records, chosen, feature)
    except ValueError as error:
        raise ValueError(f"{found.folder}: {error}") from error
    maximum = PICTURE_MAXIMUM if chosen.is_picture else VECTOR_MAXIMUM
    splits = dict(zip(pieces, rows, strict=True))
    return Examples(images, labels, chosen.classes, maximum, splits)


def choose_parts(splits: Mapping[str, Any], parts: Mapping[str, str]) -> dict[str, list[Piece]]:
    """Finds the records of each part.

    Args:
        splits: `info.splits` of a data set.
        parts: As in `read_prepared`.

    Returns:
        Records by part, in the order train, val, test; parts that are not published are left out.

    Raises:
        ValueError: A wrong expression, one without examples, or parts that share examples.
    """
    published = {name: own.num_examples for name, own in splits.items() if own.num_examples}
    if not published:
        raise ValueError("it holds no examples")
    only = list(published) if len(published) == 1 else []
    chosen: dict[str, list[Piece]] = {}
    for part, names in DEFAULTS.items():
        written = parts.get(part, "").strip()
        names = only if only and part == "train" else [own for own in names if own not in only]
        default = next((own for own in names if own in published), "")
        if written != NONE and (expression := written or default):
            chosen[part] = _locate(part, expression, splits, published)
    if not chosen:
        raise ValueError(f"none of train, val and test is chosen; published are {_list(published)}")
    _check_disjoint(chosen, parts)
    return chosen


def _locate(
    part: str, expression: str, splits: Mapping[str, Any], published: Mapping[str, int]
) -> list[Piece]:
    try:
        found = splits[expression].file_instructions
    # TFDS raises errors of many kinds over an expression, and says them on several lines.
    except Exception as error:
        raise ValueError(
            f"{part} is {expression!r}, which is no split of it; published are "
            f"{_list(published)}, and train[:90%], train[:5000]+test are ways to take some of them"
        ) from error
    pieces = [Piece(str(own.filename), own.skip, own.take) for own in found if own.take > 0]
    if not pieces:
        raise ValueError(f"{part} is {expression!r}, which has no example; {_list(published)}")
    return pieces


def _check_disjoint(chosen: Mapping[str, Sequence[Piece]], parts: Mapping[str, str]) -> None:
    """Refuses an example that stands in two parts, or twice in one."""
    order = sorted(
        (piece.file, piece.first, piece, part) for part in chosen for piece in chosen[part]
    )
    for (_, _, piece, part), (_, _, after, other) in zip(order, order[1:], strict=False):
        if piece.file == after.file and piece.first + piece.count > after.first:
            said = {own: parts.get(own) or "the published split" for own in (part, other)}
            both = part if part == other else f"{part} and {other}"
            raise ValueError(
                f"{both} would hold the same examples twice "
                f"({', '.join(f'{own}: {text}' for own, text in said.items())}); give them parts "
                f"that share none, or {NONE!r} for a random split of train"
            )


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
        kind = "label" if len(inputs) == 1 else "picture or vector"
        of_kind = labels if len(inputs) == 1 else inputs
        raise ValueError(
            f"it has {len(of_kind)} features that could be its {kind} ({_list(of_kind)}) among "
            f"{_list(features)}; only sets with one picture or vector and at most one class label "
            "are read"
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
    vectors = np.empty((len(records), *feature.shape), kind)
    labels = np.full(len(records), -1, np.int32)
    for row, values in enumerate(_parse(records)):
        labels[row] = _read_label(values, chosen, row)
        own = values[chosen.input]
        if own.HasField("bytes_list"):
            vectors[row] = feature.decode_example_np(own.bytes_list.value[0])
        else:
            numbers = own.float_list if own.HasField("float_list") else own.int64_list
            vectors[row] = np.fromiter(numbers.value, kind, feature.shape[0])
    return labels, vectors


def _parse(records: Records) -> Iterator[Any]:
    for block in records.blocks():
        yield from map(parse_record, block)


def _read_label(values: Any, chosen: Chosen, row: int) -> int:
    if not chosen.label:
        return -1
    label = values[chosen.label].int64_list.value[0]
    if not -1 <= label < len(chosen.classes):
        raise ValueError(f"record {row} has the label {label} of {len(chosen.classes)} classes")
    return label


def _read_bytes(values: Any, chosen: Chosen) -> bytes:
    return values[chosen.input].bytes_list.value[0]


def _list(names: Any) -> str:
    """Writes names, and behind each its number where there is one."""
    if isinstance(names, Mapping):
        numbers = {k: f" ({v})" if isinstance(v, int) else "" for k, v in names.items()}
        return ", ".join(f"{name}{number}" for name, number in numbers.items())
    return ", ".join(names) or "none"
