"""From the mailbox into the register: scan, fetch, understand, decide, commit.

Owns the water mark and the road a message takes until its plan is committed. Must never send or move anything:
that is settled afterwards (perform.py). A message that breaks something is tried a few times, then set aside with a
flag while the rest goes on (R5).
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from mailbot.decide import Delivery, decide
from mailbot.errors import MailbotError, Refused, TryLater, where
from mailbot.known import delivery_of, known_about, received_at, returned
from mailbot.limits import Doubts
from mailbot.links import ALL, about_all
from mailbot.looking import Fetched, InboxStatus
from mailbot.message import Message
from mailbot.office import Stop, Watch
from mailbot.ownermail import Followed, owners_word, spend, unspent
from mailbot.plan import FileUnder, NotifyOwner, OpenCase, Plan, Remember, StopLetters
from mailbot.record import met_again
from mailbot.register import Register
from mailbot.review import taken_back
from mailbot.understanding import MANY, Reader
from mailbot.worker import Understood
from mailbot.world import World, commit_plan, tell_owner

LOG = logging.getLogger(__name__)
T = TypeVar("T")
ASIDE = "$MailbotAside"
CHUNK = 200  # messages between two rounds of settling: bounds what is owed and what is looked at twice after a crash


@dataclass(slots=True)
class TakenIn:
    """What one look at the mailbox brought."""

    messages: int = 0
    cases: int = 0
    reviews: int = 0
    ordinary: int = 0
    aside: list[int] = field(default_factory=list)


async def take_in(
    world: World,
    reader: Reader,
    doubts: Doubts,
    settle: Callable[[], Awaitable[object]],
    history_from: datetime | None = None,
) -> TakenIn:
    """Bring the register up to the mailbox and return what came; `settle` runs after each batch.

    Raises TryLater or LoginRefused from the mailbox; what was committed stays committed.
    """
    done = TakenIn()
    mailbox = world.imap.mailbox
    status = await world.imap.call(mailbox.status)
    watch = _watch(world, status, doubts, history_from)
    uids = await world.imap.call(mailbox.uids_from, watch.next_uid)
    unsettled = 0
    async with aclosing(_ahead(_understood(world, reader, uids))) as arriving:
        async for batch in arriving:
            for arrived in batch:
                _take(world, reader, (status.uidvalidity, *arrived), done)
            unsettled += len(batch)
            if unsettled >= CHUNK:
                await _rounded_off(world, settle, done, batch[-1][0].uid + 1, status.messages)
                unsettled = 0
            if world.stopping:
                await settle()
                return done  # the water mark stays: what was committed is known by its place
    if uids:
        await _rounded_off(world, settle, done, uids[-1] + 1, status.messages)
        status = await world.imap.call(mailbox.status)  # what was filed is no longer in the inbox
    _mark(world, max(watch.next_uid, *(uid + 1 for uid in uids), 1), status.messages)
    return done


async def _rounded_off(
    world: World, settle: Callable[[], Awaitable[object]], done: TakenIn, next_uid: int, messages: int
) -> None:
    """Settle what was committed, flag what was set aside, and move the water mark."""
    await settle()
    for uid in done.aside:
        with suppress(Refused):  # the owner has his notice; a mark that cannot be set must not hold up the rest
            await world.imap.call(world.imap.mailbox.flag, uid, ASIDE)
    _mark(world, next_uid, messages)


async def look_again(world: World, reader: Reader, first: int) -> int:
    """Take the messages from `first` up to the water mark a second time; return how many cases that opened.

    What was handled is known and left alone, so this opens one only for a message that was never seen, or that the
    rules understand better now.
    """
    watch, done = world.register.office.watch, TakenIn()
    if watch is None:
        return 0
    tried = world.register.office.tries
    listed = await world.imap.call(world.imap.mailbox.uids_from, first)
    uids = [uid for uid in listed if uid < watch.next_uid and f"{watch.uidvalidity}/{uid}" not in tried]
    async with aclosing(_ahead(_understood(world, reader, uids))) as batches:
        async for batch in batches:
            for arrived in batch:
                _take(world, reader, (watch.uidvalidity, *arrived), done)
    return done.cases + done.reviews


async def file_answered(world: World, reader: Reader) -> int:
    """Decide to file ordinary mail the owner has answered, when so configured; return how many messages."""
    if reader.policy.ordinary != "when_answered" or world.register.office.watch is None:
        return 0
    uids = await world.imap.call(world.imap.mailbox.answered)
    uidvalidity, count = world.register.office.watch.uidvalidity, 0
    async with aclosing(_ahead(_understood(world, reader, uids))) as arriving:
        async for batch in arriving:
            for fetched, understood in batch:
                count += _file_if_person(world, reader, uidvalidity, fetched, understood)
    return count


def _file_if_person(
    world: World, reader: Reader, uidvalidity: int, fetched: Fetched, understood: Understood | None
) -> bool:
    message, verdict = reader.understood(fetched.raw, understood)
    now = world.now()
    known = world.register.find_digest(message.digest)
    if known or verdict.automatic or verdict.sender is None or verdict.sender.address in reader.policy.addresses:
        return False
    delivery = Delivery(uidvalidity, fetched.uid, received_at(fetched, now))
    actions = (Remember("ordinary"), FileUnder(verdict.sender.address))
    with world.register.transaction():
        plan = Plan("the owner answered it: filed, as configured", actions, verdict.sender.address)
        commit_plan(world, plan, (message, delivery), now)
    return True


Arrived = tuple[Fetched, Understood | None]


async def _understood(world: World, reader: Reader, uids: Sequence[int]) -> AsyncGenerator[list[Arrived], None]:
    """Yield batches in the order of their UIDs, with what workers understood of them.

    A backlog is fetched, understood and taken in at the same time: each step has the next batch in hand while the one
    after it still works on this one.
    """
    steps, many = (reader.read, reader.classify), len(uids) >= MANY
    try:
        async with aclosing(_ahead(world.imap.each(world.imap.mailbox.fetch(uids)))) as found_batches:
            async for batch in found_batches:
                found = await world.understanding.of([one.raw for one in batch], steps, many=many)
                yield list(zip(batch, found, strict=True))
    finally:
        await world.understanding.close()


async def _ahead(source: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Yield what `source` yields, with the next one already on its way. Whatever it raises comes out in its place."""
    coming = asyncio.ensure_future(anext(source, None))
    try:
        while (item := await coming) is not None:
            coming = asyncio.ensure_future(anext(source, None))
            yield item
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


def _watch(world: World, status: InboxStatus, doubts: Doubts, history_from: datetime | None) -> Watch:
    """Return the water mark, having met the three ways in which a mailbox can be another one than we knew."""
    office, now = world.register.office, world.now()
    watch = office.watch
    if watch is None:
        first = 1 if history_from else status.uidnext
        return _set_watch(world, Watch(status.uidvalidity, first, status.messages, now, status.uidnext))
    if watch.uidvalidity != status.uidvalidity:
        stop_letters(world, "uidvalidity", now)
        return _set_watch(world, replace(watch, uidvalidity=status.uidvalidity, next_uid=1, backlog_uid=0))
    if watch.messages >= doubts.emptied_from and status.messages <= doubts.emptied_to:
        stop_letters(world, "emptied", now)
    return watch


def _set_watch(world: World, watch: Watch) -> Watch:
    with world.register.transaction():
        world.register.commit_office(replace(world.register.office, watch=watch))
    return watch


def _mark(world: World, next_uid: int, messages: int) -> None:
    """Move the water mark; everything below it is committed or has no effect."""
    with world.register.transaction():
        office = world.register.office
        if office.watch and (office.watch.next_uid, office.watch.messages) != (next_uid, messages):
            world.register.commit_office(
                replace(office, watch=replace(office.watch, next_uid=next_uid, messages=messages))
            )


def stop_letters(world: World, why: str, now: datetime) -> None:
    """Hold every letter to a person until the owner says so (once per reason); he is asked in the next turn."""
    with world.register.transaction():
        office = world.register.office
        if any(stop.why == why for stop in office.stops):
            return
        world.register.commit_office(replace(office, stops=(*office.stops, Stop(why, now))))
    world.told("stop", why)


def ask_about_stops(world: World) -> None:
    """Queue the notice of every stop; one that was queued before is not queued again."""
    with world.register.transaction():
        for stop in world.register.office.stops:
            key = f"stop {stop.why} {stop.since.isoformat()}"
            at = world.desk.occasion("notice_stop", key, world.now())
            actions = about_all(world.desk.links, ALL, at) if world.desk.secret else ()
            notice = NotifyOwner("notice_stop", key, {"reason": stop.why, "actions": list(actions)})
            tell_owner(world, f"letters are held: {stop.why}", notice, world.now())


def _take(world: World, reader: Reader, arrived: tuple[int, Fetched, Understood | None], done: TakenIn) -> None:
    """Take one message in; one that breaks something is counted and, at last, set aside (R5)."""
    uidvalidity, fetched, understood = arrived
    try:
        plan = plan_for(world, reader, uidvalidity, fetched, understood)
    except MailbotError:
        raise
    except Exception as error:  # noqa: BLE001 - total: one bad message must not stop the rest
        # Anything else is a bug. Its text may quote the mail, so only its class and place reach the log.
        LOG.error("message UID %s could not be handled: %s", fetched.uid, where(error))  # noqa: TRY400 - no traceback
        if _set_aside(world, uidvalidity, fetched):
            done.aside.append(fetched.uid)
        return
    done.messages += 1
    opened = [action for action in plan.actions if isinstance(action, OpenCase)]
    done.reviews += sum(action.review for action in opened)
    done.cases += sum(not action.review for action in opened)
    done.ordinary += not plan.actions
    world.told("plan", plan.reason)


def plan_for(
    world: World, reader: Reader, uidvalidity: int, fetched: Fetched, understood: Understood | None = None
) -> Plan:
    """Read, classify, decide and commit one message in one transaction; return the plan that was committed.

    A message that was committed before a crash is known by its place and left as it was decided.
    """
    if not fetched.raw:
        raise ValueError("the server lists the message and does not give it (I26)")
    now = world.now()
    message, verdict = reader.understood(fetched.raw, understood)
    with world.register.transaction():
        delivery = delivery_of(world, uidvalidity, fetched, now)
        word: Followed | None = None
        back = taken_back(world.register, message.digest, delivery, now)
        if back is not None:
            plan = back
        elif _met_again(world.register, message, delivery):
            plan = Plan("this very message was handled before")
            word = Followed(None, unspent(world, reader.policy.authserv_id, message, now))
        else:
            known = known_about(world, reader, message, verdict, now)
            if not known.copies:
                word = owners_word(world, reader.policy.authserv_id, message, verdict, now)
            followed = word.plan if word else None
            plan = returned(world, message, now) or followed or decide(message, verdict, delivery, known, reader.policy)
        for action in plan.actions:
            if isinstance(action, StopLetters):
                stop_letters(world, action.why, now)
        commit_plan(world, plan, (message, delivery), now)
        if word and word.token:
            spend(world.register, word.token, now)  # after the commit: a crash in between does not lose his word
    return plan


def _met_again(register: Register, message: Message, delivery: Delivery) -> bool:
    """Tell whether this very message was handled before, and keep its place up to date."""
    for record in register.holders(message.digest):
        after = met_again(record, message.digest, delivery)
        if after is not None:
            if after != record:
                register.commit(after)
            return True
    return False


def _set_aside(world: World, uidvalidity: int, fetched: Fetched) -> bool:
    """Count the failure on disk; at the last one tell the owner. True when the message is set aside now."""
    now, key = world.now(), f"{uidvalidity}/{fetched.uid}"
    with world.register.transaction():
        office = world.register.office
        tries = office.tries.get(key, 0) + 1
        world.register.commit_office(replace(office, tries={**office.tries, key: tries}))
        if tries < world.retry.message_tries:
            so_far = f"{tries} of {world.retry.message_tries} tries"
            raise TryLater(f"message UID {fetched.uid} could not be handled ({so_far})")
        facts = {
            "number": "",
            "address": "",
            "reason": f"UID {fetched.uid}",
            "received": fetched.internaldate.isoformat(),
        }
        notice = NotifyOwner("notice_aside", f"aside {key}", facts)
        tell_owner(world, "a message could not be handled", notice, now)
    return True
