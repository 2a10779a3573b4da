"""Kubernetes probes and pods: when they ask, when they believe, when they restart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import simpy

import resilab as rl


class Container:
    """A container whose probes answer as `self.answer(kind, now)` says: True, False or None for no answer."""

    def __init__(self, env, answer=lambda kind, now: True, shutdown=0.0):
        self.env = env
        self.answer = answer
        self.shutdown = shutdown
        self.history = []

    def start(self):
        self.history.append((self.env.now, "start"))

    def terminate(self):
        self.history.append((self.env.now, "terminate"))
        yield self.env.timeout(self.shutdown)

    def kill(self):
        self.history.append((self.env.now, "kill"))

    def startup(self):
        return (yield from self._probe("startup"))

    def liveness(self):
        return (yield from self._probe("liveness"))

    def readiness(self):
        return (yield from self._probe("readiness"))

    def _probe(self, kind):
        answer = self.answer(kind, self.env.now)
        if answer is None:
            yield self.env.event()
        if answer is False:
            raise ConnectionError("refused")
        return answer if isinstance(answer, str) else None
        yield

    def times(self, what):
        return [time for time, word in self.history if word == what]


def probe_with(answers, probe, end=1000.0, *, phase_seed=3):
    """Ask `answers(now)` (True, False or None for no answer) and return results and probe rows."""
    env = simpy.Environment()
    results, rows = [], []

    def check():
        answer = answers(env.now)
        if answer is None:
            yield env.event()
        if answer is False:
            raise ConnectionError("refused")
        return

    probe.bind(
        env,
        check,
        on_probe=lambda begun, ok, reason: rows.append((begun, env.now, ok)),
        on_result=lambda ok: results.append((env.now, ok)),
        seed=phase_seed,
    )
    env.run(end)
    return results, rows


def detection_times(probe, hangs, runs=400):
    """Measure the time from a failure at a random phase to its detection."""
    times = []
    for seed in range(runs):
        at = 3.0 * probe.period
        bad = None if hangs else False
        end = at + (probe.failure_threshold + 2) * probe.period
        results, _ = probe_with(lambda now, bad=bad, at=at: bad if now >= at else True, probe, end, phase_seed=seed)
        times.append(next(time for time, ok in results if not ok) - at)
    return np.array(times)


@pytest.mark.parametrize(
    ("period", "threshold", "hangs", "low", "mean", "high"),
    [(10, 3, False, 20, 25, 30), (10, 3, True, 21, 26, 31), (5, 2, False, 5, 7.5, 10), (1, 1, False, 0, 0.5, 1)],
)
def test_detection_time_is_uniform_over_one_period(period, threshold, hangs, low, mean, high):
    """A failure is detected ((F-1) P, F P] + f seconds later, (F - 1/2) P + f on average."""
    probe = rl.KubernetesProbe(period=period, failure_threshold=threshold, timeout=1.0 if hangs else 0.5)
    times = detection_times(probe, hangs)
    assert probe.detection_time(1.0 if hangs else 0.0) == (low, mean, high)
    assert low <= times.min() < low + 0.05 * period
    assert high - 0.05 * period < times.max() <= high
    assert abs(times.mean() - mean) <= 4.5 * times.std(ddof=1) / np.sqrt(len(times))


@pytest.mark.parametrize("success_threshold", [1, 3])
def test_readiness_recovers_after_enough_successes(success_threshold):
    """Recovery takes ((S-1) P, S P] seconds."""
    probe = rl.KubernetesProbe(period=10, success_threshold=success_threshold)
    times = []
    for seed in range(300):
        results, _ = probe_with(lambda now: not 100 <= now < 500, probe, end=600, phase_seed=seed)
        times.append(next(time for time, ok in results if ok and time >= 500) - 500)
    assert (success_threshold - 1) * 10 < min(times) < (success_threshold - 1) * 10 + 0.5
    assert success_threshold * 10 - 0.5 < max(times) <= success_threshold * 10


@pytest.mark.parametrize(
    ("failure_rate", "threshold", "expected"),
    [(0.1, 3, 11_100), (0.1, 1, 100), (0.01, 3, 10_101_000), (0.5, 3, 140), (0.2, 2, 300)],
)
def test_false_alarm_time_is_the_law_of_runs(failure_rate, threshold, expected):
    """P (1-q^F) / ((1-q) q^F)."""
    probe = rl.KubernetesProbe(period=10, failure_threshold=threshold)
    assert probe.false_alarm_time(failure_rate) == pytest.approx(expected)


def alarms(failures, threshold):
    """Return after how many probes each alarm comes, written down without a probe."""
    found, run, count = [], 0, 0
    for failed in failures:
        count += 1
        run = run + 1 if failed else 0
        if run == threshold:
            found.append(count)
            run = count = 0
    return found


@pytest.mark.parametrize(("failure_rate", "threshold"), [(0.1, 1), (0.1, 3), (0.5, 3)])
def test_a_probe_raises_the_alarms_that_its_answers_spell(failure_rate, threshold):
    """Each run of F failures is one restart, and nothing else is."""
    failures = np.random.default_rng(5).random(20_000) < failure_rate
    env = simpy.Environment()
    answers = iter(failures)
    found = []

    def check():
        if next(answers, False):
            raise ConnectionError("lost")
        return
        yield

    def on_result(is_success):
        if not is_success:
            found.append(live.probes - sum(found))
            live.begin()

    live = rl.KubernetesProbe(period=10, failure_threshold=threshold).bind(env, check, on_result=on_result, seed=1)
    env.run(10 * len(failures))
    assert found == alarms(failures, threshold)


@pytest.mark.parametrize(("failure_rate", "threshold", "size"), [(0.1, 1, 10_000), (0.1, 3, 400_000), (0.5, 3, 10_000)])
def test_false_alarms_come_on_average_after_that_time(failure_rate, threshold, size):
    """Twenty replications agree with the formula to within 4.5 standard errors."""
    draws = np.random.default_rng(6)
    means = [10 * np.mean(alarms((draws.random(size) < failure_rate).tolist(), threshold)) for _ in range(20)]
    expected = rl.KubernetesProbe(failure_threshold=threshold).false_alarm_time(failure_rate)
    allowed = 4.5 * np.std(means, ddof=1) / np.sqrt(20)
    assert abs(np.mean(means) - expected) <= allowed <= 0.06 * expected


def test_first_probe_is_the_first_tick_after_the_initial_delay():
    """Ticks before the delay are skipped: the first probe comes in [delay, delay + period)."""
    first = []
    for seed in range(200):
        _, rows = probe_with(lambda now: True, rl.KubernetesProbe(initial_delay=25, period=10), 60, phase_seed=seed)
        first.append(rows[0][0])
        assert all(abs(later[0] - earlier[0] - 10) < 1e-9 for earlier, later in itertools.pairwise(rows))
    assert min(first) >= 25
    assert max(first) < 35
    assert max(first) - min(first) > 9


def test_a_success_clears_the_failures():
    """Two failures and a success are no failure at a threshold of three."""
    pattern = [True, False, False, True, False, False, True, False, False, False]
    answers = iter(pattern)
    results, _ = probe_with(lambda now: next(answers, True), rl.KubernetesProbe(period=1.0, failure_threshold=3), 9.99)
    assert [ok for _, ok in results].count(False) == 1
    assert results[-1][1] is False


def test_an_answer_at_exactly_the_timeout_is_a_success():
    """As everywhere, a response at the limit is in time."""
    env = simpy.Environment()
    results = []

    def check():
        yield env.timeout(1.0)

    rl.KubernetesProbe(timeout=1.0, failure_threshold=1).bind(env, check, on_result=results.append, seed=1)
    env.run(50)
    assert results
    assert all(results)


def test_degraded_is_a_success_and_unhealthy_a_failure():
    """An HTTP probe sees 200 and 503."""
    for status, expected in [("degraded", True), ("unhealthy", False)]:
        env = simpy.Environment()
        results = []
        registry = rl.HealthCheckRegistry((rl.HealthCheck("disk", lambda status=status: status),)).bind(env)
        probe = rl.KubernetesProbe(failure_threshold=1).bind(env, registry.check_all, on_result=results.append, seed=1)
        env.run(30)
        assert probe.result is expected
        assert set(results) == {expected}


def test_a_period_shorter_than_the_timeout_probes_back_to_back():
    """Probes of one kind never overlap: one tick is kept while a probe waits, the others are lost."""
    probe = rl.KubernetesProbe(period=1.0, timeout=3.5, failure_threshold=3)
    results, rows = probe_with(lambda now: None if now >= 10 else True, probe, 40)
    hung = [(begun, end) for begun, end, ok in rows if not ok]
    assert all(end - begun == pytest.approx(3.5) for begun, end in hung)
    assert all(later[0] == earlier[1] for earlier, later in itertools.pairwise(hung))
    first = next(time for time, ok in results if not ok)
    assert first == pytest.approx(hung[0][0] + 3 * 3.5)


@pytest.mark.parametrize(("timeout", "expected"), [(1.6, [0, 1, 2, 3.6, 4, 5]), (3.6, [0, 1, 2, 5.6, 6, 7])])
def test_after_a_slow_probe_the_ticks_stay_in_step(timeout, expected):
    """One tick is kept and asked at once, however many have passed; the next one is where it always was."""
    slow = iter([True, True, None])
    _, rows = probe_with(lambda now: next(slow, True), rl.KubernetesProbe(period=1.0, timeout=timeout), 12)
    phase = rows[0][0]
    assert [round(row[0] - phase, 9) for row in rows[:6]] == expected


def pod_of(env, container, log=None, **options):
    """Start a warm pod with probes every ten seconds unless told otherwise."""
    options = {"liveness": rl.KubernetesProbe(), "readiness": rl.KubernetesProbe()} | options
    is_warm = options.pop("is_warm", True)
    return rl.KubernetesPod(**options).bind(env, container, seed=1, log=log, is_warm=is_warm)


def test_readiness_takes_out_and_does_not_restart():
    """Enough failed readiness probes take a replica out; enough successes bring it back."""
    env = simpy.Environment()
    container = Container(env, lambda kind, now: kind != "readiness" or not 20 <= now < 100)
    pod = pod_of(env, container)
    env.run(20)
    assert pod.is_ready
    env.run(51)
    assert not pod.is_ready
    env.run(111)
    assert pod.is_ready
    assert pod.restarts == 0


def test_liveness_restarts_after_the_grace_period():
    """A container that does not stop by itself is killed at the end of its grace period."""
    env = simpy.Environment()
    container = Container(env, lambda kind, now: now < 20 or now > 60, shutdown=1000.0)
    pod = pod_of(env, container, grace_period=15.0, readiness=None)
    env.run(100)
    (asked,) = container.times("terminate")
    assert 40 < asked <= 50
    assert container.times("kill") == [asked + 15]
    assert container.times("start") == [0, asked + 15]  # the first restart is at once
    assert pod.restarts == 1


def test_a_container_that_stops_by_itself_needs_no_kill_at_the_end_of_the_grace_period():
    """Work that ends earlier shortens the stop."""
    env = simpy.Environment()
    container = Container(env, lambda kind, now: now < 20 or now > 60, shutdown=2.0)
    pod_of(env, container)
    env.run(100)
    assert container.times("kill") == [container.times("terminate")[0] + 2]


def test_a_terminating_container_is_not_asked_whether_it_is_alive():
    """Liveness is on hold until there is a new container."""
    env = simpy.Environment()
    asked = []
    container = Container(env, lambda kind, now: asked.append(now), shutdown=500.0)
    pod_of(env, container, readiness=None, grace_period=100.0)
    env.run(300)
    terminated = container.times("terminate")[0]
    assert not [time for time in asked if terminated < time < terminated + 100]
    assert [time for time in asked if time > terminated + 100]


def test_startup_disables_the_other_probes_until_it_succeeds():
    """A slow start is no failure of liveness; ready only after startup and readiness."""
    env = simpy.Environment()
    asked = []

    def answer(kind, now):
        asked.append((kind, now))
        return now >= 95

    startup = rl.KubernetesProbe(period=10, failure_threshold=30)
    pod = pod_of(env, Container(env, answer), startup=startup, is_warm=False)
    env.run(95)
    assert {kind for kind, _ in asked} == {"startup"}
    assert (pod.state, pod.is_ready, pod.restarts) == ("starting", False, 0)
    env.run(130)
    assert (pod.state, pod.is_ready, pod.restarts) == ("running", True, 0)
    last = max(now for kind, now in asked if kind == "startup")
    assert all(now >= last for kind, now in asked if kind != "startup")


def test_a_startup_probe_that_fails_restarts():
    """Too slow a start is a failure of its own."""
    env = simpy.Environment()
    container = Container(env, lambda kind, now: False)
    pod = pod_of(env, container, startup=rl.KubernetesProbe(period=5, failure_threshold=4), is_warm=False)
    env.run(21)
    assert pod.restarts == 1
    assert 15 < container.times("terminate")[0] <= 20


def test_restarts_wait_ever_longer():
    """0, 10, 20, 40, 80, 160, then 300 seconds from the end of a container to the next."""
    env = simpy.Environment()
    container = Container(env, lambda kind, now: False)
    pod_of(env, container, grace_period=0.0)
    env.run(3000)
    waits = [
        begun - killed for killed, begun in zip(container.times("kill"), container.times("start")[1:], strict=False)
    ]
    assert np.round(waits[:8], 6).tolist() == [0, 10, 20, 40, 80, 160, 300, 300]
    assert [rl.RestartBackoff().delay(number) for number in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]


def test_ten_quiet_minutes_reset_the_back_off():
    """A container that has run long enough starts the row anew."""
    env = simpy.Environment()
    container = Container(env)
    pod = pod_of(env, container)
    for moment in (100, 200, 300, 1000, 1100):
        env.run(moment)
        pod.exited()
    env.run(2000)
    waits = [
        begun - killed for killed, begun in zip(container.times("kill"), container.times("start")[1:], strict=True)
    ]
    assert waits == [0, 10, 20, 0, 10]


def test_a_new_container_is_not_ready_before_its_first_success():
    """Readiness begins anew with each container, and so do the counts."""
    env = simpy.Environment()
    pod = pod_of(env, Container(env), readiness=rl.KubernetesProbe(period=10, success_threshold=2))
    env.run(100)
    assert pod.is_ready
    pod.exited()
    assert not pod.is_ready
    env.run(109)
    assert not pod.is_ready
    env.run(121)
    assert pod.is_ready


def test_without_probes_a_pod_is_ready_and_never_restarts():
    """Only a container that ends is started again."""
    env = simpy.Environment()
    pod = rl.KubernetesPod().bind(env, Container(env, lambda kind, now: False), seed=1)
    assert pod.is_ready
    env.run(1000)
    assert pod.restarts == 0
    pod.exited()
    env.run(1001)
    assert (pod.restarts, pod.is_ready) == (1, True)


def test_events_tell_the_story():
    """A log names the probe, the reason and the way from state to state."""
    env = simpy.Environment()
    log = rl.EventLog()
    pod_of(env, Container(env, lambda kind, now: now < 20 or now > 50 or kind == "readiness"), log)
    env.run(60)
    details = [row[4] for row in log.rows]
    assert details.count("liveness: refused") == 3
    assert "running -> terminating: liveness probe failed" in details
    assert "terminating -> back-off: stopped; restart in 0 s" in details


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rl.KubernetesProbe(period=0), "period must be > 0, got 0"),
        (lambda: rl.KubernetesProbe(timeout=0), "timeout must be > 0, got 0"),
        (lambda: rl.KubernetesProbe(initial_delay=-1), "initial_delay must be >= 0, got -1"),
        (lambda: rl.KubernetesProbe(failure_threshold=0), "failure_threshold must be >= 1, got 0"),
        (lambda: rl.KubernetesProbe(success_threshold=0), "success_threshold must be >= 1, got 0"),
        (
            lambda: rl.KubernetesProbe(period=1).detection_time(2),
            "fail_time must be from 0 to the period of 1 s, got 2",
        ),
        (lambda: rl.KubernetesProbe().false_alarm_time(0), "failure_rate must be above 0"),
        (
            lambda: rl.KubernetesPod(liveness=rl.KubernetesProbe(success_threshold=2)),
            "success_threshold of a liveness probe must be 1, got 2",
        ),
        (
            lambda: rl.KubernetesPod(startup=rl.KubernetesProbe(success_threshold=3)),
            "success_threshold of a startup probe must be 1, got 3",
        ),
        (lambda: rl.KubernetesPod(grace_period=-1), "grace_period must be >= 0, got -1"),
    ],
)
def test_bad_input_is_refused(make, message):
    """Name, rule, value."""
    with pytest.raises(ValueError, match=message):
        make()
