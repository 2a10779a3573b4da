"""lint: each rule with a policy at which it fires, and one at which it does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

import resilab as rl
from resilab import configs
from resilab.__main__ import main
from resilab.resilience.likeness import libraries

SERVICE = rl.Service(10, rl.Exponential(0.1), failure_rate=0.02)
SCENARIO = rl.Scenario(rl.Poisson(rate=50), SERVICE, duration=20.0)
TRAPS = """
resilience4j.retry.instances.orders.maxAttempts=4
resilience4j.retry.instances.orders.enableExponentialBackoff=true
resilience4j.timelimiter.instances.orders.timeoutDuration=2s
resilience4j.circuitbreaker.instances.orders.slidingWindowType=TIME_BASED
resilience4j.circuitbreaker.instances.orders.slidingWindowSize=10
resilience4j.circuitbreaker.instances.orders.slowCallDurationThreshold=5s
resilience4j.circuitbreaker.instances.orders.slowCallRateThreshold=50
"""


def rules(policy, scenario=None, slo=None, **options):
    return [finding.rule for finding in rl.lint(policy, scenario, slo, **options)]


def breaker(**options):
    return rl.CircuitBreaker(**{"half_open_max_calls": 1, **options})


SLOW = rl.Retry(max_retries=5, initial_delay=1.0, jitter="none")
QUICK = rl.Retry(max_retries=2, initial_delay=0.1, jitter="none")
WINDOW = rl.TimeWindow(10.0)
LOW = SCENARIO.replace(workload=rl.Poisson(rate=1.0))
FAULT = SCENARIO.replace(service=SERVICE.replace(faults=rl.Outage(5.0, 3.0)))
TIER = SCENARIO.replace(service=rl.chain(SERVICE.replace(name="a"), SERVICE.replace(name="b"), policy=QUICK))
LATE = rl.SLO(within=0.5)


@pytest.mark.parametrize(
    ("rule", "wrong", "right"),
    [
        ("retries_outlive_caller", ((rl.Timeout(2.0), SLOW),), ((rl.Timeout(40.0), SLOW),)),
        ("retries_outlive_caller", ((SLOW,), None, LATE), ((QUICK,), None, LATE)),
        ("retries_outlive_caller", ((rl.Timeout(2.0), QUICK, rl.Timeout(2.0)),),
         ((rl.Timeout(2.0), QUICK, rl.Timeout(0.5)),)),
        ("minimum_never_reached", ((breaker(window=WINDOW, failure_rate_threshold=0.5, volume_threshold=50),), LOW),
         ((breaker(window=WINDOW, failure_rate_threshold=0.5, volume_threshold=50),), SCENARIO)),
        ("slow_limit_unreachable",
         ((breaker(window=WINDOW, slow_call_duration=5.0, slow_call_rate_threshold=0.5), rl.Timeout(1.0)),),
         ((breaker(window=WINDOW, slow_call_duration=0.5, slow_call_rate_threshold=0.5), rl.Timeout(1.0)),)),
        ("bulkhead_above_pool", ((rl.Bulkhead(50),), SCENARIO), ((rl.Bulkhead(10),), SCENARIO)),
        ("queue_outwaits_caller", ((rl.Timeout(1.0), rl.Bulkhead(5, max_queue=100)), SCENARIO),
         ((rl.Timeout(1.0), rl.Bulkhead(5, max_queue=10)), SCENARIO)),
        ("limit_below_p99", ((rl.Timeout(0.3),), SCENARIO), ((rl.Timeout(0.8),), SCENARIO)),
        ("attempts_multiplied", ((QUICK, QUICK),), ((QUICK,),)),
        ("attempts_multiplied", ((QUICK,), TIER), ((rl.Timeout(9.0),), TIER)),
        ("request_opens_breaker", ((QUICK, breaker(failure_threshold=3)),), ((breaker(failure_threshold=3), QUICK),)),
        ("rejections_open_breaker", ((breaker(), rl.Bulkhead(5)),),
         ((breaker(ignored_errors=rl.BulkheadFullError), rl.Bulkhead(5)),)),
        ("rejections_open_breaker", ((breaker(), rl.RateLimiter(5, 1.0)),), ((rl.RateLimiter(5, 1.0), breaker()),)),
        ("unlimited_probes", ((rl.CircuitBreaker(),),), ((breaker(),),)),
        ("hedges_without_limit", ((rl.Hedge(0.1),),), ((rl.Hedge(0.1), rl.Bulkhead(5)),)),
        ("jitter_shortens_wait", ((rl.Retry(3, 0.5, jitter="full"),), FAULT),
         ((rl.Retry(3, 0.5, jitter="none"),), FAULT)),
    ],
)  # fmt: skip
def test_each_rule_fires_where_it_should_and_nowhere_else(rule, wrong, right):
    for (parts, *options), expected in ((wrong, True), (right, False)):
        assert (rule in rules(rl.ResiliencePolicy(*parts), *options)) is expected


def test_a_finding_says_its_numbers_and_shows_the_mended_line_beside():
    (found,) = rl.lint(rl.ResiliencePolicy(rl.Timeout(0.2)), SCENARIO)
    assert (found.rule, found.severity) == ("limit_below_p99", "warning")
    assert found.numbers["limit"] == 0.2
    assert "13." in found.message
    assert found.evidence.loc["mended", "success_rate"] > found.evidence.loc["as it is", "success_rate"] + 0.1


def test_numbers_without_an_end_are_looked_at_too():
    """The largest whole number of a library stands for "endless"."""
    assert rules(rl.ResiliencePolicy(rl.Timeout(5.0), rl.Retry(2**31 - 1, 0.0, jitter="none"))) == []
    window = breaker(window=WINDOW, failure_rate_threshold=0.5, volume_threshold=2**31)
    assert rules(window, rate=5.0) == ["minimum_never_reached"]


@pytest.mark.parametrize("rate", [0.8, 1.0])
def test_a_breaker_that_only_retries_can_open_is_told_from_one_that_cannot(rate):
    """Played: with retries outside it opens in an outage, without them it does not."""
    window = breaker(window=WINDOW, failure_rate_threshold=0.5, volume_threshold=40)
    retried = rl.ResiliencePolicy(rl.Retry(9, 0.5, max_delay=0.5, jitter="none"), window)
    for policy, severity, opens in ((window, "error", False), (retried, "warning", True)):
        assert [(each.rule, each.severity) for each in rl.lint(policy, rate=rate)] == [
            ("minimum_never_reached", severity)
        ]
        down = SERVICE.replace(faults=rl.Outage(20, 40))
        played = [rl.simulate(rl.Scenario(rl.Poisson(rate), down, policy, 80.0), seed=seed) for seed in range(5)]
        assert all((result.events["type"] == "transition").any() == opens for result in played)


def test_waits_with_jitter_are_late_on_average_and_not_for_sure():
    (found,) = rl.lint(rl.ResiliencePolicy(rl.Timeout(2.0), rl.Retry(3, 1.0, jitter="full")))
    assert (found.severity, found.numbers["retries in time"]) == ("warning", 2)
    assert "late on average" in found.message


def test_each_client_has_a_breaker_and_a_bulkhead_of_its_own():
    """What is enough for one is too little, or too much, for many; what is shared counts once."""
    window = breaker(window=WINDOW, failure_rate_threshold=0.5, volume_threshold=50)
    many = SCENARIO.replace(clients=50)
    assert rules(window, SCENARIO) == []
    assert rules(window, many) == ["minimum_never_reached"]
    assert rules(window, many.replace(shared=rl.CircuitBreaker)) == []
    assert rules(rl.Bulkhead(10), many) == ["bulkhead_above_pool"]
    assert rules(rl.Bulkhead(10), many.replace(shared=rl.Bulkhead)) == []


def test_a_queue_without_an_end_outwaits_every_caller():
    assert rules(rl.ResiliencePolicy(rl.Timeout(1.0), rl.Bulkhead(5)), SCENARIO) == ["queue_outwaits_caller"]


def test_a_breaker_that_needs_one_failure_is_opened_by_one_request():
    """Failsafe's default counts one failure of one call, opossum's half of whatever came."""
    for library in ("failsafe", "opossum"):
        (found,) = rl.lint(rl.ResiliencePolicy(QUICK, rl.CircuitBreaker.like(library)))
        assert (found.rule, found.numbers["needed"]) == ("request_opens_breaker", 1)


@pytest.mark.slow
def test_mended_policies_are_not_found_again():
    policy = rl.ResiliencePolicy(rl.Timeout(2.0), SLOW, breaker(failure_threshold=3), rl.Bulkhead(50), rl.Timeout(0.2))
    for _ in range(10):
        mendable = [finding for finding in rl.lint(policy, SCENARIO) if finding.mended is not None]
        if not mendable:
            break
        policy = mendable[0].mended
    assert rules(policy, SCENARIO) == []


@pytest.mark.parametrize("library", ["envoy", "microsoft", "spring_cloud"])
def test_what_libraries_recommend_is_not_found_without_a_reason(library):
    """Their order and defaults, without a rate or a service against which they could be wrong."""
    assert rules(rl.ResiliencePolicy.like(library)) == []


POLICIES = {
    "retry": rl.Retry, "circuit_breaker": rl.CircuitBreaker, "bulkhead": rl.Bulkhead, "timeout": rl.Timeout,
    "rate_limiter": rl.RateLimiter, "hedge": rl.Hedge, "adaptive_throttle": rl.AdaptiveThrottle,
    "policy": rl.ResiliencePolicy,
}  # fmt: skip
DEFAULTS = [(pattern, library) for pattern in POLICIES for library in libraries(pattern)]
FOUND = {
    ("circuit_breaker", "hyx"): ["unlimited_probes"],  # half-open lets all through
    ("hedge", "polly"): ["hedges_without_limit"],  # an attempt of its own for each copy, and no limit
    ("hedge", "polly_v8"): ["hedges_without_limit"],
}
"""What is found in defaults: it can be shown, see below."""


@pytest.mark.parametrize(("pattern", "library"), DEFAULTS)
def test_defaults_of_a_library_are_not_found_without_a_reason(pattern, library):
    """Each pattern of each library as it is without settings, also at a rate of 100 calls per second."""
    try:
        policy = POLICIES[pattern].like(library)
    except TypeError as error:
        assert "must be given: the library has no default for it" in str(error)  # noqa: PT017 - it has no defaults
        return
    assert rules(policy) == rules(policy, rate=100) == FOUND.get((pattern, library), [])


@pytest.mark.slow
@pytest.mark.parametrize(("pattern", "library"), FOUND)
def test_what_is_found_in_defaults_can_be_shown(pattern, library):
    """Through a hang the mended line sends fewer calls to a service that is ill."""
    service = rl.Service(10, rl.Exponential(0.1), queue_limit=50, faults=rl.Outage(10.0, 20.0, mode="hang"))
    scenario = rl.Scenario(rl.Poisson(60), service, duration=60.0)
    policy = rl.ResiliencePolicy(POLICIES[pattern].like(library), rl.Timeout(3.0))
    (finding,) = (each for each in rl.lint(policy, scenario) if each.rule in FOUND[pattern, library])
    calls = finding.evidence["amplification"]
    assert calls["mended"] < calls["as it is"]


def test_a_file_with_silent_traps():
    """Keys that the library ignores are findings of their own."""
    found = rl.lint(configs.read(TRAPS), rate=2.0)
    assert {"key_ignored", "minimum_never_reached", "slow_limit_unreachable"} <= {each.rule for each in found}
    assert list(found.frame.columns) == ["rule", "severity", "message", "numbers", "evidence"]
    assert found[0].severity == "error"
    assert repr(found).startswith("error: ")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("{}", ["hint: with fewer than 10 replicas none is ever ejected"]),
        ("{max_ejection_percent: 0}", ["error: none ever is"]),
        ("{max_ejection_percent: 50}", []),
        ("{always_eject_one_host: true}", []),
    ],
)
def test_an_outlier_detection_that_ejects_nobody_is_found(lines, expected):
    """Of five hosts behind Envoy 1.40 none was ejected at its default of 10 %."""
    text = f"static_resources: {{clusters: [{{name: orders, connect_timeout: 1s, outlier_detection: {lines}}}]}}"
    found = [each for each in rl.lint(configs.read(text)) if each.rule == "ejects_nobody"]
    assert [f"{each.severity}: {each.message.split(': ')[1]}" for each in found] == expected


def test_retries_over_tiers_multiply_and_are_shown_with_those_of_one_tier():
    """Four attempts at each of three tiers: 64 calls; without the user's own, 16."""
    retry = rl.Retry(max_retries=3, initial_delay=0.01)
    bottom = rl.Tier(10, 0.01, name="stock", failure_rate=1.0)
    middle = rl.Tier(10, 0.01, name="orders", calls=rl.Downstream(bottom, retry))
    scenario = rl.Scenario(
        rl.Steady(2), rl.Tier(10, 0.01, name="api", calls=rl.Downstream(middle, retry)), duration=5.0
    )
    (finding,) = (each for each in rl.lint(retry, scenario) if each.rule == "attempts_multiplied")
    assert "4 x 4 x 4 = 64 calls" in finding.message
    assert finding.mended == rl.ResiliencePolicy(retry.replace(max_retries=0))
    assert finding.evidence.loc["as it is", "amplification"] == pytest.approx(
        4 * finding.evidence.loc["mended", "amplification"], rel=0.05
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("policy",), "policy must be"),
        ((rl.Retry(), "scenario"), "scenario must be"),
        ((rl.Retry(), None, 0.8), "slo must be"),
    ],
)
def test_what_is_no_policy_is_refused(arguments, message):
    with pytest.raises(TypeError, match=message):
        rl.lint(*arguments)
    with pytest.raises(ValueError, match="rate must be > 0, got 0"):
        rl.lint(rl.Retry(), rate=0)


# The command


def test_the_command_finds_and_says_so_by_its_exit_status(tmp_path, capsys):
    path = tmp_path / "application.properties"
    path.write_text(TRAPS)
    assert main(["lint", str(path), "--rate", "2"]) == 1
    assert "minimum_never_reached" in capsys.readouterr().out
    path.write_text("resilience4j.retry.instances.orders.maxAttempts=3\n")
    assert main(["lint", str(path), "--rate", "200"]) == 0
    assert capsys.readouterr().out == "nothing found\n"


def test_the_command_converts_and_says_what_cannot_be_said(tmp_path, capsys):
    path = tmp_path / "application.properties"
    path.write_text(TRAPS)
    assert main(["convert", str(path), "--to", "envoy"]) == 0
    text, notes = capsys.readouterr()
    assert configs.read(text, "envoy").policy.flat()[0] == rl.Timeout(2.0) or "per_try_timeout: 2s" in text
    assert "CircuitBreaker" in notes


def test_the_command_converts_the_ejection_of_hosts_where_the_library_has_one(tmp_path, capsys):
    """Envoy's outlier detection becomes Istio's; for others it is said to be dropped."""
    path = tmp_path / "envoy.yml"
    path.write_text("{name: a, connect_timeout: 1s, outlier_detection: {consecutive_5xx: 3, interval: 4s}}")
    assert main(["convert", str(path), "--to", "istio"]) == 0
    text, notes = capsys.readouterr()
    ejection = configs.read(text, "istio").ejection
    assert (ejection.consecutive_errors, ejection.interval) == (3, 4.0)
    assert "turns no replicas away" not in notes
    assert main(["convert", str(path), "--to", "grpc"]) == 0
    assert "dropped: ejection" in capsys.readouterr().err


def test_the_command_does_not_convert_probes_into_a_policy(tmp_path, capsys):
    path = tmp_path / "pod.yml"
    path.write_text("containers: [{name: api, livenessProbe: {periodSeconds: 5}}]")
    assert main(["convert", str(path), "--to", "envoy"]) == 2
    assert main(["convert", str(path), "--to", "kubernetes"]) == 0


def test_the_command_tells_where_a_file_is_wrong(tmp_path, capsys):
    path = tmp_path / "broken.yml"
    path.write_text("a: [1\nb: 2\n")
    assert main(["lint", str(path)]) == 2
    assert "line 2" in capsys.readouterr().err
    assert main(["lint", str(tmp_path / "missing.yml")]) == 2


@pytest.mark.slow
def test_the_command_is_there(tmp_path):
    done = subprocess.run([sys.executable, "-m", "resilab", "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, "convert" in done.stdout) == (0, True)
