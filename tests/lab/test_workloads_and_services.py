"""Workloads, distributions, keyed draws, services and their faults."""

import math

import numpy as np
import pytest
import simpy

import resilab as rl
from resilab.randomness import BLOCK, KeyedDraws, uniform


def play(service, workload=None, duration=10.0, **options):
    return rl.simulate(rl.Scenario(workload or rl.Steady(10), service, duration=duration, **options), seed=1)


# Distributions

LAWS = {
    "constant": (rl.Constant(2.0), 2.0, 0.0),
    "uniform": (rl.Uniform(1.0, 3.0), 2.0, 1 / math.sqrt(3)),
    "exponential": (rl.Exponential(2.0), 2.0, 2.0),
    "lognormal": (rl.LogNormal.from_mean(2.0, 1.5), 2.0, 3.0),
    "gamma": (rl.Gamma(2.0, 0.5), 2.0, 1.0),
    "pareto": (rl.Pareto(1.0, 4.0), 4 / 3, math.sqrt(4 / (9 * 2))),
    "mixture": (rl.Mixture((3, rl.Constant(1.0)), (1, rl.Constant(5.0))), 2.0, math.sqrt(3)),
    "empirical": (rl.Empirical((1.0, 2.0, 3.0)), 2.0, math.sqrt(2 / 3)),
}


@pytest.mark.parametrize("name", LAWS)
def test_each_law_has_the_mean_it_says_and_its_spread(name):
    law, mean, deviation = LAWS[name]
    draws = law.sample(np.random.default_rng(1), 200_000)
    assert law.mean == pytest.approx(mean)
    assert abs(draws.mean() - mean) <= 4.5 * deviation / math.sqrt(len(draws)) + 1e-12
    assert draws.std() == pytest.approx(deviation, rel=0.06, abs=1e-12)
    assert draws.min() >= 0


def test_tails_are_those_of_the_formulas():
    pareto = rl.Pareto(1.0, 2.2).sample(np.random.default_rng(1), 200_000)
    assert (pareto > 5).mean() == pytest.approx(5**-2.2, rel=0.05)
    lognormal = rl.LogNormal(0.04, 0.6).sample(np.random.default_rng(1), 200_000)
    assert np.median(lognormal) == pytest.approx(0.04, rel=0.01)
    assert np.percentile(lognormal, 99) / 0.04 == pytest.approx(math.exp(2.326 * 0.6), rel=0.02)


def test_a_mean_may_be_infinite_and_then_says_so():
    assert rl.Pareto(1.0, 1.0).mean == math.inf


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rl.Constant(-1), "value must be >= 0, got -1"),
        (lambda: rl.Exponential(0), "mean must be > 0, got 0"),
        (lambda: rl.Exponential(math.nan), "mean must not be NaN"),
        (lambda: rl.Uniform(2, 1), "high must be >= 2, got 1"),
        (lambda: rl.LogNormal(1, -0.1), "sigma must be >= 0"),
        (lambda: rl.Gamma(1, 0), "cv must be > 0"),
        (lambda: rl.Pareto(0, 1), "minimum must be > 0"),
        (lambda: rl.Mixture(), "parts must not be empty"),
        (lambda: rl.Mixture((0, rl.Constant(1))), "weight must be > 0"),
        (lambda: rl.Empirical(()), "values must not be empty"),
        (lambda: rl.Empirical((1, math.nan)), "values must be finite and >= 0, got nan"),
    ],
)
def test_impossible_laws_are_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


# Keyed draws


def test_a_draw_depends_on_nothing_but_its_key():
    """Not on the order, nor on what else was asked for."""
    first, second = KeyedDraws(7, "x", uniform), KeyedDraws(7, "x", uniform)
    keys = [(5 * BLOCK + 3, 2), (0, 0), (BLOCK - 1, 0), (BLOCK, 7), (3, 1)]
    assert [first(*key) for key in keys] == [second(*key) for key in reversed(keys)][::-1]


def test_an_old_block_that_was_dropped_is_made_again():
    """A long run does not keep all its draws; those of a late retry are what they were."""
    draws = KeyedDraws(1, "x", uniform)
    first = [draws(key) for key in range(5)]
    for index in range(200):
        draws(index * BLOCK)
    assert sum(block is not None for block in draws._rows[0]) <= 65
    assert [draws(key) for key in range(5)] == first


def test_streams_sends_keys_and_seeds_are_independent():
    values = {KeyedDraws(seed, stream, uniform)(key, send)
              for seed in (0, 1) for stream in ("a", "b") for key in (0, 1, BLOCK) for send in (0, 1)}  # fmt: skip
    assert len(values) == 24


def test_the_first_draws_at_once_are_the_draws_one_by_one():
    draws = KeyedDraws(3, "x", uniform)
    assert draws.first(BLOCK + 5).tolist() == [draws(key) for key in range(BLOCK + 5)]


def test_neighbouring_keys_sends_and_seeds_are_uncorrelated():
    n = 20_000
    rows = [KeyedDraws(seed, "x", uniform).first(n) for seed in (1, 2)]
    draws = KeyedDraws(1, "x", uniform)
    rows.append(np.array([draws(key, 1) for key in range(n)]))
    limit = 4.5 / math.sqrt(n)
    assert abs(np.corrcoef(rows[0][1:], rows[0][:-1])[0, 1]) < limit
    assert np.abs(np.corrcoef(rows)[np.triu_indices(3, 1)]).max() < limit


# Workloads


def test_poisson_arrivals_have_the_rate_and_independent_gaps():
    times = rl.Poisson(50).arrivals(2000, seed=1)
    gaps = np.diff(times)
    assert len(times) == pytest.approx(100_000, abs=4.5 * math.sqrt(100_000))
    assert gaps.std() == pytest.approx(0.02, rel=0.02)
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 4.5 / math.sqrt(len(gaps))
    assert times[-1] < 2000


def test_steady_arrivals_are_evenly_spaced_from_0():
    assert rl.Steady(4).arrivals(1.0, seed=1).tolist() == [0, 0.25, 0.5, 0.75]
    assert len(rl.Steady(50).arrivals(60.0, seed=1)) == 3000


def test_a_schedule_has_the_rate_of_each_step():
    times = rl.Schedule([(10, 100), (20, 0), (30, 400)]).arrivals(40, seed=1)
    counts = np.histogram(times, bins=[0, 10, 20, 30, 40])[0]
    assert counts[0] == counts[2] == 0
    assert counts[1] == pytest.approx(1000, abs=4.5 * math.sqrt(1000))
    assert counts[3] == pytest.approx(4000, abs=4.5 * math.sqrt(4000))
    assert (np.diff(times) >= 0).all()


def test_replayed_times_are_sorted_and_cut_at_the_duration():
    assert rl.Replay((2.0, 0.5, 9.0)).arrivals(5.0, seed=1).tolist() == [0.5, 2.0]
    result = rl.simulate(rl.Scenario(rl.Replay((2.0, 0.5, 9.0)), rl.Service(1, 0.1)))
    assert result.requests["arrival"].tolist() == [0.5, 2.0, 9.0]


def test_closed_loop_users_wait_for_their_answer():
    """Never more requests in flight than users; X = N / (Z + R) to rounding of the ends."""
    result = play(rl.Service(1, 0.5), rl.ClosedLoop(3, 0.5), duration=100)
    assert result.timeline("in_flight").max() <= 3
    assert result.summary()["goodput"] == pytest.approx(2.0, rel=0.02)
    lone = play(rl.Service(1, 0.5), rl.ClosedLoop(1, 0.5), duration=10)
    assert lone.requests["arrival"].tolist() == pytest.approx(np.arange(0.5, 10, 1.0).tolist())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rl.Poisson(0), "rate must be > 0, got 0"),
        (lambda: rl.Steady(math.inf), "rate must be finite"),
        (lambda: rl.Schedule([(0, 0)]), "steps must have a rate > 0"),
        (lambda: rl.Schedule([(5, 1), (5, 2)]), "steps must be in order of start"),
        (lambda: rl.Replay(()), "times must not be empty"),
        (lambda: rl.Replay((-1.0,)), "times must be finite and >= 0, got -1"),
        (lambda: rl.ClosedLoop(0, 1.0), "users must be >= 1"),
        (lambda: rl.ClosedLoop(1, 0.0), "think_time must have a mean > 0"),
        (lambda: rl.Scenario(rl.Poisson(1), rl.Service(1, 1.0), duration=0), "duration must be > 0, got 0"),
        (lambda: rl.Scenario(rl.Poisson(1), rl.Service(1, 1.0)), "duration must be a number, got None"),
        (lambda: rl.Scenario("fast", rl.Service(1, 1.0), duration=1), "workload must be a"),
        (lambda: rl.Scenario(rl.Poisson(1), rl.Service(1, 1.0), "retry", duration=1), "policy must be a Policy"),
    ],
)
def test_impossible_workloads_and_scenarios_are_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


# Services


def test_a_queue_serves_first_come_first_served_and_lifo_the_newest():
    arrivals = rl.Replay((0.0, 0.1, 0.2, 0.3))
    fifo = play(rl.Service(1, 1.0), arrivals).requests["end"]
    lifo = play(rl.Service(1, 1.0, discipline="lifo"), arrivals).requests["end"]
    assert fifo.tolist() == [1, 2, 3, 4]
    assert lifo.tolist() == [1, 4, 3, 2]


def test_a_full_queue_answers_at_once():
    """K = workers + queue_limit calls fit inside, not one more."""
    result = play(rl.Service(2, 1.0, queue_limit=1), rl.Replay((0.0, 0.1, 0.2, 0.3)))
    assert result.requests["outcome"].tolist() == ["success", "success", "success", "rejected"]
    assert result.requests["cause"].tolist()[3] == "queue_full"
    assert result.requests["latency"].tolist()[3] == 0
    assert result.summary()["amplification"] == 1  # it reached the service


def test_failures_take_as_long_as_successes_unless_told_otherwise():
    slow = play(rl.Service(5, 0.2, failure_rate=1.0))
    fast = play(rl.Service(5, 0.2, failure_rate=1.0, failure_latency=0.0))
    assert slow.requests["latency"].to_numpy() == pytest.approx(0.2)
    assert fast.requests["latency"].max() == 0
    assert set(slow.requests["cause"]) == {"service_error"}


CANCELLED = rl.Replay((0.0, 0.25, 0.5))


@pytest.mark.parametrize(
    ("on_cancel", "work", "ends"),
    [
        # one worker, 2 s of work a call, all callers leave after 1 s
        ("stop", [1.0, 0.25, 0.25], [1.0, 1.25, 1.5]),
        ("drop_queued", [2.0, 0.0, 0.0], [1.0, 1.25, 1.5]),
        ("ignore", [2.0, 2.0, 2.0], [1.0, 1.25, 1.5]),
    ],
)
def test_the_three_reactions_to_a_caller_that_has_gone(on_cancel, work, ends):
    result = play(rl.Service(1, 2.0, on_cancel=on_cancel), CANCELLED, policy=rl.Timeout(1.0))
    assert result.attempts["service_time"].tolist() == pytest.approx(work)
    assert result.attempts["end"].tolist() == pytest.approx(ends)
    assert set(result.attempts["outcome"]) == {"timeout"}
    assert result.summary()["wasted_work"] == 1


def test_work_that_a_race_leaves_behind_is_wasted():
    """The caller of Timeout(cancel=False) has gone, though the service is never told."""
    result = play(rl.Service(1, 2.0), CANCELLED, policy=rl.Timeout(1.0, cancel=False))
    assert result.attempts["service_time"].tolist() == pytest.approx([2, 2, 2])
    assert result.attempts["end"].tolist() == pytest.approx([1.0, 1.25, 1.5])
    assert result.summary()["wasted_work"] == 1


# Faults


def test_an_outage_fails_what_starts_in_its_window():
    """The window contains its start and not its end."""
    requests = play(rl.Service(5, 0.1, faults=(rl.Outage(3.0, 2.0),))).requests
    is_down = (requests["arrival"] >= 3.0) & (requests["arrival"] < 5.0)
    assert ((requests["outcome"] == "failure") == is_down).all()


def test_a_hung_service_starts_nothing_until_the_fault_ends():
    """Work under way goes on; what arrives waits."""
    result = play(rl.Service(1, 0.2, faults=(rl.Outage(3.0, 2.0, "hang"),)), rl.Replay((2.9, 3.0, 4.0, 5.0, 6.5)))
    assert result.requests["end"].tolist() == pytest.approx([3.1, 5.2, 5.4, 5.6, 6.7])
    assert result.timeline("busy_workers").asof(4.0) == 0


def test_a_slowdown_multiplies_the_work_that_starts_in_it():
    result = play(rl.Service(50, 0.1, faults=(rl.Slowdown(3.0, 2.0, 4.0),)))
    in_it = result.attempts["start"].between(3.0, 5.0, inclusive="left")
    assert result.attempts["service_time"][in_it].to_numpy() == pytest.approx(0.4)
    assert result.attempts["service_time"][~in_it].to_numpy() == pytest.approx(0.1)


def test_errors_come_on_top_of_the_failure_rate_as_an_independent_cause():
    service = rl.Service(50, 0.001, failure_rate=0.2, faults=(rl.Errors(50, 50, 0.5),))
    requests = play(service, rl.Steady(200), duration=100).requests
    share = requests.groupby(requests["arrival"] >= 50)["outcome"].apply(lambda o: (o == "failure").mean())
    for value, expected in zip(share, (0.2, 0.6), strict=True):
        assert abs(value - expected) < 4.5 * math.sqrt(expected * (1 - expected) / 10_000)


def test_lost_workers_finish_their_call_and_come_back():
    result = play(rl.Service(3, 1.0, faults=(rl.CapacityLoss(2.5, 3.0, 2),)), rl.Steady(3), duration=9)
    busy = result.timeline("busy_workers")
    assert busy[:2.5].max() == 3
    assert busy[3.6:5.4].max() == 1
    assert busy[5.5:].max() == 3


def test_overlapping_faults_combine():
    faults = (rl.Slowdown(0, 10, 2.0), rl.Slowdown(5, 10, 3.0), rl.CapacityLoss(0, 3, 50))
    result = play(rl.Service(50, 0.1, faults=faults))
    first = result.attempts.groupby(result.attempts["start"] >= 5)["service_time"].median()
    assert first.tolist() == pytest.approx([0.2, 0.6])
    assert result.timeline("busy_workers")[:2.99].max() == 0


def test_a_fault_that_hangs_for_ever_is_reported_with_the_open_requests():
    scenario = rl.Scenario(rl.Steady(2), rl.Service(1, 0.1, faults=(rl.Outage(2.0, math.inf, "hang"),)), duration=10)
    with pytest.raises(rl.UnfinishedRunError) as error:
        rl.simulate(scenario)
    assert "16 of 20 requests are still open" in str(error.value)
    assert "request 4 waits in the queue of service, which starts no work: [Outage(start=2.0" in str(error.value)
    result = rl.simulate(scenario, horizon=30.0)
    assert result.counts() == {"success": 4, "degraded": 0, "rejected": 0, "timeout": 0, "failure": 0, "open": 16}
    assert result.summary()["open"] == 16
    assert result.requests["end"].isna().sum() == 16
    assert result.attempts["outcome"].isna().sum() == 16
    assert result.timeline("queue_length").max() == 16


@pytest.mark.parametrize("policy", [rl.ResiliencePolicy(), rl.Bulkhead(2), rl.Timeout(99.0, cancel=False)], ids=repr)
def test_a_horizon_stops_a_run_in_the_middle(policy):
    """Whatever the open requests wait for."""
    scenario = rl.Scenario(rl.Poisson(30), rl.Service(2, rl.Exponential(0.2)), policy, duration=20)
    result = rl.simulate(scenario, seed=1, horizon=10.0)
    counts = result.counts()
    assert counts["open"] > 50
    assert sum(counts.values()) == len(result) == (result.requests["arrival"] < 10).sum()
    assert result.requests["end"].max() <= 10


def test_a_service_works_in_a_plain_simpy_model():
    env = simpy.Environment()
    service = rl.Service(1, 1.0).bind(env)
    ends = []

    def customer():
        yield from service.request()
        ends.append(env.now)

    for _ in range(3):
        env.process(customer())
    env.run()
    assert ends == [1, 2, 3]
    assert (service.calls, service.busy, service.queue_length) == (3, 0, 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"workers": 0}, "workers must be >= 1"),
        ({"latency": -1}, "latency must be >= 0, got -1"),
        ({"queue_limit": -1}, "queue_limit must be >= 0"),
        ({"failure_rate": 1.5}, "failure_rate must be from 0 to 1, got 1.5"),
        ({"faults": ("outage",)}, "faults must be a Fault"),
        ({"discipline": "random"}, "discipline must be one of 'fifo', 'lifo'"),
        ({"on_cancel": "panic"}, "on_cancel must be one of"),
    ],
)
def test_impossible_services_are_refused(fields, message):
    with pytest.raises((ValueError, TypeError), match=message):
        rl.Service(**({"workers": 1, "latency": 1.0} | fields))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rl.Outage(-1, 1), "start must be >= 0"),
        (lambda: rl.Outage(0, 0), "duration must be > 0"),
        (lambda: rl.Outage(0, 1, "explode"), "mode must be one of 'error', 'hang', 'freeze', got 'explode'"),
        (lambda: rl.Slowdown(0, 1, 0), "factor must be > 0"),
        (lambda: rl.Errors(0, 1, 2), "rate must be from 0 to 1"),
        (lambda: rl.CapacityLoss(0, 1, 0), "workers must be >= 1"),
    ],
)
def test_impossible_faults_are_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


@pytest.mark.parametrize("workload", [rl.Poisson(1e13), rl.Steady(1e13), rl.Schedule([(0, 1.0), (5, 1e300)])])
def test_more_requests_than_a_machine_can_hold_are_refused(workload):
    """At once: a rate with a slip in it must not fill the memory."""
    with pytest.raises(ValueError, match="must be at most 100,000,000 requests, got "):
        workload.arrivals(10.0, seed=0)


def test_a_law_whose_mean_is_beyond_all_floats_has_an_infinite_one():
    wild = rl.LogNormal(median=1.0, sigma=100.0)
    assert wild.mean == math.inf
    assert rl.Service(workers=2, latency=wild).capacity == 0.0
    assert rl.ClosedLoop(users=1, think_time=wild).think_time == wild
