"""read and write: one way in and one way out for every kind of configuration."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..health.pod import KubernetesPod
from ..health.probe import KubernetesProbe
from ..resilience.base import Policy
from ..resilience.policy import ResiliencePolicy
from ..validation import instance, one_of
from ..worlds.ejection import OutlierEjection
from . import aws, dotnet, envoy, grpc, istio, kubernetes, linkerd, resilience4j, snippets, spring
from .config import APPROXIMATED, Config, Note, Reading
from .differences import differences
from .documents import ConfigError, Node, parse

READERS: Mapping[str, Any] = {
    "resilience4j": resilience4j,
    "spring": spring,
    "grpc": grpc,
    "istio": istio,
    "envoy": envoy,
    "linkerd": linkerd,
    "kubernetes": kubernetes,
    "microsoft": dotnet.StandardHandler,
    "polly": dotnet.Polly,
    "aws": aws,
}
"""Kinds that are read and written, each with the module that knows it; the first that a file matches reads it."""

_JOINED = ("istio", "envoy", "kubernetes")
"""Kinds whose documents of one text belong together."""
KINDS = tuple(READERS)
"""All kinds that are read and written."""
SNIPPETS = tuple(snippets.WRITERS)
"""Libraries that are configured in code: they are written alone."""


def read(source: str | os.PathLike[str], kind: str | None = None, name: str | None = None) -> Config:
    """Read a configuration, and return the policy that it makes.

    Args:
        source: Path of a file, or the text itself.
        kind: One of `KINDS`. None tells it from the file.
        name: Which instance, cluster, method or service. None is the only one.

    Returns:
        A `Config`: `.policy` with the semantics and the nesting of the library, `.notes`
        with every key, its value, what became of it ("mapped", "approximated",
        "dropped") and its meaning.

    Raises:
        ConfigError: The text is no configuration, or a value breaks a rule. The message
            names the line.
        FileNotFoundError: There is no such file.

    Example:
        >>> text = "resilience4j.retry.instances.orders.maxAttempts=5"
        >>> read(text, name="orders").policy
        ResiliencePolicy(
            Retry(max_retries=4, backoff=Backoff(kind='constant', initial_delay=0.5, multiplier=1.5)),
        )
    """
    if kind is not None:
        one_of("kind", kind, KINDS)
    text, place = _text_of(source)
    try:
        documents = parse(text)
        if not documents:
            raise ConfigError("line 1: the text is empty")
        found, document = _find(documents, kind)
        if found.KIND in _JOINED and len(documents) > 1:
            document = Node("", 1, documents)
        reading = Reading()
        config: Config = found.read(document, _name(found, document, name), reading)
    except ConfigError as error:
        raise ConfigError(f"{place}{error}") from None
    return dataclasses.replace(config, text=text)


def write(
    policy: Policy | KubernetesPod | KubernetesProbe,
    kind: str,
    name: str = "service",
    *,
    ejection: OutlierEjection | None = None,
) -> Config:
    """Write a policy as the configuration, or the code, of a library.

    What the text says is read again and held against *policy*: each difference is a row
    of `.notes`.

    Args:
        policy: A policy; for "kubernetes" a `KubernetesPod` or a `KubernetesProbe`.
        kind: One of `KINDS`, or of `SNIPPETS`: code for tenacity, stamina, hyx (Python),
            Failsafe (Java), opossum (JavaScript) and Polly (C#, "polly_code").
        name: What the text calls it.
        ejection: An `OutlierEjection`, for "envoy" and "istio" alone.

    Returns:
        A `Config`: `.text`, and `.notes` with each key that was written and each field
        that the library cannot say, with what to do instead.

    Example:
        >>> from resilab import Retry
        >>> print(write(Retry(max_retries=2, initial_delay=0.2, jitter="none"), "resilience4j", "orders").text)
        resilience4j:
          retry:
            instances:
              orders:
                maxAttempts: 3
                waitDuration: 200ms
                enableExponentialBackoff: true
                exponentialBackoffMultiplier: 2
                exponentialMaxWaitDuration: 30s
        <BLANKLINE>
    """
    one_of("kind", kind, (*KINDS, *SNIPPETS))
    instance("name", name, str)
    instance("policy", policy, (Policy, KubernetesPod, KubernetesProbe))
    if ejection is not None and kind not in (envoy.KIND, istio.KIND):
        raise ValueError(f"ejection must be None for {kind}, which turns no replicas away, got {ejection!r}")
    if kind in SNIPPETS:
        instance("policy", policy, Policy)
        assert isinstance(policy, Policy)
        whole = ResiliencePolicy(*ResiliencePolicy(policy).flat())
        code = snippets.WRITERS[kind](whole, name)
        rows = tuple(differences(whole, code.policy, snippets.ADVICE))
        return Config(kind, name, whole, code.text, rows)
    module = READERS[kind]
    if isinstance(policy, KubernetesPod | KubernetesProbe) != (kind == "kubernetes"):
        raise TypeError(f"policy must be {'probes' if kind == 'kubernetes' else 'a policy'} for {kind}, got {policy!r}")
    if isinstance(policy, KubernetesPod | KubernetesProbe):
        text, notes = kubernetes.write_pod(policy, name)
        back = read(text, kind, name)
        return dataclasses.replace(back, rows=(*back.rows, *notes, *_rounded(policy, back.pod)))
    whole = ResiliencePolicy(*ResiliencePolicy(policy).flat())
    text, notes = module.write(whole, name) if ejection is None else module.write(whole, name, ejection)
    back = read(text, kind, name)
    rows = (*back.rows, *notes, *differences(whole, back.policy, module.ADVICE), *_unsaid(ejection, back.ejection))
    return dataclasses.replace(back, policy=whole, rows=rows)


def _unsaid(wanted: OutlierEjection | None, said: OutlierEjection | None) -> list[Note]:
    """Return a note for each number of an ejection that the library cannot say."""
    notes = []
    for field in dataclasses.fields(OutlierEjection) if wanted is not None else ():
        before, after = getattr(wanted, field.name), getattr(said, field.name)
        if before != after:
            notes.append(Note(f"ejection.{field.name}", before, APPROXIMATED, f"becomes {after}"))
    return notes


def _rounded(policy: KubernetesPod | KubernetesProbe, pod: KubernetesPod | None) -> list[Note]:
    """Return a note for each number of the probes that whole seconds have changed."""
    wanted = policy if isinstance(policy, KubernetesPod) else KubernetesPod(liveness=policy, readiness=policy)
    notes = []
    for kind in ("startup", "liveness", "readiness"):
        mine, theirs = getattr(wanted, kind), getattr(pod, kind)
        for field in dataclasses.fields(mine) if mine is not None else ():
            before, after = getattr(mine, field.name), getattr(theirs, field.name)
            if before != after:
                notes.append(Note(f"{kind}.{field.name}", before, APPROXIMATED, f"whole seconds only: becomes {after}"))
    return notes


def _text_of(source: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the text, and what messages call the place it comes from."""
    if isinstance(source, str) and ("\n" in source or not _is_path(source)):
        return source, ""
    path = Path(source)
    return path.read_text(encoding="utf-8-sig"), f"{path.name}, "


def _is_path(text: str) -> bool:
    """Whether a single line is a path: it exists, or ends like one."""
    if len(text) > 255 or text.lstrip()[:1] in ("{", "["):
        return False
    return (
        Path(text).suffix in (".yml", ".yaml", ".json", ".properties", ".cfg", ".ini", ".txt", ".java")
        or Path(text).is_file()
    )


def _find(documents: list[Node], kind: str | None) -> tuple[Any, Node]:
    if kind is not None:
        module = READERS[one_of("kind", kind, tuple(READERS))]
        document = next((each for each in documents if module.matches(each)), None)
        if document is None and not any(documents[0].leaves()):
            document = documents[0]  # it says nothing at all, as a policy of no policies does
        if document is None:
            raise ConfigError(f"line 1: nothing of {kind} is in it")
        return module, document
    for document in documents:
        for module in READERS.values():
            if module.matches(document):
                return module, document
    keys = ", ".join(list(documents[0].fields)[:5]) or "no keys"
    raise ConfigError(f"line 1: not told what it is (it has {keys}); give kind=, one of {', '.join(READERS)}")


def _name(module: Any, document: Node, name: str | None) -> str:
    known = module.names(document)
    if name is None:
        if len(known) != 1:
            raise ConfigError(f"line 1: name must be one of {', '.join(map(repr, known)) or 'none'}, got None")
        return str(known[0])
    if known and name not in known:
        raise ConfigError(f"line 1: name must be one of {', '.join(map(repr, known))}, got {name!r}")
    return name
