"""Ask often and believe late: good where lost probes are independent, and bad where all replicas stall together."""

from __future__ import annotations

import pytest

import resilab as rl

OFTEN = rl.health.KubernetesProbe(period=2, failure_threshold=5)
DEFAULT = rl.health.KubernetesProbe()


def restarts(probe, stall, startup):
    faults = tuple(rl.fleet.ReplicaFault(start=30, duration=stall, replica=number, mode="hang") for number in range(4))
    fleet = rl.fleet.Fleet(
        replicas=4, workers=10, latency=rl.Exponential(0.1), startup_time=startup, faults=faults,
        pod=rl.health.KubernetesPod(liveness=probe, readiness=probe),
    )  # fmt: skip
    result = rl.simulate(rl.fleet.FleetScenario(rl.Poisson(20), fleet, rl.Timeout(1.0), duration=200.0), seed=1)
    turns = result.events[result.events["type"] == "container"]
    later = turns[(turns["time"] > 0) & turns["detail"].str.endswith("starting")]
    return len(later), result.summary()["success_rate"]


@pytest.mark.parametrize("startup", [5.0, 30.0, 60.0])
def test_a_stall_of_all_replicas_restarts_them_all_if_one_asks_often(startup):
    """12 s are longer than 5 probes of 2 s, and shorter than 3 of 10 s; a slow start is then killed again and again."""
    often, default = restarts(OFTEN, 12.0, startup), restarts(DEFAULT, 12.0, startup)
    assert often[0] >= 4
    assert default[0] == 0
    assert often[1] < default[1] - 0.05


@pytest.mark.parametrize("stall", [4.0, 7.0])
def test_shorter_stalls_restart_nothing(stall):
    assert restarts(OFTEN, stall, 30.0)[0] == 0


@pytest.mark.parametrize("lost", [0.02, 0.05, 0.1])
def test_where_probes_are_lost_independently_asking_often_is_faster_and_calmer(lost):
    assert OFTEN.detection_time(1.0)[1] < DEFAULT.detection_time(1.0)[1]
    assert OFTEN.false_alarm_time(failure_rate=lost) > DEFAULT.false_alarm_time(failure_rate=lost)
