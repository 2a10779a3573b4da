"""Saga and outbox scenarios: what rl.simulate makes of them, and their pictures."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import resilab as rl
from resilab.plots.consistency import backlog
from resilab.theory import expected_saga

SLOW = rl.Service(workers=20, latency=rl.Exponential(0.1), failure_rate=0.05, on_cancel="ignore")
SAGA = rl.SagaScenario(workload=rl.Poisson(rate=20), payment=SLOW, out_of_stock=0.05, declined=0.1, duration=20.0)
OUTAGE = rl.MessageBroker(latency=0.005, faults=rl.Outage(start=5, duration=3))
OUTBOX = rl.OutboxScenario(workload=rl.Poisson(rate=20), crash_rate=0.1, broker=OUTAGE, duration=15.0)
SAGAS = {
    "plain": SAGA,
    "impatient": SAGA.replace(timeout=0.2),
    "retrying": SAGA.replace(policy=rl.ResiliencePolicy(rl.Retry(2, initial_delay=0.05), rl.Timeout(0.2))),
    "crashing": SAGA.replace(crashes=(3.0, 3.5, 9.0), log_write_time=0.01, timeout=0.5),
}
OUTBOXES = {
    "plain": OUTBOX,
    "crashing": OUTBOX.replace(processor=rl.OutboxProcessor(poll_interval=0.3, batch_size=10, crash_rate=0.05)),
    "batch": OUTBOX.replace(processor=rl.OutboxProcessor(mark="batch", batch_size=10, mode="exhaustive")),
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SAGAS)
def test_every_order_ends_confirmed_or_undone(name, seed):
    """No order is both confirmed and refunded, whatever fails, and each request has its outcome."""
    result = rl.simulate(SAGAS[name], seed=seed)
    assert set(result.verdicts()) == {"confirmed", "undone"}
    flow = result.flow()
    assert flow["inconsistent"] == flow["stuck"] == 0
    assert flow["committed"] == result.counts()["success"] == result.verdicts()["confirmed"]
    assert sum(result.counts().values()) == len(result) == len(result.orders)
    assert "open" not in result.counts()


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"compensate": False}, "reserved, not confirmed"),
        ({"compensate_doubt": False, "timeout": 0.2}, "charged, not confirmed"),
        ({"idempotent": False, "policy": SAGAS["retrying"].policy}, "reserved, charged 2 times, confirmed"),
    ],
)
def test_what_goes_wrong_without_each_part_of_the_pattern(change, verdict):
    """Without compensation, without doubt, and without idempotency keys the numbers tell."""
    result = rl.simulate(SAGA.replace(**change), seed=1)
    assert result.verdicts()[verdict] > 5
    assert result.flow()["inconsistent"] > 5


@pytest.mark.slow
def test_saga_outcomes_agree_with_theory():
    """20 replications within 4.5 standard errors: commit, and compensations per order."""
    theory = expected_saga([0.95, 0.95 * 0.9, 1.0])
    runs = [rl.simulate(SAGA, seed=seed) for seed in range(20)]
    for value, metric in ((theory["p_commit"], "committed"), (theory["mean_compensations"], "compensations")):
        means = np.array([run.flow()[metric] / len(run) for run in runs])
        margin = 4.5 * means.std(ddof=1) / np.sqrt(20)
        assert abs(means.mean() - value) <= margin
        assert margin <= 0.12 * value


def test_a_hung_service_is_compensated_after_the_outage():
    """The orders of the outage time out, and their charges that come late are refused or refunded."""
    hang = rl.Outage(start=5, duration=5, mode="hang")
    scenario = SAGA.replace(payment=SLOW.replace(faults=(hang,)), timeout=1.0)
    result = rl.simulate(scenario, seed=1)
    assert result.counts()["timeout"] > 50
    assert set(result.verdicts()) == {"confirmed", "undone"}


def test_a_stuck_saga_is_counted_and_named():
    """A compensation that gives up leaves an order that somebody must look at."""
    outage = rl.Outage(start=5, duration=10)
    scenario = SAGA.replace(
        inventory=rl.Service(20, 0.05, faults=(outage,)),
        payment=SLOW.replace(latency=rl.Exponential(0.5)),
        compensation_policy=rl.Retry(1, initial_delay=0.1),
    )
    result = rl.simulate(scenario, seed=1)
    stuck = result.orders[result.orders.status == "stuck"]
    assert len(stuck) == result.flow()["stuck"] > 0
    assert set(stuck.verdict) == {"reserved, not confirmed"}
    assert (result.requests.cause == "stuck").sum() == len(stuck)


def test_a_crash_delays_orders_and_changes_nothing_else():
    """With and without a crash the same orders are confirmed when there is no time limit."""
    calm, crashed = (rl.simulate(SAGA.replace(crashes=times), seed=4) for times in ((), (5.0, 12.0)))
    assert calm.orders.verdict.tolist() == crashed.orders.verdict.tolist()
    assert crashed.latency.max() > calm.latency.max()
    assert (crashed.events.type == "crash").sum() == 2


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", OUTBOXES)
def test_an_outbox_loses_and_invents_nothing(name, seed):
    """Every order has its message, every message its order, and the consumer acts once."""
    result = rl.simulate(OUTBOXES[name], seed=seed)
    flow = result.flow()
    assert flow["lost"] == flow["phantoms"] == flow["waiting"] == 0
    assert flow["effects"] == flow["orders"] == len(result.frame("orders")) == len(result.frame("outbox"))
    assert flow["publications"] == flow["orders"] + flow["duplicates"]
    assert result.frame("outbox").published_at.notna().all()


@pytest.mark.parametrize(("approach", "wrong"), [("commit_first", "lost"), ("publish_first", "phantoms")])
def test_a_dual_write_loses_or_invents(approach, wrong):
    """Both orders of the two writes have their own way to fail, and only that one."""
    flow = rl.simulate(OUTBOX.replace(approach=approach), seed=1).flow()
    assert flow[wrong] > 0
    assert flow["lost"] + flow["phantoms"] == flow[wrong]


def test_without_a_heedful_consumer_duplicates_take_effect():
    """At least once is not once: the consumer has to know the event id."""
    result = rl.simulate(OUTBOXES["crashing"].replace(idempotent=False), seed=1)
    assert result.flow()["effects"] == result.flow()["publications"] > result.flow()["orders"]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [*SAGAS.values(), *OUTBOXES.values()])
def test_same_seed_same_rows(scenario):
    """A run is a function of scenario and seed, and survives pickling."""
    one, two = rl.simulate(scenario, seed=2), rl.simulate(scenario, seed=2)
    assert one.events.equals(two.events)
    assert one.requests.equals(two.requests)
    assert one.summary().equals(pickle.loads(pickle.dumps(two)).summary())
    assert hash(scenario) == hash(pickle.loads(pickle.dumps(scenario)))


@pytest.mark.parametrize("scenario", [SAGAS["crashing"], OUTBOXES["crashing"]])
def test_a_horizon_stops_a_run(scenario):
    """What is open then has no outcome; nothing that was written is lost."""
    result = rl.simulate(scenario, seed=1, horizon=6.0)
    assert result.counts().get("open", 0) < 30
    assert 0 < len(result) < len(rl.simulate(scenario, seed=1))
    assert result.columns["arrival"].max() <= 6.0


def test_runs_that_would_not_end_say_so():
    """A broker that never comes back, and a service that hangs for ever."""
    never = rl.Outage(start=1, duration=float("inf"))
    with pytest.raises(rl.UnfinishedRunError, match="the outbox would never be empty"):
        rl.simulate(OUTBOX.replace(broker=rl.MessageBroker(faults=never)))
    hung = SLOW.replace(faults=(rl.Outage(start=1, duration=float("inf"), mode="hang"),))
    with pytest.raises(rl.UnfinishedRunError, match="requests are still open"):
        rl.simulate(SAGA.replace(payment=hung))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SAGA.replace(declined=1.5), "declined must be from 0 to 1, got 1.5"),
        (lambda: SAGA.replace(crashes=(-1.0,)), "crashes must be >= 0, got -1.0"),
        (lambda: SAGA.replace(duration=0), "duration must be > 0, got 0"),
        (lambda: OUTBOX.replace(approach="hope"), "approach must be one of"),
        (lambda: OUTBOX.replace(crash_rate=-0.1), "crash_rate must be from 0 to 1, got -0.1"),
    ],
)
def test_impossible_values_are_refused(make, message):
    """Name, rule, value."""
    with pytest.raises(ValueError, match=message):
        make()


def test_pictures_show_what_the_rows_say():
    """Panels return their axes, draw on given ones, and show a baseline."""
    saga, naive = rl.simulate(SAGAS["crashing"], seed=1), rl.simulate(SAGA.replace(compensate=False), seed=1)
    ax = rl.plots.saga_gantt(saga, count=10)
    assert len(ax.get_yticks()) == 10
    assert [text.get_text() for text in rl.plots.saga_gantt(saga, orders=[3, 1]).get_yticklabels()] == ["3", "1"]
    ax = rl.plots.saga_verdicts(saga, baseline=naive)
    assert str(saga.verdicts()["confirmed"]) in [text.get_text().strip() for text in ax.texts]
    for figure in (rl.plots.saga_overview(saga), rl.plots.saga_overview(saga, baseline=naive)):
        assert len(figure.axes) == 3
    outbox, lossy = rl.simulate(OUTBOXES["crashing"], seed=1), rl.simulate(OUTBOX.replace(approach="commit_first"))
    assert backlog(outbox)[1][-1] == 0
    assert backlog(lossy)[1][-1] == lossy.flow()["lost"]
    ax = rl.plots.outbox_fates(outbox)
    assert str(outbox.flow()["orders"] - len(outbox.messages.query("publications > 1"))) in ax.texts[0].get_text()
    for figure in (rl.plots.outbox_overview(outbox), rl.plots.outbox_overview(lossy, baseline=outbox)):
        assert len(figure.axes) == 3
