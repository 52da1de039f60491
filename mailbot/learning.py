"""Learning from the owner: the words of what he corrected, and what he moves into and out of the review folder.

Owns bringing the messages to the pure steps, and the review folder's water mark. Must never keep more of a message
than `examples.py` leaves of it, and never take a move for more than what it says: into the folder "look at this", back
from it into the inbox "this is no request". Anything else the owner does with his mail is his own affair.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from mailbot.arrivals import Reader, known_about, returned
from mailbot.classify import Decision
from mailbot.client import ClientRecord, Example, SeenMessage
from mailbot.decide import Delivery, reviewed
from mailbot.examples import Keeping, expired, kept_words
from mailbot.looking import Fetched
from mailbot.message import digest_of
from mailbot.office import Review
from mailbot.perform import World, commit_plan
from mailbot.review import MOVED, case_of
from mailbot.rules import Rules

LOG = logging.getLogger(__name__)
LOOKED_AT = 500  # messages of a client's folder among which the corrected one is sought, the last ones first


async def learn(world: World, reader: Reader, rules: Rules, keeping: Keeping) -> int:
    """Bring the words of every example that has none yet, and forget those whose time is over; return how many came."""
    count = 0
    for record in list(world.register.owed_examples()):
        for example in record.examples:
            if not example.text:
                count += await _bring(world, reader, record, example, (rules, keeping))
    _forget(world, keeping)
    return count


async def _bring(
    world: World, reader: Reader, record: ClientRecord, example: Example, kept: tuple[Rules, Keeping]
) -> bool:
    raw = await _find(world, record, example.digest)
    filled = None
    if raw is not None:
        subject, text = kept_words(reader.read(raw), *kept)
        filled = replace(example, subject=subject, text=text)
    else:
        LOG.info("a message the owner corrected is not in the mailbox any more: there is nothing to learn from it")
    with world.register.transaction():
        before = world.register.client_by_id(record.id)
        if before is not None:
            others = tuple(one for one in before.examples if one.digest != example.digest)
            world.register.commit(replace(before, examples=(*others, *([filled] if filled else []))))
    return filled is not None


async def _find(world: World, record: ClientRecord, digest: str) -> bytes | None:
    """Return the message with this digest from where it was seen, the review folder or the client's folder."""
    mailbox, office = world.imap.mailbox, world.register.office
    inbox = [one.uid for one in record.messages if one.digest == digest and _in_inbox(one, world)]
    review = [int(uid) for uid, known in (office.review.there if office.review else {}).items() if known == digest]
    for folder, uids in ((None, inbox), (mailbox.review_folder or None, review)):
        if uids and (raw := await _among(world, folder, uids, digest)):
            return raw
    if record.folder is None or not await world.imap.call(mailbox.has_folder, record.folder):
        return None
    _, uids = await world.imap.call(mailbox.contents, record.folder)
    return await _among(world, record.folder, uids[-LOOKED_AT:], digest)


def _in_inbox(seen: SeenMessage, world: World) -> bool:
    watch = world.register.office.watch
    return watch is not None and seen.uidvalidity == watch.uidvalidity


async def _among(world: World, folder: str | None, uids: Sequence[int], digest: str) -> bytes | None:
    for one in await _fetched(world, folder, uids):
        if digest_of(one.raw) == digest:
            return one.raw
    return None


async def _fetched(world: World, folder: str | None, uids: Sequence[int]) -> list[Fetched]:
    return [one async for batch in world.imap.each(world.imap.mailbox.fetch(uids, folder)) for one in batch]


def _forget(world: World, keeping: Keeping) -> None:
    """Once a day, take out the examples whose time is over."""
    register, now = world.register, world.now()
    if register.office.marks.get("examples") == now.date().isoformat():
        return
    with register.transaction():
        for record in register.clients():
            after = expired(record, now, keeping)
            if after is not record:
                register.commit(after)
        marks = {**register.office.marks, "examples": now.date().isoformat()}
        register.commit_office(replace(register.office, marks=marks))


# The review folder


async def look_at_review(world: World, reader: Reader) -> int:
    """Put to the owner what he moved into the review folder since the last look; return how many messages."""
    mailbox, office = world.imap.mailbox, world.register.office
    if not mailbox.review_folder:
        return 0
    uidvalidity, uids = await world.imap.call(mailbox.contents, mailbox.review_folder)
    before = office.review
    same = before is not None and before.uidvalidity == uidvalidity
    known = {uid: digest for uid, digest in before.there.items() if int(uid) in set(uids)} if before and same else {}
    fresh = await _fetched(world, mailbox.review_folder, [uid for uid in uids if str(uid) not in known])
    met = set(before.there.values()) if before else set()
    count = 0
    for one in fresh:
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
        received = min(fetched.internaldate, now).astimezone(now.tzinfo)
        delivery = Delivery(uidvalidity, fetched.uid, received)
        known = known_about(world, reader, message, verdict, now)
        known = replace(known, copies=(), thread=case_of(world.register, message.digest))
        plan = returned(world, message, now) or reviewed(message, verdict, delivery, known, reader.policy)
        commit_plan(world, plan, (message, delivery), now)
    return True
