"""Trying things without consequence: classify, preview, the digest as it would be.

Owns what these commands print. Must never write the register, the mailbox or a letter (but `send_digest`, which says
so).
"""

import mailbox as mbox
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from mailbot import __version__, app, config, data, owner, page, report
from mailbot.casework import No, Word, follow
from mailbot.client import QueuedLetter
from mailbot.decide import Delivery, Known, decide
from mailbot.errors import OwnerMustFix, Refused
from mailbot.evidence import evidence as case_evidence
from mailbot.evidence import evidence_of_erased
from mailbot.examples import Compared, compare, summary
from mailbot.house import House, desk_of, furnish
from mailbot.perform import settle_letters
from mailbot.plan import NotifyOwner, Plan, SendLetter
from mailbot.purge import Judging, survey
from mailbot.record import letter_of, notice_of
from mailbot.register import Register
from mailbot.ticks import facts_now, queue_digest
from mailbot.understanding import Reader


def house(explicit: str | None) -> tuple[House, config.Settings]:
    """Return house and settings; secrets stay where they are."""
    settings = config.load(explicit, secrets=False)
    return furnish(settings), settings


def reader(explicit: str | None, rules: str = "") -> Reader:
    """Return the reader for `classify`, which needs no configuration: without one the shipped rules are used.

    `rules` is a folder whose files lie above those in force.
    """
    known = explicit is not None or config.locate(None, {}) is not None
    return furnish(config.load(explicit, secrets=False) if known else config.Settings(), rules).reader


def messages(files: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each message: a file, stdin, the .eml files of a folder, or the mails of an mbox."""
    for name in files:
        path = Path(name)
        if name == "-":
            yield "-", sys.stdin.buffer.read()
        elif path.is_dir():
            for item in sorted(path.rglob("*.eml")):
                yield str(item), item.read_bytes()
        elif not path.exists():
            raise Refused(f"{name}: there is no such file")
        else:
            yield from _one(path)


def _one(path: Path) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as file:
        is_mbox = file.read(5) == b"From "
    if not is_mbox:
        yield str(path), path.read_bytes()
        return
    for place, item in enumerate(mbox.mbox(path, create=False), start=1):
        yield f"{path}#{place}", bytes(item)


def verdict_json(name: str, raw: bytes, reading: Reader) -> dict[str, Any]:
    """Return what `classify --json` prints for one message (the contract's keys, and the reason)."""
    message = reading.read(raw)
    verdict = reading.classify(message)
    return {
        "file": name,
        "decision": str(verdict.decision),
        "kinds": list(verdict.kinds),
        "sub_kinds": list(verdict.sub_kinds),
        "language": verdict.language,
        "confidence": verdict.confidence,
        "automatic": verdict.automatic is not None,
        "sender": verdict.sender.address if verdict.sender else None,
        "evidence": [
            {"rule": one.rule, "text": one.text, "kind": one.kind, "weight": one.weight, "watch": one.watch}
            for one in verdict.evidence
        ],
        "sums": dict(verdict.sums),
        "defects": list(verdict.defects),
        "reason": verdict.reason,
    }


def comparison(explicit: str | None, rules: str) -> tuple[list[Compared], int]:
    """Return what the rules make of every example, and how many still lack their words.

    `rules` is a folder whose files lie above those in force, so that a rule can be tried before it counts.
    """
    settings = config.load(explicit, secrets=False)
    register = owner.open_register(settings)
    examples = [one for record in register.clients() for one in record.examples]
    return list(compare(examples, furnish(settings, rules).rules)), sum(not one.text for one in examples)


def compared_lines(compared: list[Compared], waiting: int) -> Iterator[str]:
    """Yield the comparison as a person reads it: first what is wrong, then the sums."""
    for one in compared:
        said, now = ", ".join(one.owner) or "no request", ", ".join(one.verdict.kinds) or str(one.verdict.decision)
        watched = "" if one.watched.kinds == one.verdict.kinds else f"; watched: {', '.join(one.watched.kinds)}"
        yield f"{'right' if one.right else 'WRONG'}  {one.at:%Y-%m-%d}  owner: {said}; now: {now}{watched}"
        if not one.right or watched:
            for rule in one.watched.evidence:
                yield f"    {rule.rule:28} {rule.weight:.2f}  {rule.text}"
    sums = summary(compared)
    yield f"{sums['right']} of {sums['examples']} right; {sums['right_with_watched']} if the watched rules counted"
    if waiting:
        yield f"{waiting} more wait until mailbot has looked at the mailbox again"


def evidence_lines(facts: dict[str, Any]) -> Iterator[str]:
    """Yield what each kind added up to, surest first, with the rules behind it and the words they saw."""
    rows = facts["evidence"]
    for kind, added in facts["sums"].items():
        yield f"  {kind}: {added:.2f}{'' if kind in facts['kinds'] else ' (does not count)'}"
        yield from (_row(one) for one in rows if one["kind"] == kind)
    yield from (_row(one) for one in rows if one["kind"] not in facts["sums"])


def _row(one: dict[str, Any]) -> str:
    told = "watch" if one["watch"] else f"{one['weight']:.2f}" if one["kind"] else ""
    return f"    {one['rule']:28} {told:5} {one['text']}"


def preview(raw: bytes, furnished: House, settings: config.Settings) -> Iterator[str]:
    """Yield the plan for a message that comes now, and every letter it would send, as text."""
    now = app.clock(settings)()
    reading = furnished.reader
    message = reading.read(raw)
    verdict = reading.classify(message)
    known = Known(next_number=f"{settings.organisation.prefix}-{now.year}-0001")
    delivery = Delivery(1, 1, now)
    plan = decide(message, verdict, delivery, known, reading.policy)
    yield f"verdict: {verdict.decision} {', '.join(verdict.kinds)} - {verdict.reason}"
    yield from evidence_lines(verdict_json("", raw, reading))
    yield from _shown(plan, furnished, settings, now)


def _shown(plan: Plan, furnished: House, settings: config.Settings, now: datetime) -> Iterator[str]:
    yield f"plan: {plan.reason}"
    desk = desk_of(settings)
    record = Register.blank(plan.client or desk.owner)
    for action in plan.actions:
        yield f"  - {type(action).__name__}"
    for action in plan.actions:
        if isinstance(action, SendLetter):
            yield from _mail(letter_of(action, desk, now, record), furnished)
        elif isinstance(action, NotifyOwner):
            yield from _mail(notice_of(action, desk, now), furnished)


def _mail(letter: QueuedLetter, furnished: House) -> Iterator[str]:
    mail = furnished.composed(letter)
    yield ""
    yield from (f"{name}: {mail[name]}" for name in ("From", "To", "Subject", "Auto-Submitted"))
    if letter.reason:
        yield f"(waits: {letter.reason})"
    body = mail.get_body(("plain",))
    yield ""
    yield from (f"| {line}" for line in (body.get_content().splitlines() if body else ()))


def preview_word(register: Register, number: str, word: Word, settings: config.Settings) -> Iterator[str]:
    """Yield what a word of the owner would record and send."""
    record, case = owner.find(register, number)
    now = app.clock(settings)()
    plan = follow(word, record, case, now)
    if isinstance(plan, No):
        raise Refused(plan.reason)
    yield from _shown(plan, furnish(settings), settings, now)


def evidence(number: str, explicit: str | None) -> Iterator[str]:
    """Return a case as a file the owner can show the authority; of an erased case what is left of it."""
    furnished, settings = house(explicit)
    return evidence_of(number, owner.open_register(settings), furnished, settings, app.clock(settings)())


def evidence_of(
    number: str, register: Register, furnished: House, settings: config.Settings, now: datetime
) -> Iterator[str]:
    """Return the same of a register in hand; `now` is when it is said to be made."""
    words = furnished.templates.words["nl"]
    facts = {"name": settings.organisation.name, "at": f"{now:%d-%m-%Y %H:%M}", "version": __version__}
    head = words["evidence"]["made"].format(**facts)
    labels = _dutch_labels(furnished) | words["kinds"]
    line = owner.erased(register, number)
    if line is not None and register.case(number.upper()) is None:
        return evidence_of_erased(line, words, labels, head)
    return case_evidence(*owner.find(register, number), words, labels, head)


def _dutch_labels(furnished: House) -> dict[str, str]:
    return {kind: names.get("nl", kind) for kind, names in furnished.templates.labels.items()}


def report_texts(explicit: str | None, *, anonymous: bool) -> tuple[str, str, str]:
    """Return the register as a page, a table and a calendar."""
    furnished, settings = house(explicit)
    register = owner.open_register(settings)
    return report_of(register, furnished, settings, app.clock(settings)(), anonymous=anonymous)


def report_of(
    register: Register, furnished: House, settings: config.Settings, now: datetime, *, anonymous: bool
) -> tuple[str, str, str]:
    """Return the same of a register in hand, as it stands at `now`."""
    rows = report.rows_for(owner.cases(register, only_open=False), register.closed())
    words = furnished.templates.words["nl"]
    naming = page.Naming(words, _dutch_labels(furnished), settings.organisation.name)
    template = data.files("templates", settings.overrides.templates)["report.html"].decode()
    figures = report.as_table(words["report"]["columns"], page.as_statistics(rows, now, naming))
    table = figures if anonymous else report.as_csv(rows)
    return (
        page.as_html(template, rows, now, naming, anonymous=anonymous),
        table,
        report.as_ics(rows, now, words["report"]),
    )


async def preview_erasure(number: str, explicit: str | None) -> list[str]:
    """Return what an erasure would remove from the mailbox and what would stay there; look, and touch nothing."""
    daemon = app.open_app(config.load(explicit), daemon=False)
    try:
        await daemon.world.imap.call(daemon.world.imap.mailbox.connect)
        record, _ = owner.find(daemon.world.register, number)
        judging = Judging(daemon.house.reader.read, daemon.house.ending, daemon.settings.organisation.addresses)
        found = await survey(daemon.world, record, daemon.world.now(), judging)
    finally:
        await daemon.close()
    return [
        f"{one.folder}: {len(one.go)} messages would go, {len(one.kept)} are marked to keep, {one.shared} are shared"
        for one in found
    ]


def known_kinds(kinds: tuple[str, ...], furnished: House) -> None:
    """Refuse a kind that the rules do not know."""
    known = [kind.name for kind in furnished.rules.kinds]
    strange = [kind for kind in kinds if kind not in known]
    if strange:
        raise Refused(f"there is no kind {', '.join(strange)}: choose from {', '.join(known)}")


def moment(text: str, settings: config.Settings) -> datetime:
    """Return a moment a person typed, in the configured time zone unless it says another."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refused(f"{text} is not a moment such as 2026-11-24T10:15") from error
    return at if at.tzinfo else at.replace(tzinfo=settings.zone)


def digest_text(explicit: str | None) -> str:
    """Return the digest as text, as it would be now."""
    furnished, settings = house(explicit)
    daemon = app.open_app(settings, daemon=False)
    now = daemon.world.now()
    action = NotifyOwner("digest", "preview", facts_now(daemon.world, now))
    return "\n".join(_mail(notice_of(action, daemon.world.desk, now), furnished))


async def send_digest(explicit: str | None) -> None:
    """Queue the digest of this moment and send what is owed to the owner."""
    daemon = app.open_app(config.load(explicit), daemon=False)
    now = daemon.world.now()
    if not queue_digest(daemon.world, now, now, anyway=True):
        raise OwnerMustFix("mailbot has not looked at the mailbox yet: run `mailbot once` first")
    try:
        done = await settle_letters(daemon.world)
    finally:
        await daemon.world.outbox.close()
    if done.trouble is not None:
        raise done.trouble
