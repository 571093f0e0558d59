"""Domains in npz files: arrays of vectors or pictures."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Num, Shaped

from common.data.example import Examples
from common.data.value import read_pixels, read_values
from common.data.vector import SPLITS, number_classes, number_rows, smallest_type
from common.legal import suggest
from common.task_kind import OF_CLASSES


def read_npz(
    path: str,
    adapt: Callable[[Num[np.ndarray, "height width channel"]], np.ndarray] | None = None,
    kind: str = "multi_class",
) -> Examples:
    """Reads a domain from an npz file, as `numpy.savez` writes it.

    Args:
        path: A file with the array `features` [example, ...] and, if the examples are labelled,
            `labels` [example]; or, for a domain with splits of its own, with `train_features`,
            `train_labels`, `val_features` and so on. Labels are text, with "" for an example that
            has none; or whole numbers, which without an array `classes` are names too. With
            `classes`, the names, whole numbers count them from 0, and -1 stands for no label.
            Features with four axes are pictures, of type uint8 with channels last.
            Where labels are no classes, they are as `read_values` or `read_pixels` says, and
            `classes` names them.
        adapt: From a picture to the picture that the run asks for; None leaves pictures as stored.
        kind: One of `KINDS`.

    Returns:
        The examples. Without `classes`, classes are in the order of the numbers or of the text.

    Raises:
        ValueError: A file that is missing or broken, arrays that are missing, unknown or do not
            fit each other, or values that are no finite numbers.
    """
    place = Path(path).expanduser()
    arrays = _load_arrays(place)
    parts = _parts_of(arrays, place)
    stored = {part: arrays[_name(part, "features")] for part in parts}
    shapes = {part: own.shape[1:] for part, own in stored.items()}
    for part, own in stored.items():
        _check_features(own, f"{place}: {_name(part, 'features')}")
        if shapes[part] != shapes[parts[0]]:
            raise ValueError(
                f"{place}: {_name(part, 'features')} holds examples of shape {shapes[part]}, "
                f"{_name(parts[0], 'features')} of {shapes[parts[0]]}; they must be the same"
            )
    counts = {part: len(own) for part, own in stored.items()}
    if kind in OF_CLASSES:
        labels, classes = _read_labels(arrays, counts, place)
    else:
        given = {part: arrays.get(_name(part, "labels")) for part in counts}
        names = _read_classes(arrays.get("classes"), place)
        if kind == "segmentation":
            sizes = next(iter(stored.values())).shape[1:3]
            labels, classes = read_pixels(given, counts, sizes, names, place)
        else:
            labels, classes = read_values(given, counts, names, place, kind)
    images = np.concatenate(list(stored.values()))
    maximum = 1.0
    if images.ndim == 4:
        maximum = 255.0
        images = np.stack([adapt(picture) for picture in images]) if adapt else images
    else:
        images = images.astype(smallest_type(list(stored.values()), str(place)))
    return Examples(images, labels, classes, maximum, None if "" in counts else number_rows(counts))


def _load_arrays(place: Path) -> dict[str, np.ndarray]:
    try:
        with place.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise ValueError(f"{place} does not exist") from None
    except (AttributeError, TypeError):
        raise ValueError(
            f"{place} holds one array without a name; write it by numpy.savez"
        ) from None
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{place} is no npz file of plain numbers and text that can be read: {error}"
        ) from error


def _name(part: str, name: str) -> str:
    return f"{part}_{name}" if part else name


def _parts_of(arrays: Mapping[str, np.ndarray], place: Path) -> list[str]:
    """Returns the splits that a file holds, or "" alone for examples without splits."""
    parts = [part for part in ("", *SPLITS) if _name(part, "features") in arrays]
    if not parts:
        raise ValueError(
            f"{place} holds the arrays {', '.join(arrays) or 'none'}; it must hold features, or "
            "train_features, val_features and test_features"
        )
    if "" in parts and len(parts) > 1:
        raise ValueError(
            f"{place} holds both features and {parts[1]}_features; write either all examples or "
            "those of each split"
        )
    legal = ["classes", *(_name(part, own) for part in parts for own in ("features", "labels"))]
    for name in arrays:
        if name not in legal:
            raise ValueError(f"{place} holds the array {name!r}; {suggest(name, legal)}")
    return parts


def _check_features(array: Shaped[np.ndarray, "..."], where: str) -> None:
    if array.dtype.kind not in "buif" or array.ndim not in (2, 4) or 0 in array.shape:
        raise ValueError(
            f"{where} has the type {array.dtype} and the shape {array.shape}; it must hold numbers "
            "[example, input] or pictures [example, height, width, channel]"
        )
    if array.ndim == 4 and (array.dtype != np.uint8 or array.shape[3] not in (1, 3)):
        raise ValueError(
            f"{where} has the type {array.dtype} and the shape {array.shape}; pictures must be "
            "uint8 [example, height, width, channel] with 1 or 3 channels"
        )


def _read_labels(
    arrays: Mapping[str, np.ndarray], counts: Mapping[str, int], place: Path
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns class numbers, -1 where an example has none, and the names of the classes."""
    given = {part: arrays.get(_name(part, "labels")) for part in counts}
    kinds = set()
    for part, labels in given.items():
        if labels is None:
            continue
        where = f"{place}: {_name(part, 'labels')}"
        if labels.shape != (counts[part],):
            raise ValueError(
                f"{where} has the shape {labels.shape}, but there are {counts[part]} examples; "
                f"it must be ({counts[part]},)"
            )
        if labels.dtype.kind not in "iuU":
            raise ValueError(
                f"{where} has the type {labels.dtype}; labels must be whole numbers or text"
            )
        kinds.add(labels.dtype.kind == "U")
    if len(kinds) > 1:
        raise ValueError(f"{place} labels one split by numbers and another by text; use one")
    classes = _read_classes(arrays.get("classes"), place)
    numbers = np.full(sum(counts.values()), -1, np.int32)
    known = {part: labels for part, labels in given.items() if labels is not None}
    if not known:
        return numbers, ()
    rows = np.concatenate([number_rows(counts)[part] for part in known])
    labels = np.concatenate(list(known.values()))
    if True in kinds:
        rows, labels = rows[labels != ""], labels[labels != ""]
    if not classes:
        if len(labels):
            numbers[rows], classes = number_classes(labels)
        return numbers, classes
    if True in kinds:
        for name in np.unique(labels).tolist():
            if name not in classes:
                raise ValueError(f"{place} has the label {name!r}; {suggest(name, classes)}")
        labels = np.asarray([classes.index(name) for name in labels.tolist()], np.int32)
    elif len(labels) and not (-1 <= labels.min() and labels.max() < len(classes)):
        raise ValueError(
            f"{place} has labels from {labels.min()} to {labels.max()} of {len(classes)} classes; "
            f"they must lie between 0 and {len(classes) - 1}, or be -1 where there is none"
        )
    numbers[rows] = labels
    return numbers, classes


def _read_classes(array: np.ndarray | None, place: Path) -> tuple[str, ...]:
    if array is None:
        return ()
    names = tuple(array.tolist()) if array.ndim == 1 and array.dtype.kind == "U" else ()
    if not names or "" in names or len(set(names)) < len(names):
        raise ValueError(
            f"{place}: classes has the type {array.dtype} and the shape {array.shape}; it must "
            "list the names of the classes, each once"
        )
    return names
