"""Play the story: the real program between the demo's servers, with only the clock sped up.

Owns the story, the view of it and what is left to look at. Must never stand in for a part of mailbot: everything that
is shown was decided, sent and filed by the program itself.
"""

import asyncio
import imaplib
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table

from mailbot import config, data, owner
from mailbot.app import App, open_app
from mailbot.data import HERE
from mailbot.demo import leave, part
from mailbot.demo.servers import PASSWORD, USER, DemoServers, demo_servers
from mailbot.intake import Told

ZONE = ZoneInfo("Europe/Amsterdam")
OWNER = "geert@kosternet.example"
DIGEST = time(8, 30)
ERASED = ("m.dejong@example.org", "Mirjam")  # who asked for it, and must be nowhere afterwards
LOOKS = (time(9, 0), time(13, 0), time(17, 30), time(22, 0))


@dataclass
class Clock:
    """The demo's present."""

    now: datetime

    def __call__(self) -> datetime:
        """Return the present."""
        return self.now


@dataclass
class Stage:
    """Everything the story plays on."""

    servers: DemoServers
    app: App
    clock: Clock
    console: Console
    pause: float
    out: Path
    seen: list[leave.Seen] = field(default_factory=list)
    numbers: dict[str, str] = field(default_factory=dict)  # of a person's case, also once he is erased
    looking: bool = False
    missed: list[str] = field(default_factory=list)  # what the story asks and could not be done


async def play(out: Path, *, quick: bool = False) -> int:
    """Play the month and leave letters, digests, report and register in `out`; return 1 when the story went wrong."""
    story = tomllib.loads((HERE / "demo" / "story.toml").read_text(encoding="utf-8"))
    _emptied(out)
    start = date.fromisoformat(story["start"])
    clock = Clock(datetime.combine(start, time(8, 0), tzinfo=ZONE))
    console = Console(highlight=False)
    async with demo_servers() as servers:
        app = open_app(_settings(servers, out), now=clock)
        pause = 0.0 if quick or not console.is_terminal else 0.25
        stage = Stage(servers, app, clock, console, pause, out)
        app.world.told = lambda kind, what: _told(stage, kind, what)
        console.print(
            "[bold]A month at KosterNET[/bold], from Monday 2 November 2026. Real servers, real program, fast clock.\n"
        )
        await app.once()
        for day in range(story["days"]):
            await _day(stage, story, start, day)
        proof = await _proof(stage)
        leave.the_rest(out, app, stage.seen, proof)
        _summary(stage, proof)
        await app.close()
    return 1 if stage.missed else 0


def _emptied(out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)


def _settings(servers: DemoServers, out: Path) -> config.Settings:
    return config.Settings(
        organisation=config.Organisation("KosterNET", USER, ("wordpress@kosternet.nl",), OWNER),
        imap=config.Imap("127.0.0.1", servers.imap_port, "none", USER, PASSWORD),
        smtp=config.Smtp("127.0.0.1", servers.smtp_port, "none"),
        register=config.RegisterSettings(str(out / "register")),
    )


async def _day(stage: Stage, story: Mapping[str, Any], start: date, day: int) -> None:
    """One day: what arrives at its hour, what the owner does, and the program's looks in between."""
    today = start + timedelta(days=day)
    events: list[tuple[time, str, Mapping[str, Any]]] = [(at, "look", {}) for at in (DIGEST, *LOOKS)]
    for sort in ("mail", "phone", "owner"):
        events += [(time.fromisoformat(one["at"]), sort, one) for one in story[sort] if one["day"] == day]
    stage.console.rule(f"{today:%A %-d %B}", style="dim")
    for at, sort, what in sorted(events, key=lambda event: event[0]):
        stage.clock.now = datetime.combine(today, at, tzinfo=ZONE)
        before, stage.looking = len(stage.servers.sent), sort == "look"
        await {"look": _look, "mail": _arrives, "phone": _phoned, "owner": _owner_does}[sort](stage, what)
        await stage.app.once()
        _show_sent(stage, before)
        if sort != "look" and stage.pause:
            await asyncio.sleep(stage.pause)


async def _look(_stage: Stage, _what: Mapping[str, Any]) -> None:
    """Nothing but the passing of time."""


async def _arrives(stage: Stage, mail: Mapping[str, Any]) -> None:
    await stage.servers.deliver(_raw(stage, mail), stage.clock.now)
    who = mail["from"].split(" <")[0]
    _note(stage, "in", who, mail["subject"])
    stage.console.print(f"[cyan]{stage.clock.now:%H:%M}[/cyan]  in    {who}: [italic]{mail['subject']}[/italic]")


async def _phoned(stage: Stage, call: Mapping[str, Any]) -> None:
    """The owner writes down a request that came by telephone, as `mailbot intake` does."""
    world = stage.app.world
    received = datetime.combine(stage.clock.now.date(), time.fromisoformat(call["received"]), tzinfo=ZONE)
    told = Told("phone", received, call["from"], (call["kind"],))
    found = owner.intake(world.register, told, world.desk, stage.app.house.reader.policy, stage.clock.now)
    what = f"mailbot intake: {found.number}, by telephone"
    _note(stage, "owner", f"about {call['from']}", what)
    stage.console.print(f"[yellow]{stage.clock.now:%H:%M}  owner {what}[/yellow]")


async def _owner_does(stage: Stage, act: Mapping[str, Any]) -> None:
    """He presses a button he was sent, or answers in his own words; either is a mail to mailbot."""
    number = _number(stage, act["about"])
    mails = [leave.parsed(raw) for to, raw in reversed(stage.servers.sent) if to == OWNER]
    if "click" in act:
        mail = part.pressed(mails, number, act["click"], act.get("text", ""), OWNER)
        what = f"presses: {act['click']}"
    else:
        mail = part.answered(mails, number, act["says"], OWNER)
        what = f"answers: {' '.join(act['says'].split())}"
    if mail is None:
        stage.missed.append(f"{stage.clock.now:%A %-d %B %H:%M}: no mail lets the owner say `{what}` about {number}")
        return
    await stage.servers.deliver(mail.as_bytes(), stage.clock.now)
    _note(stage, "owner", f"about {number}", what)
    stage.console.print(f"[yellow]{stage.clock.now:%H:%M}  owner {number} {what}[/yellow]")


def _number(stage: Stage, address: str) -> str:
    record = stage.app.world.register.client(address)
    if record is not None and record.cases:
        stage.numbers[address] = record.cases[0].number
    return stage.numbers.get(address, "?")


def _note(stage: Stage, way: str, who: str, what: str, page: str = "") -> None:
    now = stage.clock.now
    stage.seen.append(leave.Seen(f"{now:%A %-d %B}", f"{now:%H:%M}", way, who, what, page))


def _raw(stage: Stage, mail: Mapping[str, Any]) -> bytes:
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = mail["from"], USER, mail["subject"]
    message["Date"] = stage.clock.now
    message["Message-ID"] = (
        f"<{mail['day']}.{mail['at'].replace(':', '')}@{mail['from'].rpartition('@')[2].strip('>')}>"
    )
    for line in mail.get("headers", "").splitlines():
        name, _, value = line.partition(": ")
        message[name] = value
    if "reply_to" in mail:
        message["Reply-To"] = mail["reply_to"]
    if "reply" in mail:
        message["In-Reply-To"] = _letter_to(stage, mail["from"])
    message.set_content(mail["text"])
    if "attachment" in mail:
        drawing = 2 * data.files("templates")["pictures/identity-nl.png"]  # as large as a photograph, not as a logo
        message.add_attachment(drawing, "image", "png", filename=mail["attachment"])
    return message.as_bytes()


def _letter_to(stage: Stage, sender: str) -> str:
    address = sender.rpartition("<")[2].strip(">")
    raw = next(raw for to, raw in stage.servers.sent if to == address)
    return str(leave.parsed(raw)["Message-ID"])


def _told(stage: Stage, kind: str, what: str) -> None:
    if kind == "erased" or (kind == "plan" and not stage.looking):  # a look by itself meets mail of earlier again
        stage.console.print(f"       [dim]{what or 'the person was erased'}[/dim]")


def _show_sent(stage: Stage, before: int) -> None:
    for place, (to, raw) in enumerate(stage.servers.sent[before:], start=before + 1):
        subject = str(leave.parsed(raw)["Subject"])
        colour, who, way = ("magenta", "owner", "notice") if to == OWNER else ("green", to, "person")
        _note(stage, way, f"to {who}", subject, leave.page_of(stage.out, place, raw))
        stage.console.print(f"[{colour}]       out   {who}: {subject.replace('[', chr(92) + '[')}[/{colour}]")


async def _proof(stage: Stage) -> str:
    """Look through every byte of the register and of the mailbox for the person who was erased."""
    files = [path for path in sorted((stage.out / "register").rglob("*")) if path.is_file()]
    found = [path.name for path in files if _names(path.read_bytes())]
    messages = await asyncio.to_thread(lambda: list(_messages(stage.servers.imap_port)))
    found += [folder for folder, raw in messages if _names(raw)]
    if found:
        stage.missed.append(f"{ERASED[0]} still stands in {', '.join(found)}")
    looked = f"{len(files)} files of the register and {len(messages)} messages in the mailbox"
    return f"{ERASED[0]} asked to be erased. We looked through {looked}: found {len(found)} times."


def _names(raw: bytes) -> bool:
    return any(word.lower().encode() in raw.lower() for word in ERASED)


def _messages(port: int) -> Iterator[tuple[str, bytes]]:
    with imaplib.IMAP4("127.0.0.1", port) as server:
        server.login(USER, PASSWORD)
        for line in server.list()[1]:
            folder = line.decode().rpartition(' "/" ')[2] if isinstance(line, bytes) else ""
            if server.select(folder, readonly=True)[0] == "OK":
                for one in server.fetch("1:*", "(BODY.PEEK[])")[1]:
                    if isinstance(one, tuple):
                        yield folder, one[1]


def _summary(stage: Stage, proof: str) -> None:
    table = Table(title="The register after a month")
    for name in ("Number", "State", "Promise", "About", "Client"):
        table.add_column(name)
    rows = list(owner.cases(stage.app.world.register, only_open=False))
    for row in rows:
        table.add_row(row["number"], row["state"], row["promise"], ", ".join(row["kinds"]), row["client"])
    gone = list(stage.app.world.register.closed())
    for one in gone:
        table.add_row(one.number, "erased", "", ", ".join(one.kinds), "")
    stage.console.print()
    stage.console.print(table)
    letters = sum(to != OWNER for to, _ in stage.servers.sent)
    notices = len(stage.servers.sent) - letters
    for line in stage.missed:
        stage.console.print(f"[red]{line}[/red]")
    counted = f"{len(rows) + len(gone)} cases, {letters} letters to people, {notices} mails to the owner."
    stage.console.print(f"\n{counted} {proof}\nNow look at [bold]{stage.out}/index.html[/bold].")
