"""Code for libraries that are configured in code: it runs where the library is here, and the notes tell the rest."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

import resilab as rl
from resilab import configs

POLICY = rl.ResiliencePolicy(
    rl.Timeout(5.0), rl.Retry(3, 0.1, max_delay=0.4, jitter="full"), rl.CircuitBreaker(4, 2, 10.0), rl.Bulkhead(7, 3)
)
MANY = [
    POLICY,
    rl.ResiliencePolicy(),
    rl.ResiliencePolicy(rl.Retry(None, 0.2, max_duration=9.0)),
    rl.ResiliencePolicy(rl.Retry.like("stamina"), rl.RateLimiter(10, 1.0), rl.Hedge(0.1)),
    rl.ResiliencePolicy(rl.Retry.like("failsafe", delay=0.1, max_delay=2.0), rl.CircuitBreaker.like("failsafe")),
    rl.ResiliencePolicy(rl.CircuitBreaker.like("resilience4j"), rl.Timeout(lambda now: 1.0)),
    rl.ResiliencePolicy(rl.Retry(0, jitter="decorrelated"), rl.Fallback(lambda: "x"), rl.Bulkhead(2, max_queue=0)),
]


@pytest.mark.parametrize("kind", configs.SNIPPETS)
@pytest.mark.parametrize("number", range(len(MANY)))
def test_every_policy_is_written_for_every_library(kind, number):
    """Whatever a library cannot say is in the notes."""
    written = configs.write(MANY[number], kind, "find-order")
    assert written.text.strip()
    assert (written.kind, written.policy) == (kind, MANY[number])
    assert all(row.status in ("approximated", "dropped") and row.meaning for row in written.rows)


@pytest.mark.parametrize("kind", ["tenacity", "stamina", "hyx"])
def test_python_code_runs(kind):
    pytest.importorskip(kind)

    async def run(text):  # hyx makes its locks in a loop
        exec(compile(text, kind, "exec"), {})

    for policy in MANY:
        asyncio.run(run(configs.write(policy, kind, "find-order").text))


def test_tenacity_does_what_its_code_says():
    """The same waits as the lab's, without jitter."""
    pytest.importorskip("tenacity")
    policy = rl.Retry(3, 0.1, max_delay=0.3, jitter="none")
    room: dict = {}
    exec(configs.write(policy, "tenacity", "place").text.replace("    ...", "    raise ValueError('no')"), room)
    slept: list[float] = []
    room["place"].retry.sleep = slept.append
    with pytest.raises(ValueError, match="no"):
        room["place"]()
    assert slept == pytest.approx([policy.delay(number, 0.0, None) for number in range(3)])


def test_hyx_does_what_its_code_says():
    pytest.importorskip("hyx")
    room: dict = {"calls": []}
    text = configs.write(rl.ResiliencePolicy(rl.Retry(2, 0.001, jitter="none")), "hyx", "place").text
    exec(text.replace("    ...", "    calls.append(1)\n    raise ValueError('no')"), room)
    with contextlib.suppress(Exception):
        asyncio.run(room["place"]())
    assert len(room["calls"]) == 3


@pytest.mark.parametrize(
    ("kind", "policy"),
    [
        (
            "tenacity",
            rl.Retry.like("tenacity", max_attempts=4, wait=rl.Backoff("exponential", 0.1, 3.0, max_delay=2.0)),
        ),
        ("stamina", rl.Retry.like("stamina")),
        ("hyx", rl.ResiliencePolicy(rl.CircuitBreaker.like("hyx"), rl.Timeout(2.0), rl.Bulkhead(3, max_queue=2))),
        ("failsafe", rl.Retry.like("failsafe", delay=0.1, max_delay=2.0)),
        ("opossum", rl.ResiliencePolicy(rl.CircuitBreaker.like("opossum"), rl.Timeout.like("opossum"))),
        ("polly_code", rl.ResiliencePolicy(rl.Retry.like("polly"), rl.CircuitBreaker.like("polly"), rl.Timeout(30.0))),
    ],
)
def test_what_a_library_can_say_has_no_note(kind, policy):
    assert configs.write(policy, kind).rows == ()


def test_the_outermost_comes_first():
    assert configs.write(POLICY, "hyx").text.index("@timeout") < configs.write(POLICY, "hyx").text.index("@retry")
    code = configs.write(POLICY, "polly_code", "orders").text
    assert code.index("AddTimeout") < code.index("AddRetry") < code.index("AddCircuitBreaker")
    assert 'TimeSpan.Parse("00:00:05")' in code
    assert "Failsafe.with(timeout1, retryPolicy2, circuitBreaker3, bulkhead4)" in configs.write(POLICY, "failsafe").text


def test_code_is_not_read():
    with pytest.raises(ValueError, match="kind must be one of"):
        configs.read("@retry", "tenacity")
