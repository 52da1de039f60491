"""What the clock asks for: warnings, the digest, the nightly count. Cases + now -> plans.

Owns what is due at a moment. Must never keep a timer: every tick looks at the register anew, so a tick that was missed
loses nothing, and what was recorded as done is not done again.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from mailbot.case import Case, State
from mailbot.casework import draft
from mailbot.client import ClientRecord, LetterState
from mailbot.deadlines import is_working_day
from mailbot.plan import Action, NotifyOwner, Plan, RecordEvent, SendLetter
from mailbot.warnings import Ladder, Step, due, terms_of

MONDAY = 0
NIGHT = 3  # the hour, when nobody writes and the clock does not change any more
UNSENT = {LetterState.HELD, LetterState.QUEUED}
DUTCH_STEP = {
    "promise": "de belofte",
    "statement": "de 30 dagen uit de privacyverklaring",
    "limit": "de wettelijke termijn",
    "extended": "de verlengde termijn",
    "suspended": "de opgeschorte termijn",
    "breach": "",
}


def warnings(record: ClientRecord, now: datetime, ladder: Ladder) -> Plan | None:
    """Return the plan that warns the owner about this client's cases, or None when nothing is due."""
    actions = [action for case in record.cases for action in _about(record, case, due(case, now, ladder))]
    return Plan("a term runs out", tuple(actions), record.address) if actions else None


def _about(record: ClientRecord, case: Case, steps: list[Step]) -> Iterator[Action]:
    """What these steps ask for: the letters to lay ready, one notice, and the trace that each was given."""
    if not steps:
        return
    letters = [letter for step in steps if step.prepare for letter in _laid_ready(step.prepare, record, case)]
    yield from letters
    yield _warning(record, case, steps[0], [letter.letter for letter in letters])
    for step in steps:
        yield RecordEvent(case.number, "warned", in_words(step), {"step": step.name, "clock": step.clock})


def _laid_ready(letter: str, record: ClientRecord, case: Case) -> Iterator[SendLetter]:
    """The letter to the person that a step prepares: only where we wrote before, and once as long as it waits."""
    waits = any(one.letter == letter and one.case == case.number and one.state in UNSENT for one in record.letters)
    if case.acknowledged and case.state is not State.REVIEW and not waits:
        yield from (action for action in draft(letter, record, case) if isinstance(action, SendLetter))


def _warning(record: ClientRecord, case: Case, step: Step, letters: list[str]) -> NotifyOwner:
    dates = terms_of(case)
    facts = {
        "number": case.number,
        "kinds": list(case.open_kinds),
        "address": shown(record.address),
        "step": in_words(step),
        "percent": share(case, step.days_left),
        "received": case.received.isoformat(),
        "promise": dates.promise.isoformat(),
        "legal_limit": dates.limit.isoformat(),
        "suspended_to": dates.suspended_to.isoformat() if dates.suspended_to else "",
        "suspended_since": dates.suspended_since.isoformat() if dates.suspended_since else "",
        "ready": letters,
    }
    notice = step.tell or "notice_warning"
    return NotifyOwner(notice, f"warned {case.number} {step.clock} {step.name}", facts, case.number)


def in_words(step: Step) -> str:
    """Return the step as the owner reads it."""
    what = DUTCH_STEP[step.of]
    if step.of == "breach":
        return f"{step.name.split('-')[1].removesuffix('h')} van de 72 uur voor een datalek zijn om"
    if step.days_left < 0:
        return f"{'de beloofde datum' if step.of == 'promise' else what} is {days(-step.days_left)} voorbij"
    if step.days_left == 0:
        return f"vandaag is de laatste dag van {what}"
    last = ", vandaag is de laatste werkdag" if step.name.startswith(f"{step.of}-0") else ""
    return f"nog {days(step.days_left)} tot {what}{last}"


def days(number: int) -> str:
    """Return a number of days in Dutch."""
    return "1 dag" if number == 1 else f"{number} dagen"


def share(case: Case, left: int) -> int:
    """Return how much of the term is over, per cent."""
    whole = max((terms_of(case).promise - case.received.date()).days, 1)
    return max(0, min(100, round(100 * (whole - left) / whole)))


def shown(address: str) -> str:
    """Return an address as the owner reads it; nobody's is said to be unknown."""
    return "onbekende afzender" if address.endswith(".invalid") else address


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
