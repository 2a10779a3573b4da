"""Experiments on a Dask cluster: a real one, of two worker processes on this machine."""

from __future__ import annotations

import os
import signal
import time

import pytest

import resilab as rl

distributed = pytest.importorskip("distributed")
joblib = pytest.importorskip("joblib")

SCENARIO = rl.Scenario(rl.Poisson(rate=15), rl.Service(2, rl.Exponential(0.1), queue_limit=20), duration=20.0)
HANGS = 600.0
"""Seconds after which a cluster hangs for sure, however busy the machine is."""
RATES = [5.0, 10.0, 15.0, 20.0]


def build(rate: float) -> rl.Scenario:
    return SCENARIO.replace(workload=rl.Poisson(rate))


@pytest.fixture(scope="module")
def client():
    """A client of a cluster with two worker processes."""
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(2, timeout=HANGS)
        yield client


@pytest.mark.slow
def test_a_sweep_gives_the_numbers_of_one_process(client):
    arguments = {"rate": RATES, "replications": 4, "metrics": ["p99", "success_rate"]}
    alone = rl.sweep(build, n_jobs=1, **arguments)
    assert rl.sweep(build, client=client, **arguments).equals(alone)
    with joblib.parallel_config("dask", client=client):
        assert rl.sweep(build, **arguments).equals(alone)


def test_replicate_and_compare_run_on_it_too(client):
    assert rl.replicate(SCENARIO, 6, client=client).equals(rl.replicate(SCENARIO, 6, n_jobs=1))
    variants = {"slow": build(10.0), "fast": build(12.0)}
    assert rl.compare(variants, replications=3, client=client).equals(rl.compare(variants, replications=3, n_jobs=1))


@pytest.mark.slow
def test_both_workers_do_the_runs(client):
    ids = rl.replicate("model", 40, run=lambda model, seed: time.sleep(0.02), metrics=process, client=client)
    assert os.getpid() not in ids.process.tolist()
    assert ids.process.nunique() == 2


@pytest.mark.slow
def test_a_sweep_completes_when_a_worker_is_killed_in_the_middle(client):
    arguments = {"rate": RATES, "replications": 12, "metrics": "p99"}
    rows = []
    victim, process_id = next(iter(client.run(os.getpid).items()))

    def watch(row):
        rows.append((row["rate"], row["seed"]))
        if len(rows) == 10:
            os.kill(process_id, signal.SIGKILL)

    frame = rl.sweep(build, client=client, watch=watch, **arguments)
    assert frame.equals(rl.sweep(build, n_jobs=1, **arguments))
    assert sorted(rows) == [(rate, float(seed)) for rate in RATES for seed in range(12)]
    wait_for_another(client, victim)


@pytest.mark.slow
def test_a_recommendation_is_the_same_on_it(client):
    day = rl.Scenario(rl.Poisson(20), rl.Service(50, 0.05, failure_rate=0.2), duration=20.0)
    arguments = {"slo": rl.SLO(within=1.0, answered=0.98), "max_retries": [0, 1, 2, 3], "progress": False}
    alone = rl.recommend(retries, day, n_jobs=1, **arguments)
    assert rl.recommend(retries, day, client=client, **arguments).table.equals(alone.table)


def retries(max_retries: int = 0) -> rl.Policy:
    return rl.Retry(max_retries, initial_delay=0.01)


class OddError(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")


def test_an_error_of_a_run_reaches_the_user_as_it_is(client):
    def fails(result):
        raise OddError(code=result.seed)

    with pytest.raises(OddError, match="code 0") as caught:
        rl.replicate(SCENARIO, 4, metrics=fails, client=client)
    assert caught.value.__notes__ == ["in the run with seed 0"]


@pytest.mark.slow
def test_a_run_that_kills_every_worker_is_an_error_and_the_rest_is_kept(client):
    def deadly(result):
        if result.seed == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return 1.0

    with pytest.warns(UserWarning, match="have errors"):
        frame = rl.sweep(build, rate=[5.0], replications=5, metrics=deadly, client=client)
    assert frame["replications"].tolist() == [4]
    assert frame["error"][0].startswith("WorkerLostError")
    client.wait_for_workers(2, timeout=HANGS)


def wait_for_another(client, victim: str) -> None:
    """Wait until the cluster has replaced a worker, and is in one piece again."""
    end = time.monotonic() + HANGS
    while time.monotonic() < end:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        if victim not in workers and len(workers) == 2:
            return
        time.sleep(0.1)
    raise AssertionError("the killed worker was not replaced")


def process(result) -> int:
    """Return the process that measures a run."""
    return os.getpid()
