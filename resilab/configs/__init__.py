"""Configurations of real libraries: in, out, and checked for values that are wrong together."""

from .config import Config, Note
from .documents import ConfigError
from .findings import Finding, Findings
from .kinds import KINDS, SNIPPETS, read, write
from .linting import lint

__all__ = ["KINDS", "SNIPPETS", "Config", "ConfigError", "Finding", "Findings", "Note", "lint", "read", "write"]
