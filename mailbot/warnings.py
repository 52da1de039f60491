"""The ladder: which warning about a case is due, if any.

Owns when the owner must be told that a term runs out. Must never look at the clock or keep a timer: what is due follows
from the case's own events and the present, so standing still loses nothing and a clock that jumps repeats nothing.

Each (step, clock that started) is given once; after standing still only the most pressing step is given, and the
milder ones it overtook count as given.
"""

import tomllib
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from mailbot.case import Case
from mailbot.deadlines import Terms, is_working_day, terms

BREACH_STALE = 24 * 14  # hours: after two weeks the days of the case say enough


@dataclass(frozen=True, slots=True)
class Ladder:
    """The steps of rules/warnings.toml, in days before each date and hours after a breach report."""

    promise: tuple[int, ...]
    after: bool
    limit: tuple[int, ...]
    breach: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> "Ladder":
        """Return the ladder; KeyError, TypeError or ValueError says what is wrong."""
        table = tomllib.loads(text)
        return cls(
            promise=_steps(table["promise"]["days"]),
            after=bool(table["promise"].get("every_working_day_after", True)),
            limit=_steps(table["limit"]["days"]),
            breach=tuple(sorted(_steps(table["breach"]["hours"]))),
        )


def _steps(values: object) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(isinstance(one, int) and one >= 0 for one in values):
        raise ValueError("days and hours must be lists of whole numbers")
    return tuple(sorted(values, reverse=True))


@dataclass(frozen=True, slots=True)
class Step:
    """One warning: which, for which clock, and how pressing (lower is more)."""

    name: str
    clock: str
    days_left: int
    pressing: int


def terms_of(case: Case) -> Terms:
    """Return the case's dates as they stand now; recomputed at each look, so a new holiday list counts at once."""
    return terms(case.received, extended=case.extended)


def due(case: Case, now: datetime, ladder: Ladder) -> list[Step]:
    """Return the steps that are due and were not given, the most pressing first: one a clock at the most.

    The owner is told the first; all of them then count as given. `now` is aware, in the case's zone.
    """
    if not case.is_open:
        return []
    reached = [_promise(case, now.date(), ladder), _limit(case, now.date(), ladder), _breach(case, now, ladder)]
    steps = [step for step in reached if step is not None and not case.warned(step.name, step.clock)]
    return sorted(steps, key=lambda step: step.pressing)


def _promise(case: Case, today: date, ladder: Ladder) -> Step | None:
    """The step before the promise, or the working day after it. Once it was extended, only the new limit counts."""
    if case.extended:
        return None
    left = (terms_of(case).promise - today).days
    clock = f"received {case.received.date().isoformat()}"
    if left < 0 and ladder.after and is_working_day(today):
        return Step(f"late-{today.isoformat()}", clock, left, left)
    step = _reached(left, ladder.promise)
    if step is None or _overtaken(case, "promise", clock, step, ladder.promise):
        return None
    return Step(f"promise-{step}", clock, left, left)


def _limit(case: Case, today: date, ladder: Ladder) -> Step | None:
    left = (terms_of(case).limit - today).days
    name = "extended" if case.extended else "limit"
    clock = f"received {case.received.date().isoformat()}"
    if left < 0 and case.extended and ladder.after and is_working_day(today):
        return Step(f"late-{today.isoformat()}", clock, left, left)
    step = _reached(left, ladder.limit)
    if step is None or _overtaken(case, name, clock, step, ladder.limit):
        return None
    return Step(f"{name}-{step}", clock, left, left)


def _reached(left: int, steps: tuple[int, ...]) -> int | None:
    """Return the lowest step that has been reached with so many days left, None when the first is still ahead."""
    reached = [step for step in steps if left <= step]
    return min(reached) if reached else None


def _overtaken(case: Case, name: str, clock: str, step: int, steps: tuple[int, ...]) -> bool:
    """Tell whether a more pressing step was given already: a clock that jumps back does not start again."""
    return any(case.warned(f"{name}-{lower}", clock) for lower in steps if lower < step)


def _breach(case: Case, now: datetime, ladder: Ladder) -> Step | None:
    """The breach clock runs in hours and does not roll to a working day."""
    if "breach_report" not in case.open_kinds:
        return None
    passed = (now - case.received) / timedelta(hours=1)
    reached = [hours for hours in ladder.breach if passed >= hours]
    if not reached or passed >= BREACH_STALE:
        return None
    return Step(f"breach-{max(reached)}h", f"received {case.received.isoformat()}", 0, -1)
