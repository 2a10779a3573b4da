"""Defaults that notebooks write into tables are those that the lab plays and reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import resilab as rl
from resilab import configs
from resilab.fleet import OutlierEjection

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
POOL = "resilience4j.thread-pool-bulkhead.instances.a.maxThreadPoolSize=4\n"
PENDING = "{name: a, circuit_breakers: {thresholds: [{max_connections: 5}]}}"


def queue_of(text, kind):
    """The places in the queue of a configuration that does not name them."""
    return next(part.max_queue for part in configs.read(text, kind).policy.flat() if isinstance(part, rl.Bulkhead))


def quoted():
    """By notebook: what its tables say in brackets."""
    hosts, probe = OutlierEjection.like("envoy"), rl.KubernetesProbe()
    failing = configs.read(
        "{name: a, outlier_detection: {enforcing_failure_percentage: 100}}", "envoy"
    ).ejection.failure_share
    retry = {name: rl.Retry.like(name) for name in ("resilience4j", "polly", "envoy", "aws")}
    yield (
        "01_circuit_breaker",
        [
            f"`consecutive_5xx` ({hosts.consecutive_errors})",
            f"`failure_percentage_threshold` ({failing:.0%}, off)".replace("%", " %"),
            f"`failure_percentage_request_volume` ({hosts.failure_share_calls})",
            f"`base_ejection_time` ({hosts.base_ejection_time:g} s)",
        ],
    )
    yield (
        "11_health_checks",
        [
            f"`periodSeconds` ({probe.period:g})",
            f"`timeoutSeconds` ({probe.timeout:g})",
            f"`failureThreshold` ({probe.failure_threshold})",
            f"`successThreshold` ({probe.success_threshold})",
            f"`terminationGracePeriodSeconds` ({rl.KubernetesPod().grace_period:g})",
        ],
    )
    yield (
        "13_metastable_failure",
        [
            f"`maxAttempts` - 1 ({retry['resilience4j'].max_retries})",
            f"`MaxRetryAttempts` ({retry['polly'].max_retries})",
            f"`num_retries` ({retry['envoy'].max_retries})",
            f"`max_attempts` - 1 ({retry['aws'].max_retries})",
            f"`max_retries` ({retry['envoy'].budget.minimum} at once)",
            f"retry quota ({rl.RetryBudget.aws().max_tokens:g} tokens)",
            f"`queueCapacity` ({queue_of(POOL, 'resilience4j')})",
            f"`max_pending_requests` ({queue_of(PENDING, 'envoy')})",
            f"`queueLimit` ({rl.Bulkhead.like('polly').max_queue})",
        ],
    )


@pytest.mark.parametrize(("name", "words"), list(quoted()), ids=lambda value: value if isinstance(value, str) else "")
def test_defaults_in_brackets_are_those_of_the_lab(name, words):
    """As `like` plays them and `configs.read` reads a file without the key."""
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert [each for each in words if each not in text] == []
