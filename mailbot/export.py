"""The archive for an access or portability answer: what we hold of one person, and of nobody else.

Owns its shape and writing it. Must never write over a file, send it anywhere, or hold anything of another person: the
owner sends it, to the address on file.
"""

import json
import os
import zipfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from mailbot import app, config, owner, report, views
from mailbot.case import Case
from mailbot.client import JUDGED, ClientRecord, QueuedLetter
from mailbot.errors import OwnerMustFix, Refused
from mailbot.house import House
from mailbot.message import Message
from mailbot.world import World

KINDS = {"access", "portability", "objection"}  # the answers that come with copies (GDPR 15(3), 20; the statement)
NAMES = {
    "nl": {"readme": "LEESMIJ.txt", "data": "gegevens.json", "mail": "berichten", "holders": "verwerkers.csv"},
    "en": {"readme": "README.txt", "data": "data.json", "mail": "messages", "holders": "processors.csv"},
}
COLUMNS = ("file", "date", "from", "to", "subject", "bytes")
PART = ".part"


@dataclass(slots=True)
class Archive:
    """What goes in: the person's record and their messages as rows of a table."""

    record: ClientRecord
    case: Case
    now: datetime
    rows: list[dict[str, object]] = field(default_factory=list)
    left_out: int = 0

    @property
    def language(self) -> str:
        """The language of the person, as far as there are names in it."""
        return self.case.language if self.case.language in NAMES else "en"


async def export_to(number: str, file: Path, explicit: str | None) -> Archive:
    """Write the archive of a case over a connection of its own, beside a running daemon."""
    daemon = app.open_app(config.load(explicit), daemon=False)
    try:
        await daemon.world.imap.call(daemon.world.imap.mailbox.connect)
        return await export(daemon.world, daemon.house, number, file)
    finally:
        await daemon.close()


async def export(world: World, house: House, number: str, file: Path) -> Archive:
    """Write the archive and return what it holds; the file is readable by its owner only, whole or not there.

    Refused when the file exists, the case asks for no copy, or the person's identity was asked and not confirmed.
    """
    record, case = owner.find(world.register, number)
    _allowed(case, file)
    archive = Archive(record, case, world.now())
    part = file.with_name(file.name + PART)
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
                await _messages(world, house, archive, target)
                _facts(house, archive, target)
            out.flush()
            os.fsync(out.fileno())
        os.link(part, file)  # unlike a rename, this never replaces a file that came meanwhile
    except FileExistsError as error:
        raise Refused(f"{file} exists already and was left as it is: name another file") from error
    except OSError as error:
        raise OwnerMustFix(f"{file}: could not be written ({error.strerror})") from error
    finally:
        part.unlink(missing_ok=True)
    return archive


def _allowed(case: Case, file: Path) -> None:
    if file.exists():
        raise Refused(f"{file} exists already and was left as it is: name another file")
    if not KINDS & set(case.kinds):
        raise Refused(f"{case.number} asks for no copy of data: it is about {', '.join(case.kinds)}")
    if case.awaits_identity:
        raise Refused(
            f"identity was asked and not confirmed: say `identity {case.number}` once you have seen who it is"
        )


async def _messages(world: World, house: House, archive: Archive, target: zipfile.ZipFile) -> None:
    """Put in the messages of the client's folder, one at a time: a mailbox may be larger than memory."""
    folder = NAMES[archive.language]["mail"]
    async for _, raw, at in world.imap.each(world.imap.mailbox.whole(archive.record.folder or "")):
        message = house.reader.read(raw)
        if not _theirs(message, archive.record):
            archive.left_out += 1
            continue
        local = at.astimezone(archive.now.tzinfo)
        name = f"{folder}/{len(archive.rows) + 1:04d}-{local:%Y-%m-%d}.eml"
        _put(target, name, raw, local)
        archive.rows.append(_row(name, message, raw, local))


def _theirs(message: Message, record: ClientRecord) -> bool:
    """Whether it is mail from or to this person. What others wrote about them the owner looks at (GDPR 15(4))."""
    named = {one.address.lower() for one in (*message.recipients, *message.reply_to)}
    named |= {message.sender.address.lower()} if message.sender else set()
    named |= {message.form.address.lower()} if message.form and message.form.address else set()
    asked = {seen.digest for seen in record.messages if seen.role in JUDGED}
    return record.address.lower() in named or message.digest in asked


def _row(name: str, message: Message, raw: bytes, at: datetime) -> dict[str, object]:
    return {
        "file": name,
        "date": at.isoformat(timespec="seconds"),
        "from": message.sender.address if message.sender else "",
        "to": ", ".join(one.address for one in message.recipients),
        "subject": message.subject,
        "bytes": len(raw),
    }


def _facts(house: House, archive: Archive, target: zipfile.ZipFile) -> None:
    names, language = NAMES[archive.language], archive.language
    holders = [one.told(language) for one in house.templates.processors]
    record = archive.record
    facts: dict[str, Any] = {
        "made": archive.now.isoformat(timespec="seconds"),
        "person": {"address": record.address, "name": record.name, "language": record.language},
        "requests": [views.case_json(record, case) for case in record.cases],
        "messages": archive.rows,
        "processors": holders,
    }
    texts = {
        names["readme"]: _readme(house, archive),
        names["data"]: json.dumps(facts, ensure_ascii=False, indent=2) + "\n",
        f"{names['mail']}.csv": report.as_table(COLUMNS, archive.rows),
        names["holders"]: report.as_table(("name", "what", "holds"), holders),
    }
    for name, text in texts.items():
        _put(target, name, text.encode(), archive.now)


def _readme(house: House, archive: Archive) -> str:
    """The words to the person, from a template like every other."""
    facts = {"number": archive.case.number, "made": archive.now.date().isoformat(), "messages": len(archive.rows)}
    letter = QueuedLetter(
        f"<{archive.case.number.lower()}@export.invalid>", "export_readme", "person", archive.record.address,
        archive.case.language, archive.case.number, facts, archive.now,
    )  # fmt: skip
    body = house.composed(letter).get_body(("plain",))
    return str(body.get_content()) if body else ""


def _put(target: zipfile.ZipFile, name: str, contents: bytes, at: datetime) -> None:
    entry = zipfile.ZipInfo(name, (max(at.year, 1980), at.month, at.day, at.hour, at.minute, at.second))
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
    target.writestr(entry, contents)
