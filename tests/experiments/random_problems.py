"""Small random problems for `recommend`, with the truth by formula: how often is it wrong, and what does it lose?

python -m tests.experiments.random_problems 200
"""

from __future__ import annotations

import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np

import resilab as rl
from resilab.experiments import SLO, recommend

REQUESTS = 4000
DAY = rl.Scenario(rl.Steady(1.0), rl.Service(1, 0.1), duration=10.0)
GRID = [(a, b) for a in range(5) for b in range(1, 25)]


class Problem:
    """A share answered and an amplification for each number of retries and limit, and luck that is shared in part."""

    def __init__(self, seed: int) -> None:
        draw = np.random.default_rng(seed).random
        help_of_a, best_b, width = 0.3 + 1.5 * draw(), 1 + 23 * draw(), 4 + 16 * draw()
        price_of_a, price_of_b = 0.05 + 0.3 * draw(), 0.02 * draw()
        base = 0.5 + 1.5 * draw()
        self.answered, self.price = {}, {}
        for a, b in GRID:
            self.answered[a, b] = 1 - np.exp(-(base + help_of_a * a) * np.exp(-(((b - best_b) / width) ** 2)))
            self.price[a, b] = 1 + price_of_a * a + price_of_b * b
        self.noise = 0.01 * draw()
        luck = np.random.default_rng(0).standard_normal(20_000) * np.hypot(1.0, 0.3) * self.noise
        self.shown = {key: float(np.clip(share + luck, 0, 1).mean()) for key, share in self.answered.items()}
        self.target = float(np.quantile(list(self.shown.values()), draw()))

    def run(self, scenario, seed):
        """Play a run: its share of answered requests is drawn, its price is exact but for a little noise."""
        retry, bulkhead = scenario.policy.flat() if scenario.policy.flat() else (None, None)
        a, b = (0, 1) if retry is None else (retry.max_retries, bulkhead.max_concurrent)
        shared, own = np.random.default_rng(seed), np.random.default_rng((seed, a, b))
        share = self.answered[a, b] + self.noise * (shared.standard_normal() + 0.3 * own.standard_normal())
        good = own.random(REQUESTS) < min(1.0, max(0.0, share))
        sends = 1 + (own.random(REQUESTS) < self.price[a, b] - 1)
        columns = {"arrival": np.zeros(REQUESTS), "outcome": np.where(good, 0, 4), "attempts": sends}
        return SimpleNamespace(scenario=scenario, columns=columns, latency=np.full(REQUESTS, 0.1))

    def recommend(self):
        def policy(retries=0, limit=1):
            return rl.ResiliencePolicy(rl.Retry(retries), rl.Bulkhead(limit))

        slo = SLO(within=1.0, answered=self.target)
        return recommend(
            policy, DAY, slo, retries=[0, 1, 2, 3, 4], limit=(1, 24), indifference=0.03, stress=None, run=self.run,
            n_jobs=1, progress=False,
        )  # fmt: skip

    def judge(self):
        """Return the status, whether it is wrong, what it loses against the best, and the runs it took."""
        found = self.recommend()
        feasible = [key for key in GRID if self.shown[key] >= self.target]
        key = (0, 1) if found.choice is None else (found.choice["retries"], found.choice["limit"])
        claims = found.status in ("meets", "equal", "all")
        is_wrong = (claims and self.shown[key] < self.target - 1e-12) or (found.status == "none" and bool(feasible))
        loss = self.price[key] - min(self.price[each] for each in feasible) if claims and feasible else 0.0
        return found.status, is_wrong, loss, found.runs


if __name__ == "__main__":
    judged = [Problem(seed).judge() for seed in range(int(sys.argv[1]))]
    losses = [loss for status, _, loss, _ in judged if status in ("meets", "equal", "all")]
    print(Counter(status for status, *_ in judged))
    print("wrong", sum(each[1] for each in judged), "of", len(judged))
    print("within the indifference", np.mean(np.array(losses) <= 0.03), "worst", max(losses))
    print("runs", np.mean([each[3] for each in judged]), "grid", len(GRID))
