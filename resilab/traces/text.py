"""The text of a log file: its bytes, its encoding, and its rows with exact line numbers."""

from __future__ import annotations

import csv
import gzip
import os
import re
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import IO, NamedTuple

DELIMITERS = (",", ";", "\t")
MAX_BYTES = 2**30
"""Largest file that is read, unpacked: it is held in memory, and some never end."""
MAX_LINES_PER_ROW = 100
"""Lines that one row may span; a quote that stays open longer is a mistake."""
MAX_HEADER = 100_000
"""Longest header in characters: something longer is no list of column names."""
_CHUNK = 2**22
_BEGINNING = 2**20
"""Characters that say what kind of log it is."""
_DAMAGED = re.compile("[\udc80-\udcff]")
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class TraceError(ValueError):
    """A file cannot be read as a trace; the message says why and what to do."""


def read_text(path: str | os.PathLike[str], encoding: str) -> str:
    """Return the text of a plain or gzip file; bytes that are no text become lone surrogates."""
    if not isinstance(path, str | os.PathLike):  # a number would be read as an open file, and closed
        raise TypeError(f"path must be the path of a file, got {path!r}")
    data = _read_bytes(path)
    if not isinstance(encoding, str):
        raise TypeError(f"encoding must be a str, got {encoding!r}")
    for mark, marked_encoding in _MARKS:
        if data.startswith(mark):
            encoding = marked_encoding
    try:
        return data.decode(encoding, errors="surrogateescape")
    except LookupError:
        raise TraceError(f"encoding must be one that Python knows, got {encoding!r}") from None
    except UnicodeError as error:
        raise TraceError(f"{path} is not {encoding} text ({error}); name its encoding: encoding='latin-1'") from None


def begins_with(path: str | os.PathLike[str], mark: bytes) -> bool:
    """Say whether a file begins with these bytes."""
    with open(path, "rb") as file:
        return file.read(len(mark)) == mark


def _unpacked(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a plain, gzip or zstd file; its content says which it is."""
    if begins_with(path, b"\x1f\x8b"):
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if not begins_with(path, b"\x28\xb5\x2f\xfd"):
        return open(path, "rb")
    try:
        import zstandard
    except ImportError:
        raise TraceError(f"{path} is packed by zstd: pip install zstandard, or unpack it first") from None
    stream: IO[bytes] = zstandard.open(path, "rb")
    return stream


def _read_bytes(path: str | os.PathLike[str]) -> bytes:
    chunks = []
    size = 0
    with _unpacked(path) as file:
        try:
            while chunk := file.read(_CHUNK):
                chunks.append(chunk)
                size += len(chunk)
                if size > MAX_BYTES:
                    raise TraceError(f"{path} has more than {MAX_BYTES} bytes; read a part of it")
        except EOFError:
            raise TraceError(f"{path} is truncated: its gzip data stop after {size} bytes of text") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise TraceError(f"{path} is damaged gzip data: {error}") from None
        except Exception as error:
            if type(error).__name__ != "ZstdError":
                raise
            raise TraceError(f"{path} is damaged zstd data: {error}") from None
    return b"".join(chunks)


def is_damaged(text: str) -> bool:
    """Say whether *text* has bytes that its encoding does not know."""
    return _DAMAGED.search(text) is not None


class Block(NamedTuple):
    """Rows as columns.

    Attributes:
        lines: Line of each row, from 1.
        columns: The fields of each column.
        bad: Rows that cannot be split: line and reason.
    """

    lines: list[int]
    columns: list[list[str]]
    bad: list[tuple[int, str]]


class Lines:
    """The lines of a text, read as rows of fields.

    Args:
        text: The whole text; lines end in LF, CR LF or CR.
        delimiter: What separates fields; None takes that of `DELIMITERS` which finds
            most fields in the first row.
    """

    def __init__(self, text: str, delimiter: str | None) -> None:
        self._text = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
        self._lines = self._text[:_BEGINNING].split("\n")
        self._is_whole = len(self._text) <= _BEGINNING
        if self._is_whole or not any(map(str.strip, self._lines[:-1])):
            self._split()
        else:
            self._lines.pop()  # which may go on
        self._next = next((number for number, line in enumerate(self._lines) if line.strip()), len(self._lines))
        self.delimiter = delimiter or max(DELIMITERS, key=self._count)

    def _split(self) -> None:
        """Split the rest, too: not before it is needed."""
        if not self._is_whole:
            self._lines = self._text.split("\n")
            self._is_whole = True

    def rest(self) -> tuple[int, str]:
        """Return the number of the next line, from 1, and the text from there on."""
        return self._next + 1, self._text[sum(map(len, self._lines[: self._next])) + self._next :]

    def _count(self, delimiter: str) -> int:
        if self._next == len(self._lines) or len(self._lines[self._next]) > MAX_HEADER:
            return 0
        try:
            return len(self._row(self._next, delimiter)[0])
        except csv.Error:
            return 0

    def head(self, count: int) -> list[str]:
        """Return the first lines that are not blank, without moving."""
        if len(self._lines) < self._next + 2 * count:
            self._split()
        found = (line for line in islice(self._lines, self._next, None) if line and not line.isspace())
        return list(islice(found, count))

    def plain(self) -> Iterator[tuple[int, str]]:
        """Yield each line that is not blank, with its number from 1."""
        self._split()
        for index in range(self._next, len(self._lines)):
            line = self._lines[index]
            if line and not line.isspace():
                yield index + 1, line

    def chunks(self, size: int) -> Iterator[tuple[list[int], list[str]]]:
        """Yield the lines that are not blank, about *size* at a time, and their numbers."""
        self._split()
        for first in range(self._next, len(self._lines), size):
            lines = self._lines[first : first + size]
            numbers = list(range(first + 1, first + 1 + len(lines)))
            if not all(lines) or any(map(str.isspace, lines)):
                filled = [place for place, line in enumerate(lines) if line and not line.isspace()]
                numbers, lines = [numbers[place] for place in filled], [lines[place] for place in filled]
            if lines:
                yield numbers, lines

    def header(self) -> list[str]:
        """Return the fields of the first row that is not blank, and move behind it."""
        if self._next == len(self._lines):
            raise TraceError("the file has no rows: it is empty")
        if len(self._lines[self._next]) > MAX_HEADER:
            raise TraceError(
                f"line {self._next + 1} must be a header of column names, it has over {MAX_HEADER} characters"
            )
        try:
            fields, count = self._row(self._next, self.delimiter)
        except csv.Error as error:
            raise TraceError(f"line {self._next + 1} must be a header of column names: {error}") from None
        self._next += count
        return [field.strip() for field in fields]

    def blocks(self, width: int, size: int) -> Iterator[Block]:
        """Yield the rows by blocks of about *size*, as columns: a million lists would take their time.

        A block without quotes is split at once; another one row by row.
        """
        self._split()
        while self._next < len(self._lines):
            first, last = self._next, min(self._next + size, len(self._lines))
            lines = self._lines[first:last]
            if '"' in "".join(lines):
                yield self._slow_block(width, last)
                continue
            counts = [line.count(self.delimiter) for line in lines]
            bad: list[tuple[int, str]] = []
            numbers = list(range(first + 1, last + 1))
            if set(counts) != {width - 1} or width == 1:
                filled = [place for place, line in enumerate(lines) if line and not line.isspace()]
                good = [place for place in filled if counts[place] == width - 1]
                wrong = [place for place in filled if counts[place] != width - 1]
                bad = [(numbers[place], _wrong_width(counts[place] + 1, width)) for place in wrong]
                numbers, lines = [numbers[place] for place in good], [lines[place] for place in good]
            fields = self.delimiter.join(lines).split(self.delimiter) if lines else []
            self._next = last
            yield Block(numbers, [fields[column::width] for column in range(width)], bad)

    def _slow_block(self, width: int, last: int) -> Block:
        numbers: list[int] = []
        rows: list[list[str]] = []
        bad: list[tuple[int, str]] = []
        for number, fields in self.rows(width, last):
            if isinstance(fields, str):
                bad.append((number, fields))
            else:
                numbers.append(number)
                rows.append(fields)
        columns = list(map(list, zip(*rows, strict=True))) if rows else [[] for _ in range(width)]
        return Block(numbers, columns, bad)

    def rows(self, width: int, last: int | None = None) -> Iterator[tuple[int, list[str] | str]]:
        """Yield each row that is not blank: its first line, from 1, and its fields, or why it is bad.

        A row that spans lines and has not *width* fields has lost a quote: its first
        line alone is bad, and the next line is read anew.
        """
        self._split()
        lines, delimiter = self._lines, self.delimiter
        end = len(lines) if last is None else last
        while self._next < end:
            index = self._next
            line = lines[index]
            self._next += 1
            if '"' not in line:
                if line and not line.isspace():
                    fields = line.split(delimiter)
                    yield index + 1, fields if len(fields) == width else _wrong_width(len(fields), width)
                continue
            try:
                fields, count = self._row(index, delimiter)
            except csv.Error as error:
                yield index + 1, f"its quotes are wrong: {error}"
                continue
            is_good = len(fields) == width
            self._next += count - 1 if is_good else 0
            yield index + 1, fields if is_good else _wrong_width(len(fields), width)

    def _row(self, index: int, delimiter: str) -> tuple[list[str], int]:
        """Return the fields of the row that begins at a line, and how many lines it spans."""
        lines = (line + "\n" for line in islice(self._lines, index, index + MAX_LINES_PER_ROW))
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        fields = next(reader)
        return fields, reader.line_num

    def text_at(self, number: int) -> str:
        """Return the line with that number, shortened."""
        self._split()
        line = self._lines[number - 1]
        return line if len(line) <= 80 else line[:77] + "..."


def _wrong_width(count: int, width: int) -> str:
    return f"it has {count} fields, the header has {width}"
