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
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from mailbot import systemd
from mailbot.arrivals import TakenIn, ask_about_stops, file_answered, take_in
from mailbot.config import Settings
from mailbot.errors import LoginRefused, TryLater
from mailbot.house import House, furnish
from mailbot.mailbox import ImapSettings, Mailbox
from mailbot.outbox import Outbox, SmtpSettings
from mailbot.perform import ImapThread, Settled, World, settle
from mailbot.purge import Judging, end_cases
from mailbot.record import Desk
from mailbot.register import Register
from mailbot.ticks import tick

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
    _stopping: bool = False
    _refused: int = 0
    _failures: int = 0

    async def once(self) -> Summary:
        """Do everything that is due now and return what was done. Raises TryLater or LoginRefused."""
        summary = Summary()
        await self._connect()
        await self._cycle(summary)
        return summary

    async def _connect(self) -> None:
        if not self.world.imap.mailbox.connected:
            await self.world.imap.call(self.world.imap.mailbox.connect)

    async def _cycle(self, summary: Summary) -> None:
        """One turn: what came in, what is due, what is owed. Each part is safe to repeat."""
        settings, house = self.settings, self.house
        self.world.register.room()

        async def settled() -> None:
            summary.settled(await settle(self.world))

        summary.took(await take_in(self.world, house.reader, house.doubts, settled, self._history_from()))
        await file_answered(self.world, house.reader)
        ask_about_stops(self.world)
        summary.warnings += tick(self.world, house.ladder, settings, house.ending.client_years)
        await settled()
        judging = Judging(house.reader.read, house.ending, settings.organisation.addresses)
        summary.erased += await end_cases(self.world, judging)

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
        """One cycle and the wait after it; trouble with a server ends in a pause that grows."""
        try:
            await self._connect()
            await self._cycle(Summary())
            self._failures = self._refused = 0
            systemd.notify("READY=1\nWATCHDOG=1\nSTATUS=watching the mailbox")
            await self._wait()
        except LoginRefused:
            self._refused += 1
            if self._refused >= LOGIN_TRIES:
                raise
            await self._pause("the login was refused")
        except TryLater as error:
            await self._pause(str(error))

    async def _wait(self) -> None:
        if not self._stopping:
            await self.world.imap.call(self.world.imap.mailbox.wait, self.settings.imap.poll_seconds)

    async def _pause(self, why: str) -> None:
        seconds = BACKOFF[min(self._failures, len(BACKOFF) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        self._failures += 1
        LOG.warning("trying again in %.0f seconds: %s", seconds, why)
        systemd.notify(f"STATUS=trying again in {seconds:.0f} seconds")
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
        self.world.composed = house.composed
        LOG.info("the configuration was reloaded")

    async def close(self) -> None:
        """Close what is open and let go of the register, which is always whole."""
        await self.world.outbox.close()
        await self.world.imap.call(self.world.imap.mailbox.close)
        self.world.imap.close()
        self.world.register.close()


def clock(settings: Settings) -> Callable[[], datetime]:
    """Return the one clock: aware, in the configured time zone."""
    return lambda: datetime.now(settings.zone)


def open_app(
    settings: Settings,
    *,
    now: Callable[[], datetime] | None = None,
    told: Callable[[str, str], None] | None = None,
    daemon: bool = True,
) -> App:
    """Return an App on the configured servers; nothing is connected yet. Raises OwnerMustFix with every problem."""
    house = furnish(settings)
    register = Register.open(Path(settings.register.directory))
    if daemon:
        register.claim_daemon()
    world = World(
        register=register,
        imap=ImapThread(Mailbox(imap_settings(settings))),
        outbox=Outbox(smtp_settings(settings)),
        composed=house.composed,
        now=now or clock(settings),
        desk=replace(desk_of(settings), secret=register.key, links=house.links),
        retry=house.retry,
        envelope_from="" if settings.smtp.empty_envelope_sender else settings.organisation.address,
    )
    if told is not None:
        world.told = told
    return App(settings, house, world)


def desk_of(settings: Settings) -> Desk:
    """Return where letters come from and go to by default."""
    organisation = settings.organisation
    domain = organisation.address.rpartition("@")[2]
    return Desk(
        domain,
        organisation.owner,
        settings.letters.languages[0],
        organisation.address,
        suspend=settings.identity.suspend,
    )
