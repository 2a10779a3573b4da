"""lint: values of a policy that are wrong together, each with its numbers, and with a scenario with evidence."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from ..experiments import SLO, replicate
from ..lab.scenario import Scenario
from ..resilience.base import Policy
from ..resilience.policy import ResiliencePolicy
from ..validation import instance, positive
from .config import Config
from .findings import ERROR, HINT, WARNING, Finding, Findings
from .lint_rules import RULES, Case

REPLICATIONS = 5


def lint(
    policy: Policy | Config,
    scenario: Scenario | None = None,
    slo: SLO | None = None,
    *,
    rate: float | None = None,
) -> Findings:
    """Return what is wrong together in a policy, or in a configuration that was read.

    Args:
        policy: A policy, or a `Config` of `configs.read`: its keys that the library
            ignores in silence are findings too.
        scenario: Where it runs; its own policy is not looked at. It gives the rate, the
            latency and the workers, and the evidence.
        slo: What is asked for: `within` counts as the patience of the caller.
        rate: Calls per second, without a scenario.

    Returns:
        A tuple of `Finding`s, errors first; empty if nothing is found.

    Example:
        >>> from resilab import Retry, Timeout
        >>> policy = ResiliencePolicy(Timeout(2.0), Retry(max_retries=5, initial_delay=1.0, jitter="none"))
        >>> lint(policy)
        error: retries_outlive_caller: the caller has gone after 2 s, and the waits alone take longer: 4 of 5 ...
    """
    instance("policy", policy, (Policy, Config))
    if scenario is not None:
        instance("scenario", scenario, Scenario)
    if slo is not None:
        instance("slo", slo, SLO)
    if rate is not None:
        positive("rate", rate)
    elif scenario is not None and not math.isnan(scenario.load[1]):
        rate = scenario.load[1]
    whole = policy.policy if isinstance(policy, Config) else ResiliencePolicy(policy)
    case = Case(tuple(whole.flat()), scenario, slo, rate)
    found = [finding for rule in RULES for finding in rule(case)]
    if isinstance(policy, Config):
        found += [*_ignored_keys(policy), *_ejects_nobody(policy)]
    order = (ERROR, WARNING, HINT)
    found.sort(key=lambda finding: order.index(finding.severity))
    return Findings(_with_evidence(finding, case) for finding in found)


def _with_evidence(finding: Finding, case: Case) -> Finding:
    if case.scenario is None or finding.mended is None:
        return finding
    import pandas as pd

    played = {"as it is": ResiliencePolicy(*case.parts), "mended": finding.mended}
    measures = ["success_rate", "p50", "p99", "amplification"]
    if case.slo is not None:
        measures.insert(1, f"answered_within({case.slo.within:g})")
    rows = {
        name: replicate(case.scenario.replace(policy=policy), REPLICATIONS, metrics=measures, progress=False, n_jobs=1)[
            measures
        ].mean()
        for name, policy in played.items()
    }
    return dataclasses.replace(finding, evidence=pd.DataFrame(rows).T)


def _ejects_nobody(config: Config) -> Iterator[Finding]:
    """A share of replicas that rounds down to none, as Envoy 1.40 was seen to do."""
    ejection = config.ejection
    if ejection is None or ejection.most_of(2):
        return
    share = ejection.max_ejection_share
    words = f"with fewer than {math.ceil(1 / share - 1e-9)} replicas none is ever ejected" if share else "none ever is"
    message = f"at most {share:.0%} of the replicas may be ejected at a time: {words}"
    yield Finding("ejects_nobody", HINT if share else ERROR, message, {"share": share})


def _ignored_keys(config: Config) -> Iterator[Finding]:
    """Keys that the library reads and does nothing with."""
    for row in config.rows:
        if row.is_trap:
            place = "" if row.line is None else f"line {row.line}: "
            yield Finding("key_ignored", WARNING, f"{place}{row.key} {row.meaning}", {})
