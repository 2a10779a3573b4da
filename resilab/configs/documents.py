"""Documents: YAML, JSON and Java properties as nested nodes that remember their line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

Value = Any
"""What a node holds: a dict or a list of nodes, or a plain value."""


class ConfigError(ValueError):
    """A configuration that cannot be read or written; the message names line, key, rule and value."""


class Node:
    """A place in a document.

    Attributes:
        path: The keys that lead there, joined by dots.
        line: Its line in the document, from 1.
        value: Names and their nodes, a list of nodes, or a plain value.
        is_read: Whether a reader has asked for it.
    """

    def __init__(self, path: str, line: int, value: Value) -> None:
        self.path = path
        self.line = line
        self.value = value
        self.is_read = False

    @property
    def name(self) -> str:
        """The last key that leads there."""
        return self.path.rpartition(".")[2]

    @property
    def fields(self) -> dict[str, Node]:
        """The nodes below by their names; empty where there are none."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[Node]:
        """The nodes of a list; a single value is a list of one."""
        if isinstance(self.value, list):
            self.is_read = True
            return self.value
        return [self]

    def get(self, *names: str) -> Node | None:
        """Return the node below by one of its *names*, and mark it as read.

        Case, hyphens and underscores do not matter, as in Spring's relaxed binding and
        in the two spellings of Envoy's fields.
        """
        wanted = {spelled_plainly(name) for name in names}
        for name, node in self.fields.items():
            if spelled_plainly(name) in wanted:
                node.is_read = True
                return node
        return None

    def at(self, *names: str) -> Node | None:
        """Return the node that the *names* lead to, one below the other."""
        node: Node | None = self
        for name in names:
            node = None if node is None else node.get(name)
        return node

    def text(self) -> str:
        """Return a plain value as text."""
        if isinstance(self.value, dict | list):
            self.refuse("must be a single value, got several")
        return "" if self.value is None else str(self.value)

    def number(self) -> float:
        """Return a plain value as a number; "50%" is 50."""
        try:
            return float(self.text().strip().removesuffix("%"))
        except ValueError:
            raise self.error(f"must be a number, got {self.value!r}") from None

    def whole(self) -> int:
        """Return a plain value as a whole number."""
        number = self.number()
        if number != int(number):
            self.refuse(f"must be a whole number, got {self.value!r}")
        return int(number)

    def natural(self) -> int:
        """Return a plain value as a whole number that is not negative."""
        value = self.whole()
        if value < 0:
            self.refuse(f"must be >= 0, got {self.value!r}")
        return value

    def flag(self) -> bool:
        """Return a plain value as a truth value."""
        word = self.text().strip().lower()
        if word not in ("true", "false"):
            self.refuse(f"must be true or false, got {self.value!r}")
        return word == "true"

    def error(self, reason: str) -> ConfigError:
        """Return the error of this place."""
        return ConfigError(f"line {self.line}: {self.path} {reason}")

    def refuse(self, reason: str) -> Any:
        """Raise the error of this place."""
        raise self.error(reason)

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it, in their order."""
        yield self
        below = self.value.values() if isinstance(self.value, dict) else self.value
        if isinstance(self.value, dict | list):
            for node in below:
                yield from node.walk()

    def find(self, name: str) -> Iterator[Node]:
        """Yield every node of this name, however deep, and mark it as read."""
        found = (each.get(name) for each in self.walk() if each.has(name))
        return (node for node in found if node is not None)

    def leaves(self) -> Iterator[Node]:
        """Yield the plain values at and below this node."""
        return (node for node in self.walk() if not isinstance(node.value, dict | list))

    def plain(self) -> Any:
        """Return the value without lines, as nested dicts and lists."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        return [node.plain() for node in self.value] if isinstance(self.value, list) else self.value

    def has(self, name: str) -> bool:
        """Whether a node below has this name; it is not marked as read."""
        return any(spelled_plainly(each) == spelled_plainly(name) for each in self.fields)


def spelled_plainly(name: str) -> str:
    """Return a name without what does not matter in it: case, hyphens and underscores."""
    return name.replace("-", "").replace("_", "").lower()


def parse(text: str) -> list[Node]:
    """Return the documents of a text: YAML, JSON, Java properties, an INI file or Java annotations.

    Raises:
        ConfigError: It is none of them; the message names the line.
    """
    if "@Retryable" in text or "@ConcurrencyLimit" in text:
        return _annotations(text)
    if is_properties(text):
        return [_properties(text)]
    if re.match(r"\s*(#.*\s*)*\[[\w \-]+\]\s*$", text, re.MULTILINE):
        return [_ini(text)]
    if text.lstrip()[:1] in ("{", "["):  # JSON, with the comments that .NET allows
        text = re.sub(r"(?m)^\s*//.*$", "", text).replace("\t", " ")
    try:
        roots = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
        return [_node(root, "") for root in roots if root is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        raise ConfigError(f"line {line}: not readable as YAML or JSON: {error.problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"line 1: not readable as YAML or JSON: {error}") from None


_ASSIGNMENT = re.compile(r"^\s*([\w.\-/\[\]]+)\s*[=:]\s*(.*?)\s*$")


def is_properties(text: str) -> bool:
    """Whether the text is Java properties: dotted names with an equals sign, and nothing else."""
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and line[0] not in "#!"]
    return bool(lines) and all(re.match(r"^[\w.\-/\[\]]+\s*=", line) for line in lines)


def _properties(text: str) -> Node:
    root = Node("", 1, {})
    for number, line in enumerate(text.splitlines(), start=1):
        found = _ASSIGNMENT.match(line)
        if not found or line.strip()[0] in "#!":
            continue
        node, names = root, re.sub(r"\[(\d+)\]", r".\1", found[1]).split(".")
        for depth, name in enumerate(names[:-1], start=1):
            below = node.value.setdefault(name, Node(".".join(names[:depth]), number, {}))
            if not isinstance(below.value, dict):
                raise ConfigError(f"line {number}: {'.'.join(names[:depth])} has a value already, at line {below.line}")
            node = below
        node.value[names[-1]] = Node(found[1], number, found[2])
    return root


def _ini(text: str) -> Node:
    root = section = Node("", 1, {})
    for number, line in enumerate(text.splitlines(), start=1):
        if found := re.fullmatch(r"\s*\[([\w \-]+)\]\s*", line):
            name = found[1].removeprefix("profile ").strip()
            section = root.value[name] = Node(name, number, {})
        elif (found := _ASSIGNMENT.match(line)) and line.strip()[0] not in "#;":
            section.value[found[1]] = Node(f"{section.path}.{found[1]}".lstrip("."), number, found[2])
        elif line.strip() and line.strip()[0] not in "#;":
            raise ConfigError(f"line {number}: must be [a section] or name = value, got {line.strip()!r}")
    return root


_ANNOTATION = re.compile(r"@(Retryable|ConcurrencyLimit)\b\s*(?:\(((?:[^()]|\([^()]*\))*)\))?")
_ARGUMENT = re.compile(r"(\w+)\s*=\s*(@\w+\s*\([^)]*\)|\{[^}]*\}|\"[^\"]*\"|[^,()]+)")


def _annotations(text: str) -> list[Node]:
    """Return each method's annotations as one node, named after the method."""
    root = Node("", 1, {})
    pending: dict[str, Node] = {}
    for found in re.finditer(_ANNOTATION.pattern + r"|(\w+)\s*\([^;{]*?\)\s*(?:throws[\w\s,.]+)?[{;]", text, re.DOTALL):
        line = text.count("\n", 0, found.start()) + 1
        if found[3] is None:
            pending[found[1]] = _annotation(found[1], found[2] or "", line)
        elif pending:
            root.value[found[3]] = Node(found[3], line, pending)
            pending = {}
    if pending:
        root.value["method"] = Node("method", 1, pending)
    return [root]


def _annotation(title: str, inside: str, line: int) -> Node:
    node = Node(f"@{title}", line, {})
    for found in _ARGUMENT.finditer(inside):
        place, value = line + inside.count("\n", 0, found.start()), found[2].strip()
        path = f"@{title}.{found[1]}"
        if value.startswith("@"):  # @Backoff(delay = 100)
            below = _annotation(value[1 : value.index("(")].strip(), value[value.index("(") + 1 : -1], place)
            node.value[found[1]] = Node(path, place, below.value)
        else:
            node.value[found[1]] = Node(path, place, value.strip('"').rstrip("L"))
    if not node.value and inside.strip():
        node.value["value"] = Node(f"@{title}.value", line, inside.strip().strip('"'))
    return node


def _node(source: yaml.Node, path: str) -> Node:
    line = source.start_mark.line + 1
    if isinstance(source, yaml.MappingNode):
        below: dict[str, Node] = {}
        for key, value in source.value:
            name = str(key.value)
            if name in below:
                place = key.start_mark.line + 1
                raise ConfigError(f"line {place}: {name} stands twice, first at line {below[name].line}")
            below[name] = _node(value, f"{path}.{name}" if path else name)
        return Node(path, line, below)
    if isinstance(source, yaml.SequenceNode):
        return Node(path, line, [_node(each, f"{path}[{number}]") for number, each in enumerate(source.value)])
    return Node(path, line, _scalar(source))


def _scalar(source: Any) -> Any:
    kind = source.tag.rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "int":
        return int(source.value, 0) if re.fullmatch(r"[+-]?(0x[\da-fA-F]+|\d+)", source.value) else source.value
    return (
        float(source.value)
        if kind == "float" and re.fullmatch(r"[+-]?[\d.]+([eE][+-]?\d+)?", source.value)
        else source.value
    )
