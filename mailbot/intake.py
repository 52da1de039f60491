"""A request that came by phone, post or counter: what is recorded, and which letter goes.

Owns that decision, as a plan. Must never treat such a request otherwise than one by mail: its term starts when it came,
what is asked again joins its case, and the letter respects the owner's hold, the caps and the identity policy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mailbot.answerable import Sent, address_refusal, why_held
from mailbot.case import Case
from mailbot.client import ClientRecord
from mailbot.deadlines import Terms, terms
from mailbot.decide import NOBODY, identity_asked
from mailbot.plan import Action, OpenCase, Plan, RecordEvent, SendLetter
from mailbot.policy import Policy


@dataclass(frozen=True, slots=True)
class Told:
    """What the owner tells about a request. `received` is aware: the moment the call or the letter came."""

    channel: str
    received: datetime
    address: str
    kinds: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The plan, the number the request has, and what the owner must know about the letter."""

    plan: Plan
    number: str
    about: str


def recorded(
    told: Told,
    client: ClientRecord | None,
    policy: Policy,
    sent: Sent,
    now: datetime,
    *,
    number: str,
    stopped: str | None,
) -> Recorded:
    """Return what to record. `client` is the record of the address, if there is one; `number` is the next one free."""
    person = told.address or f"{told.channel}-{number.lower()}{NOBODY}"
    reason = told.note or f"recorded by the owner: came by {told.channel}"
    again = _asked_before(told, client)
    if again is not None:
        facts = {"channel": told.channel, "received": told.received.isoformat()}
        plan = Plan(reason, (RecordEvent(again.number, "reminded", reason, facts),), person)
        return Recorded(
            plan, again.number, "it is asked before: joined to the open case, whose terms run on; no letter"
        )
    dates = terms(told.received)
    opening = OpenCase(number, told.kinds, told.received, told.channel, policy.languages[0])
    no_letter = _no_letter(told, policy, dates, now)
    if no_letter:
        actions: tuple[Action, ...] = (opening, RecordEvent(number, "acknowledgement_held", no_letter))
        do = f"confirm it yourself; our answer is promised by {dates.promise}"
        return Recorded(Plan(reason, actions, person), number, f"no letter goes out ({no_letter}): {do}")
    held = why_held(person, policy, sent, stopped)
    known = client is not None and client.on_file
    letter = SendLetter(
        "identity" if identity_asked(told.kinds, policy, known=known) else "acknowledgement",
        person,
        policy.languages[0],
        number,
        _facts(number, told, dates),
        hold=held,
    )
    waits = f"the letter waits for you ({held}): mailbot release {number}"
    about = waits if held else f"the letter `{letter.letter}` goes to {person} at the next look"
    return Recorded(Plan(reason, (opening, letter), person), number, about)


def _asked_before(told: Told, client: ClientRecord | None) -> Case | None:
    """The open case of this client that already holds everything asked here: asked again is no new request (M21)."""
    cases = [case for case in client.cases if case.is_open and set(told.kinds) <= set(case.kinds)] if client else []
    return cases[-1] if cases else None


def _no_letter(told: Told, policy: Policy, dates: Terms, now: datetime) -> str | None:
    if not told.address:
        return "there is no mail address"
    if dates.promise < now.date():
        return "what it would promise is over already"
    return address_refusal(told.address, policy)


def _facts(number: str, told: Told, dates: Terms) -> Mapping[str, object]:
    return {
        "number": number,
        "kinds": list(told.kinds),
        "received": dates.received.isoformat(),
        "promise": dates.promise.isoformat(),
        "channel": told.channel,
    }
