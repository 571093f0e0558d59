"""A CSV file that lists pictures, their classes and, if wanted, their splits."""

from __future__ import annotations

import csv
import os
import posixpath

from common.data.picture_file import PARTS, PictureFile, is_below, name_few, normal_name
from common.legal import check_name


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
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"the manifest {path!r} is no CSV file in UTF-8: {error}") from error
    header = lines[0][1] if lines else []
    if sorted(header) not in (["label", "path"], ["label", "path", "split"]):
        raise ValueError(
            f"the manifest {path!r} begins with the columns "
            f"{name_few(repr(name[:40]) for name in header) or 'none'}; they must be path, label "
            "and, if wanted, split"
        )
    if len(lines) < 2:
        raise ValueError(f"the manifest {path!r} lists no picture; write a line for each")
    root = os.path.realpath(os.path.dirname(path) or ".")
    files: dict[str, int] = {}
    found, strays = [], []
    for number, row in lines[1:]:
        where = f"the manifest {path!r}, line {number}"
        if len(row) != len(header):
            raise ValueError(
                f"{where} has {len(row)} fields, the header {len(header)}; put quotes around "
                "fields with commas"
            )
        fields = dict(zip(header, row, strict=True))
        if not fields["path"] or "\0" in fields["path"]:
            raise ValueError(f"{where} has the path {fields['path']!r}; it must name a picture")
        shown, label = posixpath.normpath(fields["path"]), normal_name(fields["label"])
        if label != label.strip():
            raise ValueError(f"{where} has the label {label!r}; take the white space off its ends")
        if "split" in fields:
            check_name(f"{where}: split", fields["split"], PARTS)
        real = os.path.realpath(os.path.join(root, shown))
        if os.path.isabs(shown) or shown.startswith("../") or not is_below(real, root):
            strays.append(f"{fields['path']!r} (line {number})")
            continue
        if shown in files:
            raise ValueError(f"{where} names {shown!r} again, which line {files[shown]} named")
        files[shown] = number
        found.append(PictureFile(fields.get("split", ""), label, shown))
    if strays:
        raise ValueError(
            f"the manifest {path!r} names files outside its folder: {name_few(strays)}; paths "
            "must start from that folder and stay in it"
        )
    return found
