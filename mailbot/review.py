"""What it means that the owner moves a message into the review folder, or back out of it.

Owns the folder's water mark and finding the case such a message belongs to. Must never take a move for more than it
says: into the folder "look at this", back from it into the inbox "this is no request". Anything else the owner does
with his mail is his own affair.
"""

from dataclasses import replace
from datetime import datetime

from mailbot.case import OVER, Case
from mailbot.casework import No, Word, follow
from mailbot.classify import Decision
from mailbot.client import ClientRecord
from mailbot.decide import Delivery, reviewed
from mailbot.known import known_about, received_at, returned
from mailbot.looking import Fetched
from mailbot.message import digest_of
from mailbot.office import Review
from mailbot.plan import NotifyOwner, Plan, Remember
from mailbot.register import Register
from mailbot.understanding import Reader
from mailbot.world import World, commit_plan

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


async def look_at_review(world: World, reader: Reader) -> int:
    """Put to the owner what he moved into the review folder since the last look; return how many messages."""
    mailbox, office = world.imap.mailbox, world.register.office
    if not mailbox.review_folder:
        return 0
    uidvalidity, uids = await world.imap.call(mailbox.contents, mailbox.review_folder)
    before = office.review
    same = before is not None and before.uidvalidity == uidvalidity
    known = {uid: digest for uid, digest in before.there.items() if int(uid) in set(uids)} if before and same else {}
    unknown = [uid for uid in uids if str(uid) not in known]
    met = set(before.there.values()) if before else set()
    count = 0
    async for batch in world.imap.each(mailbox.fetch(unknown, mailbox.review_folder)):
        for one in batch:
            digest = digest_of(one.raw)
            if before is not None and digest not in met:
                count += _put_to_the_owner(world, reader, uidvalidity, one)
            known[str(one.uid)] = digest
    left = tuple(sorted(met - set(known.values())))
    _mark(world, Review(uidvalidity, known, left))
    return count


def _mark(world: World, review: Review) -> None:
    with world.register.transaction():
        if world.register.office.review != review:
            world.register.commit_office(replace(world.register.office, review=review))


def _put_to_the_owner(world: World, reader: Reader, uidvalidity: int, fetched: Fetched) -> bool:
    """Ask about a message he moved: about its case when it has one that runs, else about a new one."""
    now = world.now()
    message, verdict = reader.understood(fetched.raw)
    verdict = replace(verdict, decision=Decision.REVIEW, reason=MOVED)
    with world.register.transaction():
        delivery = Delivery(uidvalidity, fetched.uid, received_at(fetched, now))
        known = known_about(world, reader, message, verdict, now)
        known = replace(known, copies=(), thread=case_of(world.register, message.digest))
        plan = returned(world, message, now) or reviewed(message, verdict, delivery, known, reader.policy)
        commit_plan(world, plan, (message, delivery), now)
    return True
