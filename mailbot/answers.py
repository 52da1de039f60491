"""What the owner sent himself: his replies to persons, seen in the Sent folder.

Owns the water mark of Sent and recognising an answer by its thread or its case number. Must never take it for an
answer by itself: the owner is asked, and says so with one click. What was sent before mailbot is not looked at; our own
letters are known by their Message-ID.
"""

import re
from dataclasses import replace

from mailbot.case import Case
from mailbot.client import ClientRecord
from mailbot.deadlines import terms
from mailbot.message import Message
from mailbot.plan import NotifyOwner, Plan, RecordEvent
from mailbot.understanding import Reader
from mailbot.world import World, commit_plan

HEADERS = re.compile(rb".*?\r?\n\r?\n", re.DOTALL)
OURS = re.compile(rb"^message-id:\s*(<[0-9a-f]{32}@[a-z0-9.-]+>)", re.IGNORECASE | re.MULTILINE)


async def look_at_sent(world: World, reader: Reader) -> int:
    """Ask the owner about every answer he sent since the last look; return how many. Raises TryLater.

    A Sent folder that is new, or made anew, is taken as it stands.
    """
    folder = world.imap.mailbox.sent_folder
    uidvalidity, following = await world.imap.call(world.imap.mailbox.mark_of, folder)
    first = world.register.office.sent_uid.get(str(uidvalidity))
    if first is None:
        _mark(world, uidvalidity, following)
        return 0
    if following <= first:
        return 0
    uids = await world.imap.call(world.imap.mailbox.uids_from, first, folder)
    count = 0
    async for batch in world.imap.each(world.imap.mailbox.fetch(uids, folder)):
        for fetched in batch:
            count += not _is_ours(world, fetched.raw) and _seen(world, reader, reader.read(fetched.raw))
    _mark(world, uidvalidity, max(following, *(uid + 1 for uid in uids)) if uids else following)
    return count


def _is_ours(world: World, raw: bytes) -> bool:
    """Tell whether a message is a letter of ours, without reading it: most of Sent is, after a busy hour."""
    headers = HEADERS.search(raw)
    found = OURS.search(headers[0]) if headers else None
    return found is not None and world.register.find_letter(found[1].decode("ascii")) is not None


def _mark(world: World, uidvalidity: int, following: int) -> None:
    with world.register.transaction():
        office = world.register.office
        if office.sent_uid != {str(uidvalidity): following}:
            world.register.commit_office(replace(office, sent_uid={str(uidvalidity): following}))


def _seen(world: World, reader: Reader, message: Message) -> bool:
    """Record one answer and ask the owner; False when it is none, or was seen before."""
    with world.register.transaction():
        found = _answers(world, reader, message)
        identity = message.message_id or message.digest
        if found is None or any(
            event.event == "answer_seen" and event.facts.get("message") == identity for event in found[1].events
        ):
            return False
        record, case = found
        dates = terms(case.received)
        facts: dict[str, object] = {
            "number": case.number,
            "kinds": list(case.open_kinds),
            "address": record.address,
            "received": case.received.isoformat(),
            "promise": dates.promise.isoformat(),
            "legal_limit": dates.legal_limit.isoformat(),
            "state": str(case.state),
        }
        actions = (
            RecordEvent(case.number, "answer_seen", "the owner wrote to the person", {"message": identity}),
            NotifyOwner("notice_answer_seen", f"answer seen {message.digest}", facts, case.number),
        )
        commit_plan(world, Plan("the owner wrote to the person", actions, record.address), None, world.now())
    return True


def _answers(world: World, reader: Reader, message: Message) -> tuple[ClientRecord, Case] | None:
    """The open case this message answers, when it went to the person whose case it is."""
    register = world.register
    ours = message.headers.get("x-mailbot") or (message.message_id and register.find_letter(message.message_id))
    found = None if ours else _thread(world, reader, message)
    if found is None or not found[1].is_open:
        return None
    to = {recipient.address.lower() for recipient in message.recipients}
    return found if found[0].address.lower() in to else None


def _thread(world: World, reader: Reader, message: Message) -> tuple[ClientRecord, Case] | None:
    register = world.register
    for reference in message.refers_to:
        found = register.find_message_id(reference) or register.case_of_letter(reference)
        if found is not None:
            return found
    numbers = reader.number.findall(message.subject)
    return next((found for one in numbers if (found := register.case(one.upper())) is not None), None)
