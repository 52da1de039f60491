"""What the clock asks for: warnings, the digest, the nightly count. Cases + now -> plans.

Owns what is due at a moment. Must never keep a timer: every tick looks at the register anew, so a tick that was missed
loses nothing, and what was recorded as done is not done again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailbot.case import Case, State
from mailbot.casework import draft
from mailbot.client import ClientRecord, LetterState
from mailbot.deadlines import is_working_day
from mailbot.links import offered
from mailbot.plan import NotifyOwner, Plan, RecordEvent, SendLetter
from mailbot.record import Desk, written
from mailbot.warnings import BREACH_HOURS, Ladder, Step, due, terms_of

MONDAY = 0
NIGHT = 3  # the hour, when nobody writes and the clock does not change any more
UNSENT = {LetterState.HELD, LetterState.QUEUED}
Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Warned:
    """What is due about one case: the plan for the person's record, and the row by which the owner is told.

    `mark` names case, clock and step: no two notices hold the same one. `alone`: it shares its notice with no other.
    """

    mark: str
    plan: Plan
    tell: str
    row: Row
    pressing: int
    alone: bool


def warnings(record: ClientRecord, now: datetime, ladder: Ladder, desk: Desk) -> Iterator[Warned]:
    """Yield what is due about each case of this client: the letters to lay ready, and the trace of each step given."""
    for case in record.cases:
        steps = due(case, now, ladder)
        if steps:
            yield _about(record, case, steps, now, desk)


def _about(record: ClientRecord, case: Case, steps: list[Step], now: datetime, desk: Desk) -> Warned:
    first = steps[0]
    letters = [letter for step in steps if step.prepare for letter in _laid_ready(step.prepare, record, case)]
    traces = [
        RecordEvent(case.number, "warned", f"the owner is told: {step.name}", {"step": step.name, "clock": step.clock})
        for step in steps
    ]
    plan = Plan("a term runs out", (*letters, *traces), record.address)
    mark = f"warned {case.number} {first.clock} {first.name}"
    tell = first.tell or "notice_warning"
    after = written(record, plan, desk, now)
    actions = offered(desk.links, after, case, desk.occasion(tell, mark, now)) if desk.secret else []
    row = _row(record, case, first, now) | {"ready": [one.letter for one in letters], "actions": actions, "mark": mark}
    return Warned(mark, plan, tell, row, first.pressing, first.of == "breach")


def _laid_ready(letter: str, record: ClientRecord, case: Case) -> Iterator[SendLetter]:
    """The letter to the person that a step prepares: only where we wrote before, and once as long as it waits."""
    waits = any(one.letter == letter and one.case == case.number and one.state in UNSENT for one in record.letters)
    if case.acknowledged and case.state is not State.REVIEW and not waits:
        yield from (action for action in draft(letter, record, case) if isinstance(action, SendLetter))


def _row(record: ClientRecord, case: Case, step: Step, now: datetime) -> Row:
    dates = terms_of(case)
    passed = (now.date() - case.received.date()).days
    percent = share(step.hours, BREACH_HOURS - step.hours) if step.of == "breach" else share(passed, step.days_left)
    return {
        "number": case.number,
        "kinds": list(case.open_kinds),
        "address": shown(record.address),
        "of": step.of,
        "days_left": step.days_left,
        "hours": step.hours,
        "last": step.last,
        "percent": percent,
        "received": case.received.isoformat(),
        "promise": dates.promise.isoformat(),
        "legal_limit": dates.limit.isoformat(),
        "suspended_to": dates.suspended_to.isoformat() if dates.suspended_to else "",
        "suspended_since": dates.suspended_since.isoformat() if dates.suspended_since else "",
    }


def notices(found: Iterable[Warned]) -> Iterator[NotifyOwner]:
    """Yield the notices for what is due at one moment: one for all cases together, the most pressing first.

    A breach has a notice of its own, since its hours run; so has each sort of notice that rules/warnings.toml names.
    """
    groups: dict[tuple[str, str], list[Warned]] = {}
    for one in sorted(found, key=lambda one: (one.pressing, one.mark)):
        groups.setdefault((one.tell, one.mark if one.alone else ""), []).append(one)
    for (tell, _), group in groups.items():
        rows = [one.row for one in group]
        only = rows[0] if len(rows) == 1 else {}
        facts = {"cases": rows, "number": only.get("number", ""), "actions": only.get("actions", [])}
        yield NotifyOwner(tell, group[0].mark, facts, str(only["number"]) if only else None)


def marks(letters: Iterable[object]) -> Iterator[str]:
    """Yield what these letters to the owner have warned about."""
    for letter in letters:
        rows = getattr(letter, "facts", {}).get("cases")
        yield from (str(row["mark"]) for row in rows or () if "mark" in row)


def share(passed: int, left: int) -> int:
    """Return how much of a time is over, per cent; all of it when nothing is left."""
    return 100 if left <= 0 else max(0, min(100, round(100 * passed / (passed + left))))


def shown(address: str) -> str:
    """Return an address as the owner reads it; empty when it is nobody's."""
    return "" if address.endswith(".invalid") else address


def digest_due(now: datetime, at: datetime, sent: tuple[str, ...], *, something: bool) -> bool:
    """Tell whether the digest goes now: once a working day when there is something, and on Monday always.

    `at` is today's moment for it. A Monday that is a holiday still has its digest: it is the sign of life.
    """
    today = now.date()
    if now < at or today.isoformat() in sent:
        return False
    return today.weekday() == MONDAY or (something and is_working_day(today))


def a_night_passed(now: datetime, last: datetime) -> bool:
    """Tell whether the nightly count is due: after three at night on another day than the last one."""
    return now.hour >= NIGHT and last.astimezone(now.tzinfo).date() < now.date()


def old_enough(moment: datetime, now: datetime, days_kept: int) -> bool:
    """Tell whether something from `moment` may be dropped."""
    return now - moment > timedelta(days=days_kept)
