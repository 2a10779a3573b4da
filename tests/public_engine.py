"""The engine by SimPy's public API alone: an oracle, slower and with identical results."""

from __future__ import annotations

import math
import sys
from typing import Any

import simpy
from simpy.events import NORMAL, Event, Process

from resilab import engine


def start(env, generator, request=None, caller=None, on_end=None) -> Process:
    """Run a generator as a plain process of SimPy."""
    process: Any = Process(env, generator if on_end is None else _then(generator, request, on_end))
    process.request = request
    process.caller = caller
    process.abandoned_at = -1.0
    return process


def _then(generator, request, on_end):
    try:
        value = yield from generator
    except Exception as error:
        if not on_end(request, False, error):
            raise
    else:
        on_end(request, True, value)
        return value


def schedule_at(env: simpy.Environment, event: Any, when: float, priority: Any = NORMAL) -> None:
    """Schedule *event* for exactly the time *when*, by the delay that leads there."""
    now = env.now
    delay = when - now
    for exact in (delay, math.nextafter(delay, math.inf), math.nextafter(delay, -math.inf)):
        if now + exact == when:
            env.schedule(event, priority, exact)
            return
    # Both neighbours miss by rounding. From more than half way there, the difference of two times is exact.
    stop = env.timeout(0.75 * when - now)
    stop.callbacks.append(lambda _: schedule_at(env, event, when, priority))


def at(env, when, act=None, priority=NORMAL) -> Event:
    """Return an event that happens at exactly *when*."""
    event = Event(env)
    if act is not None:
        event.callbacks.append(act)
    event._ok, event._value = True, None
    schedule_at(env, event, when, priority)
    return event


def install() -> None:
    """Let every module of the package use this engine, in this process and from now on."""
    replaced = {name: getattr(engine, name) for name in ("start", "schedule_at", "at")}
    for module in [module for name, module in sys.modules.items() if name.startswith("resilab")]:
        for name, private in replaced.items():
            if getattr(module, name, None) is private:
                setattr(module, name, globals()[name])
