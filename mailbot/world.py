"""Everything the steps of the shell touch, in one value: register, mailbox, outbox, and the present.

Owns that value, the mailbox's one thread, and the one way a plan or a change gets into a record. Must never decide what
to write, and never send or move anything.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from typing import ParamSpec, TypeVar, cast

from mailbot import record as records
from mailbot.client import ClientRecord, QueuedLetter
from mailbot.decide import Delivery
from mailbot.limits import Retry
from mailbot.mailbox import Mailbox
from mailbot.message import Message
from mailbot.outbox import Outbox
from mailbot.plan import NotifyOwner, Plan
from mailbot.record import Desk
from mailbot.register import Register
from mailbot.understanding import Understanding

P = ParamSpec("P")
R = TypeVar("R")


class ImapThread:
    """The one thread that may touch the mailbox: imaplib is not thread-safe, and IDLE must not block letters (R7)."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="imap")

    async def call(self, step: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run one step in the mailbox's thread and return what it returns."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: step(*args, **kwargs))

    async def each(self, batches: Iterator[R]) -> AsyncGenerator[R, None]:
        """Yield what the mailbox yields, each fetched in its thread while nothing else needs it."""
        done = object()
        while (batch := await self.call(next, batches, done)) is not done:
            yield cast("R", batch)

    def close(self) -> None:
        """Let the thread finish the step in hand, then end it."""
        self._executor.shutdown(wait=True)


@dataclass(slots=True)
class World:
    """Everything settling touches. `now` gives the aware present; `composed` makes the bytes of a letter."""

    register: Register
    imap: ImapThread
    outbox: Outbox
    composed: Callable[[QueuedLetter], EmailMessage]
    now: Callable[[], datetime]
    desk: Desk
    retry: Retry = field(default_factory=Retry)
    envelope_from: str = ""
    understanding: Understanding = field(default_factory=Understanding)
    told: Callable[[str, str], None] = lambda _kind, _what: None  # the demo looks over the daemon's shoulder
    accepted: dict[str, str] = field(default_factory=dict)  # letters a server took that the disk would not record
    fresh: dict[str, EmailMessage] = field(default_factory=dict)  # letters just sent: no copy can be anywhere yet
    # After a restore: the Message-IDs of letters that left before it, and of the mails they answered.
    earlier: frozenset[str] | None = None
    nothing_to_say: tuple[str, int] | None = None  # the day and the register's version of a digest that was not needed
    stopping: bool = False  # finish the letter or the batch in hand and begin no other


def commit_plan(world: World, plan: Plan, arrived: tuple[Message, Delivery] | None, now: datetime) -> None:
    """Write the plan into its record in one atomic commit. Inside a transaction."""
    if plan.client is None or not plan.actions:
        return
    register = world.register
    before = register.client(plan.client) or register.new_client(plan.client)
    after = records.written(before, plan, world.desk, now, arrived)
    if after != before:
        register.commit(after)


def tell_owner(world: World, why: str, notice: NotifyOwner, now: datetime) -> None:
    """Queue a notice about no client in particular, in the owner's own record. Inside a transaction."""
    commit_plan(world, Plan(why, (notice,), world.desk.owner), None, now)


def update(world: World, place: str, change: Callable[[ClientRecord], ClientRecord]) -> None:
    """Change one record in one transaction: another process may have written meanwhile."""
    with world.register.transaction():
        before = world.register.client_by_id(place)
        after = change(before) if before is not None else None
        if after is not None and after != before:
            world.register.commit(after)
