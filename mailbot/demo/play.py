"""Play the story: the real program between the demo's servers, with only the clock sped up.

Owns the story, the view of it and what is left to look at. Must never stand in for a part of mailbot: everything that
is shown was decided, sent and filed by the program itself.
"""

import asyncio
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP, default
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table

from mailbot import config, owner
from mailbot.app import App, open_app
from mailbot.casework import Word
from mailbot.data import HERE
from mailbot.demo.servers import PASSWORD, USER, DemoServers, demo_servers
from mailbot.errors import Refused
from mailbot.views import timeline

ZONE = ZoneInfo("Europe/Amsterdam")
OWNER = "geert@kosternet.example"
DIGEST = time(8, 30)
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
    shown: int = 0
    counts: dict[str, int] = field(default_factory=dict)


async def play(out: Path, *, quick: bool = False) -> None:
    """Play the month and leave letters, digest and register in `out`."""
    story = tomllib.loads((HERE / "demo" / "story.toml").read_text(encoding="utf-8"))
    _emptied(out)
    start = date.fromisoformat(story["start"])
    clock = Clock(datetime.combine(start, time(8, 0), tzinfo=ZONE))
    console = Console()
    async with demo_servers() as servers:
        app = open_app(_settings(servers, out), now=clock)
        pause = 0.0 if quick or not console.is_terminal else 0.35
        stage = Stage(servers, app, clock, console, pause)
        app.world.told = lambda kind, what: _told(stage, kind, what)
        console.print(
            "[bold]A month at KosterNET[/bold], from Monday 2 November 2026. Real servers, real program, fast clock.\n"
        )
        await app.once()
        for day in range(story["days"]):
            await _day(stage, story, start, day)
        _leave(stage, out)
        _summary(stage, out)
        await app.close()


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
    """One day: what arrives at its hour, what the owner says, and the program's looks in between."""
    today = start + timedelta(days=day)
    events: list[tuple[time, Mapping[str, Any] | None]] = [(at, None) for at in (DIGEST, *LOOKS)]
    events += [(time.fromisoformat(one["at"]), one) for one in story["mail"] if one["day"] == day]
    stage.console.rule(f"{today:%A %-d %B}", style="dim")
    for at, mail in sorted(events, key=lambda pair: pair[0]):
        stage.clock.now = datetime.combine(today, at, tzinfo=ZONE)
        if mail is not None:
            await stage.servers.deliver(_raw(stage, mail), stage.clock.now)
            stage.console.print(
                f"[cyan]{at:%H:%M}[/cyan]  in    {mail['from'].split(' <')[0]}: [italic]{mail['subject']}[/italic]"
            )
        before = len(stage.servers.sent)
        await stage.app.once()
        _show_sent(stage, before)
        if mail is not None and stage.pause:
            await asyncio.sleep(stage.pause)
    for word in story["word"]:
        if word["day"] == day:
            _say(stage, word)


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
        message.add_attachment(b"\x89PNG a drawing", "image", "png", filename=mail["attachment"])
    return message.as_bytes()


def _letter_to(stage: Stage, sender: str) -> str:
    address = sender.rpartition("<")[2].strip(">")
    raw = next(raw for to, raw in stage.servers.sent if to == address)
    return str(BytesParser(policy=default).parsebytes(raw, headersonly=True)["Message-ID"])


def _say(stage: Stage, word: Mapping[str, Any]) -> None:
    """The owner's word, through the same door as the command line."""
    register, world = stage.app.world.register, stage.app.world
    record = register.client(word["from"])
    if record is None:
        return
    number = record.cases[0].number
    try:
        if word.get("identity"):
            owner.say(register, number, Word("identity"), world.desk, stage.clock.now)
        owner.say(register, number, Word(word["action"], send=bool(word.get("send"))), world.desk, stage.clock.now)
    except Refused as error:
        stage.console.print(f"[yellow]       owner  {number}: {error}[/yellow]")
        return
    stage.console.print(f"[yellow]       owner  {number}: {word['action']}[/yellow]")


def _told(stage: Stage, kind: str, what: str) -> None:
    stage.counts[kind] = stage.counts.get(kind, 0) + 1
    if kind == "plan":
        stage.console.print(f"       [dim]{what}[/dim]")


def _show_sent(stage: Stage, before: int) -> None:
    for to, raw in stage.servers.sent[before:]:
        subject = BytesParser(policy=default).parsebytes(raw, headersonly=True)["Subject"]
        colour, who = ("magenta", "owner") if to == OWNER else ("green", to)
        stage.console.print(f"[{colour}]       out   {who}: {subject}[/{colour}]")


def _leave(stage: Stage, out: Path) -> None:
    """Put every letter into the folder as mail and as a page, with an index to click through."""
    folder = out / "letters"
    folder.mkdir()
    rows = []
    for place, (to, raw) in enumerate(stage.servers.sent, start=1):
        mail = BytesParser(policy=default).parsebytes(raw)
        name = f"{place:03d}-{mail['X-Mailbot']}"
        (folder / f"{name}.eml").write_bytes(raw)
        (folder / f"{name}.html").write_text(_page(mail), encoding="utf-8")
        rows.append(f'<li><a href="letters/{name}.html">{mail["Subject"]}</a> to {to}</li>')
    page = "<!DOCTYPE html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
    style = "<style>body{font:16px/1.6 sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}</style>"
    listing = (
        f"{page}{style}<h1>A month at KosterNET</h1><p>Every mail that went out, in order.</p><ol>{''.join(rows)}</ol>"
    )
    (out / "index.html").write_text(listing, encoding="utf-8")
    (out / "cases.txt").write_text("\n".join(_timelines(stage)), encoding="utf-8")


def _page(mail: Any) -> str:  # noqa: ANN401 - an EmailMessage
    from base64 import b64encode  # noqa: PLC0415

    body = mail.get_body(("html",))
    page = str(body.get_content()) if body else ""
    for part in mail.walk():
        if part.get_content_type() == "image/png" and part["Content-ID"]:
            data = b64encode(part.get_content()).decode()
            page = page.replace(f"cid:{part['Content-ID'].strip('<>')}", f"data:image/png;base64,{data}")
    return page


def _timelines(stage: Stage) -> Iterator[str]:
    for record in stage.app.world.register.clients():
        for case in record.cases:
            yield from timeline(record, case)
            yield ""


def _summary(stage: Stage, out: Path) -> None:
    table = Table(title="The register after a month")
    for name in ("Number", "State", "Promise", "About", "Client"):
        table.add_column(name)
    rows = list(owner.cases(stage.app.world.register, only_open=False))
    for row in rows:
        table.add_row(row["number"], row["state"], row["promise"], ", ".join(row["kinds"]), row["client"])
    stage.console.print()
    stage.console.print(table)
    letters = sum(to != OWNER for to, _ in stage.servers.sent)
    notices = len(stage.servers.sent) - letters
    counted = f"{len(rows)} cases, {letters} letters to people, {notices} mails to the owner."
    stage.console.print(f"\n{counted} Look at [bold]{out}/index.html[/bold].")
