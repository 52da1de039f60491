"""What the owner did about a case, as plans: the same for his mail, his links and the command line.

Owns what each of his words needs (a reason, a date, an identity check) and which letter goes with it. Must never act
without his word, and never send personal data anywhere but to the address on file (promises 3, 4, 13).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from mailbot.case import Case
from mailbot.client import ClientRecord, LetterState, QueuedLetter
from mailbot.deadlines import terms
from mailbot.plan import Action, Facts, Plan, RecordEvent, SendLetter

DRAFT = "a draft: the owner sends it"


@dataclass(frozen=True, slots=True)
class Word:
    """One thing the owner says about a case, and with what."""

    action: str
    reason: str = ""
    kinds: tuple[str, ...] = ()
    outcome: str = "done"  # done | partly | founded | not_founded
    until: date | None = None
    letter: bool = True
    send: bool = False  # False: the letter is a draft that waits for his word


@dataclass(frozen=True, slots=True)
class No:
    """Why the word cannot be followed, and what to do instead."""

    reason: str


def follow(word: Word, record: ClientRecord, case: Case, now: datetime) -> Plan | No:
    """Return the plan for the owner's word, or why not. `now` is aware; no word is followed twice by itself."""
    step = STEPS.get(word.action)
    if step is None:
        return No(f"`{word.action}` is no word mailbot knows; it knows {', '.join(sorted(STEPS))}")
    outcome = step(word, case, now)
    if isinstance(outcome, No):
        return outcome
    return Plan(f"the owner's word: {word.action}", outcome, record.address)


Step = Callable[[Word, Case, datetime], tuple[Action, ...] | No]


def _answered(word: Word, case: Case, _now: datetime) -> tuple[Action, ...] | No:
    """Answered: per track, wholly or in part. What stays and why is the reason of a partly (GDPR 12(4))."""
    if word.outcome == "partly" and not word.reason:
        return No("a partial answer needs the reason: what stays, why and until when")
    if case.identity in {"asked", "received"}:
        return No("identity was asked and is not confirmed yet: first say `identity`, or withdraw that question")
    event = "partly_answered" if word.outcome == "partly" else "answered"
    facts = {"kinds": list(word.kinds or case.open_kinds), "outcome": word.outcome}
    event_action = RecordEvent(case.number, event, word.reason or "answered by the owner", facts)
    return (event_action, *_letters(f"outcome_{word.outcome}", word, case))


def _extended(word: Word, case: Case, now: datetime) -> tuple[Action, ...] | No:
    """Two further months, only with a reason and only when told within the first month (GDPR 12(3))."""
    if not word.reason:
        return No("an extension needs its reason: the person must be told why (GDPR 12(3))")
    dates = terms(case.received)
    if now.date() > dates.legal_limit:
        return No(f"the first month ended on {dates.legal_limit}: an extension had to be told before that")
    if case.extended_to is not None:
        return No("it was extended before: the law knows one extension")
    # The extension exists when its letter is sent: the event follows from the letter (record.EVENTS_OF_LETTERS).
    return _letters(
        "extended",
        Word(**{**_plain(word), "letter": True}),
        case,
        until=terms(case.received, extended=True).extended_to,
    )


def _plain(word: Word) -> Mapping[str, object]:
    return {name: getattr(word, name) for name in Word.__dataclass_fields__}


STEPS: Mapping[str, Step] = {"answered": _answered, "extend": _extended}
