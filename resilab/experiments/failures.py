"""Errors of runs: they travel between processes as they are, and warnings point to the user's line."""

from __future__ import annotations

import pickle
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent


class InterruptedExperimentWarning(UserWarning):
    """An experiment was interrupted; what it returned holds the finished runs."""


class WorkerLostError(RuntimeError):
    """A run ended the process that played it, every time: it took too much memory, crashed or was killed."""


class RemoteTraceback(Exception):
    """Where an error happened in a worker process: the cause of the error that is raised here."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


@dataclass(frozen=True)
class PackedError:
    """An error on its way from a worker.

    Attributes:
        data: The pickled error.
        place: Its traceback, as text.
    """

    data: bytes
    place: str

    def unpack(self) -> BaseException:
        """Return the error, with the traceback of the worker as its cause."""
        error: BaseException = pickle.loads(self.data)
        error.__cause__ = RemoteTraceback(self.place)
        return error


def pack(error: BaseException) -> PackedError:
    """Return an error in a form that can travel.

    Python pickles an error as its class and arguments, and calls the class again. Where that
    is not what made the error, it is put together from its class, arguments and attributes
    without a call; what of these cannot be pickled becomes text.
    """
    place = "".join(traceback.format_exception(error))
    try:
        data = _pickled(error)
        again = pickle.loads(data)
        if type(again) is type(error) and again.args == error.args and str(again) == str(error):
            return PackedError(data, place)
    except Exception:
        pass
    args = tuple(_portable(each) for each in error.args)
    state = {name: _portable(each) for name, each in vars(error).items()}
    try:
        return PackedError(_pickled(_Parts(type(error), args, state)), place)
    except Exception:
        parts = _Parts(RuntimeError, (f"{type(error).__name__}: {error}",), {"__notes__": error.__notes__})
        return PackedError(_pickled(parts), place)


class _Parts:
    """Pickles as an error made of these parts."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __reduce__(self) -> tuple[Any, ...]:
        return put_together, self.parts


def put_together(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    """Return an error of that class, without calling it."""
    error = kind.__new__(kind, *args)
    error.args = args
    vars(error).update(state)
    return error


def _pickled(value: Any) -> bytes:
    """Return the pickle of a value as joblib's workers make it: with the code of what the user's script defines."""
    from joblib.externals.loky.backend.reduction import dumps

    return bytes(dumps(value))


def _portable(value: Any) -> Any:
    try:
        pickle.loads(_pickled(value))
    except Exception:
        return repr(value)
    return value
