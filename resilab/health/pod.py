"""KubernetesPod: what a kubelet does with the answers of the probes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import simpy

from ..engine import Steps, start
from ..errors import TimeoutExceededError
from ..events import EventLog
from ..resilience.timeout import Timeout
from ..validation import Growth, NonNegative, NonNegativeOrInfinite, Spec
from .probe import PROBES, KubernetesProbe, LiveProbe


class PodState(StrEnum):
    """What the container of a pod is doing."""

    STARTING = "starting"
    """It runs, and its startup probe has not succeeded yet."""
    RUNNING = "running"
    """It runs."""
    TERMINATING = "terminating"
    """It was asked to stop and has its grace period."""
    BACK_OFF = "back-off"
    """It is gone; the next one starts after the back-off."""


class Container(Protocol):
    """What a pod runs: anything with these methods."""

    def start(self) -> None:
        """A new container starts now."""

    def terminate(self) -> Steps:
        """Finish the work at hand and stop: a generator that ends when it has."""

    def kill(self) -> None:
        """It is gone now."""

    def startup(self) -> Steps:
        """Answer a startup probe: see `HealthCheck` for what counts as an answer."""

    def liveness(self) -> Steps:
        """Answer a liveness probe."""

    def readiness(self) -> Steps:
        """Answer a readiness probe."""


@dataclass(frozen=True)
class RestartBackoff(Spec):
    """How long a container that keeps ending has to wait for its restart.

    The first restart is at once, the next ones after *initial_delay* * 2^k seconds, at
    most *max_delay*: 0, 10, 20, 40, 80, 160, 300, 300, ... A container that has run for
    *reset_after* seconds starts the row anew.

    Args:
        initial_delay: Seconds before the second restart.
        max_delay: Longest delay in seconds.
        multiplier: Growth from restart to restart, at least 1.
        reset_after: Seconds of running after which all is forgiven.

    Example:
        >>> [RestartBackoff().delay(restarts) for restarts in range(5)]
        [0.0, 10.0, 20.0, 40.0, 80.0]

    Source: the crash loop back-off of Kubernetes, with its values.
    """

    initial_delay: NonNegative = 10.0
    max_delay: NonNegative = 300.0
    multiplier: Growth = 2.0
    reset_after: NonNegativeOrInfinite = 600.0

    def delay(self, restarts: int) -> float:
        """Return the seconds before the next restart after *restarts* in a row."""
        if restarts < 1:
            return 0.0
        try:
            return min(self.initial_delay * self.multiplier ** (restarts - 1), self.max_delay)
        except OverflowError:
            return float(self.max_delay)


@dataclass(frozen=True)
class KubernetesPod(Spec):
    """The probes of a container, and how it is stopped and started.

    | probe | before its first result | enough failures | enough successes |
    |---|---|---|---|
    | startup | not started; the other probes wait | restart | started |
    | liveness | alive | restart | alive |
    | readiness | not ready | not ready, no restart | ready |

    Without a readiness probe a container is ready as soon as it has started. A restart
    lets the container finish its work for at most *grace_period* seconds; meanwhile it
    is asked no more whether it is alive.

    Args:
        startup: A `KubernetesProbe`, or None.
        liveness: A `KubernetesProbe`, or None: only a container that ends is restarted.
        readiness: A `KubernetesProbe`, or None.
        grace_period: Seconds from the request to stop to the kill.
        backoff: How long restarts wait.

    Source: the kubelet. Its own reaction time and the time until every balancer has
    heard of a change, a second or two each, are left out.
    """

    startup: KubernetesProbe | None = None
    liveness: KubernetesProbe | None = None
    readiness: KubernetesProbe | None = None
    grace_period: NonNegative = 30.0
    backoff: RestartBackoff = field(default_factory=RestartBackoff)

    def __post_init__(self) -> None:
        for kind in ("startup", "liveness"):
            probe = getattr(self, kind)
            if probe is not None and probe.success_threshold != 1:
                raise ValueError(f"success_threshold of a {kind} probe must be 1, got {probe.success_threshold}")

    def bind(
        self,
        env: simpy.Environment,
        container: Container,
        *,
        seed: int | None = None,
        log: EventLog | None = None,
        name: str = "pod",
        on_probe: Callable[[str, float, bool, str], None] | None = None,
        on_change: Callable[[], None] | None = None,
        is_over: Callable[[], bool] | None = None,
        is_warm: bool = False,
    ) -> LivePod:
        """Start the container and its probes in *env*.

        Args:
            env: Any `simpy.Environment`.
            container: What it runs, see `Container`.
            seed: Seed of the probes' first ticks. None draws from Python's `random`.
            log: Where to write probes that fail, and changes. None writes nothing.
            name: What the events call it.
            on_probe: Called after each probe with its kind, start, success and reason.
            on_change: Called when the state or the readiness has changed.
            is_over: Says at a tick whether the probes end for good. None asks until the
                simulation ends.
            is_warm: True begins with a container that has started, is ready, and is past
                every initial delay.
        """
        return LivePod(self, env, container, seed, log, name, on_probe, on_change, is_over, is_warm)


class LivePod:
    """A pod in an environment.

    Attributes:
        spec: What it was made from.
        state: What its container is doing.
        is_ready: Whether a balancer may send to it.
        restarts: How many times its container was started again.
        probes: The live probes, by kind.
    """

    def __init__(
        self,
        spec: KubernetesPod,
        env: simpy.Environment,
        container: Container,
        seed: int | None,
        log: EventLog | None,
        name: str,
        on_probe: Callable[[str, float, bool, str], None] | None,
        on_change: Callable[[], None] | None,
        is_over: Callable[[], bool] | None,
        is_warm: bool,
    ) -> None:
        self.spec = spec
        self.env = env
        self.container = container
        self.name = name
        self.state = PodState.BACK_OFF
        self.is_ready = False
        self.restarts = 0
        self.probes: dict[str, LiveProbe] = {}
        self._log = log
        self._on_probe = on_probe
        self._on_change = on_change
        self._streak = 0  # restarts in a row, for the back-off
        self._started_at = env.now
        for kind in PROBES:
            probe = getattr(spec, kind)
            if probe is not None:
                self.probes[kind] = self._bind_probe(kind, probe, seed, is_over)
        self._start(is_warm)
        if is_warm:
            self._has_started(True)
            self._is_ready_now(True)

    def _bind_probe(
        self, kind: str, probe: KubernetesProbe, seed: int | None, is_over: Callable[[], bool] | None
    ) -> LiveProbe:
        return probe.bind(
            self.env,
            getattr(self.container, kind),
            on_probe=lambda begun, is_success, reason: self._probed(kind, begun, is_success, reason),
            on_result={"startup": self._has_started, "liveness": self._is_alive, "readiness": self._is_ready_now}[kind],
            is_enabled=lambda: self._may_probe(kind),
            is_over=is_over,
            seed=seed,
            name=f"{self.name}/{kind}",
        )

    def exited(self) -> None:
        """Tell the pod that its container has ended by itself; it is started again."""
        if self.state in (PodState.STARTING, PodState.RUNNING):
            self._gone("exited")

    def _start(self, is_warm: bool = False) -> None:
        self._started_at = self.env.now
        for probe in self.probes.values():
            probe.begin(is_warm=is_warm)
        self._turn(PodState.STARTING, "")
        self.container.start()
        if "startup" not in self.probes:
            self._has_started(True)

    def _has_started(self, is_success: bool) -> None:
        if not is_success:
            self._restart("startup probe failed")
        elif self.state is PodState.STARTING:
            if "startup" in self.probes:
                self.probes["startup"].hold()
            self._turn(PodState.RUNNING, "")
            if "readiness" not in self.probes:
                self._is_ready_now(True)

    def _is_alive(self, is_success: bool) -> None:
        if not is_success:
            self._restart("liveness probe failed")

    def _is_ready_now(self, is_success: bool) -> None:
        if self.is_ready is not is_success:
            self.is_ready = is_success
            self._note("readiness", "ready" if is_success else "not ready")

    def _may_probe(self, kind: str) -> bool:
        if kind == "startup":
            return self.state is PodState.STARTING
        if kind == "readiness":
            return self.state in (PodState.RUNNING, PodState.TERMINATING)
        return self.state is PodState.RUNNING

    def _restart(self, reason: str) -> None:
        if self.state in (PodState.STARTING, PodState.RUNNING):
            for kind in ("startup", "liveness"):
                if kind in self.probes:
                    self.probes[kind].hold()
            self._turn(PodState.TERMINATING, reason)
            start(self.env, self._terminate())

    def _terminate(self) -> Steps:
        reason = "stopped"
        if self.spec.grace_period == 0:
            reason = "killed"
        else:
            try:
                yield from Timeout(self.spec.grace_period).bind(self.env).execute(self.container.terminate)
            except TimeoutExceededError:
                reason = "killed after the grace period"
        self._gone(reason)

    def _gone(self, reason: str) -> None:
        now = self.env.now
        if now - self._started_at > self.spec.backoff.reset_after:
            self._streak = 0
        delay = self.spec.backoff.delay(self._streak)
        self._streak += 1
        self._is_ready_now(False)
        self._turn(PodState.BACK_OFF, f"{reason}; restart in {delay:.6g} s")
        self.container.kill()
        start(self.env, self._start_after(delay))

    def _start_after(self, delay: float) -> Steps:
        yield self.env.timeout(delay)
        self.restarts += 1
        self._start()

    def _probed(self, kind: str, begun: float, is_success: bool, reason: str) -> None:
        if not is_success and self._log is not None:
            self._log.append(self.env.now, self.name, "probe_failed", -1, f"{kind}: {reason}")
        if self._on_probe is not None:
            self._on_probe(kind, begun, is_success, reason)

    def _turn(self, state: PodState, reason: str) -> None:
        before, self.state = self.state, state
        self._note("container", f"{before} -> {state}" + (f": {reason}" if reason else ""))

    def _note(self, type: str, detail: str) -> None:
        if self._log is not None:
            self._log.append(self.env.now, self.name, type, -1, detail)
        if self._on_change is not None:
            self._on_change()
