"""The ladder: which warning about a case is due, if any.

Owns when the owner must be told that a term runs out, and when a letter to the person is laid ready. Must never look at
the clock or keep a timer: what is due follows from the case's own events and the present.

Each (step, event that started the clock) is given once, whatever the clock does. After standing still only the most
pressing step of a rung is given. A step is overtaken by a more pressing one only when that was given in the past: what
a clock that ran ahead gave too early swallows nothing once it is put right.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta

import msgspec

from mailbot.case import Case
from mailbot.deadlines import Terms, is_working_day, terms, working_days_between

BREACH_HOURS = 72  # GDPR 33(1)
BREACH_STALE = 24 * 14  # hours: after two weeks the days of the case say enough
MOST_PRESSING = -1_000_000  # hours go before days
LATE = -1  # past the last step before a date
DATES = ("promise", "statement", "limit", "extended", "suspended", "breach")


@dataclass(frozen=True, slots=True)
class Rung:
    """One `[[step]]` of rules/warnings.toml; its comments say what the keys mean."""

    of: str
    working_days_before: tuple[int, ...] = ()
    hours_after: tuple[int, ...] = ()
    each_working_day_after: bool = False
    tell: str = ""
    prepare: str = ""

    def wrong(self) -> str:
        """Return what is wrong with it, or nothing."""
        hours = self.of == "breach"
        checks = (
            (self.of not in DATES, f"of = {self.of!r}: choose from {', '.join(DATES)}"),
            (bool(self.tell) == bool(self.prepare), "say either `tell` (a notice) or `prepare` (a letter)"),
            (hours and not self.hours_after, "a breach needs `hours_after`"),
            (not hours and bool(self.hours_after), "only a breach counts in hours"),
            (min((*self.working_days_before, *self.hours_after, 0)) < 0, "a step cannot be negative"),
        )
        return next((f"[[step]] of {self.of}: {why}" for wrong, why in checks if wrong), "")


@dataclass(frozen=True, slots=True)
class Ladder:
    """The steps of rules/warnings.toml."""

    rungs: tuple[Rung, ...]

    @classmethod
    def parse(cls, text: str) -> "Ladder":
        """Return the ladder; KeyError, TypeError or ValueError says what is wrong."""
        rows = tomllib.loads(text)["step"]
        known = {item.name for item in fields(Rung)}
        problems = [f"[[step]]: `{key}` is no key of a step" for row in rows for key in row if key not in known]
        rungs = msgspec.convert(rows, tuple[Rung, ...])
        problems += [why for rung in rungs if (why := rung.wrong())]
        if problems:
            raise ValueError("; ".join(problems))
        return cls(rungs)

    @property
    def templates(self) -> frozenset[str]:
        """The notices and letters it names, which must exist."""
        return frozenset(rung.tell or rung.prepare for rung in self.rungs)


@dataclass(frozen=True, slots=True)
class Step:
    """One warning: which, for the clock that started when, about which date, and how pressing (lower is more)."""

    name: str
    clock: str
    of: str
    days_left: int
    pressing: int
    tell: str = ""
    prepare: str = ""
    hours: int = 0  # since a breach was reported
    last: bool = False  # this is the last working day on which the date can be kept


def terms_of(case: Case) -> Terms:
    """Return the case's dates as they stand now; recomputed at each look, so a new holiday list counts at once."""
    waits = case.waits
    waited = sum((end.date() - start.date()).days for start, end in waits if end is not None)
    since = waits[-1][0].date() if waits and waits[-1][1] is None else None
    return terms(case.received, extended=case.extended, waited=waited, waiting_since=since)


def due(case: Case, now: datetime, ladder: Ladder) -> list[Step]:
    """Return the steps that are due and were not given, the most pressing first: one a rung at the most.

    The owner is told the first; all of them then count as given. `now` is aware, in the zone the terms are told in.
    """
    if not case.is_open:
        return []
    dates = _dates(case)
    steps = [
        step for rung in ladder.rungs for step in _of_rung(case, now, rung, dates) if _fresh(case, now, rung, step)
    ]
    return sorted(steps, key=lambda step: step.pressing)


def _dates(case: Case) -> dict[str, tuple[date, str]]:
    """The dates that count now, each with the event that started its clock. An extension replaces the three."""
    found, received = terms_of(case), f"received {case.received.isoformat()}"
    resumed = [end for _, end in case.waits if end is not None]
    dates: dict[str, tuple[date, str]] = {}
    if found.suspended_to and resumed:
        dates["suspended"] = (found.suspended_to, f"resumed {resumed[-1].isoformat()}")
    if found.extended_to and case.extended_at:
        return {**dates, "extended": (found.extended_to, f"extended {case.extended_at.isoformat()}")}
    three = {"promise": found.promise, "statement": found.statement_term, "limit": found.legal_limit}
    return {**dates, **{name: (day, received) for name, day in three.items()}}


def _of_rung(case: Case, now: datetime, rung: Rung, dates: dict[str, tuple[date, str]]) -> Iterator[Step]:
    """Yield the most pressing step of the rung that has been reached, if any."""
    if rung.of == "breach":
        yield from _breach(case, now, rung)
    elif rung.of in dates:
        day, clock = dates[rung.of]
        left = (day - now.date()).days
        if left < 0 and rung.each_working_day_after:
            # At the weekend only what standing still left unsaid: the last step before the date.
            last = str(min(rung.working_days_before, default=""))
            reached = f"late-{now.date().isoformat()}" if is_working_day(now.date()) else last
        else:
            reached = _reached(now.date(), day, rung.working_days_before)
        if reached:
            name = _name(rung, reached)
            yield Step(name, clock, rung.of, left, left, rung.tell, rung.prepare, last=reached == "0")


def _reached(today: date, day: date, steps: tuple[int, ...]) -> str:
    """Return the lowest step that has been reached, as text; empty when the first is still ahead."""
    if (day - today).days > 3 * max(steps, default=0) + 14:
        return ""  # far off: no need to count
    left = working_days_between(today, day)
    return str(min((step for step in steps if left <= step), default=""))


def _breach(case: Case, now: datetime, rung: Rung) -> Iterator[Step]:
    """The breach clock runs in real hours, also when the clocks change, and does not roll to a working day."""
    if "breach_report" not in case.open_kinds:
        return
    passed = (now.astimezone(UTC) - case.received.astimezone(UTC)) / timedelta(hours=1)
    reached = max((hours for hours in rung.hours_after if passed >= hours), default=None)
    if reached is not None and passed < BREACH_STALE:
        clock = f"received {case.received.isoformat()}"
        yield Step(_name(rung, f"{reached}h"), clock, rung.of, 0, MOST_PRESSING, rung.tell, rung.prepare, reached)


def _name(rung: Rung, reached: str) -> str:
    return f"{rung.of}-{reached}" + (f"-{rung.prepare}" if rung.prepare else "")


def _fresh(case: Case, now: datetime, rung: Rung, step: Step) -> bool:
    """Tell whether the step was not given, nor a more pressing one of its rung in what is the past now."""
    if case.warned(step.name, step.clock):
        return False
    rank = _rank(rung, step.name)
    given = [
        _rank(rung, str(event.facts.get("step")))
        for event in case.events
        if event.event == "warned" and event.facts.get("clock") == step.clock and event.at <= now
    ]
    return step.name.startswith(f"{rung.of}-late-") or not any(other < rank for other in given)


def _rank(rung: Rung, name: str) -> int:
    """How pressing a step of this rung is by its name (lower is more); a step of another rung is never pressing."""
    match = re.fullmatch(rf"{rung.of}-(?:(\d+)(h?)|late-[\d-]+){'-' + rung.prepare if rung.prepare else ''}", name)
    if match is None:
        return sys.maxsize
    number = int(match[1]) if match[1] else LATE
    return -number if match[2] else number
