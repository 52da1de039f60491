"""What it means that the owner moved a message back out of the review folder.

Owns finding the case such a message belongs to. Must never take it for more than "this is no request".
"""

from dataclasses import replace
from datetime import datetime

from mailbot.case import OVER, Case
from mailbot.casework import No, Word, follow
from mailbot.client import ClientRecord
from mailbot.decide import Delivery
from mailbot.plan import NotifyOwner, Plan, Remember
from mailbot.register import Register

MOVED = "the owner moved it to the review folder"  # words of the notice in templates/nl


def case_of(register: Register, digest: str) -> tuple[ClientRecord, Case] | None:
    """Return the case this very message belongs to, if it still runs."""
    for seen in register.find_digest(digest):
        found = register.case(seen.case) if seen.case else None
        if found is not None and found[1].state not in OVER:
            return found
    return None


def taken_back(register: Register, digest: str, delivery: Delivery, now: datetime) -> Plan | None:
    """Return the plan for a message that came back from the review folder, or None when it was never there.

    It is remembered at its new place, so that it is not met as a copy.
    """
    review = register.office.review
    if review is None or digest not in {*review.there.values(), *review.left}:
        return None
    places = {(one.uidvalidity, one.uid) for one in register.find_digest(digest)}
    if (delivery.uidvalidity, delivery.uid) in places:
        return None  # it never left the inbox: what lies in the folder is a copy
    found = case_of(register, digest)
    if found is None:
        return Plan("it was moved back from the review folder: left alone")
    plan = follow(Word("no-request", "moved back from the review folder"), *found, now)
    if isinstance(plan, No):
        return Plan(f"moved back from the review folder, but {plan.reason}")
    number = found[1].number
    facts = {"number": number, "reply": "taken_back", "actions": []}
    told = NotifyOwner("notice_word", f"back {digest} {delivery.uid}", facts)
    return replace(plan, actions=(*plan.actions, Remember("ordinary", number), told))
