"""The options that all experiments share, defined once: how a run is played, and who plays it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any, TypedDict, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


class PlayOptions(TypedDict, total=False):
    """How each run is played; `replicate` explains them."""

    horizon: float | None
    record: bool | None
    run: Callable[[Any, int], Any] | None
    warmup: float | None


class WorkOptions(TypedDict, total=False):
    """Who plays the runs; `replicate` explains them."""

    n_jobs: int | None
    client: Any
    cache: str | os.PathLike[str] | None
    progress: bool | None


class Options(PlayOptions, WorkOptions, total=False):
    """All options of an experiment."""


def play_options(options: Options) -> PlayOptions:
    """Return those of the options that say how a run is played."""
    return {
        "horizon": options.get("horizon"),
        "record": options.get("record"),
        "run": options.get("run"),
        "warmup": options.get("warmup"),
    }


def work_options(options: Options | WorkOptions) -> WorkOptions:
    """Return those of the options that say who plays the runs."""
    return {
        "n_jobs": options.get("n_jobs"),
        "client": options.get("client"),
        "cache": options.get("cache"),
        "progress": options.get("progress"),
    }


def shows_options(options: type) -> Callable[[Function], Function]:
    """Let `help` and the Tab key show the options of a function instead of `**options`."""

    def named(function: Function) -> Function:
        signature = inspect.signature(function)
        kept = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        shown = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for name, annotation in inspect.get_annotations(options).items()
        ]
        function.__signature__ = signature.replace(parameters=kept + shown)  # type: ignore[attr-defined]
        return function

    return named
