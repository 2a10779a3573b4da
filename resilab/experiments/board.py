"""Board: the runs of candidate settings in several situations, and what they say so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..resilience.policy import ResiliencePolicy
from .jobs import Job, Numbers, Outcome
from .measures import Measures
from .options import PlayOptions, WorkOptions
from .runs import Workers
from .slo import SLO, Cost, Objective, Score
from .space import Setting
from .statistics import Interval, mean_interval


class Interrupted(Exception):
    """The user has interrupted the runs of a board; those that are finished are on it."""


@dataclass(frozen=True)
class Problem:
    """What is asked: which policy, in which situations, for which objective.

    Attributes:
        build: Makes the policy of a setting.
        situations: Name -> scenario without its policy.
        stressed: The same, a bit worse; what should hold there, too.
        slo: What must be reached in each situation.
        minimize: What should be small.
        weights: Share of each situation in the objective; they add up to 1.
    """

    build: Callable[..., Any]
    situations: Mapping[str, Any]
    stressed: Mapping[str, Any]
    slo: SLO
    minimize: Objective
    weights: Mapping[str, float]

    def policy(self, setting: Setting) -> Any:
        """Return the policy of a setting; raises what its build raises."""
        if setting.arguments is None:
            return ResiliencePolicy()
        return self.build(**dict(setting.arguments))

    @property
    def everything(self) -> dict[str, Any]:
        """All situations, those under stress after the others."""
        return {**self.situations, **self.stressed}


def weights_of(
    situations: Mapping[str, Any], weights: Mapping[str, float] | None, minimize: Objective
) -> dict[str, float]:
    """Return the share of each situation: as given, as its time in a month of a `Cost`, or equal."""
    if weights is not None:
        found = {name: float(weights.get(name, 0.0)) for name in situations}
    elif isinstance(minimize, Cost):
        calm = sum(not each.faults for each in situations.values())
        found = {name: minimize.weight(each, calm) for name, each in situations.items()}
    else:
        found = dict.fromkeys(situations, 1.0)
    total = sum(found.values())
    if not total > 0:
        raise ValueError(f"weights must name situations, {', '.join(situations)}, with a sum above 0, got {weights!r}")
    return {name: each / total for name, each in found.items()}


@dataclass
class Board:
    """All runs so far, by setting, situation and seed.

    What is asked of it depends on the finished runs alone, and these on their setting,
    situation and seed: it is the same on any number of workers.
    """

    problem: Problem
    play: PlayOptions
    work: WorkOptions
    runs: dict[tuple[Setting, str, int], Outcome] = field(default_factory=dict)
    errors: dict[Setting, BaseException] = field(default_factory=dict)
    doing: str = ""

    def fill(self, settings: Iterable[Setting], names: Iterable[str], seeds: Sequence[int]) -> None:
        """Play what is missing of these settings in these situations under these seeds.

        Raises:
            Interrupted: By Ctrl-C. What has ended is kept.
        """
        wanted = Measures((), (("", Score(self.problem.slo, self.problem.minimize)),))
        names = list(names)
        keys, jobs = [], []
        for setting in dict.fromkeys(settings):
            scenarios = self._scenarios(setting, names)
            for name, scenario in scenarios.items():
                for seed in seeds:
                    if (setting, name, seed) not in self.runs:
                        keys.append((setting, name, seed))
                        label = f"the setting {setting} in {name}"
                        play: PlayOptions = {**self.play, "record": bool(self.play.get("record"))}
                        jobs.append(Job(scenario, seed, wanted, **play, label=label))
        results = Workers(**self.work, keeps_errors=True, title=self.doing).run(jobs)
        for key, result in zip(keys, results, strict=True):
            if result is not None:
                self.runs[key] = result
            if isinstance(result, BaseException):
                self.errors.setdefault(key[0], result)
        if None in results:
            raise Interrupted

    def _scenarios(self, setting: Setting, names: list[str]) -> dict[str, Any]:
        if setting in self.errors:
            return {}
        everything = self.problem.everything
        try:
            policy = self.problem.policy(setting)
            return {name: everything[name].replace(policy=policy) for name in names}
        except Exception as error:
            self.errors[setting] = error
            return {}

    def numbers(self, setting: Setting, name: str, seeds: Sequence[int]) -> list[Numbers]:
        """Return the numbers of a setting in a situation, run by run, as far as they are there."""
        found = [self.runs.get((setting, name, seed)) for seed in seeds]
        return [each for each in found if isinstance(each, dict)]

    def whole(self, setting: Setting, seeds: Iterable[int]) -> list[int]:
        """Return the seeds under which a setting was played in all situations."""
        runs, names = self.runs, self.problem.situations
        return [seed for seed in seeds if all(isinstance(runs.get((setting, name, seed)), dict) for name in names)]

    def objective(self, setting: Setting, seeds: Sequence[int]) -> np.ndarray:
        """Return the objective of each seed: the weighted mean over the situations."""
        weights = self.problem.weights
        rows = [[run["objective"] for run in self.numbers(setting, name, seeds)] for name in weights]
        if any(len(row) != len(seeds) for row in rows):
            return np.full(len(seeds), math.inf)
        weighted: np.ndarray = np.array(list(weights.values())) @ np.array(rows)
        return weighted

    def margins(
        self, setting: Setting, seeds: Sequence[int], names: Iterable[str] | None = None, confidence: float = 0.95
    ) -> dict[tuple[str, str], Interval]:
        """Return how far a setting is on the right side of each part of the SLO in each situation."""
        found = {}
        for name in self.problem.situations if names is None else names:
            runs = [self.problem.slo.margins(run) for run in self.numbers(setting, name, seeds)]
            for part in self.problem.slo.asks:
                interval = mean_interval(np.array([run[part] for run in runs]), confidence)
                if interval.count:
                    found[name, part] = interval
        return found

    def violation(
        self, setting: Setting, seeds: Sequence[int], names: Iterable[str] | None = None, hope: float = 0.0
    ) -> float:
        """Return by how much a setting misses the SLO on average, summed over its parts; 0 if by nothing.

        With *hope* each mean is taken that many of its standard errors better than it is.
        """
        if setting in self.errors:
            return math.inf
        margins = self.margins(setting, seeds, names)
        if not margins:
            return math.inf
        errors = [
            hope * each.deviation / math.sqrt(each.count) if hope and each.count > 1 else 0.0
            for each in margins.values()
        ]
        return sum(max(0.0, -each.mean - error) for each, error in zip(margins.values(), errors, strict=True))

    def with_title(self, doing: str) -> Board:
        """Return a board of the same runs that says what it is doing."""
        return replace(self, doing=doing)
