"""Domains of texts in CSV files."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.data.example import Examples
from common.data.picture_file import name_few, normal_name
from common.data.vector import SPLITS, number_classes
from common.legal import check_name, suggest

SPLIT_COLUMN = "split"
SUFFIX = ".csv"
# A word, apostrophes within it included, or a sign that is neither a letter nor white space.
TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


class _Text(NamedTuple):
    """A row of a file: where it begins, its split, "" for none, its label, "", and its tokens."""

    where: str
    part: str
    label: str
    tokens: str


def read_texts(path: str, text_column: str = "text", label_column: str = "label") -> Examples:
    """Reads a domain of texts.

    Args:
        path: A CSV file in UTF-8 whose first line names its columns: that of the texts, that of the
            labels (empty: none; the column may be missing where the file has no other), and if
            wanted `split`, which is `train`, `val` or `test` in every row. Other columns are
            ignored. Or a folder with some of `train.csv`, `val.csv` and `test.csv`.
        text_column: Name of the texts' column.
        label_column: Name of the labels' column.

    Returns:
        The examples. A picture's place is taken by the tokens of a text as one string, separated by
        spaces; `encode_task` turns them into numbers. Classes are in the order of their names.

    Raises:
        ValueError: Files that are missing or broken, or rows without a word, each with its line.
    """
    place = Path(path).expanduser()
    texts = [
        text
        for part, file in _find_files(place).items()
        for text in _read_file(file, part, text_column, label_column)
    ]
    empty = [text.where for text in texts if not text.tokens]
    if empty:
        raise ValueError(
            f"{place} has texts without a word, {name_few(empty)}; write one or leave the row out"
        )
    _tell_twins(place, texts)
    tokens = np.empty(len(texts), object)
    tokens[:] = [text.tokens for text in texts]
    numbers, classes = np.full(len(texts), -1, np.int32), ()
    labels = np.asarray([text.label for text in texts])
    if (labels != "").any():
        numbers[labels != ""], classes = number_classes(labels[labels != ""])
    parts = np.asarray([text.part for text in texts])
    splits = None
    if parts[0]:
        splits = {
            part: np.flatnonzero(parts == part).astype(np.int32) for part in SPLITS if part in parts
        }
    return Examples(tokens, numbers, classes, 1.0, splits)


def tokenize(text: str) -> list[str]:
    """Cuts a text into lower-case words and signs; the same on every machine.

    Args:
        text: Any text.

    Returns:
        The tokens in Unicode's normal form C, in order.
    """
    return TOKEN.findall(normal_name(text).lower())


def _find_files(place: Path) -> dict[str, Path]:
    """Returns the files of a domain by split; one file for all texts has the split ""."""
    if place.is_file():
        return {"": place}
    if not place.is_dir():
        raise ValueError(f"{place} does not exist; name a CSV file or a folder with train{SUFFIX}")
    files = {part: place / f"{part}{SUFFIX}" for part in SPLITS}
    files = {part: file for part, file in files.items() if file.is_file()}
    if not files:
        there = name_few(sorted(file.name for file in place.iterdir())) or "nothing"
        raise ValueError(
            f"{place} holds {there}; it must hold some of "
            + ", ".join(f"{part}{SUFFIX}" for part in SPLITS)
        )
    return files


def _read_file(file: Path, part: str, text_column: str, label_column: str) -> list[_Text]:
    """Reads the rows of a file."""
    (_, header), *rows = _read_rows(file) or [(1, [])]
    _check_header(file, header, part, text_column, label_column)
    if not rows:
        raise ValueError(f"{file} holds no text below its header")
    found = []
    for number, row in rows:
        where = f"{file.name}, line {number}" if part else f"line {number}"
        if len(row) != len(header):
            raise ValueError(
                f"{file}, line {number}, has {len(row)} fields and the header {len(header)}; put "
                'quotes around texts with commas, and write a quote in them as ""'
            )
        fields = dict(zip(header, row, strict=True))
        label = normal_name(fields.get(label_column, ""))
        if label != label.strip():
            raise ValueError(
                f"{file}, line {number}, has the label {label!r}; take the white space off its ends"
            )
        if SPLIT_COLUMN in fields and not part:
            check_name(f"{file}, line {number}: split", fields[SPLIT_COLUMN], SPLITS)
        tokens = " ".join(tokenize(fields[text_column]))
        found.append(_Text(where, part or fields.get(SPLIT_COLUMN, ""), label, tokens))
    return found


def _read_rows(file: Path) -> list[tuple[int, list[str]]]:
    """Returns the rows of a CSV file, each with the line at which it begins."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror or error}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{file}, line {line}, is no UTF-8; save the file as UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, first = [], 1
    try:
        for row in reader:
            if row:
                rows.append((first, row))
            first = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{file}, from line {first} on, is no CSV: {error}; quotes around a text must end, and "
            'a quote in it is written as ""'
        ) from None
    return rows


def _check_header(
    file: Path, header: Sequence[str], part: str, text_column: str, label_column: str
) -> None:
    """Refuses columns that are missing, named twice, or say again what the file's name says."""
    for name in header:
        if header.count(name) > 1:
            raise ValueError(f"{file} has the column {name!r} twice; name it once")
    if text_column not in header:
        raise ValueError(
            f"{file} has no column {text_column!r}, which config.data.text_column names; its first "
            f"line has {', '.join(map(repr, header)) or 'nothing'}"
        )
    others = [name for name in header if name not in (text_column, label_column, SPLIT_COLUMN)]
    if label_column not in header and others:
        raise ValueError(
            f"{file} has no column {label_column!r}, which config.data.label_column names; "
            f"{suggest(label_column, others)}, or leave these columns out where there are no labels"
        )
    if part and SPLIT_COLUMN in header:
        raise ValueError(
            f"{file} has the column {SPLIT_COLUMN!r}, but its name says that it is {part}; leave "
            "the column out, or put all texts into one file"
        )


def _tell_twins(place: Path, texts: Sequence[_Text]) -> None:
    """Names texts that stand, or may come to stand, in two splits."""
    firsts: dict[str, _Text] = {}
    twins = []
    for text in texts:
        first = firsts.setdefault(text.tokens, text)
        # Without splits of their own a random draw may part them.
        if first is not text and (first.part != text.part or not text.part):
            twins.append(f"{text.where} like {first.where}")
    if twins:
        told = "in two splits" if texts[0].part else "twice, and a random split may part them"
        logging.getLogger(__name__).warning(
            "%s: %d texts stand there %s: %s", place, len(twins), told, name_few(twins)
        )
