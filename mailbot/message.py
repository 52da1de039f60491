"""Bytes in, a Message out: what arrived, as values. `read` is total: defects are listed, never raised.

Owns everything that is known about the outside of a mail, and is the only user of mail-parser.
Must never touch network, disk, clock or environment, and never raise on any bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox: `address` is `local@domain` with the domain in lower case A-labels; `name` is only for the eye."""

    address: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """The outside of an attached part. The contents are never opened."""

    filename: str
    content_type: str
    size: int


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
    form: Form | None = None
    attachments: tuple[Attachment, ...] = ()
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # lower-case name -> cleaned values
    unreadable: str | None = None  # why there is no text to judge: encrypted, winmail.dat only, empty
    bounced_id: str | None = None  # the Message-ID a delivery report is about
    defects: tuple[str, ...] = ()


def read(raw: bytes) -> Message:
    """Return the Message these bytes are. Never raises."""
    raise NotImplementedError
