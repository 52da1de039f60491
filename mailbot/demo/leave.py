"""What the demo leaves to look at: every mail as a page, the report, the evidence, the proof of an erasure, an index.

Owns that folder. Must never tidy anything up for show: it holds what the program made.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from mailbot import trial
from mailbot.app import App
from mailbot.data import HERE
from mailbot.views import timeline


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing of the month, for the index: `way` is in, owner (he says something), person or notice."""

    day: str
    at: str
    way: str
    who: str
    what: str
    page: str = ""


def parsed(raw: bytes) -> EmailMessage:
    """Return a mail that went out."""
    mail: Any = BytesParser(policy=default).parsebytes(raw)
    return mail  # type: ignore[no-any-return] # the policy makes it an EmailMessage


def page_of(out: Path, place: int, raw: bytes) -> str:
    """Write a mail that went out as mail and as a page; return the page's place in the folder."""
    mail = parsed(raw)
    name = f"letters/{place:03d}-{mail['X-Mailbot']}"
    (out / "letters").mkdir(exist_ok=True)
    (out / f"{name}.eml").write_bytes(raw)
    (out / f"{name}.html").write_text(_with_pictures(mail), encoding="utf-8")
    return f"{name}.html"


def _with_pictures(mail: EmailMessage) -> str:
    body = mail.get_body(("html",))
    page = str(body.get_content()) if body else ""
    for part in mail.walk():
        if part.get_content_type() == "image/png" and part["Content-ID"]:
            data = b64encode(part.get_content()).decode()
            page = page.replace(f"cid:{part['Content-ID'].strip('<>')}", f"data:image/png;base64,{data}")
    return page


def the_rest(out: Path, app: App, seen: Sequence[Seen], proof: str) -> None:
    """Write the report, the evidence, the timelines and the index."""
    register, house, settings, now = app.world.register, app.house, app.settings, app.world.now()
    html, table, calendar = trial.report_of(register, house, settings, now, anonymous=False)
    (out / "report.html").write_text(html, encoding="utf-8")
    (out / "report.csv").write_text(table, encoding="utf-8")
    (out / "report.ics").write_text(calendar, encoding="utf-8")
    numbers = sorted([*(line.number for line in register.closed()), "KN-2026-0001"])
    for number in numbers:
        lines = trial.evidence_of(number, register, house, settings, now)
        (out / f"evidence-{number}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (out / "cases.txt").write_text("\n".join(_timelines(app)), encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((HERE / "demo" / "index.html").read_text(encoding="utf-8"))
    days = [(day, list(things)) for day, things in groupby(seen, key=lambda one: one.day)]
    facts = {"days": days, "erased": numbers, "proof": proof, "first": _first(seen)}
    (out / "index.html").write_text(template.render(facts), encoding="utf-8")


def _timelines(app: App) -> Iterator[str]:
    for record in app.world.register.clients():
        for case in record.cases:
            yield from timeline(record, case)
            yield ""


def _first(seen: Sequence[Seen]) -> dict[str, str]:
    """The newest page of each sort of mail, by the name in its file: what is worth looking at first."""
    return {one.page.partition("-")[2].removesuffix(".html"): one.page for one in seen if one.page}
