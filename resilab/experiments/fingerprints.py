"""Fingerprints: what decides the numbers of a run, as a hash that is the same in every process.

A function counts by its code, its defaults, what it closes over, the globals that its
code reads and the functions that it calls; a class by its methods, attributes and bases;
both as deep as the user's own code goes. Installed packages count by name and version,
this package by its source. What cannot be seen is refused, since a cache that returns
the numbers of another run is worse than none.
"""

from __future__ import annotations

import builtins
import dataclasses
import dis
import hashlib
import io
import pickle
import sys
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import cached_property, lru_cache, partial
from pathlib import Path
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np

LONG = 64
"""Numbers from which a tuple is hashed as an array."""
BLIND = frozenset({"eval", "exec", "globals", "locals", "open", "input", "__import__", "compile"})
"""Built-in functions by which code reads what a fingerprint cannot see."""
_SKIPPED = frozenset(
    ["__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__", "__static_attributes__", "__annotations__"]
)
"""Members that say nothing of what a class does."""
_ROOT = Path(__file__).parent.parent


class Fingerprints:
    """Makes fingerprints, and remembers those of values that occur again.

    Values must not change while one of these is in use.

    Example:
        >>> prints = Fingerprints()
        >>> prints.of((1, 2.0)) == prints.of((1, 2.0)), prints.of(1) == prints.of(1.0)
        (True, False)
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, bytes]] = {}  # by id; the value is kept, so that no other takes its id
        self._path: dict[int, int] = {}  # the containers that are being read, with their depth
        self._seen: dict[int, int] | None = None  # functions, classes and objects in the one that is being read
        self._is_free = True  # whether what was read means the same elsewhere

    def of(self, value: Any) -> str:
        """Return the fingerprint of a value.

        Raises:
            TypeError: Something in it cannot be seen. The message says what.
        """
        return self._digest(value).hex()

    def _digest(self, value: Any) -> bytes:
        if isinstance(value, float | int | str | bytes | None) and not isinstance(value, Enum):
            return _hash(type(value).__name__, repr(value).encode())
        if id(value) in self._known:
            return self._known[id(value)][1]
        if isinstance(value, FunctionType | type) or _is_plain_object(value):
            return self._node(value)
        return self._container(value)

    def _node(self, value: Any) -> bytes:
        """Read a part of the user's program. Such parts refer to each other: within one, each is read once."""
        if self._seen is not None:
            self._is_free = False
            if id(value) in self._seen:
                return _hash("seen", str(self._seen[id(value)]).encode())
            self._seen[id(value)] = len(self._seen)
            return self._parts(value)
        self._seen = {id(value): 0}
        try:
            digest = self._parts(value)
        finally:
            self._seen = None
        self._known[id(value)] = value, digest
        return digest

    def _container(self, value: Any) -> bytes:
        if id(value) in self._path:
            self._is_free = False
            return _hash("again", str(len(self._path) - self._path[id(value)]).encode())
        was_free, self._is_free = self._is_free, True
        self._path[id(value)] = len(self._path)
        try:
            digest = self._parts(value)
        finally:
            del self._path[id(value)]
        if self._is_free:
            self._known[id(value)] = value, digest
        self._is_free = self._is_free and was_free
        return digest

    def _all(self, kind: str, values: Iterable[Any]) -> bytes:
        return _hash(kind, *(self._digest(value) for value in values))

    def _parts(self, value: Any) -> bytes:
        match value:
            case Enum():
                return self._all("enum", (type(value), value.name))
            case np.generic() | np.ndarray() if value.dtype.kind != "O":
                array = np.ascontiguousarray(value)
                return _hash("array", f"{array.dtype.str}{array.shape}".encode(), array.data.cast("B"))
            case np.ndarray():
                return self._all("objects", value.ravel().tolist())
            case tuple() | list():
                if len(value) >= LONG and set(map(type, value)) == {float}:
                    return _hash("floats", np.array(value).data.cast("B"))
                return self._all(type(value).__name__, value)
            case dict():
                return self._all("dict", (part for item in value.items() for part in item))
            case set() | frozenset():
                return _hash("set", *sorted(map(self._digest, value)))
            case ModuleType():
                return _hash("module", value.__name__.encode(), _version(value.__name__))
            case type():
                return self._of_class(value)
            case CodeType():
                return self._all("code", (value.co_code, value.co_names, value.co_varnames, value.co_consts))
            case FunctionType():
                return self._of_function(value)
            case MethodType():
                return self._all("method", (value.__func__, value.__self__))
            case partial():
                return self._all("partial", (value.func, value.args, value.keywords))
            case staticmethod() | classmethod():
                return self._all(type(value).__name__, (value.__func__,))
            case property():
                return self._all("property", (value.fget, value.fset, value.fdel))
            case cached_property():
                return self._all("property", (value.func,))
            case BuiltinFunctionType() | np.ufunc():
                return self._of_builtin(value)
        if hasattr(value, "__wrapped__") and callable(value):  # of functools.cache, wraps and their like
            return self._all("wrapped", (value.__wrapped__,))
        return self._of_object(value)

    def _of_function(self, function: FunctionType) -> bytes:
        name = f"{function.__module__}.{function.__qualname__}"
        cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
        own = (function.__code__, function.__defaults__, function.__kwdefaults__, cells)
        if _is_installed(function.__module__):
            return self._all("function", (name, _version(function.__module__), *own))
        return self._all("function", (*own, *_globals_of(function.__code__, function.__globals__, name)))

    def _of_class(self, kind: type) -> bytes:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if _is_installed(kind.__module__):
            return _hash("class", name.encode(), _version(kind.__module__))
        members = [item for item in sorted(vars(kind).items()) if _is_own(*item)]
        return self._all("class", (name, kind.__bases__, *(part for item in members for part in item)))

    def _of_builtin(self, function: Any) -> bytes:
        owner = getattr(function, "__self__", None)
        bound = () if owner is None or isinstance(owner, ModuleType) else (owner,)
        return self._all("builtin", (getattr(function, "__module__", ""), function.__name__, *bound))

    def _of_object(self, value: Any) -> bytes:
        kind = type(value)
        if dataclasses.is_dataclass(value):
            return self._all("fields", (kind, *(getattr(value, each.name) for each in dataclasses.fields(value))))
        if _is_plain_object(value):
            slots = [name for each in kind.__mro__ for name in _names(vars(each).get("__slots__", ()))]
            state = {name: getattr(value, name) for name in slots if hasattr(value, name)}
            return self._all("object", (kind, state | getattr(value, "__dict__", {})))
        try:
            return _hash("pickle", self._pickle(value), _version(kind.__module__))
        except Exception as error:
            raise TypeError(
                f"cache cannot tell {kind.__qualname__} objects apart, got {value!r}: run without cache, or"
                " give the function what it needs as a number or a spec"
            ) from error

    def _pickle(self, value: Any) -> bytes:
        """Return the pickle of an object, in which the user's functions and classes count by their code."""
        digest = self._digest

        class Pickler(pickle.Pickler):
            def persistent_id(self, part: Any) -> Any:
                return digest(part) if isinstance(part, FunctionType | type) else None

        file = io.BytesIO()
        Pickler(file, protocol=5).dump(value)
        return file.getvalue()


def fingerprint(value: Any) -> str:
    """Return a hash of a value that is the same in every process; see `Fingerprints`."""
    return Fingerprints().of(value)


def _hash(kind: str, *parts: Any) -> bytes:
    digest = hashlib.blake2b(kind.encode(), digest_size=20)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def _names(slots: Any) -> Iterable[str]:
    return (slots,) if isinstance(slots, str) else slots


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018  # an empty cell raises
    except ValueError:
        return False
    return True


def _is_own(name: str, member: Any) -> bool:
    """Return whether a member of a class is the user's, and not made by Python for every class."""
    is_slot = isinstance(member, GetSetDescriptorType | MemberDescriptorType)
    return name not in _SKIPPED and not is_slot and not name.startswith(("_abc_", "__dataclass", "__annotat"))


def _is_plain_object(value: Any) -> bool:
    """Return whether a value is an object of a class that the user wrote, and no dataclass."""
    return not dataclasses.is_dataclass(value) and not _is_installed(type(value).__module__)


def _globals_of(code: CodeType, space: dict[str, Any], name: str) -> Iterator[Any]:
    """Return the names that a piece of code reads from outside, each with what it stands for."""
    for path in _paths_of(code):
        first, *attributes = path
        if first in space:
            value = space[first]
        elif first in BLIND:
            raise TypeError(
                f"cache cannot see what {name} reads with {first}(): run without cache, or give the function"
                " what it needs as arguments"
            )
        else:
            value = getattr(builtins, first, None)
        while attributes and isinstance(value, ModuleType) and not _is_installed(value.__name__):
            value = getattr(value, attributes.pop(0), None)
        yield path
        yield value
    for module in _imports_of(code):
        yield module
        file = getattr(sys.modules.get(module), "__file__", None)
        if file and not _is_installed(module):
            yield Path(file).read_bytes()


@lru_cache(maxsize=4096)
def _paths_of(code: CodeType) -> tuple[tuple[str, ...], ...]:
    """Return the global names that *code* reads, each with the attributes that are read of it at once."""
    paths: dict[tuple[str, ...], None] = {}
    path: tuple[str, ...] = ()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            paths[path] = None
            path = (str(instruction.argval),)
        elif path and instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            path = (*path, str(instruction.argval))
        elif instruction.opname not in ("CACHE", "PUSH_NULL"):
            paths[path] = None
            path = ()
    paths[path] = None
    inner = [each for const in code.co_consts if isinstance(const, CodeType) for each in _paths_of(const)]
    return tuple(each for each in dict.fromkeys((*paths, *inner)) if each)


def _imports_of(code: CodeType) -> list[str]:
    names = [str(each.argval) for each in dis.get_instructions(code) if each.opname == "IMPORT_NAME"]
    return names + [name for const in code.co_consts if isinstance(const, CodeType) for name in _imports_of(const)]


def _is_installed(module: str | None) -> bool:
    """Return whether a module belongs to Python, to an installed package or to this one, and not to the user."""
    root = (module or "").partition(".")[0]
    if root in sys.stdlib_module_names:
        return True
    if root == "__main__":  # its file may be that of a kernel or of pytest
        return False
    file = Path(getattr(sys.modules.get(root), "__file__", None) or "unknown")
    return file.is_relative_to(_ROOT) or not {"site-packages", "dist-packages"}.isdisjoint(file.parts)


def _version(module: str | None) -> bytes:
    root = (module or "").partition(".")[0]
    return str(getattr(sys.modules.get(root), "__version__", "")).encode()
