"""Configurations of real libraries: in, out, and checked for values that are wrong together."""

from .config import Config, Note
from .documents import ConfigError
from .kinds import KINDS, read, write

__all__ = ["KINDS", "Config", "ConfigError", "Note", "read", "write"]
