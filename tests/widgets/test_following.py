"""One request followed: its bar, its words, and the same request under another setting."""

from __future__ import annotations

import resilab as rl


def build(limit=1.0, retries=1):
    """Retries against a service that hangs for two seconds."""
    service = rl.Service(10, 0.1, faults=rl.Outage(1.0, 2.0, mode="hang"))
    policy = rl.ResiliencePolicy(rl.Retry(retries, initial_delay=0.2), rl.Timeout(limit))
    return rl.Scenario(rl.Steady(20), service, policy, duration=5.0)


def make(**options):
    """An explorer of it, with a small picture."""
    return rl.explore(build, size=(4, 3), dpi=40, limit=(0.5, 3.0, 0.5), retries=(0, 3), **options)


def test_nothing_is_followed_until_one_is_chosen():
    """The place is empty, and empty again when one leaves."""
    following = make().following
    assert following.layout.display == "none"
    following.follow(22)
    assert following.layout.display == ""
    following.follow(None)
    assert following.layout.display == "none"


def test_story_says_where_the_time_went():
    """In the hang: cut at the limit in the queue, tried again, served; the first call was worked on for nobody."""
    explorer = make()
    explorer.following.follow(22)
    text = explorer.following.text.value
    assert "<b>Request 22</b>, arrives at 1.10 s: success after 2.20 s. Call 1 queued 1.00 s, timeout; waits" in text
    assert "0.10 s of work on call 1 for nobody" in text
    assert 'role="img"' in text


def test_same_request_is_followed_when_a_control_moves():
    """It arrives at the same time; what becomes of it is another story."""
    explorer = make()
    explorer.following.follow(22)
    before = explorer.following.text.value
    explorer.controls["retries"].value = 0
    after = explorer.following.text.value
    assert "arrives at 1.10 s: timeout (timeout) after 1.00 s" in after
    assert before != after


def test_click_follows_the_request_that_arrives_then():
    """The page tells the time; before and after it are the neighbours."""
    explorer = make()
    explorer._front.chosen = {"time": 1.07}
    assert explorer.following.request_id == 22
    before, after, leave = explorer.following.children[1].children
    after.click()
    assert explorer.following.request_id == 23
    before.click()
    before.click()
    assert explorer.following.request_id == 21
    explorer._front.chosen = {"time": 99.0}
    assert explorer.following.request_id == len(explorer.result) - 1
    after.click()
    assert explorer.following.request_id == len(explorer.result) - 1
    leave.click()
    assert explorer.following.request_id is None


def test_runs_without_requests_to_follow_show_nothing():
    """A run of one's own may be anything."""
    explorer = rl.explore(
        lambda number=1: number,
        lambda result, figure: figure.subplots().plot([0, result]),
        run=lambda scenario, seed: scenario,
        numbers=lambda result: {"number": str(result)},
        number=(1, 5),
    )
    explorer._front.chosen = {"time": 1.0}
    assert explorer.following.layout.display == "none"


def test_hedges_lie_in_rows_of_their_own():
    """Calls that run at once are drawn below one another."""
    service = rl.Service(10, rl.Exponential(1.0))
    scenario = rl.Scenario(rl.Steady(5), service, rl.Hedge(0.1, max_hedges=2), duration=5.0)
    explorer = rl.explore(lambda: scenario, size=(4, 3), dpi=40)
    slowest = int(explorer.result.requests["latency"].idxmax())
    explorer.following.follow(slowest)
    assert "top:0px" in explorer.following.text.value
    assert "top:36px" in explorer.following.text.value
