"""Replicas behind a load balancer, watched by probes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import simpy

import resilab as rl

NO_PROBES = rl.KubernetesPod()
READINESS = rl.KubernetesPod(readiness=rl.KubernetesProbe())
LIVENESS = rl.KubernetesPod(liveness=rl.KubernetesProbe(), grace_period=0.0)


def fleet_of(replicas=4, **options):
    """Return a fleet with workers to spare."""
    options = {"workers": 10, "latency": rl.Exponential(0.1)} | options
    return rl.Fleet(replicas=replicas, **options)


def play(fleet, rate=20.0, duration=200.0, seed=1, policy=None, **options):
    """Play a fleet under Poisson arrivals whose callers wait for at most a second."""
    policy = rl.Timeout(1.0) if policy is None else policy
    return rl.simulate(rl.FleetScenario(rl.Poisson(rate), fleet, policy, duration), seed, **options)


def test_one_replica_without_faults_is_a_service():
    """A fleet of one meets the same arrivals and the same luck as the service of that name: equal rows."""
    fleet = rl.Fleet(1, workers=3, latency=rl.Exponential(0.1), queue_limit=5, failure_rate=0.1, name="service")
    options = {"queue_limit": 5, "failure_rate": 0.1, "on_cancel": "stop"}
    service = rl.Service(workers=3, latency=rl.Exponential(0.1), **options)
    policy = rl.ResiliencePolicy(rl.Retry(max_retries=2, initial_delay=0.05, jitter="full"), rl.Timeout(0.3))
    ours = rl.simulate(rl.FleetScenario(rl.Poisson(25), fleet, policy, 100.0), 3)
    theirs = rl.simulate(rl.Scenario(rl.Poisson(25), service, policy, 100.0), 3)
    pd.testing.assert_frame_equal(ours.requests, theirs.requests)
    pd.testing.assert_frame_equal(ours.attempts.drop(columns="replica"), theirs.attempts)
    numbers = ["success_rate", "p99", "amplification", "utilization", "wasted_work"]
    assert ours.summary()[numbers].tolist() == theirs.summary()[numbers].tolist()


@pytest.mark.parametrize("balancing", ["round_robin", "random", "least_loaded"])
def test_the_load_is_shared(balancing):
    """In a healthy fleet every replica gets about its part, round robin exactly so."""
    result = play(fleet_of(balancing=balancing), rate=50)
    counts = result.attempts["replica"].value_counts()
    assert result.counts()["success"] == len(result)
    if balancing == "round_robin":
        assert counts.max() - counts.min() <= 1
    elif balancing == "random":
        expected = len(result) / 4
        assert abs(counts - expected).max() < 5 * np.sqrt(expected)
    else:
        assert counts.index[0] == 0  # the first of equals


def test_least_loaded_waits_least():
    """Under load, the balancer that looks at the replicas beats the one that throws dice."""
    waits = {
        balancing: play(fleet_of(3, workers=2, balancing=balancing), rate=48, policy=rl.ResiliencePolicy())
        .attempts["queue_time"]
        .mean()
        for balancing in ("round_robin", "random", "least_loaded")
    }
    assert waits["least_loaded"] < waits["round_robin"] < waits["random"]


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "fail_time"), [("refuse", 0.0), ("hang", 1.0)])
def test_a_dead_replica_gets_its_share_until_it_is_detected(mode, fail_time):
    """Requests sent to a dead replica: rate / replicas * mean detection time."""
    rate, replicas = 10.0, 4
    fault = rl.ReplicaFault(start=30, replica=2, mode=mode)
    lost = [play(fleet_of(replicas, pod=READINESS, faults=fault), rate, 65.0, seed) for seed in range(40)]
    lost = np.array([result.lost_calls(2) for result in lost])
    _, mean, _ = rl.KubernetesProbe().detection_time(fail_time)
    expected = rate / replicas * mean
    allowed = 4.5 * lost.std(ddof=1) / np.sqrt(len(lost))
    assert abs(lost.mean() - expected) <= allowed <= 0.15 * expected


def test_readiness_takes_a_replica_out_and_does_not_cure_it():
    """The balancer leaves it out after its detection; the container stays as it is."""
    fault = rl.ReplicaFault(start=30, replica=2, mode="refuse")
    result = play(fleet_of(pod=READINESS, faults=fault), duration=300.0)
    removed = result.ready_replicas().index[1]
    assert 50 < removed <= 60
    assert result.ready_replicas().iloc[-1] == 3
    assert result.restarts() == 0
    rows = result.attempts
    assert (rows.loc[rows["replica"] == 2, "start"] <= removed).all()
    assert (rows.loc[rows["start"] > removed, "outcome"] == "success").all()


def test_liveness_restarts_a_hung_replica_and_cures_it():
    """A new container answers again."""
    fault = rl.ReplicaFault(start=30, replica=2, mode="hang")
    result = play(fleet_of(pod=LIVENESS, faults=fault), duration=300.0)
    (restart,) = result.restart_times()
    assert 51 < restart <= 61
    late = result.attempts[(result.attempts["replica"] == 2) & (result.attempts["start"] > restart)]
    assert len(late) > 500
    assert (late["outcome"] == "success").all()


def shared(checked_by, critical=True, mode="error"):
    """Return a fleet whose database is down from 60 to 180; one request in three needs it."""
    database = rl.Service(workers=50, latency=0.01, faults=rl.Outage(60, 120, mode=mode), name="database")
    dependency = rl.Dependency(database, share=1 / 3, checked_by=checked_by, critical=critical)
    return fleet_of(dependency=dependency, startup_time=5.0)


@pytest.mark.parametrize("mode", ["error", "hang"])
def test_readiness_that_checks_a_shared_dependency_empties_the_fleet(mode):
    """Two thirds of the requests could be served; with the check none is."""
    with_check = play(shared("readiness", mode=mode), duration=240.0)
    without = play(shared((), mode=mode), duration=240.0)
    assert with_check.ready_replicas().min() == 0
    assert with_check.restarts() == 0
    assert without.ready_replicas().min() == 4

    def success(result):
        rows = result.requests[result.requests["arrival"].between(100, 175)]
        return (rows["outcome"] == "success").mean()

    assert success(with_check) == 0
    assert success(without) == pytest.approx(2 / 3, abs=0.06)
    causes = with_check.requests.loc[with_check.requests["arrival"].between(100, 175), "cause"]
    assert set(causes) == {"no_replica"}


def test_liveness_that_checks_a_shared_dependency_restarts_the_fleet_in_a_loop():
    """Every replica is restarted, again and again, although nothing is wrong with any of them."""
    result = play(shared("liveness"), duration=240.0)
    assert result.restarts() >= 8
    assert set(result.replicas.loc[result.replicas["state"] == "back-off", "replica"]) == {0, 1, 2, 3}
    assert play(shared(()), duration=240.0).restarts() == 0


@pytest.mark.parametrize("kind", ["readiness", "liveness"])
def test_a_check_that_is_not_critical_does_no_harm(kind):
    """The answer is degraded, and a degraded answer is a success of the probe."""
    tolerant, without = play(shared(kind, critical=False)), play(shared(()))
    assert tolerant.counts() == without.counts()
    assert tolerant.restarts() == 0


def test_a_policy_around_the_dependency_degrades_instead_of_failing():
    """A fallback inside the replica answers for the database."""
    fleet = shared("readiness", critical=False)
    fleet = fleet.replace(dependency=fleet.dependency.replace(policy=rl.Fallback("without prices")))
    result = play(fleet, duration=240.0)
    assert result.counts()["failure"] == 0
    assert result.counts()["degraded"] > 500


def test_probes_that_queue_behind_requests_restart_a_busy_fleet():
    """A liveness probe that needs a worker takes overload for death."""
    pod = rl.KubernetesPod(liveness=rl.KubernetesProbe(period=5, failure_threshold=2), grace_period=5.0)
    busy = fleet_of(2, workers=2, queue_limit=100, pod=pod)
    assert play(busy, rate=60, policy=rl.Timeout(5.0)).restarts() == 0
    assert play(busy.replace(probes_need_worker=True), rate=60, policy=rl.Timeout(5.0)).restarts() > 5


def test_a_crash_loses_the_calls_inside_and_restarts_at_once():
    """The callers get an error at the moment of the crash, and the kubelet needs no probe."""
    fleet = fleet_of(2, latency=5.0, pod=NO_PROBES, faults=rl.ReplicaFault(start=30, mode="crash"))
    result = play(fleet, rate=2, duration=60, policy=rl.ResiliencePolicy())
    lost = result.attempts[result.attempts["cause"] == "connection_lost"]
    assert len(lost) > 0
    assert set(lost["end"]) == {30.0}
    assert set(lost["replica"]) == {0}
    assert result.restart_times() == [30.0]


def test_a_crash_that_no_restart_cures_is_a_crash_loop():
    """The back-off grows from restart to restart; the end of the fault ends the loop."""
    fault = rl.ReplicaFault(start=30, duration=200, mode="crash", cured_by_restart=False)
    result = play(fleet_of(2, pod=READINESS, faults=fault, startup_time=1.0), duration=500)
    times = np.array(result.restart_times())
    assert np.round(np.diff(times), 6).tolist() == [11, 21, 41, 81, 161]
    assert result.replicas.groupby("replica").last().loc[0, "state"] == "ready"


def test_retries_find_another_replica():
    """A retry goes through the balancer again."""
    fault = rl.ReplicaFault(start=10, mode="refuse")
    policy = rl.Retry(max_retries=1, initial_delay=0.0)
    result = play(fleet_of(3, pod=NO_PROBES, faults=fault), policy=policy)
    assert result.counts()["success"] == len(result)
    assert result.summary()["amplification"] == pytest.approx(1.5, abs=0.05)


def test_a_slow_start_with_a_startup_probe_is_no_failure():
    """Without it, liveness kills every container that needs longer than its patience."""
    patient = rl.KubernetesPod(
        startup=rl.KubernetesProbe(period=5, failure_threshold=30),
        liveness=rl.KubernetesProbe(period=5, failure_threshold=3),
        readiness=rl.KubernetesProbe(period=5),
    )
    cold = fleet_of(2, startup_time=60.0, pod=patient, is_warm=False)
    result = play(cold, duration=400.0)
    assert result.restarts() == 0
    assert result.ready_replicas().iloc[-1] == 2
    impatient = play(cold.replace(pod=patient.replace(startup=None)), duration=400.0)
    assert impatient.ready_replicas().max() == 0
    assert impatient.restarts() >= 8


@pytest.mark.slow
def test_every_request_ends_exactly_once():
    """Outcomes add up to the arrivals, attempts to the sends, in the worst of days."""
    faults = (
        rl.ReplicaFault(20, replica=0, mode="hang"),
        rl.ReplicaFault(40, replica=1, mode="crash", duration=50, cured_by_restart=False),
        rl.ReplicaFault(50, 30, replica=2, mode="refuse"),
    )
    for balancing in ("round_robin", "random", "least_loaded"):
        fleet = shared("liveness").replace(
            faults=faults, balancing=balancing, queue_limit=3, workers=2, failure_rate=0.05, probe_failure_rate=0.1
        )
        policy = rl.ResiliencePolicy(rl.Retry(2, 0.1), rl.Timeout(0.4, cancel=balancing != "random"))
        result = play(fleet, policy=policy)
        assert sum(result.counts().values()) == len(result)
        assert len(result.attempts) == result.requests["attempts"].sum() == len(result.routes)
        assert (result.latency >= 0).all()
        busy = result.timeline("busy_workers")
        assert busy.max() <= 8
        assert busy.iloc[-1] == 0
        assert result.timeline("queue_length").min() >= 0


def test_same_seed_same_rows():
    """Every row, state and probe."""
    fleet = shared("liveness").replace(balancing="random", probe_failure_rate=0.05)
    first, second = play(fleet, seed=5), play(fleet, seed=5)
    pd.testing.assert_frame_equal(first.attempts, second.attempts)
    pd.testing.assert_frame_equal(first.probes, second.probes)
    pd.testing.assert_frame_equal(first.replicas, second.replicas)
    assert not first.probes.equals(play(fleet, seed=6).probes)


def test_without_rows_the_counts_are_the_same():
    """`record=False` is faster and changes nothing else."""
    fleet = shared("readiness")
    assert play(fleet, record=False).counts() == play(fleet).counts()


def test_a_horizon_leaves_requests_open():
    """They have no outcome, and the run ends where it should."""
    fleet = fleet_of(1, latency=50.0, pod=NO_PROBES)
    result = play(fleet, rate=1, duration=60, policy=rl.ResiliencePolicy(), horizon=40.0)
    assert result.end == 40
    assert result.counts()["open"] > 0


def test_requests_that_nothing_can_end_are_reported():
    """A hung replica, no liveness, no time limit: the run says so instead of going on for ever."""
    fleet = fleet_of(1, pod=READINESS, faults=rl.ReplicaFault(start=10))
    with pytest.raises(rl.UnfinishedRunError, match="are still open"):
        play(fleet, duration=30, policy=rl.ResiliencePolicy())


def test_a_fleet_works_in_a_model_of_your_own():
    """Bind it to any environment and send calls; the log fills."""
    env = simpy.Environment()
    log = rl.EventLog()
    fleet = fleet_of(2, pod=READINESS, latency=0.2, faults=rl.ReplicaFault(5, replica=1, mode="refuse")).bind(
        env, seed=1, log=log
    )
    ended = []

    def user():
        for _ in range(100):
            try:
                yield from fleet.request()
                ended.append("success")
            except rl.ReplicaRefusedError:
                ended.append("refused")
                yield env.timeout(0.2)

    env.process(user())
    env.run(100)
    assert ended.count("refused") > 20
    assert len(ended) == 100
    assert [row for row in log.rows if row[2] == "probe_failed"]


def test_no_ready_replica_is_a_rejection():
    """The balancer answers at once, and no attempt is made."""
    fleet = fleet_of(2, pod=READINESS, is_warm=False)
    result = play(fleet, duration=30)
    early = result.requests.iloc[0]
    assert (early["outcome"], early["cause"], early["attempts"], early["latency"]) == ("rejected", "no_replica", 0, 0)


def test_overview_draws_a_fleet():
    """The panels of a run are those of any run."""
    import matplotlib as mpl

    mpl.use("Agg")
    figure = rl.plots.overview(play(shared("readiness"), duration=240.0))
    assert len(figure.axes) >= 4


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fleet_of(0), ValueError, "replicas must be >= 1, got 0"),
        (lambda: fleet_of(2, balancing="best"), ValueError, "balancing must be one of 'round_robin'"),
        (
            lambda: fleet_of(2, faults=rl.ReplicaFault(1, replica=2)),
            ValueError,
            "replica of a fault must be < 2, got 2",
        ),
        (lambda: fleet_of(2, faults=rl.Outage(1, 2)), TypeError, "faults must be a ReplicaFault"),
        (lambda: fleet_of(2, pod=rl.KubernetesProbe()), TypeError, "pod must be a KubernetesPod"),
        (lambda: rl.ReplicaFault(1, mode="slow"), ValueError, "mode must be one of 'hang', 'refuse', 'crash'"),
        (lambda: rl.ReplicaFault(1, cured_by_restart=False), ValueError, "must be finite, got inf"),
        (lambda: rl.Dependency(rl.Service(1, 0.1), share=2), ValueError, "share must be from 0 to 1, got 2"),
        (lambda: rl.Dependency(rl.Service(1, 0.1), checked_by="health"), ValueError, "checked_by must be one of"),
        (lambda: rl.FleetScenario(rl.Poisson(1), rl.Service(1, 0.1), duration=1), TypeError, "fleet must be a Fleet"),
        (lambda: rl.FleetScenario(rl.Poisson(1), fleet_of()), TypeError, "duration must be a number"),
    ],
)
def test_bad_input_is_refused(make, error, message):
    """Name, rule, value."""
    with pytest.raises(error, match=message):
        make()
