"""Kubernetes: the probes of a container. Whole seconds only."""

from __future__ import annotations

from typing import Any

import yaml

from ..health.pod import KubernetesPod
from ..health.probe import KubernetesProbe
from ..resilience.policy import ResiliencePolicy
from . import durations
from .config import DROPPED, MAPPED, Config, Key, Note, Reading
from .documents import Node

KIND = "kubernetes"
PROBES = {"startupProbe": "startup", "livenessProbe": "liveness", "readinessProbe": "readiness"}
ADVICE: dict[str, str] = {}


def _seconds(node: Node) -> float:
    value = node.whole()
    if value < 0:
        node.refuse(f"must be >= 0, got {node.value!r}")
    return float(value)


def _at_least_one(node: Node) -> int:
    value = node.whole()
    if value < 1:
        node.refuse(f"must be >= 1, got {node.value!r}")
    return value


KEYS = (
    Key("initialDelaySeconds", "initial_delay", _seconds, lambda p: p.initial_delay, "wait before the first probe",
        lambda s: max(0, round(s))),
    Key("periodSeconds", "period", lambda node: float(_at_least_one(node)), lambda p: p.period, "from probe to probe",
        durations.whole_seconds),
    Key("timeoutSeconds", "timeout", lambda node: float(_at_least_one(node)), lambda p: p.timeout,
        "time limit of a probe", durations.whole_seconds),
    Key("successThreshold", "success_threshold", _at_least_one, lambda p: p.success_threshold,
        "successes in a row until it counts as well"),
    Key("failureThreshold", "failure_threshold", _at_least_one, lambda p: p.failure_threshold,
        "failures in a row until it counts as failed"),
)  # fmt: skip
REASONS = dict.fromkeys(("httpGet", "exec", "tcpSocket", "grpc"), "says what is asked; here the replica answers") | {
    "terminationGracePeriodSeconds": "of a single probe; the grace period of the pod holds here"
}


def _containers(document: Node) -> list[Node]:
    return [node for node in document.walk() if any(node.has(probe) for probe in PROBES)]


def _title(container: Node) -> str:
    name = container.get("name")
    return name.text() if name is not None else "container"


def matches(document: Node) -> bool:
    """Whether a container with probes is somewhere in the document."""
    return bool(_containers(document))


def names(document: Node) -> list[str]:
    """Return the names of the containers with probes."""
    return [_title(container) for container in _containers(document)]


def read(document: Node, name: str, reading: Reading) -> Config:
    """Return the probes of the container *name*."""
    container = next(each for each in _containers(document) if _title(each) == name)
    probes: dict[str, Any] = {}
    for spelled, kind in PROBES.items():
        section = container.get(spelled)
        if section is None:
            continue
        options = reading.options(section, KEYS)
        wanted = options.get("success_threshold", 1)
        if kind != "readiness" and wanted != 1:
            section.get("successThreshold").refuse(f"must be 1 for a {kind} probe, got {wanted}")  # type: ignore[union-attr]
        probes[kind] = KubernetesProbe(**options)
        reading.drop_rest(section, REASONS, "is not a key of a probe")
    graces = (node for node in document.walk() if node.name == "terminationGracePeriodSeconds")
    grace = next((node for node in graces if "Probe" not in node.path), None)
    if grace is not None:
        probes["grace_period"] = _seconds(grace)
        reading.note(grace, MAPPED, "seconds from the order to stop until it is killed")
    pod = KubernetesPod(**probes)
    return Config(KIND, name, ResiliencePolicy(), "", tuple(reading.rows), pod=pod)


def write_pod(pod: KubernetesPod | KubernetesProbe, name: str) -> tuple[str, list[Note]]:
    """Return a container with its probes, and what whole seconds make of them."""
    if isinstance(pod, KubernetesProbe):
        pod = KubernetesPod(liveness=pod, readiness=pod)
    container: dict[str, Any] = {"name": name}
    notes: list[Note] = []
    for spelled, kind in PROBES.items():
        probe = getattr(pod, kind)
        if probe is None:
            continue
        values = {key.name: key.write(key.get(probe)) for key in KEYS}
        if kind != "readiness" and probe.success_threshold != 1:
            values["successThreshold"] = 1
            meaning = f"must be 1 for a {kind} probe"
            notes.append(Note(f"{kind}.success_threshold", probe.success_threshold, DROPPED, meaning))
        container[spelled] = {"httpGet": {"path": f"/{kind}", "port": 8080}, **values}
    tree = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": round(pod.grace_period), "containers": [container]},
    }
    return yaml.safe_dump(tree, sort_keys=False), notes
