"""Trouble that stays: since when, and the notice that tells the owner by the way that still works.

Owns the marks that say since when a server gives trouble. Must never retry anything: perform.py and app.py do that.

When the mailbox is away the notice goes by mail; when mail cannot leave it is put into the mailbox, where the owner
reads (S16). When both are away only the log, the status line and the exit code are left.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from mailbot.plan import NotifyOwner
from mailbot.world import World, tell_owner

MAILBOX, MAIL, FILING, CLAIMED = "mailbox", "mail", "filing", "claimed"
TROUBLE = "trouble "  # before its name in the office's marks
HEALTHY, RECONNECTS = "healthy", "reconnects"  # marks: since when the mailbox answers, and breaks since the last digest
AGAIN = timedelta(days=7)  # the owner is told anew while it lasts


def troubled(world: World, what: str, why: str, *, at_once: bool = False) -> None:
    """Note that `what` gives trouble, and queue the owner's notice once it has lasted, or `at_once`."""
    register, now = world.register, world.now()
    with register.transaction():
        mark = register.office.marks.get(_mark(what))
        since = datetime.fromisoformat(mark) if mark else now
        if mark is None:
            register.commit_office(register.office.marked({_mark(what): now.isoformat()}))
        if at_once or now - since >= world.retry.tell_owner:
            tell_owner(world, f"{what} gives trouble since {since.isoformat()}", _notice(world, what, why, since), now)


def _notice(world: World, what: str, why: str, since: datetime) -> NotifyOwner:
    waiting = sum(letter.audience == "person" for _, letter in world.register.owed_letters())
    facts = {"what": what, "reason": why, "received": since.isoformat(), "waiting": waiting}
    key = f"trouble {what} {since.isoformat()} {(world.now() - since) // AGAIN}"
    return NotifyOwner("notice_trouble", key, facts, inbox=what == MAIL)


def over(world: World, what: str) -> None:
    """Note that `what` works again."""
    register = world.register
    with register.transaction():
        marks = {name: value for name, value in register.office.marks.items() if name != _mark(what)}
        if marks != register.office.marks:
            if what == MAILBOX:
                again = int(marks.get(RECONNECTS, "0")) + 1
                marks |= {HEALTHY: world.now().isoformat(), RECONNECTS: str(again)}
            register.commit_office(replace(register.office, marks=marks))


def _mark(what: str) -> str:
    return f"{TROUBLE}{what}"
