"""Break the policies on purpose, one way at a time, and see that a test notices.

    python -m tests.mutants            plays all mutants and prints the table
    python -m tests.mutants 3 7        plays these

Each mutant is a slip that somebody could make. It is put into a temporary copy of the
project, and the test named with it must fail there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 120.0  # seconds after which a test counts as endless; it takes 5
WITHOUT_SHRINKING = """
from hypothesis import Phase
settings.register_profile("mutants", deadline=None, derandomize=True, phases=(Phase.generate,))
settings.load_profile("mutants")
"""


class Mutant(NamedTuple):
    """A slip: in *file*, *right* becomes *wrong*, and *test* notices."""

    slip: str
    file: str
    right: str
    wrong: str
    test: str


BULKHEAD, BREAKER = "bulkhead.py", "live_circuit_breaker.py"
MACHINES, CONFORMANCE = "resilience/test_machines.py", "profiles/test_conformance.py"
BREAKER_TESTS = "resilience/test_circuit_breaker.py"
LIMITS = "resilience/test_machines_of_limits.py"
ANY_INSTANT = f"{MACHINES}::test_a_cancellation_at_any_instant_leaks_nothing"

MUTANTS = (
    Mutant(
        "a bulkhead forgets to give a permit back",
        BULKHEAD,
        "        finally:\n            self._release()",
        "        finally:\n            pass",
        f"{MACHINES}::TestBulkheadMachine",
    ),
    Mutant(
        "a call that is cancelled while it waits keeps its place in the queue",
        BULKHEAD,
        "            if not permit.triggered:\n                self._waiting.remove(permit)\n            elif",
        "            if permit.triggered and",
        f"{MACHINES}::TestBulkheadMachine",
    ),
    Mutant(
        "a bulkhead hands a permit on although it has shrunk",
        BULKHEAD,
        "self.in_flight <= self.max_concurrent:",
        "self.in_flight <= self.max_concurrent + 1:",
        f"{MACHINES}::TestBulkheadMachine",
    ),
    Mutant(
        "a bulkhead takes one call too many into its queue",
        BULKHEAD,
        "len(self._waiting) >= spec.max_queue",
        "len(self._waiting) > spec.max_queue",
        f"{CONFORMANCE}::test_bulkheads_admit_as_those_of_the_libraries",
    ),
    Mutant(
        "the failure threshold is off by one",
        BREAKER,
        "elif self._failures >= spec.failure_threshold:",
        "elif self._failures > spec.failure_threshold:",
        f"{BREAKER_TESTS}::test_it_opens_at_the_threshold_of_consecutive_failures_not_before",
    ),
    Mutant(
        "the volume threshold is off by one",
        BREAKER,
        "counts.calls < max(1, self._fewest_calls()):\n            return {}",
        "counts.calls <= max(1, self._fewest_calls()):\n            return {}",
        f"{BREAKER_TESTS}::test_it_opens_only_once_enough_calls_were_recorded_since_it_closed",
    ),
    Mutant(
        "a success does not clear the count",
        BREAKER,
        "            self._calls += 1\n            self._failures = 0\n",
        "            self._calls += 1\n",
        f"{BREAKER_TESTS}::test_a_success_in_closed_clears_the_count",
    ),
    Mutant(
        "the first probe comes after the timeout, not at it",
        BREAKER,
        "return left <= self._tie if",
        "return left < -self._tie if",
        f"{BREAKER_TESTS}::test_it_turns_half_open_with_the_first_call_at_exactly_the_timeout",
    ),
    Mutant(
        "a cancelled probe keeps its half-open place",
        BREAKER,
        "        if generation == self._generation:\n            self.release()",
        "        return",
        f"{MACHINES}::TestBreakerMachine",
    ),
    Mutant(
        "half-open admits one probe too many",
        BREAKER,
        "self._probes >= spec.half_open_max_calls",
        "self._probes > spec.half_open_max_calls",
        f"{MACHINES}::TestBreakerMachine",
    ),
    Mutant(
        "late results are counted",
        BREAKER,
        'if spec.late_results == "drop":',
        'if spec.late_results == "never":',
        f"{MACHINES}::TestBreakerMachine",
    ),
    Mutant(
        "results refill a total half-open budget",
        BREAKER,
        'spec.half_open.budget == "concurrent":',
        'spec.half_open.budget != "neither":',
        f"{BREAKER_TESTS}::test_a_total_budget_is_not_refilled_by_results",
    ),
    Mutant(
        "a failure rate must exceed its threshold",
        BREAKER,
        "operator.gt if spec.opens_above else operator.ge",
        "operator.gt",
        f"{CONFORMANCE}::test_breakers_turn_as_those_of_the_libraries",
    ),
    Mutant(
        "a call of exactly the slow duration is slow",
        BREAKER,
        "spec.slow_call_duration * (1 + TIE)",
        "spec.slow_call_duration * (1 - TIE)",
        f"{BREAKER_TESTS}::test_slow_calls_open_it_whether_they_succeed_or_fail",
    ),
    Mutant(
        "a count window holds one result too many",
        "windows.py",
        "len(codes) > self._size",
        "len(codes) > self._size + 1",
        f"{BREAKER_TESTS}::test_a_count_window_opens_at_the_rate_and_forgets_the_oldest",
    ),
    Mutant(
        "a bucket of a time window lives one bucket too long",
        "windows.py",
        "self._number(now) - begin >= self._buckets",
        "self._number(now) - begin > self._buckets",
        f"{CONFORMANCE}::test_breakers_turn_as_those_of_the_libraries",
    ),
    Mutant(
        "retries are counted as attempts",
        "retry.py",
        "if call.attempt >= self._last or",
        "if call.attempt >= self._last - 1 or",
        f"{CONFORMANCE}::test_retries_try_as_those_of_the_libraries",
    ),
    Mutant(
        "concurrent calls share one backoff",
        "retry.py",
        "delay, call.state = self._law.step(call.attempt, draw, call.state)",
        "delay, self._s = self._law.step(call.attempt, draw, getattr(self, '_s', None))",
        f"{MACHINES}::test_a_retry_keeps_no_delay_between_calls",
    ),
    Mutant(
        "the reference's cap comes before its jitter",
        "retry.py",
        'cap="after" if is_reference else "before"',
        'cap="before"',
        "resilience/test_retry.py",
    ),
    Mutant(
        "a cap that belongs after the jitter comes before it",
        "backoff.py",
        'if self.cap != "before":',
        'if self.cap == "both":',
        f"{CONFORMANCE}::test_delays_follow_the_laws_of_the_libraries",
    ),
    Mutant(
        "a retry takes a cancellation for a failure",
        "retry.py",
        "                except NEVER_HANDLED:\n                    raise\n"
        "                except Exception as error:\n",
        "                except Exception as error:\n",
        ANY_INSTANT,
    ),
    Mutant(
        "a fallback answers a call that was cancelled",
        "fallback.py",
        "                return reply\n        except NEVER_HANDLED:\n            raise\n",
        "                return reply\n",
        ANY_INSTANT,
    ),
    Mutant(
        "a timeout forgets to disarm its deadline",
        "timeout.py",
        "from None\n            raise\n        finally:\n            entry[1] = None\n",
        "from None\n            raise\n",
        ANY_INSTANT,
    ),
    Mutant(
        "a cancelled race leaves its work to itself",
        "timeout.py",
        '                interrupt(work, getattr(error, "cause", None))\n',
        "",
        "resilience/test_timeout.py",
    ),
    Mutant(
        "a hedge lets the losers run on",
        "hedge.py",
        "                interrupt(copy, cause)\n",
        "",
        "resilience/test_hedge.py::test_the_loser_gives_its_worker_back",
    ),
    Mutant(
        "a retry budget is not charged",
        "retry_budget.py",
        "        self._add(-cost)\n",
        "",
        "resilience/test_load_limits.py::test_a_total_outage_gets_as_many_retries_as_a_full_budget_pays_for_and_then_none",
    ),
    Mutant(
        "a token bucket forgets its size",
        "rate_limiter.py",
        "return min(tokens, float(spec.burst or spec.permits))",
        "return tokens",
        "resilience/test_load_limits.py::test_a_rate_limiter_rejects_the_share_that_theory_gives",
    ),
    Mutant(
        "permits of a cycle that nobody took are saved for the next",
        "rate_limiter.py",
        "return cycle, min(self.spec.permits, self._free",
        "return cycle, min(2 * self.spec.permits, self._free",
        f"{LIMITS}::TestRateLimiterMachine",
    ),
    Mutant(
        "a call that is refused has taken its permits",
        "rate_limiter.py",
        "            return None\n        self._cycle, self._free",
        "            self._free -= wanted\n            return None\n        self._cycle, self._free",
        f"{LIMITS}::TestRateLimiterMachine",
    ),
    Mutant(
        "slots of a smooth limiter that nobody took are saved up",
        "rate_limiter.py",
        "last = max(self._next_slot, slot) + wanted - 1",
        "last = self._next_slot + wanted - 1",
        f"{LIMITS}::TestRateLimiterMachine",
    ),
    Mutant(
        "a permit of a sliding log is back one instant late",
        "rate_limiter.py",
        "return self.env.now - taken >= self.spec.period * (1 - TIE)",
        "return self.env.now - taken > self.spec.period",
        f"{LIMITS}::TestRateLimiterMachine",
    ),
    Mutant(
        "a throttle forgets a call one instant late",
        "windows.py",
        "now - times[0] >= self._seconds",
        "now - times[0] > self._seconds / (1 - TIE)",
        f"{LIMITS}::TestThrottleMachine",
    ),
    Mutant(
        "a throttle overlooks the calls that it rejects itself",
        "adaptive_throttle.py",
        "            self.rejections += 1\n",
        "            self.rejections += 1\n            self._requests._times.pop()\n",
        f"{LIMITS}::TestThrottleMachine",
    ),
    Mutant(
        "a throttle takes a cancelled call for an accepted one",
        "adaptive_throttle.py",
        "        except NEVER_HANDLED:\n            raise\n",
        "        except NEVER_HANDLED:\n            self._accepts.add(self.env.now)\n            raise\n",
        f"{LIMITS}::TestThrottleMachine",
    ),
    Mutant(
        "a hedge sends a copy too many after a failure",
        "hedge.py",
        "                if len(self._copies) <= spec.max_hedges:\n                    self._send()",
        "                self._send()",
        f"{LIMITS}::TestHedgeMachine",
    ),
    Mutant(
        "a hedge sends another copy whenever one ends",
        "hedge.py",
        "            if is_late:\n                self._send()",
        "            self._send()",
        f"{LIMITS}::TestHedgeMachine",
    ),
    Mutant(
        "a cancelled hedge cancels its first copy only",
        "hedge.py",
        "        for copy in self._copies:\n            if copy is not None",
        "        for copy in self._copies[:1]:\n            if copy is not None",
        f"{LIMITS}::TestHedgeMachine",
    ),
    Mutant(
        "if all copies fail, the last error stands",
        "hedge.py",
        "                return 0\n",
        "                return len(self._copies) - 1\n",
        f"{LIMITS}::TestHedgeMachine",
    ),
)


def verdict(mutant: Mutant) -> str:
    """Return "caught" if the test fails with the mutant, else "MISSED"."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("resilab", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        path = copy / "resilab" / "resilience" / mutant.file
        text = path.read_text()
        if text.count(mutant.right) != 1:
            return "does not apply"
        path.write_text(text.replace(mutant.right, mutant.wrong))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/{mutant.test}"]
        with (copy / "tests" / "conftest.py").open("a") as conftest:
            conftest.write(WITHOUT_SHRINKING)
        try:
            done = subprocess.run(
                command, cwd=copy, env=os.environ | {"PYTHONPATH": folder}, capture_output=True, timeout=LONGEST
            )
        except subprocess.TimeoutExpired:
            return "caught: it never ends"
        return "caught" if done.returncode == 1 else "MISSED"


def main(numbers: list[str]) -> int:
    """Play the mutants with these numbers, or all, and print the table."""
    chosen = [int(number) for number in numbers] or range(1, len(MUTANTS) + 1)
    print("| | slip | test | |\n|---|---|---|---|")
    verdicts = []
    for number in chosen:
        mutant = MUTANTS[number - 1]
        verdicts.append(verdict(mutant))
        print(f"| {number} | {mutant.slip} | {mutant.test} | {verdicts[-1]} |", flush=True)
    return 0 if all(verdict.startswith("caught") for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
