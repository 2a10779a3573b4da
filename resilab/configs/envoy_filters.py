"""Envoy's HTTP filters that are policies: the local rate limit, and admission control."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..resilience.adaptive_throttle import AdaptiveThrottle
from ..resilience.base import Policy
from ..resilience.rate_limiter import RateLimiter
from . import durations
from .config import APPROXIMATED, DROPPED, MAPPED, Reading
from .documents import Node


def filters_of(document: Node, own: Mapping[str, Node], reading: Reading) -> Iterator[Policy]:
    """Yield the policies that HTTP filters are, the outermost first, and note their keys.

    Args:
        document: Where the filters are.
        own: What a route sets for itself, by the filter's name.
        reading: Takes the notes.
    """
    for filters in document.find("http_filters"):
        for each in filters.items:
            name, disabled, config = each.get("name"), each.get("disabled"), each.get("typed_config")
            mine = None if name is None else own.get(name.text())
            if mine is not None:
                if config is not None:
                    reading.note(config, DROPPED, "is replaced for this route: typed_per_filter_config")
                    mark(config)
                mine.is_read = True
                inner = mine.get("config")
                disabled, config = mine.get("disabled") or disabled, mine if inner is None else inner
            kind = None if config is None else config.get("@type")
            if config is None or kind is None:
                continue
            if disabled is not None and disabled.flag():
                reading.note(disabled, DROPPED, "is disabled")
                mark(config)
            elif kind.text().endswith("LocalRateLimit"):
                yield from _rate_limit(config, reading)
            elif kind.text().endswith("AdmissionControl"):
                yield from _admission(config, reading)


def _share(node: Node | None) -> float:
    """Return a runtime fraction from 0 to 1; what is not given is 0."""
    if node is None:
        return 0.0
    amount, denominator = (node.at("default_value", key) for key in ("numerator", "denominator"))
    unit = {"TEN_THOUSAND": 1e4, "MILLION": 1e6}.get("" if denominator is None else denominator.text(), 100.0)
    return 0.0 if amount is None else amount.number() / unit


def _rate_limit(config: Node, reading: Reading) -> Iterator[Policy]:
    bucket = config.get("token_bucket")
    if bucket is None:
        return
    is_on = min(_share(config.get("filter_enabled")), _share(config.get("filter_enforced")))
    mark(config)
    if is_on < 1:
        reading.note(
            bucket,
            DROPPED,
            f"is enforced for {is_on:.0%} of the requests: filter_enabled, filter_enforced",
            is_trap=True,
        )
        return
    most, fill, interval = (bucket.get(key) for key in ("max_tokens", "tokens_per_fill", "fill_interval"))
    if most is None or interval is None:
        raise bucket.error("must have max_tokens and fill_interval")
    yield RateLimiter.like(
        "envoy", max_tokens=most.natural(), tokens_per_fill=1 if fill is None else fill.natural(),
        fill_interval=durations.seconds(interval),
    )  # fmt: skip
    reading.note(bucket, MAPPED, "token bucket of a local rate limit, of one Envoy")


def _admission(config: Node, reading: Reading) -> Iterator[Policy]:
    enabled = config.at("enabled", "default_value")
    if enabled is not None and not enabled.flag():
        reading.note(config, DROPPED, "is not enabled")
        mark(config)
        return
    options: dict[str, Any] = {}
    window = config.get("sampling_window")
    if window is not None:
        options["sampling_window"] = durations.seconds(window)
        reading.note(window, MAPPED, "length of the window that is looked at")
    for key, path in (
        ("sr_threshold", ("default_value", "value")),
        ("aggression", ("default_value",)),
        ("rps_threshold", ("default_value",)),
        ("max_rejection_probability", ("default_value", "value")),
    ):
        node = config.at(key, *path)
        if node is not None:
            options[key] = node.number()
            reading.note(node, MAPPED, "admission control: see AdaptiveThrottle.like('envoy')")
    criteria = config.get("success_criteria")
    if criteria is not None:
        reading.note(criteria, APPROXIMATED, "answers have no status here: every error is no success")
    mark(config)
    yield AdaptiveThrottle.like("envoy", **options)


def mark(node: Node | None) -> None:
    """Count a node and all below it as read."""
    for each in node.walk() if node is not None else ():
        each.is_read = True
