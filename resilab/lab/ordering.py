"""What the runs of orders share: arrivals, open requests, columns, crashes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import simpy

from ..engine import Request, Steps, interrupt, schedule_at, start
from ..errors import NEVER_HANDLED, ResilienceError, UnfinishedRunError
from ..events import EventLog
from .records import FAILURE, OPEN, OUTCOMES, AttemptColumns, Causes, RequestColumns, merge
from .run import cause_of
from .service import LiveService, Service

CODES = {word: code for code, word in enumerate(OUTCOMES)}


class OrderRun:
    """One run in which every request is an order that an actor works on.

    A subclass says in `handle` what is done with a request; the outcome is that of the
    error it raises, or a success. `all_ended` happens when all have arrived and ended.
    """

    def __init__(self, scenario: Any, seed: int, record: bool, services: Iterable[Service] = ()) -> None:
        self.scenario = scenario
        self.seed = seed
        self.env = simpy.Environment()
        self.causes = Causes()
        self.log = EventLog() if record else None
        self.attempts: dict[str, AttemptColumns] = {}
        self.services: dict[str, LiveService] = {}
        for service in services:
            if record:
                self.attempts[service.name] = AttemptColumns()
            self.services[service.name] = service.bind(
                self.env, seed=seed, attempts=self.attempts.get(service.name), causes=self.causes
            )
        self.arrivals = scenario.workload.arrivals(scenario.duration, seed)
        self.columns = RequestColumns(len(self.arrivals))
        self.open: dict[int, Any] = {}
        self.is_over = False
        self._has_arrived = False
        self.all_ended = self.env.event()

    def handle(self, request: Request) -> Steps:
        """Do what a request asks for, to its end."""
        raise NotImplementedError

    def run(self, horizon: float | None) -> dict[str, Any]:
        """Let all requests arrive and end, and return the fields that every result has."""
        self.columns.arrays["arrival"][: len(self.arrivals)] = self.arrivals
        arriving = start(self.env, self._arrive())
        self.env.run(horizon)
        if horizon is None and (self.open or arriving.is_alive):
            raise UnfinishedRunError(
                f"{len(self.open)} of {len(self.arrivals)} requests are still open at {self.env.now:.6g} s and"
                " nothing can end them. Give simulate a horizon, each step a timeout, or the fault an end."
            )
        count = len(self.arrivals) if horizon is None else int(np.searchsorted(self.arrivals, self.env.now, "right"))
        self._stop()
        return {
            "scenario": self.scenario,
            "seed": self.seed,
            "horizon": horizon,
            "columns": {name: values[:count].copy() for name, values in self.columns.arrays.items()},
            "causes": tuple(self.causes.words),
            "services": tuple(self.attempts) or tuple(self.services),
            "attempt_rows": merge(list(self.attempts.values())) if self.attempts else None,
            "event_rows": None if self.log is None else tuple(self.log.rows),
        }

    def _arrive(self) -> Steps:
        env = self.env
        for number, time in enumerate(self.arrivals.tolist()):
            if time > env.now:
                yield at(env, time)
            request = Request(number, number)
            self.open[number] = start(env, self._serve(request), request)
            if not self.open[number].is_alive:
                del self.open[number]
        self._has_arrived = True
        self._check_end()

    def _serve(self, request: Request) -> Steps:
        number = request.id
        columns = self.columns
        try:
            yield from self.handle(request)
        except NEVER_HANDLED:
            if self.is_over:
                return
            raise
        except Exception as error:
            outcome = CODES[error.outcome] if isinstance(error, ResilienceError) else FAILURE
            columns.outcome[number] = outcome
            columns.cause[number] = self.causes.code(cause_of(error))
        columns.end[number] = self.env.now
        columns.attempts[number] = request.sends
        self.open.pop(number, None)
        self._check_end()

    def _check_end(self) -> None:
        if self._has_arrived and not self.open and not self.all_ended.triggered:
            self.all_ended.succeed()

    def _stop(self) -> None:
        """Stop what is open at the horizon; its rows say so."""
        self.is_over = True
        for service in self.services.values():
            service.has_closed = True
        for number, process in list(self.open.items()):
            self.columns.outcome[number] = OPEN
            self.columns.attempts[number] = process.request.sends
            if not interrupt(process, "horizon"):
                self.env.step()


def at(env: simpy.Environment, time: float) -> simpy.Event:
    """Return an event that happens at exactly *time*, which is not in the past."""
    event = env.event()
    event._ok, event._value = True, None
    schedule_at(env, event, time)
    return event
