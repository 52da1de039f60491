"""Template and facts to a mail: the same bytes every time.

Owns how letters to persons and notices to the owner look and what headers they carry. Must never quote a word of an
incoming mail to a person, never read a clock, and never choose a recipient.

A letter is written once, as blocks of text, and both parts of its mail are made from them (blocks.py).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from mailbot import blocks, wording
from mailbot.client import QueuedLetter
from mailbot.errors import OwnerMustFix

UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
INVOICE_YEARS = 7  # article 52(4) AWR: seven years after the year an invoice belongs to


@dataclass(frozen=True, slots=True)
class Sender:
    """Who signs the letters, from the configuration."""

    name: str
    address: str
    complaint_url: str
    owner: str
    timezone: str = "Europe/Amsterdam"


@dataclass(frozen=True, slots=True)
class Template:
    """One letter in one language: its texts, whom it is for, and facts to try it with."""

    subject: Any
    body: Any
    audience: str
    picture: str = ""
    sample: Mapping[str, Any] = field(default_factory=dict)
    again: tuple[Mapping[str, Any], ...] = ()  # more facts to try it with, where it can look quite different


@dataclass(frozen=True, slots=True)
class Processor:
    """A system that holds personal data for us: what it is and which categories it holds, per language."""

    name: str
    what: Mapping[str, str]
    holds: Mapping[str, str]

    def told(self, language: str) -> dict[str, str]:
        """Return it in this language; English is what everybody else reads."""
        what, holds = (texts.get(language) or texts["en"] for texts in (self.what, self.holds))
        return {"name": self.name, "what": what, "holds": holds}


@dataclass(frozen=True, slots=True)
class Templates:
    """All letters, checked: each was rendered once with its own sample facts."""

    letters: Mapping[tuple[str, str], Template]
    layout: Any
    words: Mapping[str, Mapping[str, Any]]
    pictures: Mapping[str, bytes]
    buttons: Mapping[str, Any]
    labels: Mapping[str, Mapping[str, str]]
    kinds: Mapping[tuple[str, str, str], Any] = field(default_factory=dict)  # (language, kind, outcome) -> its text
    processors: tuple[Processor, ...] = ()

    def get(self, letter: str, language: str) -> Template:
        """Return the letter in this language; English is what everybody else reads."""
        return self.letters[letter, self.language(letter, language)]

    def language(self, letter: str, language: str) -> str:
        """Return the language in which somebody who reads `language` gets this letter."""
        for name in (language, "en", "nl"):
            if (letter, name) in self.letters:
                return name
        raise OwnerMustFix(f"templates: there is no letter `{letter}` in any language")


def compose(queued: QueuedLetter, sender: Sender, templates: Templates) -> EmailMessage:
    """Return the mail for a queued letter: deterministic, so that a letter sent again is the same letter."""
    template = templates.get(queued.letter, queued.language)
    context = context_of(queued, sender, templates)
    text = template.body.render(context)
    if template.audience == "owner":  # what he can do stands below every notice, written once
        buttons = templates.buttons.get(queued.language) or templates.buttons["nl"]
        text += f"\n\n{buttons.render(context)}"
    said = list(blocks.cut(text))
    message = EmailMessage(policy=SMTP)
    _headers(message, queued, sender, _line(template.subject.render(context)))
    plain = blocks.as_text(said, context["words"]["picture_text"] if template.picture else "")
    message.set_content(plain, subtype="plain", charset="utf-8", cte="quoted-printable")
    page = templates.layout.render(
        {**context, "content": blocks.as_html(said, _content_id(queued)), "subject": message["Subject"]}
    )
    message.add_alternative(page, subtype="html", charset="utf-8", cte="quoted-printable")
    if template.picture:
        _put_picture(message, templates.pictures[template.picture], queued)
    _fix_boundaries(message, queued.message_id)
    return message


def _headers(message: EmailMessage, queued: QueuedLetter, sender: Sender, subject: str) -> None:
    """RFC 3834 section 3: say that it is automatic, thread it, and ask other robots to keep quiet."""
    message["From"] = f'"{_line(sender.name).replace(chr(34), "")}" <{sender.address}>'
    message["To"] = queued.to
    message["Subject"] = subject
    message["Date"] = format_datetime(queued.queued.astimezone(ZoneInfo(sender.timezone)))
    message["Message-ID"] = queued.message_id
    if queued.in_reply_to:
        message["In-Reply-To"] = queued.in_reply_to
    if queued.references:
        message["References"] = " ".join(queued.references)
    answers = queued.audience == "person" and bool(queued.in_reply_to)
    message["Auto-Submitted"] = "auto-replied" if answers else "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message["X-Mailbot"] = queued.letter.replace("_", "-")
    message["Content-Language"] = queued.language


def context_of(queued: QueuedLetter, sender: Sender, templates: Templates) -> dict[str, Any]:
    """Return what the texts of a letter may name."""
    language = templates.language(queued.letter, queued.language)
    words = templates.words[language]
    known = queued.facts.get("kinds")
    short = words.get("kinds", {}) if queued.audience == "owner" else {}  # it is not the owner's own data

    def label(kind: str) -> str:
        return str(short.get(kind) or _label(kind, language, templates.labels))

    context = {
        **_defaults(),
        **{name: _clean(value) for name, value in queued.facts.items()},
        "labels": [label(str(kind)) for kind in known] if isinstance(known, list) else [],
        "label": label,
        "sender": sender,
        "language": language,
        "day": partial(wording.long_date, words=words),
        "moment": partial(wording.moment, words=words, timezone=sender.timezone),
        "time_left": partial(wording.left, words=words),
        "warned": partial(wording.warned, words=words),
        "gap": partial(wording.gap, words=words),
        "words": words,
        "to_owner": queued.audience == "owner",
        "notice": queued.letter,
        "invoices_until": f"{queued.queued.year + INVOICE_YEARS}-12-31",
        "processors": [one.told(queued.language) for one in templates.processors],
    }
    context["said"] = lambda outcome, kind: _said(templates, context, outcome, kind)
    return context


def _said(templates: Templates, context: Mapping[str, Any], outcome: str, kind: str) -> str:
    """What the letter says about this kind in its language, from kinds.toml."""
    for language in (context["language"], "en"):
        for name in (kind, "any"):
            text = templates.kinds.get((language, name, outcome))
            if text is not None:
                return str(text.render({**context, "kind": kind}))
    raise OwnerMustFix(f"templates: no kinds.toml says `{outcome}` about `{kind}` or `any`")


def _defaults() -> dict[str, Any]:
    """Facts every letter may rely on; what is not given is empty, what is unknown to this list is an error."""
    empty = (
        "number reason subject address behalf letter received promise legal_limit extended_to"
        " unreadable automatic until organisation channel reply what suspended_to suspended_since state"
    )
    none: dict[str, Any] = {"actions": [], "kinds": [], "sub_kinds": [], "evidence": [], "sure": 0}
    return {**dict.fromkeys(empty.split(), ""), **none, "withdrawn": False, "from_form": False}


def _clean(value: object) -> object:
    """Nothing a stranger wrote may look like one of our blocks or break a line (P14)."""
    if isinstance(value, str):
        plain = UNSAFE.sub(" ", value).replace("\n", " ").replace("[", "(").replace("]", ")")
        return plain.replace("://", ": //")  # a stranger's link is not made clickable for the owner
    if isinstance(value, list | tuple):
        return [_clean(one) for one in value]
    if isinstance(value, dict):
        return {key: one if key == "href" else _clean(one) for key, one in value.items()}
    return value


def _label(kind: str, language: str, labels: Mapping[str, Mapping[str, str]]) -> str:
    names = labels.get(kind, {})
    return names.get(language) or names.get("en") or kind.replace("_", " ")


def _line(text: str) -> str:
    return " ".join(UNSAFE.sub(" ", text).split())


def _content_id(queued: QueuedLetter) -> str:
    return "picture." + queued.message_id.strip("<>")


def _put_picture(message: EmailMessage, picture: bytes, queued: QueuedLetter) -> None:
    parts = message.get_payload()
    page = parts[1] if isinstance(parts, list) else None
    if isinstance(page, EmailMessage):
        page.add_related(
            picture,
            "image",
            "png",
            cid=f"<{_content_id(queued)}>",
            filename="identiteitsbewijs.png",
            disposition="inline",
        )


def _fix_boundaries(message: EmailMessage, seed: str) -> None:
    """MIME boundaries are random by default; ours follow from the Message-ID, so the bytes are the same each time."""
    for place, part in enumerate(message.walk()):
        if part.is_multipart():
            part.set_boundary("=_" + hashlib.sha256(f"{seed} {place}".encode()).hexdigest()[:32])
