"""Bytes in, a Message out: what arrived, as values. `read` is total: defects are listed, never raised.

Owns what a mail is as a whole; header.py and parts.py read its pieces. Must never touch network, disk, clock or
environment, and never raise on any bytes.
"""

import email
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.message import Message as Tree
from typing import Any

from mailbot import echo, forms, header, parts, quotes
from mailbot.header import ADDRESS_BYTES, Address, canonical_address
from mailbot.parts import PARTS, Attachment, Leaf

HEADER_BYTES = 128 * 1024  # Postfix takes 102,400; beyond this parsing becomes quadratic
MESSAGE_BYTES = 8 * 1024 * 1024  # the mailbox cuts at far less; this is the last door
SUBJECT_LENGTH = 250
ATTACHED = 3  # attached messages that are read
RECIPIENTS = ("to", "cc", "bcc", "resent-to", "resent-cc")  # RFC 5230, 4.5: what the sender wrote, not our server

RETURNED_ID = re.compile(
    r"^\s{0,8}Message-ID:\s{0,8}(<[!#-;=?-~]{1,180}@[A-Za-z0-9.-]{1,120}>)", re.IGNORECASE | re.MULTILINE
)
ENCRYPTED = {"application/pkcs7-mime", "application/x-pkcs7-mime", "multipart/encrypted", "application/pgp-encrypted"}


@dataclass(frozen=True, slots=True)
class Form:
    """What a contact form put in its mail: the plug-in, the visitor's unproven address and name, and what was typed."""

    plugin: str
    address: str | None
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message as received. Texts hold no C0/C1 controls (but line breaks in `text`) and no lone surrogates."""

    digest: str  # SHA-256 over the bytes that were read, hexadecimal
    message_id: str | None = None  # only when it matches the strict syntax; safe to send in a header
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    sender: Address | None = None  # the one safe From address, else None
    reply_to: tuple[Address, ...] = ()
    recipients: tuple[Address, ...] = ()  # To, Cc, Bcc and Resent-*
    return_path: str | None = None  # "" for <>, None when there is no such header
    subject: str = ""
    date: datetime | None = None
    text: str = ""  # everything a person sees, quotes included
    written: str = ""  # what this person wrote now: without quotes, signature, disclaimer
    form: Form | None = None  # plug-in `receipt`: the confirmation a visitor gets, never a request
    attachments: tuple[Attachment, ...] = ()
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # lower-case name -> cleaned values
    unreadable: str | None = None  # why there is no text to judge: encrypted, winmail.dat only, empty
    bounced_id: str | None = None  # the Message-ID of the letter a mail server sends back
    defects: tuple[str, ...] = ()

    @property
    def refers_to(self) -> tuple[str, ...]:
        """The Message-IDs this one answers, the nearest first (RFC 5322, 3.6.4)."""
        return (*self.in_reply_to, *reversed(self.references))


@dataclass(frozen=True, slots=True)
class Reading:
    """The data reading needs: how quotes begin and what forms look like."""

    quotes: quotes.Patterns
    forms: forms.FormRules
    sites: frozenset[str] = frozenset()  # domains of our own, from which a form without a known plug-in may come
    ours: frozenset[str] = frozenset()  # the words of our own letters (echo.py): what comes back of them is not written

    @classmethod
    def parse(cls, files: Mapping[str, str], sites: Iterable[str] = ()) -> "Reading":
        """Return the values of rules/quotes.toml and rules/forms.toml; OwnerMustFix lists what is wrong and where."""
        patterns, labels = quotes.Patterns.parse(files["quotes.toml"]), forms.FormRules.parse(files["forms.toml"])
        return cls(patterns, labels, frozenset(sites))


def read(raw: bytes, reading: Reading) -> Message:
    """Return the Message these bytes are. Never raises: what could not be understood is in `defects`."""
    digest = digest_of(raw)
    try:
        return _read(raw, digest, reading)
    except RecursionError:
        return Message(digest, unreadable="nested too deep", defects=("nested too deep",))
    except Exception as error:  # noqa: BLE001 - total by contract: odd bytes are the owner's to look at, not ours to fail on
        return Message(digest, unreadable="damaged", defects=(f"could not be read ({type(error).__name__})",))


def digest_of(raw: bytes) -> str:
    """Return the digest a message is known by: SHA-256 over the bytes that were read, hexadecimal."""
    return hashlib.sha256(raw).hexdigest()


def _read(raw: bytes, digest: str, reading: Reading) -> Message:
    defects: list[str] = []
    tree = email.message_from_bytes(_bounded(raw, defects))
    headers = header.kept(tree)
    if action := _delivery_action(tree):
        headers["delivery-action"] = (action,)
    subject = header.as_shown(header.first(tree, "subject"), SUBJECT_LENGTH)
    leaves = parts.leaves_of(tree, defects)
    text = parts.text_of(leaves, defects)
    replies = header.ids_in(tree, "in-reply-to")
    form = None
    if not (replies or _from_a_server(tree) or quotes.speaks_of_another(subject, reading.quotes)):
        form = _form(subject, text, tree, reading)
    passed_on = "" if tree.get_content_type() == "multipart/report" else _passed_on(leaves, reading, defects)
    written = form.text if form else _written(text, subject, reading, refers=bool(replies))
    written, text = parts.joined((written, passed_on), "\n\n"), parts.joined((text, passed_on), "\n\n")
    written = echo.without(written, reading.ours)
    return Message(
        digest=digest,
        message_id=_message_id(tree),
        in_reply_to=replies,
        references=header.ids_in(tree, "references"),
        sender=header.sender_of(tree, defects),
        reply_to=header.addresses_in(tree, "reply-to"),
        recipients=tuple(address for name in RECIPIENTS for address in header.addresses_in(tree, name)),
        return_path=header.return_path_of(tree),
        subject=subject,
        date=header.date_of(tree),
        text=text,
        written=written,
        form=form,
        attachments=tuple(part for part in (parts.attachment_of(one.part) for one in leaves) if part),
        headers=headers,
        unreadable=None if written.strip() else _unreadable(tree, leaves, text, subject),
        bounced_id=_returned_id(tree, text),
        defects=tuple(dict.fromkeys(defects)),
    )


def _message_id(tree: Tree) -> str | None:
    """A message with two of them has none that can be relied on."""
    found = header.ids_in(tree, "message-id", most=2)
    return found[0] if found and len(header.every(tree, "message-id")) == 1 else None


def _bounded(raw: bytes, defects: list[str]) -> bytes:
    """Cut what no person's mail has, before anything is parsed: parsers are quadratic in headers and parts."""
    end = re.search(rb"\r?\n\r?\n", raw[: HEADER_BYTES + 4])
    if end is None and len(raw) > HEADER_BYTES:
        defects.append("headers too long: cut")
        cut = raw[:HEADER_BYTES].rfind(b"\n")
        raw = raw[: max(cut, 0) or HEADER_BYTES] + b"\n\n"
    if len(raw) > MESSAGE_BYTES:
        defects.append("too long: cut")
        raw = raw[:MESSAGE_BYTES]
    return raw


def _written(text: str, subject: str, reading: Reading, *, refers: bool) -> str:
    is_reply = quotes.answers(subject, reading.quotes, refers=refers)
    return quotes.strip(text, reading.quotes, is_reply=is_reply).written


def _passed_on(leaves: Sequence[Leaf], reading: Reading, defects: list[str]) -> str:
    """What the messages attached to this one say: who passes a mail on asks what is in it."""
    said: list[str] = []
    for leaf in leaves:
        inside: Any = parts.payload_of(leaf.part)
        if (
            parts.kind_of(leaf.part) == "message/rfc822"
            and isinstance(inside, list)
            and inside
            and len(said) < ATTACHED
        ):
            subject = header.as_shown(header.first(inside[0], "subject"), SUBJECT_LENGTH)
            text = parts.text_of(parts.leaves_of(inside[0], defects), defects)
            refers = bool(header.ids_in(inside[0], "in-reply-to"))
            said.append(f"{subject}\n\n{_written(text, subject, reading, refers=refers)}")
    return parts.joined(said, "\n\n")


def _form(subject: str, text: str, tree: Tree, reading: Reading) -> Form | None:
    """The form's visitor is in Reply-To, where the plug-in puts the address field, else in the labelled line."""
    found = forms.find(subject, text, {name.lower() for name in tree.keys()}, reading.forms)  # noqa: SIM118 - a mail
    if found is None:
        return None
    typed = canonical_address(found.address) if found.address else None
    site = {one.address for one in header.addresses_in(tree, "from")}
    if found.plugin == forms.UNKNOWN and reading.sites and not any(_at(one, reading.sites) for one in site):
        return None  # a person who lists who they are, not a site
    others = {one.address for one in header.addresses_in(tree, "reply-to")} - site
    address = next(iter(others)) if len(others) == 1 and not found.receipt else typed
    return Form(found.plugin, address, header.one_line(found.name, 100), found.text)


def _at(address: str, domains: Iterable[str]) -> bool:
    domain = address.rpartition("@")[2]
    return any(domain == one or domain.endswith(f".{one}") for one in domains)


def _unreadable(tree: Tree, leaves: Sequence[Leaf], text: str, subject: str) -> str | None:
    """Why there is nothing to judge: the owner must look himself (M16, M18, M20)."""
    kinds = {parts.kind_of(leaf.part) for leaf in leaves} | {tree.get_content_type()}
    names = {parts.filename_of(leaf.part).lower() for leaf in leaves}
    if kinds & ENCRYPTED or "smime.p7m" in names or "-----BEGIN PGP MESSAGE-----" in text:
        return "encrypted"
    if "winmail.dat" in names or "application/ms-tnef" in kinds:
        return "winmail.dat only"
    if text.strip() or subject:
        return None
    return "empty"


def _returned_id(tree: Tree, text: str) -> str | None:
    """The Message-ID of the letter that came back: from the original that came along (RFC 3464), or quoted (M4).

    Only a mail server sends letters back; a person who passes a mail on does not.
    """
    if not (_from_a_server(tree) or header.return_path_of(tree) == ""):
        return None
    for place, part in enumerate(tree.walk()):
        inside: Any = parts.payload_of(part)
        if place >= PARTS:
            break
        if place and part.get_content_type() == "message/rfc822" and isinstance(inside, list) and inside:
            return next(iter(header.ids_in(inside[0], "message-id")), None)
        if part.get_content_type() == "text/rfc822-headers":
            head = parts.body(part, [])[:HEADER_BYTES]
            return next(iter(header.ids_in(email.message_from_string(head), "message-id")), None)
    match = RETURNED_ID.search(text) if "essage-" in text else None
    return match[1] if match else None


def _from_a_server(tree: Tree) -> bool:
    local = header.first(tree, "from")[:ADDRESS_BYTES].lower()
    return (
        tree.get_content_type() == "multipart/report"
        or bool(header.every(tree, "x-failed-recipients"))
        or any(value.strip().lower().startswith("auto-replied") for value in header.every(tree, "auto-submitted"))
        or "mailer-daemon@" in local
        or "postmaster@" in local
    )


def _delivery_action(tree: Tree) -> str:
    """What a delivery report says became of a letter (RFC 3464, 2.3.3): `failed` when it is so for anybody, or ""."""
    found: set[str] = set()
    if tree.get_content_type() == "multipart/report":
        payload: Any = parts.payload_of(tree)
        for part in payload[:PARTS] if isinstance(payload, list) else ():
            blocks: Any = parts.payload_of(part) if part.get_content_type() == "message/delivery-status" else ()
            found |= {
                str(block.get("action", "")).strip().lower()[:20] for block in blocks[:PARTS] if block.get("action")
            }
    return "failed" if "failed" in found else min(found, default="")
