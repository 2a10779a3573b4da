"""Outlier detection in Envoy's and Istio's words: what a balancer does with replicas that fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..worlds.ejection import OutlierEjection
from . import durations
from .config import APPROXIMATED, DROPPED, MAPPED, Reading
from .documents import Node


@dataclass(frozen=True)
class _Key:
    """A key: the field of `OutlierEjection` that it is, how it is read and written, and what it means."""

    name: str
    field: str
    read: Callable[[Node], Any]
    write: Callable[[Any], Any]
    meaning: str


def _percent(node: Node) -> float:
    value = node.number()
    if not 0 <= value <= 100:
        node.refuse(f"must be from 0 to 100, got {node.value!r}")
    return value / 100


def _in_percent(share: float) -> int:
    return round(100 * share)


ENVOY = (
    _Key("interval", "interval", durations.positive, durations.proto, "time between sweeps"),
    _Key("base_ejection_time", "base_ejection_time", durations.positive, durations.proto, "time of a first ejection"),
    _Key("max_ejection_time", "max_ejection_time", durations.positive, durations.proto, "longest ejection"),
    _Key(
        "max_ejection_time_jitter",
        "ejection_time_jitter",
        durations.seconds,
        durations.proto,
        "by how much an ejection takes longer at most, by chance",
    ),
    _Key("max_ejection_percent", "max_ejection_share", _percent, _in_percent, "share of the hosts that may be away"),
    _Key("always_eject_one_host", "always_ejects_one", Node.flag, bool, "one may go, whatever the share"),
    _Key("success_rate_minimum_hosts", "success_rate_replicas", Node.natural, int, "hosts that a comparison needs"),
    _Key(
        "success_rate_request_volume",
        "success_rate_calls",
        Node.natural,
        int,
        "calls of a host that a comparison needs",
    ),
    _Key("failure_percentage_minimum_hosts", "failure_share_replicas", Node.natural, int, "hosts that it needs"),
    _Key(
        "failure_percentage_request_volume", "failure_share_calls", Node.natural, int, "calls of a host that it needs"
    ),
)
ISTIO = (
    _Key("interval", "interval", durations.positive, durations.with_unit, "time between sweeps"),
    _Key("baseEjectionTime", "base_ejection_time", durations.positive, durations.with_unit, "time of a first ejection"),
    _Key("maxEjectionPercent", "max_ejection_share", _percent, _in_percent, "share of the hosts that may be away"),
    _Key("minHealthPercent", "panic_share", _percent, _in_percent, "with fewer left, all are used"),
)
_LOST = {
    "successful_active_health_check_uneject_host": "needs active health checks: see the probes of a fleet",
}
_ORIGIN = "every error counts, wherever it comes from"


def read_envoy(cluster: Node | None, reading: Reading) -> OutlierEjection | None:
    """Return the outlier detection of a cluster, or None."""
    section = None if cluster is None else cluster.get("outlier_detection")
    if cluster is None or section is None:
        return None
    found = _plain(section, ENVOY, reading)
    found |= _in_a_row(section, reading, ("consecutive_5xx", 5), ("consecutive_gateway_failure", 5), enforced=_enforced)
    compared = _enforced(section, "success_rate", reading, 1.0)
    found |= {"success_rate_enforced": compared} if compared else {"success_rate_factor": None}
    _factor(section, found, reading)
    counted = _enforced(section, "failure_percentage", reading, 0.0)
    found |= {"failure_share": 0.85, "failure_share_enforced": counted} if counted else {}
    threshold = section.get("failure_percentage_threshold")
    if threshold is not None:
        _say(reading, threshold, "failure_share" in found, "share of failures that is too many", "failure_percentage")
        found |= {"failure_share": _percent(threshold)} if "failure_share" in found else {}
    balancer = cluster.get("common_lb_config")
    panic = None if balancer is None else balancer.at("healthy_panic_threshold", "value")
    if panic is not None:
        found["panic_share"] = _percent(panic)
        reading.note(panic, MAPPED, "with fewer hosts left, all are used")
    window = None if balancer is None else balancer.get("update_merge_window")
    if window is not None:
        found["update_delay"] = durations.seconds(window)
        reading.note(window, MAPPED, "time for which changes of hosts are gathered")
    _rest(section, reading)
    return OutlierEjection.like("envoy", **found)


def read_istio(policy: Node | None, reading: Reading) -> OutlierEjection | None:
    """Return the outlier detection of a traffic policy, or None."""
    section = None if policy is None else policy.get("outlierDetection")
    if section is None:
        return None
    found = _plain(section, ISTIO, reading)

    def enforced(section: Node, what: str, reading: Reading, default: float) -> float:
        node = section.get({"consecutive_5xx": "consecutive5xxErrors"}.get(what, "consecutiveGatewayErrors"))
        return default if node is None else float(node.whole() > 0)

    names = ("consecutive5xxErrors", 5), ("consecutiveGatewayErrors", 5)
    found |= _in_a_row(section, reading, *names, enforced=enforced)
    _rest(section, reading)
    return OutlierEjection.like("istio", **found)


def _plain(section: Node, keys: Iterable[_Key], reading: Reading) -> dict[str, Any]:
    found = {}
    for key in keys:
        node = section.get(key.name)
        if node is not None and node.value is not None:
            found[key.field] = key.read(node)
            reading.note(node, MAPPED, key.meaning)
    return found


def _in_a_row(
    section: Node,
    reading: Reading,
    every: tuple[str, int],
    gateway: tuple[str, int],
    *,
    enforced: Callable[[Node, str, Reading, float], float],
) -> dict[str, Any]:
    """Return how many errors in a row turn a host away: of any kind, or of a gateway where that comes first."""
    counts = []
    for (name, default), what, usual in (
        (every, "consecutive_5xx", 1.0),
        (gateway, "consecutive_gateway_failure", 0.0),
    ):
        node = section.get(name)
        count = default if node is None else node.natural()
        share = enforced(section, what, reading, usual)
        is_on = share > 0 and count > 0
        if is_on:
            counts.append((count, share))
        if node is not None:
            words = "errors in a row" if usual else "every error counts as one of a gateway"
            _say(reading, node, is_on, words, what, MAPPED if usual else APPROXIMATED)
    count, share = min(counts, default=(0, 1.0))
    return {"consecutive_errors": count, "consecutive_enforced": share}


def _enforced(section: Node, what: str, reading: Reading, default: float) -> float:
    node = section.get(f"enforcing_{what}")
    if node is None:
        return default
    reading.note(node, MAPPED, "in how many of a hundred cases it ejects")
    return _percent(node)


def _factor(section: Node, found: dict[str, Any], reading: Reading) -> None:
    node = section.get("success_rate_stdev_factor")
    if node is not None:
        is_on = "success_rate_factor" not in found
        _say(reading, node, is_on, "thousandths of a standard deviation below the mean", "success_rate")
        found |= {"success_rate_factor": node.natural() / 1000} if is_on else {}


def _say(reading: Reading, node: Node, is_on: bool, meaning: str, what: str, status: str = MAPPED) -> None:
    if is_on:
        reading.note(node, status, meaning)
    else:
        reading.note(node, DROPPED, f"does nothing: {what} ejects nobody unless it is enforced", is_trap=True)


def _rest(section: Node, reading: Reading) -> None:
    reading.drop_rest(section, _LOST, _ORIGIN)


def written_envoy(ejection: OutlierEjection) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return `outlier_detection` and `common_lb_config` of a cluster."""
    usual = OutlierEjection.like("envoy")
    section = _written(ejection, usual, ENVOY)
    if ejection.consecutive_errors:
        section["consecutive_5xx"] = ejection.consecutive_errors
        section |= _enforcing("consecutive_5xx", ejection.consecutive_enforced)
    else:
        section["enforcing_consecutive_5xx"] = 0
    if ejection.success_rate_factor is None:
        section["enforcing_success_rate"] = 0
    elif ejection.success_rate_factor != usual.success_rate_factor:
        section["success_rate_stdev_factor"] = round(1000 * ejection.success_rate_factor)
    if ejection.success_rate_factor is not None:
        section |= _enforcing("success_rate", ejection.success_rate_enforced)
    if ejection.failure_share is not None:
        section |= {"failure_percentage_threshold": _in_percent(ejection.failure_share)}
        section |= {"enforcing_failure_percentage": _in_percent(ejection.failure_share_enforced)}
    balancer: dict[str, Any] = {}
    if ejection.panic_share != usual.panic_share:
        balancer["healthy_panic_threshold"] = {"value": durations.plain(100 * ejection.panic_share)}
    if ejection.update_delay != usual.update_delay:
        balancer["update_merge_window"] = durations.proto(ejection.update_delay)
    return section, balancer


def _enforcing(what: str, share: float) -> dict[str, int]:
    return {} if share == 1 else {f"enforcing_{what}": _in_percent(share)}


def written_istio(ejection: OutlierEjection) -> dict[str, Any]:
    """Return `outlierDetection` of a traffic policy."""
    section = _written(ejection, OutlierEjection.like("istio"), ISTIO)
    return {"consecutive5xxErrors": ejection.consecutive_errors} | section


def _written(ejection: OutlierEjection, usual: OutlierEjection, keys: Iterable[_Key]) -> dict[str, Any]:
    changed: Mapping[str, Any] = {
        key.name: key.write(getattr(ejection, key.field))
        for key in keys
        if getattr(ejection, key.field) != getattr(usual, key.field)
    }
    return dict(changed)
