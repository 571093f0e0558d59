"""Records of ArrayRecord files, by number, and what a TFDS record holds."""

from __future__ import annotations

import bisect
import itertools
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

# Records read at a time, when all are read in order.
BLOCK = 64
# Each record is a chunk of its own, and nothing around it is wanted.
OPTIONS = "readahead_buffer_size:0,max_parallelism:0"


class Piece(NamedTuple):
    """Consecutive records of one file.

    Attributes:
        file: Path of the file.
        first: Number of the first record.
        count: How many.
    """

    file: str
    first: int
    count: int


class Records:
    """Records in pieces of files, numbered through; safe in threads.

    Nothing is kept in memory but the files' own tables of positions.
    """

    def __init__(self, pieces: Sequence[Piece]):
        """Opens no file yet.

        Args:
            pieces: Where the records lie, in order.
        """
        self._pieces = list(pieces)
        self._ends = list(itertools.accumulate(piece.count for piece in pieces))
        self._readers: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Counts the records."""
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, row: int) -> bytes:
        """Reads one record."""
        file, position = self._locate(row)
        return self._read(file, position, position + 1)[0]

    def place(self, row: int) -> str:
        """Says where a record lies, for messages."""
        file, position = self._locate(row)
        return f"record {position} of {file}"

    def _locate(self, row: int) -> tuple[str, int]:
        number = bisect.bisect_right(self._ends, row)
        piece = self._pieces[number]
        return piece.file, piece.first + row - (self._ends[number] - piece.count)

    def blocks(self) -> Iterator[list[bytes]]:
        """Reads all records in order, some at a time.

        Yields:
            Lists of records.
        """
        for piece in self._pieces:
            stop = piece.first + piece.count
            for start in range(piece.first, stop, BLOCK):
                yield self._read(piece.file, start, min(start + BLOCK, stop))

    def _read(self, file: str, start: int, stop: int) -> list[bytes]:
        # A range costs 4 us a record; a list of one number starts threads and costs 80.
        try:
            return self._reader(file).read(start, stop)
        except (IndexError, RuntimeError, ValueError) as error:
            said = " ".join(str(error).split())
            raise ValueError(
                f"{file} is damaged ({said}); remove its folder and prepare the data set again"
            ) from error

    def _reader(self, file: str) -> Any:
        from array_record.python.array_record_module import ArrayRecordReader

        if (reader := self._readers.get(file)) is None:
            with self._lock:
                if (reader := self._readers.get(file)) is None:
                    reader = ArrayRecordReader(file, OPTIONS, file_reader_buffer_size=32768)
                    self._readers[file] = reader
        return reader


def count_records(file: Path) -> int:
    """Counts the records of an ArrayRecord file.

    Args:
        file: The file.

    Returns:
        Their number; 0 where the file is damaged so much that it tells none.
    """
    from array_record.python.array_record_module import ArrayRecordReader

    try:
        reader = ArrayRecordReader(str(file))
        found = reader.num_records()
        reader.close()
    except (RuntimeError, ValueError):
        return 0
    return found


def parse_record(record: bytes) -> Any:
    """Parses a record.

    Args:
        record: A serialised `tf.train.Example`.

    Returns:
        Its features by name, each with `int64_list`, `float_list` and `bytes_list`.

    Raises:
        ValueError: It is none.
    """
    from google.protobuf.message import DecodeError
    from tensorflow_datasets import proto

    examples: Any = proto.tf_example_pb2
    try:
        return examples.Example.FromString(record).features.feature
    except DecodeError as error:
        raise ValueError(f"a record is no tf.train.Example ({error})") from error
