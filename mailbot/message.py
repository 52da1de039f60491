"""Bytes in, a Message out: what arrived, as values. `read` is total: defects are listed, never raised.

Owns everything that is known about the outside of a mail, and is the only user of mail-parser.
Must never touch network, disk, clock or environment, and never raise on any bytes.
"""

import email
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message as Tree
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any

import idna
from mailparser.utils import get_addresses

from mailbot import echo, forms, html, quotes

HEADER_BYTES = 128 * 1024  # Postfix takes 102,400; beyond this parsing becomes quadratic
MESSAGE_BYTES = 8 * 1024 * 1024  # the mailbox cuts at far less; this is the last door
HEADERS = 1_000
HEADER_VALUE = 2_000  # of Content-Type: parameters beyond this are an attack (25 s for half a megabyte)
HEADER_PIECES = 100
SUBJECT_LENGTH = 250
RESULTS_LENGTH = 1600  # of Authentication-Results: large providers write a dozen results, the one that counts last
ADDRESS_BYTES = 4_000
ADDRESSES = 50  # recipients looked at: we only look for ourselves among them
PARTS = 100
DEPTH = 15
TEXT_BYTES = 256 * 1024  # of one part: a long novel; the rest is not judged
TEXT_LENGTH = 300_000
TEXTS = 5  # texts of one message that are read: people's mails have one, with a footer two
ATTACHED = 3  # attached messages that are read
STUB_LENGTH = 400  # characters of a plain part that only says "use an HTML program"

CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
CONTROLS_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
INVISIBLE = dict.fromkeys(
    (0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), None
)  # soft hyphens, zero width and bidi marks: words a reader does not see apart
MESSAGE_ID = re.compile(r"<[!#-;=?-~]{1,180}@[A-Za-z0-9.\[\]:_-]{1,120}>")
PLAIN_ADDRESS = re.compile(
    r"[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]{1,64}@[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]{1,190}\.[^\s@<>.,;:]{2,63}"
)
CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9._:+-]{1,40})", re.IGNORECASE)
NO_CHARSETS = {"unknown_8bit", "x_unknown", "us_ascii"}  # they say nothing
NO_CHARSETS |= {"unicode_escape", "raw_unicode_escape", "punycode", "idna", "undefined"}  # codecs, but not of mail
FLOWED = re.compile(r" \n(?![>\n-])")
STUB = re.compile(r"html", re.IGNORECASE)
RETURNED_ID = re.compile(
    r"^\s{0,8}Message-ID:\s{0,8}(<[!#-;=?-~]{1,180}@[A-Za-z0-9.-]{1,120}>)", re.IGNORECASE | re.MULTILINE
)
ENCRYPTED = {"application/pkcs7-mime", "application/x-pkcs7-mime", "multipart/encrypted", "application/pgp-encrypted"}
NO_TEXT = {"text/calendar", "text/rfc822-headers", "text/vcard", "text/x-vcard", "text/css", "text/csv"}
KEPT_HEADERS = frozenset(
    "auto-submitted precedence x-precedence x-loop x-mailer user-agent authentication-results delivered-to sender"
    " return-path x-failed-recipients x-spam-flag content-type disposition-notification-to x-mailbot feedback-id"
    " content-class x-campaign x-mailgun-sid x-report-abuse x-cron-env errors-to reply-to x-original-to"
    " thread-topic".split()
)


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
    form: Form | None = None  # plug-in `receipt`: the confirmation a visitor gets, never a request
    attachments: tuple[Attachment, ...] = ()
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # lower-case name -> cleaned values
    unreadable: str | None = None  # why there is no text to judge: encrypted, winmail.dat only, empty
    bounced_id: str | None = None  # the Message-ID of the letter a mail server sends back
    defects: tuple[str, ...] = ()


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
    headers = _headers(tree)
    subject = _shown(_first(tree, "subject"), SUBJECT_LENGTH)
    parts = _parts(tree, defects)
    text = _text_of(parts, defects)
    replies = _ids(tree, "in-reply-to")
    form = None
    if not (replies or _from_a_server(tree) or quotes.speaks_of_another(subject, reading.quotes)):
        form = _form(subject, text, tree, reading)
    passed_on = "" if tree.get_content_type() == "multipart/report" else _passed_on(parts, reading, defects)
    written = form.text if form else _written(text, subject, reading, refers=bool(replies))
    written, text = _joined((written, passed_on), "\n\n"), _joined((text, passed_on), "\n\n")
    written = echo.without(written, reading.ours)
    return Message(
        digest=digest,
        message_id=next(iter(_ids(tree, "message-id", most=2)), None)
        if len(_values(tree, "message-id")) == 1
        else None,
        in_reply_to=replies,
        references=_ids(tree, "references"),
        sender=_sender(tree, defects),
        reply_to=_addresses(tree, "reply-to"),
        recipients=tuple(
            address
            for name in (
                "to",
                "cc",
                "bcc",
                "resent-to",
                "resent-cc",
            )  # RFC 5230, 4.5: what the sender wrote, not our server
            for address in _addresses(tree, name)
        ),
        return_path=_return_path(tree),
        subject=subject,
        date=_date(tree),
        text=text,
        written=written,
        form=form,
        attachments=tuple(part for part in (_attachment(one.part) for one in parts) if part),
        headers=headers,
        unreadable=None if written.strip() else _unreadable(tree, parts, text, subject),
        bounced_id=_returned_id(tree, text),
        defects=tuple(dict.fromkeys(defects)),
    )


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


def _values(tree: Tree, name: str) -> list[str]:
    """Every instance of a header as it was sent; get_all() would have replaced raw 8-bit letters by question marks."""
    return [str(value) for key, value in tree.raw_items() if key.lower() == name]


def _first(tree: Tree, name: str) -> str:
    return next((str(value) for value in _values(tree, name)), "")


def _headers(tree: Tree) -> dict[str, tuple[str, ...]]:
    """The headers somebody needs, by lower-case name, every instance (P12)."""
    found: dict[str, list[str]] = {}
    for name, value in list(tree.raw_items())[:HEADERS]:
        key = name.lower()
        if key in KEPT_HEADERS or key.startswith(("list-", "x-wpcf7", "x-auto")):
            length = RESULTS_LENGTH if key == "authentication-results" else 400
            found.setdefault(key, []).append(_clean(_letters(str(value)[:1600]), length))
    if action := _delivery_action(tree):
        found["delivery-action"] = [action]
    return {key: tuple(values) for key, values in found.items()}


def _clean(text: str, length: int) -> str:
    """Return one line without controls, bidi marks and lone surrogates, cut to `length` (P7, P11)."""
    return " ".join(CONTROLS.sub(" ", text[: length * 4]).translate(INVISIBLE).split())[:length]


def _shown(value: str, length: int) -> str:
    """Return a header as a person sees it: encoded words (RFC 2047) and raw 8-bit letters decoded."""
    value = value[: length * 6]
    try:
        pieces = decode_header(_letters(value)) if "=?" in value else [(_letters(value), None)]
    except (HeaderParseError, ValueError):
        pieces = [(value, None)]
    out = []
    for piece, charset in pieces[:HEADER_PIECES]:
        out.append(piece if isinstance(piece, str) else _decoded(piece, charset))
    return _clean("".join(out), length)


def _letters(value: str) -> str:
    """Raw 8-bit bytes come as surrogates: as UTF-8 when they are that, else as Windows does it."""
    if value.isascii():
        return value
    return _decoded(value.encode("utf-8", "surrogateescape"), None)


def _decoded(octets: bytes, charset: str | None) -> str:
    for name in (charset, "utf-8", "cp1252"):
        if name and name.lower().replace("-", "_") not in NO_CHARSETS:
            try:
                return octets.decode(name)
            except (UnicodeDecodeError, LookupError, ValueError):
                continue
    return octets.decode("latin-1", "replace")


def _ids(tree: Tree, name: str, most: int = 30) -> tuple[str, ...]:
    """Message-IDs that keep to a strict syntax: anything else could write a header or a command (failure-cases 1.1)."""
    value = " ".join(str(one)[:8000] for one in _values(tree, name)[:3])
    return tuple(dict.fromkeys(MESSAGE_ID.findall(value)))[-most:]


def _addresses(tree: Tree, name: str) -> tuple[Address, ...]:
    found: list[Address] = []
    for value in _values(tree, name)[:3]:
        text = _letters(str(value)[:ADDRESS_BYTES])
        for shown, address in getaddresses([text])[:ADDRESSES]:
            canonical = canonical_address(address)
            if canonical:
                found.append(Address(canonical, _shown(shown, 100)))
    return tuple(found)


def canonical_address(address: str) -> str | None:
    """Return `local@domain` with the domain in lower-case A-labels, or None when it is no plain address."""
    address = address.strip()
    if not PLAIN_ADDRESS.fullmatch(address):
        return None
    local, _, domain = address.rpartition("@")
    if domain.isascii():
        return f"{local}@{domain.lower()}"
    try:
        return f"{local}@{idna.encode(domain, uts46=True).decode()}"
    except idna.IDNAError:
        return None


def _sender(tree: Tree, defects: list[str]) -> Address | None:
    """The one From address, or None: two fields, two addresses or none leave nobody to write to safely (P10)."""
    values = _values(tree, "from")
    if len(values) != 1:
        defects.append("no From field" if not values else "more than one From field")
        return None
    text = _letters(str(values[0])[:ADDRESS_BYTES])
    try:
        found = [pair for pair in get_addresses(text) if pair[1]]
    except Exception as error:  # noqa: BLE001 - a library on hostile input: whatever it raises is a defect (P1)
        defects.append(f"From could not be read ({type(error).__name__})")
        return None
    if len({address.lower() for _, address in found}) != 1:
        defects.append("no single From address")
        return None
    shown, address = found[0]
    canonical = canonical_address(address)
    if canonical is None:
        defects.append("the From address is no plain address")
        return None
    return Address(canonical, _shown(shown, 100))


def _return_path(tree: Tree) -> str | None:
    values = _values(tree, "return-path")
    return _clean(str(values[0]), 320).strip("<> ") if values else None


def _date(tree: Tree) -> datetime | None:
    try:
        return parsedate_to_datetime(_first(tree, "date")[:100])
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class Leaf:
    """A part that holds no others. `choice`: leaves of one multipart/alternative say the same thing in several ways."""

    part: Tree
    choice: int


def _parts(tree: Tree, defects: list[str]) -> list[Leaf]:
    """The leaves in the order they stand, bounded in number and depth; an attached message counts as one leaf."""
    out: list[Leaf] = []
    stack: list[tuple[Any, int, int | None]] = [(tree, 0, None)]
    choices = 0
    while stack and len(out) < PARTS:
        part, depth, choice = stack.pop()
        if depth > DEPTH:
            defects.append("nested too deep: cut")
            continue
        payload = _payload(part)
        if part.get_content_maintype() == "multipart" and isinstance(payload, list):
            if choice is None and part.get_content_subtype() == "alternative":
                choices += 1
                choice = choices
            stack += [(one, depth + 1, choice) for one in reversed(payload[: PARTS * 2])]
        else:
            out.append(Leaf(part, -len(out) if choice is None else choice))
    if stack:
        defects.append("too many parts: cut")
    return out


def _payload(part: Tree) -> Any:  # noqa: ANN401 - parts or text, as the library has it
    """What a part holds, undecoded. The library decodes raw letters here, by a charset the sender chose."""
    try:
        return part.get_payload()
    except UnicodeError:
        return ""


def _kind(part: Tree) -> str:
    return part.get_content_type() if "/" in str(part.get("content-type", "text/plain")) else "text/plain"


def _is_attached(part: Tree) -> bool:
    disposition = str(part.get("content-disposition", ""))[:200].lower().strip()
    return disposition.startswith("attachment") or (bool(_filename(part)) and not _kind(part).startswith("text/"))


def _filename(part: Tree) -> str:
    try:
        name = part.get_filename("") if len(str(part.get("content-type", ""))) < HEADER_VALUE else ""
    except (ValueError, TypeError, LookupError, AttributeError):
        name = ""
    return _shown(str(name), 120).replace("/", "_").replace("\\", "_")


def _attachment(part: Tree) -> Attachment | None:
    kind = _kind(part)
    if not (_is_attached(part) or not kind.startswith("text/")):
        return None
    payload = _payload(part)
    return Attachment(_filename(part), kind, len(payload) if isinstance(payload, str) else 0)


def _text_of(leaves: Sequence[Leaf], defects: list[str]) -> str:
    """Return what a person reads of the mail itself: each text part, of alternatives one."""
    groups: dict[int, list[Tree]] = {}
    for leaf in leaves:
        if leaf.part.get_content_maintype() == "text" and not _is_attached(leaf.part):
            groups.setdefault(leaf.choice, []).append(leaf.part)
    return _joined(_chosen(group, defects) for group in list(groups.values())[:TEXTS])


def _chosen(group: Sequence[Tree], defects: list[str]) -> str:
    """Plain text, unless it is empty or only says that the mail is HTML."""
    plain = _joined(_body(part, defects) for part in group if _kind(part) == "text/plain")
    rich = [part for part in group if _kind(part) == "text/html"]
    if rich and (not plain.strip() or (STUB.search(plain[:300]) and len(plain) < STUB_LENGTH)):
        return _joined(html.visible(_body(part, defects)) for part in rich[:TEXTS])
    if plain.strip():
        return plain
    return _joined(_body(part, defects) for part in group if _kind(part) not in NO_TEXT | {"text/plain", "text/html"})


def _joined(texts: Iterable[str], between: str = "\n") -> str:
    return between.join(text.strip("\n") for text in texts if text.strip("\n"))[:TEXT_LENGTH]


def _written(text: str, subject: str, reading: Reading, *, refers: bool) -> str:
    is_reply = quotes.answers(subject, reading.quotes, refers=refers)
    return quotes.strip(text, reading.quotes, is_reply=is_reply).written


def _passed_on(leaves: Sequence[Leaf], reading: Reading, defects: list[str]) -> str:
    """What the messages attached to this one say: who passes a mail on asks what is in it."""
    said: list[str] = []
    for leaf in leaves:
        inside: Any = _payload(leaf.part)
        if _kind(leaf.part) == "message/rfc822" and isinstance(inside, list) and inside and len(said) < ATTACHED:
            subject = _shown(_first(inside[0], "subject"), SUBJECT_LENGTH)
            text = _text_of(_parts(inside[0], defects), defects)
            refers = bool(_ids(inside[0], "in-reply-to"))
            said.append(f"{subject}\n\n{_written(text, subject, reading, refers=refers)}")
    return _joined(said, "\n\n")


def _body(part: Tree, defects: list[str]) -> str:
    try:
        octets = part.get_payload(decode=True)
    except (ValueError, AssertionError, LookupError):
        octets = None
    if not isinstance(octets, bytes):
        payload = _payload(part)
        octets = payload.encode("utf-8", "surrogateescape") if isinstance(payload, str) else b""
    if len(octets) > TEXT_BYTES:
        defects.append("text too long: cut")
        octets = octets[:TEXT_BYTES]
    charset = _charset(part)
    text = _decoded(octets, charset)
    if "format=flowed" in str(part.get("content-type", ""))[:HEADER_VALUE].lower():
        text = FLOWED.sub(" ", text.replace("\r\n", "\n"))
    return CONTROLS_IN_TEXT.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n")).translate(INVISIBLE)


def _charset(part: Tree) -> str | None:
    value = str(part.get("content-type", ""))[:HEADER_VALUE]
    match = CHARSET.search(value)
    return match[1].lower() if match else None


def _form(subject: str, text: str, tree: Tree, reading: Reading) -> Form | None:
    """The form's visitor is in Reply-To, where the plug-in puts the address field, else in the labelled line."""
    found = forms.find(subject, text, {name.lower() for name in tree.keys()}, reading.forms)  # noqa: SIM118 - a mail
    if found is None:
        return None
    typed = canonical_address(found.address) if found.address else None
    site = {one.address for one in _addresses(tree, "from")}
    if found.plugin == forms.UNKNOWN and reading.sites and not any(_at(one, reading.sites) for one in site):
        return None  # a person who lists who they are, not a site
    others = {one.address for one in _addresses(tree, "reply-to")} - site
    address = next(iter(others)) if len(others) == 1 and not found.receipt else typed
    return Form(found.plugin, address, _clean(found.name, 100), found.text)


def _at(address: str, domains: Iterable[str]) -> bool:
    domain = address.rpartition("@")[2]
    return any(domain == one or domain.endswith(f".{one}") for one in domains)


def _unreadable(tree: Tree, leaves: Sequence[Leaf], text: str, subject: str) -> str | None:
    """Why there is nothing to judge: the owner must look himself (M16, M18, M20)."""
    kinds = {_kind(leaf.part) for leaf in leaves} | {tree.get_content_type()}
    names = {_filename(leaf.part).lower() for leaf in leaves}
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
    if not (_from_a_server(tree) or _return_path(tree) == ""):
        return None
    for place, part in enumerate(tree.walk()):
        inside: Any = _payload(part)
        if place >= PARTS:
            break
        if place and part.get_content_type() == "message/rfc822" and isinstance(inside, list) and inside:
            return next(iter(_ids(inside[0], "message-id")), None)
        if part.get_content_type() == "text/rfc822-headers":
            head = _body(part, [])[:HEADER_BYTES]
            return next(iter(_ids(email.message_from_string(head), "message-id")), None)
    match = RETURNED_ID.search(text) if "essage-" in text else None
    return match[1] if match else None


def _from_a_server(tree: Tree) -> bool:
    local = _first(tree, "from")[:ADDRESS_BYTES].lower()
    return (
        tree.get_content_type() == "multipart/report"
        or bool(_values(tree, "x-failed-recipients"))
        or any(value.strip().lower().startswith("auto-replied") for value in _values(tree, "auto-submitted"))
        or "mailer-daemon@" in local
        or "postmaster@" in local
    )


def _delivery_action(tree: Tree) -> str:
    """What a delivery report says became of a letter (RFC 3464, 2.3.3): `failed` when it is so for anybody, or ""."""
    found: set[str] = set()
    if tree.get_content_type() == "multipart/report":
        payload: Any = _payload(tree)
        for part in payload[:PARTS] if isinstance(payload, list) else ():
            blocks: Any = _payload(part) if part.get_content_type() == "message/delivery-status" else ()
            found |= {
                str(block.get("action", "")).strip().lower()[:20] for block in blocks[:PARTS] if block.get("action")
            }
    return "failed" if "failed" in found else min(found, default="")
