"""Config: a configuration as a policy, and what became of each of its keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..health.pod import KubernetesPod
from ..resilience.base import Policy
from ..resilience.policy import ResiliencePolicy
from ..worlds.ejection import OutlierEjection
from .documents import Node, spelled_plainly

if TYPE_CHECKING:
    import pandas as pd

MAPPED, APPROXIMATED, DROPPED = "mapped", "approximated", "dropped"


@dataclass(frozen=True)
class Note:
    """What became of one key, or of one field of a policy.

    Attributes:
        key: The key in the file, or "Policy.field".
        value: Its value there.
        status: "mapped" (means the same here), "approximated" (with what differs) or
            "dropped" (with why).
        meaning: What it means, what differs, or what to do instead.
        line: Line in the file, from 1; None for what stands in no file.
        is_trap: Whether the library takes the key and does nothing with it, in silence.
    """

    key: str
    value: Any
    status: str
    meaning: str
    line: int | None = None
    is_trap: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Config:
    """A configuration of a library, read or written.

    Attributes:
        kind: The library, such as "resilience4j".
        name: Whose configuration it is: an instance, a cluster, a service.
        policy: The policy that it makes, with the library's semantics and order.
        text: The configuration as text.
        rows: A `Note` for each key; `notes` shows them as a frame.
        pod: The probes, where the configuration has probes; None elsewhere.
        ejection: The outlier detection, where the configuration has one: `ejection` of a `Fleet`.
    """

    kind: str
    name: str
    policy: ResiliencePolicy
    text: str
    rows: tuple[Note, ...]
    pod: KubernetesPod | None = None
    ejection: OutlierEjection | None = None

    def __repr__(self) -> str:
        counts = {status: sum(row.status == status for row in self.rows) for status in (MAPPED, APPROXIMATED, DROPPED)}
        keys = ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "no keys"
        return f"Config({self.kind} {self.name!r}: {self.policy!r}; {keys})"

    @property
    def notes(self) -> pd.DataFrame:
        """One row a key: key, value, status, meaning, line."""
        import pandas as pd

        columns = ["key", "value", "status", "meaning", "line"]
        rows = [[getattr(row, column) for column in columns] for row in self.rows]
        return pd.DataFrame(rows, columns=columns).astype({"line": "Int64"})


def unwritten(_: Any) -> None:
    """Leave the key out."""


@dataclass(frozen=True)
class Key:
    """One key of a library: how it is read, which option of `like` it is, and how it is written.

    Attributes:
        name: As the file spells it.
        option: The option of `like`.
        read: A node to the value of the option.
        get: A policy to the value of the option; None leaves the key out. `unwritten` is
            for keys that are written elsewhere.
        meaning: What it means, for the notes.
        write: The value of the option to what the file holds.
    """

    name: str
    option: str
    read: Callable[[Node], Any]
    get: Callable[[Any], Any]
    meaning: str
    write: Callable[[Any], Any] = lambda value: value


class Reading:
    """What a reader has found so far: notes, in the order of the file."""

    def __init__(self) -> None:
        self.rows: list[Note] = []

    def note(self, node: Node, status: str, meaning: str, *, is_trap: bool = False) -> None:
        """Write down what became of *node*."""
        self.rows.append(Note(node.path, node.plain(), status, meaning, node.line, is_trap))

    def options(self, section: Node | None, keys: Iterable[Key]) -> dict[str, Any]:
        """Return the options that a section gives, and note each of its keys."""
        options: dict[str, Any] = {}
        if section is None:
            return options
        for key in keys:
            node = section.get(key.name)
            if node is not None and node.value is not None:
                options[key.option] = key.read(node)
                self.note(node, MAPPED, key.meaning)
        return options

    def drop_rest(self, section: Node | None, reasons: dict[str, str], otherwise: str) -> None:
        """Note as dropped what no reader has asked for, each with its reason."""
        if section is None:
            return
        known = {spelled_plainly(name): reason for name, reason in reasons.items()}
        for node in section.fields.values():
            if not node.is_read:
                node.is_read = True
                self.note(node, DROPPED, known.get(spelled_plainly(node.name), otherwise))

    def drop_leaves(self, document: Node, reasons: Mapping[str, str], otherwise: str) -> None:
        """Note as dropped each plain value of a document that no reader has asked for, by the nearest reason."""
        noted = {row.key for row in self.rows}
        known = {spelled_plainly(name): reason for name, reason in reasons.items()}
        for node in document.leaves():
            if node.is_read or node.path in noted:
                continue
            node.is_read = True
            names = map(spelled_plainly, reversed(re.split(r"[.\[\]]+", node.path)))
            self.note(node, DROPPED, next((known[name] for name in names if name in known), otherwise))


def written(spec: Policy, keys: Iterable[Key]) -> dict[str, Any]:
    """Return the keys and values that say *spec*."""
    values = ((key, key.get(spec)) for key in keys)
    return {key.name: key.write(value) for key, value in values if value is not None}


def first(parts: Sequence[Policy], kind: type) -> Any:
    """Return the first policy of a kind, or None."""
    return next((part for part in parts if isinstance(part, kind)), None)
