"""Recommendation: what a search has found, with what one needs to defend it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .certify import Certificate
from .margins import margins_of
from .race import Race
from .report import html_page, markdown_page
from .space import Setting
from .statistics import Interval, mean_interval

if TYPE_CHECKING:
    import pandas as pd

MEETS, EQUAL, ALL, NONE, OPEN, STOPPED = "meets", "equal", "all", "none", "open", "interrupted"


@dataclass(frozen=True, eq=False, repr=False)
class Recommendation:
    """What `recommend` has found.

    Attributes:
        race: The search, with all its runs.
        certificate: What is known of the finalists; None if the search was interrupted.
        chosen: The setting.
        present: The setting one has now.
        compared: What is compared in the table.
        seeds: The seeds of the verification.
        confidence: Of all that is claimed.
        runs: Runs that it took, without those of the margins.
    """

    race: Race
    certificate: Certificate | None
    chosen: Setting
    present: Setting
    compared: list[Setting]
    seeds: range
    confidence: float
    runs: int

    def __repr__(self) -> str:
        return f"Recommendation({self.chosen}: {self.verdict})"

    @property
    def choice(self) -> dict[str, Any] | None:
        """The arguments of the policy; None if no policy at all is best."""
        return None if self.chosen.arguments is None else dict(self.chosen.arguments)

    @property
    def policy(self) -> Any:
        """The policy of the choice."""
        return self.race.board.problem.policy(self.chosen)

    @property
    def equals(self) -> list[dict[str, Any] | None]:
        """The settings that also meet the SLO and cannot be told from the best; the choice is one of them."""
        if self.certificate is None:
            return []
        return [None if each.arguments is None else dict(each.arguments) for each in self.certificate.rivals]

    @property
    def status(self) -> str:
        """The kind of the verdict: "meets", "equal", "all", "none", "open" or "interrupted"."""
        found = self.certificate
        if found is None:
            return STOPPED
        if not found.meets:
            return OPEN if found.unsure else NONE
        if self._all_can():
            return ALL
        return EQUAL if len(found.rivals) > 1 else MEETS

    @property
    def is_robust(self) -> bool:
        """Whether the choice also holds when things are a bit worse."""
        return self.certificate is not None and self.chosen in self.certificate.robust

    @property
    def verdict(self) -> str:
        """What was found, in a sentence."""
        runs = 0 if self.certificate is None else len(self.certificate.seeds)
        name, part, margin = self._tightest()
        limit = f"{part} in {name} binds, by {margin:+.3g}"
        match self.status:
            case "interrupted":
                return f"interrupted: {self.chosen} is the best so far, and nothing of it is certified"
            case "none":
                return f"no setting can: {self.chosen} comes nearest, and {limit}"
            case "open":
                return f"not sure: {self.chosen} may meet the objective, which {runs} runs do not prove; {limit}"
            case "all":
                text = f"all can, no policy at all among them: {self.chosen} is as good as any"
            case "equal":
                others = len(self.equals) - 1
                text = f"{self.chosen} meets the objective; {others} other settings cannot be told from it"
            case _:
                text = f"{self.chosen} meets the objective, and no other finalist is as good"
        if self.race.board.problem.stressed and not self.is_robust:
            return f"{text}; but it stands on a cliff: a bit more load or a longer fault breaks the objective; {limit}"
        return f"{text}; {limit}"

    @property
    def binding(self) -> str:
        """The part of the SLO, and the situation, in which the choice has the least to spare."""
        name, part, _ = self._tightest()
        return f"{part} in {name}"

    def _tightest(self) -> tuple[str, str, float]:
        margins = self.race.board.margins(self.chosen, self.seeds)
        if not margins:
            return "no situation", "nothing", float("nan")
        name, part = min(margins, key=lambda key: margins[key].mean)
        return name, part, margins[name, part].mean

    def _all_can(self) -> bool:
        """Return whether no policy meets the SLO, and all that the search began with did, too."""
        found, board = self.certificate, self.race.board
        if found is None or Setting(None) not in found.meets or found.fails:
            return False
        seeds = self.race.seeds(3)
        return all(not board.violation(each, seeds) for each in {setting for setting, _, _ in board.runs})

    @cached_property
    def table(self) -> pd.DataFrame:
        """What the choice, the present setting and no policy do, from runs that nothing was chosen by.

        One row a setting and situation: setting, role, situation, then each part of the SLO
        with its limits, the objective and what is unanswered of all requests; `meets` says
        whether the means are on the right side.
        """
        import pandas as pd

        rows = []
        for setting in self.compared:
            for name in self.race.board.problem.situations:
                runs = self.race.board.numbers(setting, name, self.seeds)
                if not runs:
                    continue
                row: dict[str, Any] = {"setting": str(setting), "role": self._role(setting), "situation": name}
                for part in [*self.race.board.problem.slo.asks, "unanswered", "amplification", "objective"]:
                    found = self._interval([run[part] for run in runs])
                    row |= {part: found.mean, f"{part}_low": found.low, f"{part}_high": found.high}
                margins = self.race.board.margins(setting, self.seeds, [name])
                rows.append(row | {"meets": all(each.mean >= 0 for each in margins.values())})
        return pd.DataFrame(rows)

    @cached_property
    def finalists(self) -> pd.DataFrame:
        """The finalists under the seeds of the certification: setting, state, objective and its limits, robust.

        The best of many looks better here than it is: quote `table`.
        """
        import pandas as pd

        found, board = self.certificate, self.race.board
        if found is None:
            return pd.DataFrame(columns=["setting", "state", "objective", "objective_low", "objective_high", "robust"])
        settings = dict.fromkeys(setting for setting, _, seed in board.runs if seed in found.seeds)
        rows = []
        for setting in settings:
            state = "meets" if setting in found.meets else "fails" if setting in found.fails else "not sure"
            seeds = board.whole(setting, found.seeds)
            interval = self._interval(board.objective(setting, seeds))
            limits = {"objective_low": interval.low, "objective_high": interval.high}
            row = {"setting": str(setting), "state": state, "objective": interval.mean} | limits
            rows.append(row | {"missed": board.violation(setting, seeds), "robust": setting in found.robust})
        return pd.DataFrame(rows).sort_values(["missed", "objective"], ignore_index=True)

    @cached_property
    def margins(self) -> pd.DataFrame:
        """How far each number can move alone before the objective fails; see `margins_of`. Plays some more runs."""
        return margins_of(self.race, self.chosen, self.seeds)

    def report(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return one page for colleagues: question, data, candidates, choice, margins, and what is not known.

        Args:
            path: Where to write it: HTML if the name ends with .html or .htm, else Markdown.
                None writes nothing and returns Markdown.
        """
        is_html = path is not None and Path(path).suffix.lower() in (".html", ".htm")
        page = html_page(self) if is_html else markdown_page(self)
        if path is not None:
            Path(path).expanduser().write_text(page, encoding="utf-8")
        return page

    def _role(self, setting: Setting) -> str:
        roles = {"choice": self.chosen, "present": self.present, "no policy": Setting(None)}
        return ", ".join(role for role, each in roles.items() if each == setting)

    def _interval(self, values: Any) -> Interval:
        import numpy as np

        return mean_interval(np.asarray(values, dtype=float), self.confidence)
