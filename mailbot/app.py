"""The composition root: settings in, a running mailbot out.

Owns putting the parts together, the loop, the timer and the signals, and is the only reader of the clock. Must never
hold a rule or a text: those are data. Scheduled jobs are only ticks; what is due is computed from the register, so a
tick that is missed loses nothing (failure-cases 1.6).
"""

import asyncio
import logging
import random
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from mailbot import claim, nightly, standing, systemd
from mailbot.answers import look_at_sent
from mailbot.arrivals import TakenIn, ask_about_stops, file_answered, take_in
from mailbot.config import Settings
from mailbot.connection import ImapSettings
from mailbot.errors import LoginRefused, MailbotError, OwnerMustFix, where
from mailbot.house import House, desk_of, furnish
from mailbot.learning import learn
from mailbot.mailbox import Mailbox
from mailbot.outbox import Outbox, SmtpSettings
from mailbot.perform import Settled, settle, settle_letters
from mailbot.purge import Judging, end_cases
from mailbot.register import Register
from mailbot.restored import recollect
from mailbot.review import look_at_review
from mailbot.ticks import tick
from mailbot.world import ImapThread, World

LOG = logging.getLogger(__name__)
TICK = 60  # seconds between looks at what is due
LOGIN_TRIES = 3  # servers ban addresses that keep trying a wrong password (I31)
BACKOFF = (5, 10, 30, 60, 120, 300)  # seconds before the next attempt to reach a server that is away


@dataclass(slots=True)
class Summary:
    """What one `once` did, for `--json`."""

    messages: int = 0
    requests: int = 0
    reviews: int = 0
    ordinary: int = 0
    aside: int = 0
    letters_sent: int = 0
    letters_waiting: int = 0
    letters_failed: int = 0
    filed: int = 0
    warnings: int = 0
    gaps: int = 0
    erased: int = 0

    def took(self, taken: TakenIn) -> None:
        """Add what came from the mailbox."""
        self.messages += taken.messages
        self.requests += taken.cases
        self.reviews += taken.reviews
        self.ordinary += taken.ordinary
        self.aside += len(taken.aside)

    def settled(self, done: Settled) -> None:
        """Add what was sent and filed."""
        self.letters_sent += done.sent
        self.letters_waiting += done.waiting
        self.letters_failed += done.failed
        self.filed += done.filed

    def as_json(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


def imap_settings(settings: Settings) -> ImapSettings:
    """Return what the mailbox needs of the configuration."""
    imap = settings.imap
    return ImapSettings(
        host=imap.host,
        port=imap.port,
        security=imap.security,
        username=imap.username,
        password=imap.password,
        token=imap.token,
        ca_file=imap.ca_file,
        inbox=imap.inbox,
        clients=imap.clients,
        sent=imap.sent,
        review=imap.review,
    )


def smtp_settings(settings: Settings) -> SmtpSettings:
    """Return what the outbox needs of the configuration."""
    smtp = settings.smtp
    return SmtpSettings(
        host=smtp.host,
        port=smtp.port,
        security=smtp.security,
        username=smtp.username,
        password=smtp.password,
        token=smtp.token,
        ca_file=smtp.ca_file,
    )


@dataclass(slots=True)
class App:
    """One mailbot: its world and the rules in force. Use `open_app`, then `once` or `run`, then `close`."""

    settings: Settings
    house: House
    world: World
    reload: Callable[[], Settings] | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    trouble: MailbotError | None = None  # why no letter could leave in the last cycle
    _unfiled: str = ""
    _stopping: bool = False
    _watching: bool = False
    _refused: int = 0
    _failures: int = 0

    async def once(self) -> Summary:
        """Do everything that is due now and return what was done; `trouble` then says why letters wait.

        Raises what keeps the mailbox from being looked at, after what is due and owed without it.
        """
        summary = Summary()
        await self._cycle(summary)
        return summary

    async def _connect(self) -> None:
        if not self.world.imap.mailbox.connected:
            await self.world.imap.call(self.world.imap.mailbox.connect)
            await claim.stake(self.world)

    async def _cycle(self, summary: Summary) -> None:
        """One turn: what came in, what is due, what is owed. Each part is safe to repeat.

        When the mailbox is away the clock goes on all the same: terms are warned about and letters leave.
        """
        self.trouble, self._unfiled = None, ""
        self.world.register.room()
        nightly.believe_clock(self.world)
        try:
            await self._connect()
            await self._look(summary)
        except MailbotError as error:
            tick(self.world, self.house.ladder, self.settings, self.house.ending.client_years)
            self._mailbox_trouble(error)
            self._note(summary, await settle_letters(self.world))
            raise
        standing.over(self.world, standing.MAILBOX)

    async def _look(self, summary: Summary) -> None:
        house = self.house

        async def settled() -> None:
            self._note(summary, await settle(self.world, letters=self.trouble is None))

        await recollect(self.world, house.reader)
        summary.took(await take_in(self.world, house.reader, house.limits.doubts, settled, self._history_from()))
        await file_answered(self.world, house.reader)
        await look_at_sent(self.world, house.reader)
        summary.gaps += await nightly.count(self.world, house.reader)
        summary.reviews += await look_at_review(self.world, house.reader)
        ask_about_stops(self.world)
        summary.warnings += tick(self.world, house.ladder, self.settings, house.ending.client_years)
        await settled()
        if self.trouble or self._unfiled:
            await settle(self.world, letters=False)  # a notice about it may have to go into the mailbox
        await learn(self.world, house.reader, house.rules, house.limits.keeping)
        judging = Judging(house.reader.read, house.ending, self.settings.organisation.addresses)
        summary.erased += await end_cases(self.world, judging)

    def _note(self, summary: Summary, done: Settled) -> None:
        """Add what was done, and keep the marks of trouble: what was sent or filed proves that it is over."""
        summary.settled(done)
        self.trouble = done.trouble or self.trouble
        self._unfiled = done.unfiled or self._unfiled
        if done.trouble is not None:
            LOG.warning("letters wait: %s", done.trouble)
            last = isinstance(done.trouble, LoginRefused) and self._refused + 1 >= LOGIN_TRIES
            standing.troubled(self.world, standing.MAIL, str(done.trouble), at_once=last)
        elif done.sent:
            standing.over(self.world, standing.MAIL)
        if done.unfiled:
            standing.troubled(self.world, standing.FILING, done.unfiled, at_once=True)
        elif done.filed:
            standing.over(self.world, standing.FILING)

    def _mailbox_trouble(self, error: MailbotError) -> None:
        last = isinstance(error, LoginRefused) and self._refused + 1 >= LOGIN_TRIES
        standing.troubled(self.world, standing.MAILBOX, str(error), at_once=last)

    def _history_from(self) -> datetime | None:
        day = self.settings.imap.history_from
        return datetime(day.year, day.month, day.day, tzinfo=self.settings.zone) if day else None

    async def run(self) -> int:
        """Watch until told to stop and return the exit code. Only a refused login ends it by itself."""
        self._listen_to_signals()
        scheduler = AsyncIOScheduler(timezone=self.settings.zone)
        scheduler.add_job(self._nudge, "interval", seconds=TICK, coalesce=True, misfire_grace_time=None)
        scheduler.start()
        try:
            while not self._stopping:
                await self._turn()
        except LoginRefused as error:
            LOG.error("%s", error)  # noqa: TRY400 - the person needs the sentence, not the trace
            return error.exit_code
        finally:
            scheduler.shutdown(wait=False)
            systemd.notify("STOPPING=1")
        return 0

    async def _turn(self) -> None:
        """One cycle and the wait after it; trouble of any kind ends in a pause that grows, and only here."""
        try:
            await self._cycle(Summary())
            self._believe_a_refused_login()
            self._refused, self._watching = 0, True
            systemd.notify(f"READY=1\nWATCHDOG=1\nSTATUS={self._status()}")
            await self._wait()
            self._failures = 0  # only a wait that held: a server that takes us in and hangs up is not to be hammered
        except LoginRefused as error:
            self._refused += 1
            if self._refused >= LOGIN_TRIES:
                raise
            await self._pause(str(error))
        except MailbotError as error:
            if isinstance(error, OwnerMustFix) and not self._watching:
                raise  # at the start somebody is looking; later a watcher that ended would be the worst of all
            await self._pause(str(error))
        except Exception as error:  # noqa: BLE001 - a mistake of ours: told in the log, and the watch goes on
            LOG.error("a mistake in mailbot: %s", where(error))  # noqa: TRY400 - its text may quote mail
            await self._pause("a mistake in mailbot, see the log")

    def _believe_a_refused_login(self) -> None:
        if isinstance(self.trouble, LoginRefused):
            raise self.trouble

    def _status(self) -> str:
        parts = ["watching the mailbox"]
        if self.trouble is not None:
            parts.append(f"letters wait: {self.trouble}")
        if self._unfiled:
            parts.append(f"not filed: {self._unfiled}")
        return "; ".join(parts)

    async def _wait(self) -> None:
        if not self._stopping:
            await self.world.imap.call(self.world.imap.mailbox.wait, self.settings.imap.poll_seconds)

    async def _pause(self, why: str) -> None:
        seconds = BACKOFF[min(self._failures, len(BACKOFF) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        self._failures += 1
        LOG.warning("trying again in %.0f seconds: %s", seconds, why)
        # Ready: the configuration is good and the loop runs; a start that waits for a server would be ended by systemd.
        # Fed: an attempt that came to its end is a sign of life too, and being started anew would help nothing.
        systemd.notify(f"READY=1\nWATCHDOG=1\nSTATUS=trying again in {seconds:.0f} seconds: {why}")
        if not self._stopping:
            self._wake.clear()
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return

    async def _nudge(self) -> None:
        """The timer's tick: end the wait, so that the loop looks at what is due."""
        self.world.imap.mailbox.wake()

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def stop(self) -> None:
        """Finish the letter or the batch in hand, then end."""
        self._stopping = self.world.stopping = True
        self._wake.set()
        self.world.imap.mailbox.wake()

    def _reload(self) -> None:
        """Read the configuration again; keep the old one when the new one is wrong."""
        if self.reload is None:
            return
        try:
            settings = self.reload()
            house = furnish(settings)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the new one, the old one goes on
            LOG.error("the configuration was not reloaded, the old one stays in force: %s", error)  # noqa: TRY400
            return
        self.settings, self.house = settings, house
        self.world.composed, self.world.retry = house.composed, house.limits.retry
        self.world.envelope_from = envelope_from(settings)
        self.world.desk = desk_of(settings, house, self.world.register.key)
        LOG.info("the configuration was reloaded")

    async def close(self) -> None:
        """Close what is open and let go of the register, which is always whole."""
        await self.world.outbox.close()
        await self.world.imap.call(self.world.imap.mailbox.close)
        self.world.imap.close()
        self.world.register.close()


def envelope_from(settings: Settings) -> str:
    """Return whom a bounce of our letters goes to; "" hides them, as configured (RFC 5321, 4.5.5)."""
    return "" if settings.smtp.empty_envelope_sender else settings.organisation.address


def clock(settings: Settings) -> Callable[[], datetime]:
    """Return the one clock: aware, in the configured time zone."""
    return lambda: datetime.now(settings.zone)


def open_app(
    settings: Settings,
    *,
    now: Callable[[], datetime] | None = None,
    told: Callable[[str, str], None] | None = None,
    daemon: bool = True,
    house: House | None = None,
) -> App:
    """Return an App on the configured servers; nothing is connected yet. Raises OwnerMustFix with every problem.

    `house` saves furnishing it again where these settings were furnished before.
    """
    house = house or furnish(settings)
    register = Register.open(Path(settings.register.directory))
    if daemon:
        register.claim_daemon()
    world = World(
        register=register,
        imap=ImapThread(Mailbox(imap_settings(settings))),
        outbox=Outbox(smtp_settings(settings)),
        composed=house.composed,
        now=now or clock(settings),
        desk=desk_of(settings, house, register.key),
        retry=house.limits.retry,
        envelope_from=envelope_from(settings),
    )
    if told is not None:
        world.told = told
    return App(settings, house, world)
