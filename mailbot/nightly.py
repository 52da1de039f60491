"""Once a night: the mailbox counted against the register.

Owns finding a gap and telling the owner. Must never move, send or delete, and never alarm because the owner tidied up.
A gap is a message that came since the last night and had no case though it asks for something (it gets one now), or
a client with a running case whose folder is gone or empty though messages were filed there. Each gap is told once.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from mailbot import due
from mailbot.arrivals import look_again
from mailbot.client import Filing
from mailbot.errors import TryLater
from mailbot.office import CHECKED, Office
from mailbot.plan import NotifyOwner
from mailbot.understanding import Reader
from mailbot.world import World, tell_owner

CHECKED_UID, TOLD = "checked_uid", "gaps"  # marks in the office; the second has the numbers of cases, and no person
THIS_PROGRAM = 2026  # the year it was written: a machine without a battery starts in 1970
Gap = dict[str, object]  # its name in words.toml and what it is about
BACK, FORWARD = timedelta(days=1), timedelta(days=366)  # what a clock may differ from the last night that was recorded


def believe_clock(world: World) -> None:
    """Raise TryLater when the clock cannot be right: terms, numbers and what is given up all hang on it (T10)."""
    now, last = world.now(), _last(world.register.office)
    if now.year < THIS_PROGRAM or (last is not None and not last - BACK <= now <= last + FORWARD):
        seen = f", and the register was last looked over on {last:%Y-%m-%d}" if last else ""
        raise TryLater(
            f"the clock says {now:%Y-%m-%d}{seen}: set the clock, or say `mailbot release` when it is right; "
            "nothing was done"
        )


def _last(office: Office) -> datetime | None:
    if CHECKED in office.marks:
        return datetime.fromisoformat(office.marks[CHECKED])
    return office.watch.since if office.watch else None


async def count(world: World, reader: Reader) -> int:
    """Compare mailbox and register when a night has passed since the last time; return how many gaps are new."""
    now, office = world.now(), world.register.office
    last, watch = _last(office), office.watch
    if last is None or watch is None or not due.a_night_passed(now, last):
        return 0
    fresh = list(_unseen(await look_again(world, reader, _first(office))))
    empty, told = await _empty_folders(world), office.marks.get(TOLD, "").split()
    fresh += [gap for number, gap in empty.items() if number not in told]
    with world.register.transaction():
        if fresh:
            facts = {"number": "", "gaps": fresh}
            notice = NotifyOwner("notice_gap", f"gap {now.date().isoformat()}", facts)
            tell_owner(world, "mailbox and register differ", notice, now)
        office = world.register.office
        marks = {CHECKED: now.isoformat(), CHECKED_UID: f"{watch.uidvalidity}/{watch.next_uid}", TOLD: " ".join(empty)}
        world.register.commit_office(office.marked(marks))
    return len(fresh)


def _first(office: Office) -> int:
    """Where the second look begins: behind the last one; in a mailbox made anew everything was just taken in again."""
    watch = office.watch
    if watch is None:
        return 1
    uidvalidity, _, uid = office.marks.get(CHECKED_UID, f"{watch.uidvalidity}/{watch.backlog_uid}").partition("/")
    return int(uid) if int(uidvalidity) == watch.uidvalidity else watch.next_uid


def _unseen(found: int) -> Iterator[Gap]:
    if found:
        yield {"gap": "unseen", "count": found}


async def _empty_folders(world: World) -> dict[str, Gap]:
    """Running cases whose folder holds nothing any more, by number. Less in a folder is the owner's tidying."""
    mailbox, out = world.imap.mailbox, dict[str, Gap]()
    await world.imap.call(mailbox.relist)
    for record in list(world.register.running()):
        filed = sum(seen.filing is Filing.FILED for seen in record.messages)
        if filed and record.folder and not await world.imap.call(mailbox.messages_in, record.folder):
            number = next(case.number for case in record.cases if case.is_open)
            out[number] = {"gap": "folder", "folder": record.folder, "number": number, "count": filed}
    return out
