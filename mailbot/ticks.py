"""One tick: look at the register and the present, and commit what is due.

Owns running `due.py` over the register. Must never send anything: notices are queued like letters and settled.
"""

from dataclasses import replace
from datetime import datetime

from mailbot import digest, due
from mailbot.case import Case
from mailbot.client import ClientRecord, LetterState, QueuedLetter
from mailbot.config import Settings
from mailbot.ending import silent_since
from mailbot.links import href, offered, sending
from mailbot.plan import NotifyOwner
from mailbot.standing import HEALTHY, RECONNECTS, TROUBLE
from mailbot.warnings import Ladder
from mailbot.world import World, commit_plan, tell_owner

KEPT_DIGESTS = 40  # dates remembered: more than a month of Mondays and working days
KEPT_NOTICES = 60  # days: a notice that was sent has done its work, and its buttons are too old
TIDIED = "tidied"  # a mark in the office


def tick(world: World, ladder: Ladder, settings: Settings, years: int) -> int:
    """Commit every warning and overview that is due now; return how many notices were queued.

    `years`: how long the data of a client are kept who buys nothing (the statement).
    """
    now = world.now()
    count = _warn(world, ladder, now)
    at = datetime.combine(now.date(), settings.owner.digest_time, tzinfo=now.tzinfo)
    count += queue_digest(world, now, at)
    count += queue_retention(world, now, years) if now >= at else 0
    _tidy(world, now)
    return count


def _warn(world: World, ladder: Ladder, now: datetime) -> int:
    """Tell the owner first and then record it with each case: a kill in between costs no warning and repeats none."""
    register, desk = world.register, world.desk
    with register.transaction():
        found = [one for record in list(register.running()) for one in due.warnings(record, now, ladder, desk)]
        mine = register.client(desk.owner) if found else None
        given = set(due.marks(mine.letters)) if mine else set()
        notices = list(due.notices(one for one in found if one.mark not in given))
        for notice in notices:
            tell_owner(world, "terms run out", notice, now)
        for one in found:
            commit_plan(world, one.plan, None, now)
    return len(notices)


def queue_digest(world: World, now: datetime, at: datetime, *, anyway: bool = False) -> int:
    """Queue the digest when its time has come, or `anyway`; return 1 when it was queued."""
    register = world.register
    with register.transaction():
        office = register.office
        if office.watch is None or (not anyway and (now < at or now.date().isoformat() in office.digests)):
            return 0
        looked = (now.date().isoformat(), register.version)
        if not anyway and looked == world.nothing_to_say:
            return 0  # facts_now reads every record: not every minute of a day on which nothing changes
        key = f"digest {now.isoformat() if anyway else now.date().isoformat()}"
        facts = facts_now(world, now, key)
        if not anyway and not due.digest_due(now, at, office.digests, something=digest.something_to_say(facts)):
            world.nothing_to_say = looked
            return 0
        tell_owner(world, "the digest is due", NotifyOwner("digest", key, facts), now)
        digests = (*office.digests, now.date().isoformat())[-KEPT_DIGESTS:]
        marked = register.office.marked({"digest": now.isoformat(), RECONNECTS: "0"})
        register.commit_office(replace(marked, digests=digests))
    return 1


def queue_retention(world: World, now: datetime, years: int) -> int:
    """Queue, once a month, the clients of whom nothing was heard for `years`; nothing is deleted by it."""
    register, month = world.register, f"{now:%Y-%m}"
    if register.office.watch is None or register.office.marks.get("retention") == month:
        return 0
    with register.transaction():
        silent = (  # one record at a time: all of them together are forty megabytes
            {"address": one.address, "last": last.date().isoformat(), "numbers": [case.number for case in one.cases]}
            for one in register.clients()
            if one.address != world.desk.owner and (last := silent_since(one, now, years))
        )
        clients = sorted(silent, key=lambda one: str(one["last"]))
        if clients:
            notice = NotifyOwner("notice_retention", f"retention {month}", {"clients": clients, "years": years})
            tell_owner(world, "the five years of these clients are over", notice, now)
        register.commit_office(register.office.marked({"retention": month}))
    return int(bool(clients))


def facts_now(world: World, now: datetime, key: str = "") -> dict[str, object]:
    """Return the facts of a digest at this moment; with `key` each case has the links that go out under it."""
    office, desk = world.register.office, world.desk
    since = office.watch.since if office.watch else now
    last = datetime.fromisoformat(office.marks["digest"]) if "digest" in office.marks else since
    at = desk.occasion("digest", key, now)

    def offer(record: ClientRecord, case: Case) -> list[dict[str, object]]:
        return [one for one in offered(desk.links, record, case, at) if one["label"]] if key and desk.secret else []

    def send(number: str, letter: str) -> str:
        return href(number, sending(letter), at) if key and desk.secret else ""

    return digest.facts(world.register.clients(), _health(world, since), now, last, offer, send)


def _health(world: World, since: datetime) -> digest.Health:
    office = world.register.office
    return digest.Health(
        since=since,
        healthy=datetime.fromisoformat(office.marks.get(HEALTHY, since.isoformat())),
        reconnects=int(office.marks.get(RECONNECTS, "0")),
        seen=office.watch.messages if office.watch else 0,
        aside=sum(tries >= world.retry.message_tries for tries in office.tries.values()),
        stops=tuple(stop.why for stop in office.stops),
        troubles={
            name.removeprefix(TROUBLE): value for name, value in office.marks.items() if name.startswith(TROUBLE)
        },
    )


def _tidy(world: World, now: datetime) -> None:
    """Once a day drop what was sent to the owner long ago (as little as possible, for as short as possible)."""
    register, today = world.register, now.date().isoformat()
    if register.office.watch is None or register.office.marks.get(TIDIED) == today:
        return
    with register.transaction():
        for record in register.clients():
            kept = tuple(one for one in record.letters if not _done_with(one, now))
            if kept != record.letters:
                register.commit(replace(record, letters=kept))
        register.commit_office(register.office.marked({TIDIED: today}))


def _done_with(letter: QueuedLetter, now: datetime) -> bool:
    """Tell whether it is a notice that has done its work: sent, and its buttons too old to work."""
    sent = letter.audience == "owner" and letter.state is LetterState.SENT
    return sent and due.old_enough(letter.settled or letter.queued, now, KEPT_NOTICES)
