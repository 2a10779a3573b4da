"""Hypothesis strategies for scenarios and policies, shared by the tests."""

from hypothesis import strategies as st

import resilab as rl

seconds = st.floats(0.01, 2.0)
rates = st.floats(0.0, 1.0)


def optional(strategy):
    return st.one_of(st.none(), strategy)


policies = st.one_of(
    st.builds(rl.Timeout, seconds, st.booleans()),
    st.builds(
        rl.Retry,
        max_retries=st.integers(0, 4),
        initial_delay=st.floats(0.0, 0.5),
        max_delay=st.floats(0.0, 2.0),
        jitter=st.sampled_from(("reference", "none", "full", "equal", "decorrelated")),
    ),
    st.builds(
        rl.CircuitBreaker,
        failure_threshold=st.integers(1, 6),
        success_threshold=st.integers(1, 4),
        timeout=st.floats(0.05, 3.0),
        volume_threshold=st.integers(0, 12),
        half_open_max_calls=optional(st.integers(1, 4)),
    ),
    st.builds(
        rl.Bulkhead,
        max_concurrent=st.integers(1, 8),
        max_queue=optional(st.integers(0, 5)),
        max_wait=optional(st.floats(0.0, 1.0)),
    ),
    st.just(rl.Fallback("fallback")),
)

stacks = st.lists(policies, max_size=5).map(lambda parts: rl.ResiliencePolicy(*parts))

starts = st.floats(0.0, 4.0)
lengths = st.floats(0.1, 3.0)
faults = st.lists(
    st.one_of(
        st.builds(rl.Outage, starts, lengths, st.sampled_from(("error", "hang"))),
        st.builds(rl.Slowdown, starts, lengths, st.floats(0.5, 5.0)),
        st.builds(rl.Errors, starts, lengths, rates),
        st.builds(rl.CapacityLoss, starts, lengths, st.integers(1, 5)),
    ),
    max_size=3,
).map(tuple)

laws = st.one_of(
    st.builds(rl.Constant, st.floats(0.0, 0.3)),
    st.builds(rl.Exponential, st.floats(0.01, 0.3)),
    st.builds(rl.LogNormal, st.floats(0.01, 0.2), st.floats(0.0, 1.0)),
)

services = st.builds(
    rl.Service,
    workers=st.integers(1, 8),
    latency=laws,
    queue_limit=optional(st.integers(0, 10)),
    failure_rate=st.sampled_from((0.0, 0.1, 0.5, 1.0)),
    faults=faults,
    discipline=st.sampled_from(("fifo", "lifo")),
    on_cancel=st.sampled_from(("stop", "drop_queued", "ignore")),
)

workloads = st.one_of(
    st.builds(rl.Poisson, st.floats(1.0, 60.0)),
    st.builds(rl.Steady, st.floats(1.0, 60.0)),
    st.builds(rl.ClosedLoop, st.integers(1, 8), st.builds(rl.Exponential, st.floats(0.1, 1.0))),
    st.builds(rl.Replay, st.lists(st.floats(0.0, 5.0), min_size=1, max_size=60).map(tuple)),
)

scenarios = st.builds(
    rl.Scenario,
    workload=workloads,
    service=services,
    policy=stacks,
    duration=st.floats(1.0, 5.0),
    clients=st.integers(1, 3),
)
