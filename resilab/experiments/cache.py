"""A cache on disk: numbers of a run, by a fingerprint of what was run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
import tempfile
import warnings
from enum import Enum
from functools import lru_cache, partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numpy as np


class RunCache:
    """Numbers of runs, one small file each, written the moment a run has ended.

    Args:
        folder: Where to keep the files; made if it is missing. None keeps nothing.
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self.folder = None if folder is None else _writable(folder)

    def path(self, *parts: Any) -> Path | None:
        """Return the file of what *parts* describe, or None without a folder."""
        if self.folder is None:
            return None
        name = fingerprint((*parts, code_version()))
        return self.folder / name[:2] / f"{name[2:]}.json"

    def read(self, path: Path | None) -> dict[str, float] | None:
        """Return the numbers in the file, or None if there are none or they are damaged."""
        if path is None:
            return None
        try:
            numbers = json.loads(path.read_text())
        except (OSError, ValueError):
            return None
        is_whole = isinstance(numbers, dict) and all(isinstance(number, float) for number in numbers.values())
        return numbers if is_whole and numbers else None

    def write(self, path: Path | None, numbers: dict[str, float]) -> None:
        """Keep *numbers*; a reader sees all of them or none.

        A disk that is full costs the cache, not the experiment: a warning says so.
        """
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
            with os.fdopen(handle, "w") as file:
                json.dump(numbers, file)
            os.replace(name, path)
        except OSError as error:
            warnings.warn(f"a run was not kept in the cache {self.folder}: {error}", stacklevel=2)


def _writable(folder: str | os.PathLike[str]) -> Path:
    """Return the folder, made if it is missing; refuse one that cannot be written before anything is run."""
    if not isinstance(folder, str | os.PathLike) or not str(folder):
        raise TypeError(f"cache must be a folder, got {folder!r}")
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise ValueError(f"cache must be a folder that can be written, got {str(folder)!r}: {error}") from error
    return path


def fingerprint(value: Any) -> str:
    """Return a hash of a value that is the same in every process.

    Specs count by class and fields, functions by their code and what they close over.
    Anything else counts by its pickle.
    """
    digest = hashlib.sha256()
    _feed(digest.update, value)
    return digest.hexdigest()


def _feed(add: Any, value: Any) -> None:
    if isinstance(value, float | int | str | bytes | bool | None) and not isinstance(value, Enum):
        add(f"{type(value).__name__}:{value!r};".encode())
    elif isinstance(value, Enum):
        add(f"enum:{type(value).__qualname__}.{value.name};".encode())
    elif isinstance(value, np.generic | np.ndarray):
        array = np.ascontiguousarray(value)
        add(f"array:{array.dtype.str}{array.shape};".encode())
        add(array.tobytes())
    elif isinstance(value, tuple | list):
        _feed_parts(add, "sequence", value)
    elif isinstance(value, dict):
        _feed_parts(add, "dict", [part for item in value.items() for part in item])
    elif isinstance(value, set | frozenset):
        _feed_parts(add, "set", sorted(fingerprint(part) for part in value))
    elif isinstance(value, type):
        add(f"class:{value.__module__}.{value.__qualname__};".encode())
    elif isinstance(value, partial):
        _feed_parts(add, "partial", (value.func, value.args, value.keywords))
    elif isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        _feed_parts(add, "function", (value.__code__, value.__defaults__, value.__kwdefaults__, cells))
    elif isinstance(value, CodeType):
        _feed_parts(add, "code", (value.co_code, value.co_names, value.co_consts))
    elif dataclasses.is_dataclass(value):
        _feed(add, type(value))
        _feed_parts(add, "fields", [getattr(value, field.name) for field in dataclasses.fields(value)])
    else:
        add(pickle.dumps(value, protocol=5))


def _feed_parts(add: Any, kind: str, parts: Any) -> None:
    add(f"{kind}:{len(parts)};".encode())
    for part in parts:
        _feed(add, part)


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return a hash of the package's source: runs of other code are never read."""
    digest = hashlib.sha256(np.__version__.encode())
    root = Path(__file__).parent.parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
