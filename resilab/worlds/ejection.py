"""Outlier ejection: a balancer that turns away the replicas that fail more than the others."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import numpy as np
import simpy

from ..engine import Steps, start
from ..randomness import KeyedDraws
from ..validation import Count, Natural, NonNegative, Positive, Ratio, Share, Spec, one_of

CONSECUTIVE, SUCCESS_RATE, FAILURE_SHARE = "consecutive errors", "success rate", "failure share"
REASONS = (CONSECUTIVE, SUCCESS_RATE, FAILURE_SHARE)


@dataclass(frozen=True)
class OutlierEjection(Spec):
    """When the balancer of a `Fleet` turns a replica away, and for how long.

    A replica goes at once after so many errors in a row, or at a sweep, when its share of
    successes since the last sweep is far below that of the others. It stays away for the
    base time x the number of its ejections, and comes back at the next sweep. The number
    goes down by one at each sweep before and after which it is not away, and grows no
    more once it stands for more than the longest time. An answer that is no success is an
    error: a failure, a refusal, and a call whose caller has given up. A copy of a hedge
    that loses is neither.

    Two limits keep replicas in: at most a share of them is away at a time, *after* the
    ejection, so that 10 % of five replicas are none; and where fewer than the panic share
    is left, the balancer sends to all.

    Args:
        consecutive_errors: Errors in a row; 0 does not count them.
        interval: Seconds between sweeps.
        base_ejection_time: Seconds of a first ejection.
        max_ejection_time: Seconds of the longest one; never less than the base time.
        max_ejection_share: Share of the replicas that may be away.
        always_ejects_one: Whether one may go, whatever that share is.
        success_rate_factor: How many standard deviations below the mean share of
            successes is too few; None does not compare.
        success_rate_replicas: Replicas with enough calls that a comparison needs.
        success_rate_calls: Calls since the last sweep that are enough for it.
        failure_share: Share of failures since the last sweep that is too many; None does
            not look.
        failure_share_replicas: As above.
        failure_share_calls: As above.
        panic_share: Below this share of replicas that are not away, all are used; 0 never.
        ejection_time_jitter: Each ejection takes up to so many seconds longer, by chance.
        consecutive_enforced: Share of the times that errors in a row turn a replica away, by chance.
        success_rate_enforced: As above, of a share of successes that is too low.
        failure_share_enforced: As above, of a share of failures that is too high.
        update_delay: A change that comes within so many seconds of another one reaches the
            balancer after so many seconds only: it goes on sending to a replica that went.

    Example:
        >>> OutlierEjection(max_ejection_share=0.1).most_of(5), OutlierEjection.like("istio").most_of(5)
        (0, 1)

    Source: Envoy's outlier detection, as its documentation has it and as 1.40 behaves.
    """

    consecutive_errors: Natural = 5
    interval: Positive = 10.0
    base_ejection_time: Positive = 30.0
    max_ejection_time: Positive = 300.0
    max_ejection_share: Ratio = 0.1
    always_ejects_one: bool = False
    success_rate_factor: NonNegative | None = 1.9
    success_rate_replicas: Count = 5
    success_rate_calls: Count = 100
    failure_share: Share | None = None
    failure_share_replicas: Count = 5
    failure_share_calls: Count = 50
    panic_share: Ratio = 0.5
    ejection_time_jitter: NonNegative = 0.0
    consecutive_enforced: Ratio = 1.0
    success_rate_enforced: Ratio = 1.0
    failure_share_enforced: Ratio = 1.0
    update_delay: NonNegative = 0.0

    @classmethod
    def like(cls, library: str, **changes: object) -> Self:
        """Return the defaults of "envoy" or "istio", with changes.

        Istio lets one host go, whatever the share is, compares no shares of successes and
        knows no panic. Their balancers gather changes for a second.
        """
        one_of("library", library, ("envoy", "istio"))
        istio = {"always_ejects_one": True, "success_rate_factor": None, "panic_share": 0.0}
        istio = istio if library == "istio" else {}
        return cls(**({"update_delay": 1.0} | istio | changes))  # type: ignore[arg-type]

    def most_of(self, replicas: int) -> int:
        """Return how many of so many replicas can be away at a time."""
        most = math.floor(self.max_ejection_share * replicas + 1e-9)
        return max(most, 1) if self.always_ejects_one else most


class Ejected(NamedTuple):
    """An ejection: which replica, from when to when (NaN: not back yet), and why."""

    replica: int
    start: float
    end: float
    reason: str


class Balanced(Protocol):
    """What is asked of the replicas."""

    def member_numbers(self) -> list[int]: ...
    def ejections_changed(self, replica: int, what: str) -> None: ...


class LiveEjection:
    """The ejections of a fleet in an environment.

    Attributes:
        away: The replicas that are away, as the balancer knows.
        rows: The ejections so far.
    """

    def __init__(
        self,
        spec: OutlierEjection,
        env: simpy.Environment,
        fleet: Balanced,
        is_over: Callable[[], bool] | None,
        draws: KeyedDraws,
    ) -> None:
        self.spec = spec
        self.env = env
        self.away: frozenset[int] = frozenset()
        self.rows: list[Ejected] = []
        self._fleet = fleet
        self._is_over = is_over
        self._draws = draws
        self._chances = 0  # draws so far
        self._enforced = {
            CONSECUTIVE: spec.consecutive_enforced,
            SUCCESS_RATE: spec.success_rate_enforced,
            FAILURE_SHARE: spec.failure_share_enforced,
        }
        self._longer: dict[int, float] = {}  # replica to the seconds by which its ejection takes longer
        self._now_away: dict[int, int] = {}  # replica to its row
        self._errors: dict[int, int] = {}  # in a row
        self._times: dict[int, int] = {}  # how often it went, less the sweeps in which it was here
        self._calls: dict[int, list[int]] = {}  # successes and calls since the last sweep
        self._deaf_until = -math.inf
        self._is_telling = False
        start(env, self._sweep())

    def note(self, replica: int, is_success: bool) -> None:
        """Take in the answer of a replica."""
        counts = self._calls.setdefault(replica, [0, 0])
        counts[0] += is_success
        counts[1] += 1
        self._errors[replica] = 0 if is_success else self._errors.get(replica, 0) + 1
        if not is_success and self._errors[replica] == self.spec.consecutive_errors:
            self._errors[replica] = 0
            self._eject(replica, CONSECUTIVE)

    def forget(self, replica: int) -> None:
        """A replica that is no member any more comes back as a new one."""
        for state in (self._errors, self._times, self._calls):
            state.pop(replica, None)
        if replica in self._now_away:
            self._come_back(replica)

    def choose_from(self, members: list[int]) -> list[int]:
        """Return to which of the ready replicas the balancer sends."""
        here = [number for number in members if number not in self.away]
        return members if len(here) < self.spec.panic_share * len(members) - 1e-9 else here

    def _eject(self, replica: int, reason: str) -> None:
        members = self._fleet.member_numbers()
        if replica in self._now_away or len(self._now_away) >= self.spec.most_of(len(members)):
            return
        if self._chance() >= self._enforced[reason]:
            return
        self._longer[replica] = self.spec.ejection_time_jitter * self._chance()
        times, base = self._times.get(replica, 0), self.spec.base_ejection_time
        if times * base < max(self.spec.max_ejection_time, base) + base:
            self._times[replica] = times + 1
        self._now_away[replica] = len(self.rows)
        self.rows.append(Ejected(replica, self.env.now, math.nan, reason))
        self._tell()
        self._fleet.ejections_changed(replica, f"ejected: {reason}")

    def _chance(self) -> float:
        self._chances += 1
        return self._draws(self._chances)

    def _come_back(self, replica: int) -> None:
        row = self._now_away.pop(replica)
        self.rows[row] = self.rows[row]._replace(end=self.env.now)
        self._errors[replica] = 0
        self._tell()
        self._fleet.ejections_changed(replica, "back")

    def _tell(self) -> None:
        """Let the balancer know, now or, soon after it has heard of another change, later."""
        if self.env.now >= self._deaf_until and not self._is_telling:
            self._listen()
        elif not self._is_telling:
            self._is_telling = True
            start(self.env, self._tell_later())

    def _tell_later(self) -> Steps:
        yield self.env.timeout(self.spec.update_delay)
        self._is_telling = False
        self._listen()
        self._fleet.ejections_changed(-1, "")

    def _listen(self) -> None:
        self._deaf_until = self.env.now + self.spec.update_delay
        self.away = frozenset(self._now_away)

    def _sweep(self) -> Steps:
        spec = self.spec
        while True:
            yield self.env.timeout(spec.interval)
            if self._is_over is not None and self._is_over():
                return
            here = []
            for replica in self._fleet.member_numbers():
                row = self._now_away.get(replica)
                if row is None:
                    here.append(replica)
                elif self.env.now >= self.rows[row].start + self._stay(replica) - 1e-9:
                    self._come_back(replica)
            calls, self._calls = self._calls, {}
            counts = {replica: count for replica, count in calls.items() if replica not in self._now_away}
            failing = self._failing(counts)
            for replica in self._outliers(counts):
                self._eject(replica, SUCCESS_RATE)
            for replica in failing:
                self._eject(replica, FAILURE_SHARE)
            for replica in here:
                if replica not in self._now_away:
                    self._times[replica] = max(0, self._times.get(replica, 0) - 1)

    def _stay(self, replica: int) -> float:
        longest = max(self.spec.max_ejection_time, self.spec.base_ejection_time)
        return min(self.spec.base_ejection_time * self._times[replica], longest) + self._longer[replica]

    def _outliers(self, counts: dict[int, list[int]]) -> list[int]:
        """Return the replicas whose share of successes is too far below the mean."""
        spec = self.spec
        if spec.success_rate_factor is None:
            return []
        rates = _rates(counts, spec.success_rate_calls)
        if len(rates) < spec.success_rate_replicas:
            return []
        values = np.array(list(rates.values()))
        limit = values.mean() - spec.success_rate_factor * values.std()
        return [replica for replica, rate in rates.items() if rate < limit - 1e-12]

    def _failing(self, counts: dict[int, list[int]]) -> list[int]:
        """Return the replicas with too large a share of failures."""
        spec = self.spec
        if spec.failure_share is None:
            return []
        rates = _rates(counts, spec.failure_share_calls)
        if len(rates) < spec.failure_share_replicas:
            return []
        return [replica for replica, rate in rates.items() if 1 - rate >= spec.failure_share - 1e-12]


def _rates(counts: dict[int, list[int]], calls: int) -> dict[int, float]:
    """Return the share of successes of the replicas with enough calls, by number."""
    return {replica: good / count for replica, (good, count) in sorted(counts.items()) if count >= calls}
