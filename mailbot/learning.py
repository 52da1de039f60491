"""Learning from the owner: the words of what he corrected, and what he moves into and out of the review folder.

Owns bringing the messages to the pure steps, and the review folder's water mark. Must never keep more of a message
than `examples.py` leaves of it, and never take a move for more than what it says: into the folder "look at this", back
from mailbot import review
from it into the inbox "this is no request". Anything else the owner does with his mail is his own affair.
"""

import logging
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

from mailbot.client import ClientRecord, Example, SeenMessage
from mailbot.examples import Keeping, expired, kept_words
from mailbot.message import digest_of
from mailbot.rules import Rules
from mailbot.understanding import Reader
from mailbot.world import World

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
    async with aclosing(world.imap.each(world.imap.mailbox.fetch(uids, folder))) as batches:
        async for batch in batches:
            for one in batch:
                if digest_of(one.raw) == digest:
                    return one.raw
    return None


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
        register.commit_office(register.office.marked({"examples": now.date().isoformat()}))
