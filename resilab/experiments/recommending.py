"""recommend: the setting that meets an objective in every situation, or why none does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..validation import function, instance, ratio, sequence, warn_user, whole
from .board import Board, Interrupted, Problem, weights_of
from .certify import Certificate, certify
from .failures import InterruptedExperimentWarning
from .options import Options, play_options, shows_options, work_options
from .race import BLOCKS, Race
from .recommendation import Recommendation
from .slo import SLO, Objective
from .space import Setting, Space
from .stress import Stress

FINALISTS = 6
"""Candidates that are certified, beside the present setting and no policy."""
APART = 1_000_003
"""Distance of the seeds of search, certification and verification."""
VERIFICATION = 16
"""Seeds of the verification."""


@shows_options(Options)
def recommend(
    policy: Callable[..., Any],
    situations: Any,
    slo: SLO,
    minimize: Objective = "amplification",
    *,
    current: Mapping[str, Any] | None = None,
    start: Iterable[Mapping[str, Any]] = (),
    weights: Mapping[str, float] | None = None,
    indifference: float | None = None,
    stress: Stress | None = Stress(),  # noqa: B008  # a frozen value
    confidence: float = 0.95,
    budget: int = 3000,
    seed: int = 0,
    **options_and_knobs: Any,
) -> Recommendation:
    """Find the setting of a policy that meets an objective in every situation at the least price.

    Settings race under the same luck: the policy's defaults, the present setting, no policy
    at all, those of *start* and a spread of the whole space are played seed by seed, and
    dropped when they are surely behind; then the search goes on around the best. Finalists
    are certified under seeds that the search has not seen, and what is quoted comes from
    further seeds that were looked at once.

    Of settings that are surely as good as the best the simplest is chosen: the fewest
    policies, then the fewest changes of what you have. A setting that holds when things are
    a bit worse (*stress*) goes before one that does not, so that no one is put on a cliff.

    Args:
        policy: Makes a policy of its arguments: `policy(max_retries=2, limit=12)`.
        situations: Scenarios without their policy: one, a list, or a dict of name -> scenario.
        slo: What must hold in each of them, on average over runs.
        minimize: What should be small where it holds: "amplification", "unanswered" (share of
            all requests), another number of the summary, a `Cost`, or a function of a result.
        current: The setting that you have now, with the policy's defaults for the rest. None
            is those defaults.
        start: Further settings to start from.
        weights: Situation -> its share in the objective. None weighs all equally; a `Cost`
            weighs them by their time in a month.
        indifference: Difference of the objective that is nothing to you. None is 2 % of the
            best.
        stress: By how much things may be worse before the choice fails. None asks for nothing.
        confidence: With which the choice meets the SLO, from 0.5 to 1.
        budget: Runs after which nothing more is looked at, but for the verification.
        seed: The first seed.
        **options_and_knobs: horizon, record, run, warmup, n_jobs, client, cache and progress, as in
            `replicate`; and the arguments of *policy* to choose, each a list of choices, a
            pair (low, high), or a `Range`.

    Returns:
        A `Recommendation`: verdict, choice, policy, table, equals, binding, margins, report().
        An interrupt (Ctrl-C) returns the best so far, which its verdict says.

    Example:
        >>> import resilab as rl
        >>> day = rl.Scenario(rl.Poisson(20), rl.Service(50, 0.05, failure_rate=0.2), duration=30.0)
        >>> def policy(max_retries=0):
        ...     return rl.Retry(max_retries, initial_delay=0.01)
        >>> best = recommend(policy, day, SLO(within=1.0, answered=0.98), max_retries=[0, 1, 2, 3, 4], progress=False)
        >>> best.choice
        {'max_retries': 2}
    """
    options: Options = {name: options_and_knobs.pop(name) for name in _OPTIONS if name in options_and_knobs}  # type: ignore[assignment]
    function("policy", policy)
    instance("slo", slo, SLO)
    if ratio("confidence", confidence) < 0.5:
        raise ValueError(f"confidence must be from 0.5 to 1, got {confidence!r}")
    named = named_situations(situations)
    problem = Problem(
        policy,
        named,
        {} if stress is None else instance("stress", stress, Stress).of(named),
        slo,
        minimize,
        weights_of(named, weights, minimize),
    )
    space = Space(policy, options_and_knobs)
    present = space.default if current is None else space.setting(current)
    first = [present, Setting(None), space.default, *(space.setting(each) for each in sequence("start", start))]
    board = Board(problem, play_options(options), work_options(options))
    whole("budget", budget, minimum=1)
    return _decide(Race(board, space, whole("seed", seed), budget), present, first, indifference, confidence)


def named_situations(situations: Any) -> dict[str, Any]:
    """Return the situations by name; they are numbered where they have none."""
    if isinstance(situations, Mapping):
        found = dict(situations)
    elif isinstance(situations, Sequence):
        found = {f"situation {number}": each for number, each in enumerate(situations, 1)}
    else:
        found = {"the situation": situations}
    for each in found.values():
        if not hasattr(each, "policy") or not hasattr(each, "faults"):
            raise TypeError(f"situations must be scenarios that have a policy, got {each!r}")
    if not found:
        raise ValueError("situations must not be empty")
    return found


def _decide(
    race: Race, present: Setting, first: list[Setting], indifference: float | None, confidence: float
) -> Recommendation:
    """Search, certify and verify; say what is there when it is interrupted."""
    board = race.board
    try:
        board.doing = f"{len(first) + 32} settings start"
        ranked = race.search(first)
        finalists = list(dict.fromkeys([*race.best(ranked, FINALISTS), present, Setting(None)]))
        board.doing = f"certifying {len(finalists)} finalists; best so far: {ranked[0]}"
        certificate = certify(board, finalists, race.seed + APART, indifference, confidence, race.budget)
        choice = choose(race, certificate, ranked, present)
        board.doing = f"verifying {choice}"
        compared = list(dict.fromkeys([choice, present, Setting(None)]))
        seeds = range(race.seed + 2 * APART, race.seed + 2 * APART + VERIFICATION)
        board.fill(compared, board.problem.situations, seeds)
        return Recommendation(race, certificate, choice, present, compared, seeds, confidence, len(board.runs))
    except Interrupted:
        warn_user("interrupted; the recommendation is the best so far", InterruptedExperimentWarning)
        count = len(board.runs)
        known = list(dict.fromkeys(setting for setting, _, _ in board.runs))
        seeds = race.seeds(BLOCKS[0])
        whole_rows = [each for each in known if len(board.numbers(each, next(iter(board.problem.situations)), seeds))]
        choice = race.ranked(whole_rows, seeds)[0] if whole_rows else present
        return Recommendation(race, None, choice, present, [choice], seeds, confidence, count)


def choose(race: Race, certificate: Certificate, ranked: list[Setting], present: Setting) -> Setting:
    """Return the simplest of those that are as good as the best; the nearest if none meets the SLO."""
    robust = [each for each in certificate.meets if each in certificate.robust]
    good = [each for each in certificate.as_good if each in certificate.robust]
    if good:
        return min(good, key=lambda each: _complexity(race, each, present))  # of equal ones the best, which is first
    if robust:
        return robust[0]
    if certificate.as_good:
        return min(certificate.as_good, key=lambda each: _complexity(race, each, present))
    return next((each for each in ranked if each in certificate.unsure), ranked[0])


def _complexity(race: Race, setting: Setting, present: Setting) -> tuple[int, int]:
    """Return what makes a setting complicated: its policies, and its changes of what there is."""
    policy = race.board.problem.policy(setting)
    count = len(policy.flat()) if hasattr(policy, "flat") else 1
    if setting.arguments is None or present.arguments is None:
        changes = 0 if setting == present else 1
    else:
        changes = sum(value != present.get(name) for name, value in setting.arguments)
    return count, changes


_OPTIONS = ("horizon", "record", "run", "warmup", "n_jobs", "client", "cache", "progress")
