"""A CSV file that lists pictures, their classes and, if wanted, their splits."""

from __future__ import annotations

import csv
import os
import posixpath
from collections.abc import Sequence

from common.data.picture_file import PARTS, PictureFile, is_below, name_few, normal_name
from common.legal import check_name

# Columns that are no labels.
OF_FILES = ("path", "split")


def list_manifest(path: str) -> list[PictureFile]:
    """Lists the files that a CSV file names.

    Args:
        path: A CSV file in UTF-8 with the columns `path` (from the file's folder), `label` (empty:
            none) and, if wanted, `split`, in any order.

    Returns:
        The files, in the order of the lines.

    Raises:
        ValueError: Another header, a line that is incomplete, names a picture again, an unknown
            split or a file outside the folder; or no line at all.
    """
    header, lines = _read_lines(path)
    if sorted(header) not in (["label", "path"], ["label", "path", "split"]):
        raise ValueError(
            f"the manifest {path!r} begins with the columns "
            f"{name_few(repr(name[:40]) for name in header) or 'none'}; they must be path, label "
            "and, if wanted, split"
        )
    found = []
    for where, fields, file in _files_of(path, header, lines):
        label = normal_name(fields["label"])
        if label != label.strip():
            raise ValueError(f"{where} has the label {label!r}; take the white space off its ends")
        found.append(file._replace(label=label))
    return found


def list_value_manifest(path: str) -> tuple[list[PictureFile], tuple[str, ...]]:
    """Lists the files that a CSV file names, whose labels are several or numbers.

    Args:
        path: A CSV file in UTF-8 with the column `path`, if wanted `split`, and a column for each
            label or value, whose fields are numbers, or all empty in the line of a picture without
            labels.

    Returns:
        The files, in the order of the lines, and the names of the labels in that of the columns.

    Raises:
        ValueError: As `list_manifest`; or a field that is no number.
    """
    header, lines = _read_lines(path)
    names = tuple(normal_name(name) for name in header if name not in OF_FILES)
    if "path" not in header or "" in names or len(set(header)) < len(header):
        raise ValueError(
            f"the manifest {path!r} begins with the columns "
            f"{name_few(repr(name[:40]) for name in header) or 'none'}; they must be path, if "
            "wanted split, and one for each label or value, each named once"
        )
    columns = [name for name in header if name not in OF_FILES]
    found = []
    for where, fields, file in _files_of(path, header, lines):
        try:
            numbers = tuple(float(fields[name] or "nan") for name in columns)
        except ValueError as error:
            raise ValueError(f"{where} has a label that is no number ({error})") from None
        found.append(file._replace(values=numbers))
    return found, names


def _read_lines(path: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Reads the header, and the number and fields of each further line."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"the manifest {path!r} is no CSV file in UTF-8: {error}") from error
    return (lines[0][1] if lines else []), lines[1:]


def _files_of(
    path: str, header: Sequence[str], lines: Sequence[tuple[int, list[str]]]
) -> list[tuple[str, dict[str, str], PictureFile]]:
    """Checks each line, and returns where it stands, its fields and its file without labels."""
    if not lines:
        raise ValueError(f"the manifest {path!r} lists no picture; write a line for each")
    root = os.path.realpath(os.path.dirname(path) or ".")
    files: dict[str, int] = {}
    found, strays = [], []
    for number, row in lines:
        where = f"the manifest {path!r}, line {number}"
        if len(row) != len(header):
            raise ValueError(
                f"{where} has {len(row)} fields, the header {len(header)}; put quotes around "
                "fields with commas"
            )
        fields = dict(zip(header, row, strict=True))
        if not fields["path"] or "\0" in fields["path"]:
            raise ValueError(f"{where} has the path {fields['path']!r}; it must name a picture")
        shown = posixpath.normpath(fields["path"])
        if "split" in fields:
            check_name(f"{where}: split", fields["split"], PARTS)
        real = os.path.realpath(os.path.join(root, shown))
        if os.path.isabs(shown) or shown.startswith("../") or not is_below(real, root):
            strays.append(f"{fields['path']!r} (line {number})")
            continue
        if shown in files:
            raise ValueError(f"{where} names {shown!r} again, which line {files[shown]} named")
        files[shown] = number
        found.append((where, fields, PictureFile(fields.get("split", ""), "", shown)))
    if strays:
        raise ValueError(
            f"the manifest {path!r} names files outside its folder: {name_few(strays)}; paths "
            "must start from that folder and stay in it"
        )
    return found
