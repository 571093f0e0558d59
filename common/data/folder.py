"""Domains of one's own pictures: a folder, whose layout gives classes and splits, or a manifest."""

from __future__ import annotations

import errno
import os
import posixpath
from typing import NamedTuple

import numpy as np

from common.data.example import Examples
from common.data.manifest import list_manifest, list_value_manifest
from common.data.picture import Form, check_form
from common.data.picture_file import (
    PARTS,
    PictureFile,
    is_below,
    name_few,
    normal_name,
    read_files,
)
from common.data.value import check_values
from common.task_kind import OF_CLASSES

# They decide between a folder of pictures and a folder of folders; whether a file is a picture, its
# bytes decide.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
# What other programs call a split. Folders of these names alone are hardly classes.
LIKE_PARTS = (*PARTS, "training", "valid", "validation", "dev", "testing", "eval")
# What operating systems leave behind, apart from names that begin with a dot.
HIDDEN = ("thumbs.db", "desktop.ini", "__macosx")


class _Place(NamedTuple):
    """A folder: its path from the root, its real path, and that of all folders on the way to it."""

    shown: str
    real: str
    way: frozenset[str]


def read_folder(path: str, form: Form, *, skip_bad: bool, kind: str = "multi_class") -> Examples:
    """Reads a domain of one's own pictures.

    The path is one of these; what begins with a dot is ignored everywhere.

    - A folder of class folders, `<class>/**/<picture>`. The class is the folder's name.
    - A folder of nothing but splits, any of `train`, `val` and `test`, each of which is a folder of
      class folders or holds pictures directly, without labels. Folders of these three names are
      always splits at the top, and never below it.
    - A folder that holds pictures directly, without labels.
    - A CSV file with the columns `path` (from the file's folder), `label` (empty: none) and, if
      wanted, `split`. Where labels are no classes it is the only form with labels, and has a column
      for each in the place of `label`, which holds numbers.

    Files beside class folders or splits are ignored unless they are named like pictures. Every file
    below a class folder, or in a folder without class folders, must be a picture. Names
    are compared in Unicode's normal form C, so that macOS and Linux agree. The order is that
    of split, class and path, on every machine.

    Args:
        path: The folder or CSV file; `~` is the home folder.
        form: What all pictures are brought to.
        skip_bad: Leave out files that are no readable pictures and log their names, instead of
            refusing them.
        kind: One of `task_kind.KINDS` but segmentation.

    Returns:
        The examples: in memory where they take at most 256 MiB, else as a store.

    Raises:
        ValueError: What cannot be read, or is ambiguous.
    """
    check_form(form)
    if not path or "\0" in path:
        raise ValueError(f"{path!r} names no folder of pictures; write folder:<path>")
    root, names = os.path.expanduser(path), ()
    try:
        if not _is_there(root):
            raise ValueError(f"there is no folder or CSV manifest {path!r}")
        if os.path.isdir(root):
            files = _list_folder(root)
            if kind not in OF_CLASSES and any(file.label for file in files):
                raise ValueError(
                    f"{path!r} holds class folders, and config.task.kind is {kind!r}; list the "
                    "pictures in a CSV manifest with a column for each label"
                )
        elif os.path.isfile(root) and root.lower().endswith(".csv"):
            if kind in OF_CLASSES:
                files = list_manifest(root)
            else:
                files, names = list_value_manifest(root)
            root = os.path.dirname(root) or "."
        else:
            raise ValueError(f"{path!r} is neither a folder of pictures nor a CSV manifest")
        files = sorted(files, key=_order)
        examples, kept = read_files(path, root, files, form, skip_bad=skip_bad)
    except OSError as error:
        raise ValueError(
            f"{error.filename or path!r} cannot be read ({error.strerror or error}); every file "
            "and folder of a domain must be readable"
        ) from error
    if not names:
        return examples
    values = np.asarray([file.values for file in kept], np.float32)
    if np.isnan(values).all():
        return examples
    values = check_values(values, f"the manifest {path!r}", kind)
    return examples._replace(labels=values, classes=names)


def _order(file: PictureFile) -> tuple[str | int, ...]:
    part = PARTS.index(file.part) if file.part else -1
    return part, file.label, normal_name(file.shown), file.shown


def _list_folder(root: str) -> list[PictureFile]:
    """Lists the files of a folder, by its layout."""
    real = os.path.realpath(root)
    top = _Place("", real, frozenset([real]))
    strays: list[str] = []
    folders, files = _look(top, real, strays)
    names = [normal_name(folder.shown) for folder in folders]
    others = [name for name in names if name not in PARTS]
    if len(others) < len(names) and (others or any(map(_is_named_picture, files))):
        beside = others or list(filter(_is_named_picture, files))
        raise ValueError(
            f"{root!r} holds {name_few(map(repr, sorted(set(names) - set(others))))} beside "
            f"{name_few(map(repr, beside))}, so that its layout is ambiguous: either all its "
            "folders are named train, val or test and it holds no picture itself, or none is "
            "(move classes of such a name and all others into a folder train, or list the files "
            "in a CSV manifest)"
        )
    if names and names == others and all(name.casefold() in LIKE_PARTS for name in names):
        raise ValueError(
            f"{root!r} holds the folders {name_few(map(repr, names))}, which look like splits; "
            "name splits train, val and test"
        )
    parts = folders if names and not others else []
    found = [
        file
        for place in parts or [top]
        for file in _list_part(root, place, normal_name(place.shown), real, strays)
    ]
    if strays:
        raise ValueError(
            f"{root!r} holds links that lead outside it or in a circle: {name_few(strays)}; put "
            "the files themselves there"
        )
    empty = [repr(posixpath.join(file.part, file.label)) for file in found if not file.shown]
    if empty:
        raise ValueError(
            f"{root!r} holds class folders without a picture, {name_few(empty)}, and an empty "
            "class cannot be learnt; fill or remove them"
        )
    return found


def _list_part(
    root: str, place: _Place, part: str, real_root: str, strays: list[str]
) -> list[PictureFile]:
    """Lists a folder of class folders or of pictures; an empty class by a file without a path."""
    folders, files = _look(place, real_root, strays)
    where = os.path.join(root, place.shown)
    pictures = list(filter(_is_named_picture, files))
    if folders and pictures:
        raise ValueError(
            f"{where!r} holds folders ({name_few(repr(own.shown) for own in folders)}) and "
            f"pictures ({name_few(map(repr, pictures))}), so that it is ambiguous whether its "
            "pictures have labels; it must hold class folders or pictures, not both"
        )
    if not folders:
        if not files and not strays:
            raise ValueError(
                f"{where!r} holds no picture; it must hold class folders, or pictures without "
                "labels"
            )
        return [PictureFile(part, "", file) for file in files]
    found = []
    for folder in folders:
        label = normal_name(posixpath.basename(folder.shown))
        if not _is_text(label):
            raise ValueError(
                f"the class folder {folder.shown!r} of {root!r} has a name that is no UTF-8; "
                "rename it"
            )
        below = [folder]
        contents = []
        while below:
            more, own = _look(below.pop(), real_root, strays)
            below += more
            contents += own
        found += [PictureFile(part, label, file) for file in contents or [""]]
    return found


def _look(place: _Place, root: str, strays: list[str]) -> tuple[list[_Place], list[str]]:
    """Lists the folders and files in a folder; links that lead astray are added to `strays`."""
    folders, files = [], []
    with os.scandir(place.real) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.name.startswith(".") or entry.name.casefold() in HIDDEN:
            continue
        shown = posixpath.join(place.shown, entry.name)
        if entry.is_symlink():
            real = os.path.realpath(entry.path)
            if not is_below(real, root):
                strays.append(f"{shown!r} (to {real!r})")
                continue
            if real in place.way or _is_endless(entry.path):
                strays.append(f"{shown!r} (in a circle)")
                continue
        else:
            real = entry.path
        if entry.is_dir():
            folders.append(_Place(shown, real, place.way | {real}))
        else:
            files.append(shown)
    return folders, files


def _is_there(path: str) -> bool:
    """Says whether a path leads to anything, where that can be found out."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _is_endless(link: str) -> bool:
    """Says whether a link leads to itself, by way of links alone."""
    try:
        _is_there(link)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return True
        raise
    return False


def _is_named_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _is_text(name: str) -> bool:
    """Says whether a name is Unicode; Python smuggles other bytes through file names."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
