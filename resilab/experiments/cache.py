"""A cache on disk: numbers of a run, by a fingerprint of what was run."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..validation import warn_user
from .fingerprints import Fingerprints


class RunCache:
    """Numbers of runs, one small file each, written the moment a run has ended.

    Args:
        folder: Where to keep the files; made if it is missing. None keeps nothing.
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self.folder = None if folder is None else _writable(folder)
        self._prints = Fingerprints()

    def path(self, *parts: Any) -> Path | None:
        """Return the file of what *parts* describe, or None without a folder."""
        if self.folder is None:
            return None
        name = self._prints.of((code_version(), *map(self._prints.of, parts)))
        return self.folder / name[:2] / f"{name[2:]}.json"

    def read(self, path: Path | None) -> dict[str, float] | None:
        """Return the numbers in the file, or None if there are none or they are damaged."""
        if path is None:
            return None
        try:
            numbers = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError):
            return None
        is_whole = isinstance(numbers, dict) and all(isinstance(number, float) for number in numbers.values())
        return numbers if is_whole and numbers else None

    def write(self, path: Path | None, numbers: Mapping[str, float]) -> None:
        """Keep *numbers*; a reader sees all of them or none.

        A disk that is full costs the cache, not the experiment: a warning says so.
        """
        if path is None:
            return
        part = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
            with os.fdopen(handle, "w") as file:
                json.dump(numbers, file)
            os.replace(part, path)
        except OSError as error:
            if part is not None:
                with suppress(OSError):
                    os.unlink(part)
            warn_user(f"a run was not kept in the cache {self.folder}: {error}")


def _writable(folder: str | os.PathLike[str]) -> Path:
    """Return the folder, made if it is missing; refuse one that cannot be written before anything is run."""
    if not isinstance(folder, str | os.PathLike) or not str(folder):
        raise TypeError(f"cache must be a folder, got {folder!r}")
    try:
        path = Path(folder).expanduser()
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except (OSError, RuntimeError) as error:
        raise ValueError(f"cache must be a folder that can be written, got {str(folder)!r}: {error}") from error
    return path


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return a hash of the package's source: runs of other code are never read."""
    digest = hashlib.sha256(np.__version__.encode())
    root = Path(__file__).parent.parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
