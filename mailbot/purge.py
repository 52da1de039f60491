"""Delete what the owner said may go: identity copies that were checked, and everything about an erased person.

Owns the order in which a person disappears. Must never delete without the owner's word in the register, never what he
marked to keep, and never what belongs to others as well.

Each step can be repeated, and the record of the person is the plan: fingerprints are committed before a message goes,
the owner is told before his notice's record goes, and the record goes last. A kill in between leaves the order
standing, and the next look finishes it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from mailbot import ending, record
from mailbot.case import OVER, Event
from mailbot.client import JUDGED, ClientRecord, Filing, LetterState, SeenMessage
from mailbot.ending import Ending, Traces, Whose
from mailbot.errors import LoginRefused, Refused, TryLater, where
from mailbot.looking import Header
from mailbot.message import Message, digest_of
from mailbot.perform import settle_letters
from mailbot.plan import NotifyOwner
from mailbot.world import World, update

LOG = logging.getLogger(__name__)
PLACES = ("client", "inbox", "sent", "review")


@dataclass(frozen=True, slots=True)
class Judging:
    """How to see whose a message is: `read` turns headers into a Message, `ours` are our own addresses."""

    read: Callable[[bytes], Message]
    rules: Ending
    ours: frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    """What lies in one folder: which messages may go, and how many stay because of a mark or because of others."""

    place: str
    folder: str
    go: tuple[Header, ...] = ()
    kept: tuple[Header, ...] = ()
    shared: int = 0


async def end_cases(world: World, judging: Judging) -> int:
    """Work off every deletion the register owes and return how many persons were erased.

    Raises TryLater when a server is away: the order stands, and the next look goes on.
    """
    erased = 0
    for person in list(world.register.owed_endings()):
        try:
            erased += await _end(world, person, judging)
        except (TryLater, LoginRefused):
            raise
        except Exception as error:  # noqa: BLE001 - what goes wrong with one person must not stop the watch
            LOG.error("a deletion could not be finished: %s", where(error))  # noqa: TRY400 - no traceback: it may quote
            _stuck(world, person)
    return erased


async def _end(world: World, person: ClientRecord, judging: Judging) -> int:
    await _delete_copies(world, person)
    current = world.register.client_by_id(person.id)
    return await _erase(world, current, judging) if current is not None and ending.owes_erasure(current) else 0


def _stuck(world: World, person: ClientRecord) -> None:
    """Tell the owner, once a day, that a deletion he ordered does not come to its end."""
    number = next((case.number for case in reversed(person.cases) if case.state in OVER), None)
    notice = NotifyOwner("notice_stuck", f"stuck {number} {world.now().date()}", {"number": number or ""}, None)
    told = record.notice_of(notice, world.desk, world.now())
    update(world, person.id, lambda r: record.queued(r, told))


# Identity copies


async def _delete_copies(world: World, person: ClientRecord) -> None:
    """Remove the messages that carry a checked copy. The request itself is the owner's to look at: it is the case."""
    for seen in ending.copies_to_delete(person):
        if seen.role in JUDGED:
            update(world, person.id, lambda r, seen=seen: _left(r, seen, world))  # type: ignore[misc] # bound at once
            continue
        try:
            gone = await _purge_digest(world, person, seen.digest)
        except Refused:
            gone = False
        change = _deleted if gone else _left
        update(world, person.id, lambda r, seen=seen, change=change: change(r, seen, world))  # type: ignore[misc] # same


async def _purge_digest(world: World, person: ClientRecord, digest: str) -> bool:
    """Remove the message with these bytes from the client's folder or the inbox; False when it is marked or gone."""
    mailbox = world.imap.mailbox
    await world.imap.call(mailbox.relist)
    for folder in filter(None, (person.folder, mailbox.inbox)):
        headers = await _headers(world, folder)
        loose = [one.uid for one in headers if b"\\Flagged" not in one.flags]
        for uid, found in await _digests(world, folder, loose):
            if found == digest:
                return bool(await world.imap.call(mailbox.purge, folder, [uid]))
    return False


def _deleted(before: ClientRecord, seen: SeenMessage, world: World) -> ClientRecord:
    after = _marked(before, seen, replace(seen, filing=Filing.PURGED, copy=False))
    event = Event(world.now(), "identity_deleted", "the message with the copy was removed from the mailbox")
    return record.with_event(after, seen.case or "", event)


def _left(before: ClientRecord, seen: SeenMessage, world: World) -> ClientRecord:
    """The copy could not be removed by itself: the owner is told, once."""
    after = _marked(before, seen, replace(seen, copy=False))
    reason = "the message with the copy is left to the owner: it is the request itself, marked, or moved"
    after = record.with_event(after, seen.case or "", Event(world.now(), "identity_left", reason))
    facts = {"number": seen.case or "", "received": seen.received.isoformat(), "letter": seen.role}
    notice = NotifyOwner("notice_copy", f"copy {seen.digest}", facts, seen.case)
    return record.queued(after, record.notice_of(notice, world.desk, world.now()))


def _marked(before: ClientRecord, seen: SeenMessage, after: SeenMessage) -> ClientRecord:
    return replace(before, messages=tuple(after if one == seen else one for one in before.messages))


# A whole person


async def _erase(world: World, person: ClientRecord, judging: Judging) -> int:
    """Take one person out of the mailbox and the register; return 1 when it is finished."""
    traces, ordered = ending.traces_of(person), ending.ordered_at(person)
    if ordered is None:
        return 0
    key = f"erased {person.id} {ordered.isoformat()}"
    if not any(one.key == key for one in person.letters):
        found = await survey(world, person, ordered, judging)
        by_hand = await _purge(world, person.id, found)
        facts = _summary(found, by_hand) | {
            "left": _scrub(world, person, traces),
            "folder": await _folder(world, person),
        }
        number = next(case.number for case in person.cases if case.erasure_ordered)
        notice = NotifyOwner("notice_erased", key, {**facts, "number": number, "actions": []}, number)
        told = record.notice_of(notice, world.desk, world.now())
        update(world, person.id, lambda r: record.queued(r, told))
        await settle_letters(world)
    return _finished(world, person.id, key, traces)


async def survey(world: World, person: ClientRecord, ordered: datetime, judging: Judging) -> list[Found]:
    """Return what lies in the client's folder, the inbox, Sent and the review folder; nothing is changed."""
    mailbox = world.imap.mailbox
    await world.imap.call(mailbox.relist)
    folders = dict(
        zip(PLACES, (person.folder or "", mailbox.inbox, mailbox.sent_folder, mailbox.review_folder), strict=True)
    )
    traces = ending.traces_of(person)
    found = []
    for place, folder in ((place, folder) for place, folder in folders.items() if folder):
        headers = await _headers(world, folder)
        in_client = place == "client"
        judged = [(one, _judged(one, traces, ordered, judging, in_client=in_client)) for one in headers]
        found.append(_sorted(place, folder, judged, judging.rules))
    return found


def _judged(one: Header, traces: Traces, ordered: datetime, judging: Judging, *, in_client: bool) -> Whose:
    if in_client and one.internaldate <= ordered:
        return Whose.THEIRS  # whatever lies in this folder is about this person
    return ending.whose(judging.read(one.raw), one.internaldate, traces, ordered, judging.ours)


def _sorted(place: str, folder: str, judged: list[tuple[Header, Whose]], rules: Ending) -> Found:
    theirs = [one for one, found in judged if found is Whose.THEIRS]
    go = tuple(one for one in theirs if not ending.kept(one.flags, rules))
    kept = tuple(one for one in theirs if ending.kept(one.flags, rules))
    shared = sum(found is Whose.SHARED for _, found in judged)
    return Found(place, folder, go, kept, shared)


async def _purge(world: World, place: str, found: list[Found]) -> dict[str, int]:
    """Remove what may go, its fingerprints first; return what the owner must delete by hand, per place."""
    by_hand: dict[str, int] = {}
    for one in found:
        prints = await _fingerprints(world, one)
        update(world, place, lambda r, prints=prints: ending.remembered(r, prints))  # type: ignore[misc] # bound at once
        try:
            await world.imap.call(world.imap.mailbox.purge, one.folder, [header.uid for header in one.go])
        except Refused:
            by_hand[one.place] = len(one.go)
    return by_hand


async def _fingerprints(world: World, found: Found) -> list[SeenMessage]:
    """The messages that go, and those the owner keeps: neither may be taken for a new request afterwards."""
    at = {one.uid: one.internaldate for one in (*found.go, *found.kept)}
    digests = await _digests(world, found.folder, list(at))
    return [SeenMessage(digest, 0, uid, None, at[uid], ending.ERASED, filing=Filing.PURGED) for uid, digest in digests]


async def _digests(world: World, folder: str, uids: list[int]) -> list[tuple[int, str]]:
    """Return UID and digest of these messages, over the same bytes as when they arrived."""
    out: list[tuple[int, str]] = []
    async for batch in world.imap.each(world.imap.mailbox.fetch(uids, folder)):
        out += [(one.uid, digest_of(one.raw)) for one in batch]
    return out


async def _headers(world: World, folder: str) -> list[Header]:
    return [one async for batch in world.imap.each(world.imap.mailbox.headers(folder)) for one in batch]


async def _folder(world: World, person: ClientRecord) -> str:
    """Remove the client's folder; return `left` when something is in it, `missing` when it is not where it was."""
    if person.folder is None:
        return ""
    if not world.imap.mailbox.has_folder(person.folder):
        return "missing"
    try:
        return "" if await world.imap.call(world.imap.mailbox.remove_folder, person.folder) else "left"
    except Refused:  # the server keeps it, for whatever reason of its own
        return "left"


def _scrub(world: World, person: ClientRecord, traces: Traces) -> list[str]:
    """Take the person out of what others' records say; return the numbers of cases in whose events he still stands."""
    register = world.register
    with register.transaction():
        for other in register.clients():
            if other.id != person.id:
                clean = ending.scrubbed(other, traces, subjects=other.address == world.desk.owner)
                if clean != other:
                    register.commit(clean)
        office = ending.scrubbed_office(register.office.marks, traces)
        if office != register.office.marks:
            register.commit_office(replace(register.office, marks=office))
        for path in register.left_of(traces, but=person):
            register.forget_before(path)
        rest = {path.name.partition(".")[0] for path in register.left_of(traces, but=person)}
    return sorted(case.number for other in register.clients() if other.id in rest for case in other.cases)


def _summary(found: list[Found], by_hand: dict[str, int]) -> dict[str, object]:
    """What this look did; one that follows a kill tells only of the rest."""
    return {
        "purged": sum(len(one.go) for one in found) - sum(by_hand.values()),
        "kept": sum(len(one.kept) for one in found),
        "shared": sum(one.shared for one in found),
        "by_hand": [{"place": place, "count": count} for place, count in by_hand.items() if count],
    }


def _finished(world: World, place: str, key: str, traces: Traces) -> int:
    """The last step, once the owner was told (or cannot be): the record goes, in one move, and its line stays."""
    register = world.register
    with register.transaction():
        person = register.client_by_id(place)
        if person is None or not ending.owes_erasure(person):
            return 0
        told = next((one.state for one in person.letters if one.key == key), LetterState.QUEUED)
        if told is LetterState.QUEUED:
            return 0
        _scrub(world, person, traces)
        register.erase(person, ending.lines_of(person, world.now(), register.fingerprint))
    LOG.info("an erasure was finished")
    world.told("erased", "")
    return 1
