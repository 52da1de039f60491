"""The header fields of a mail, as values a person may see and a program may use.

Owns reading them: encoded words, raw letters, addresses and Message-IDs; the only user of mail-parser. Must never
raise, whatever the bytes, and never let through what could write a header or a command (failure-cases 1.1).
"""

import re
from dataclasses import dataclass
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message as Tree
from email.utils import getaddresses, parsedate_to_datetime

import idna
from mailparser.utils import get_addresses

HEADERS = 1_000
HEADER_PIECES = 100
RESULTS_LENGTH = 1600  # of Authentication-Results: large providers write a dozen results, the one that counts last
ADDRESS_BYTES = 4_000
ADDRESSES = 50  # recipients looked at: we only look for ourselves among them
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
INVISIBLE = dict.fromkeys(
    (0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), None
)  # soft hyphens, zero width and bidi marks: words a reader does not see apart
MESSAGE_ID = re.compile(r"<[!#-;=?-~]{1,180}@[A-Za-z0-9.\[\]:_-]{1,120}>")
PLAIN_ADDRESS = re.compile(
    r"[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]{1,64}@[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]{1,190}\.[^\s@<>.,;:]{2,63}"
)
NO_CHARSETS = {"unknown_8bit", "x_unknown", "us_ascii"}  # they say nothing
NO_CHARSETS |= {"unicode_escape", "raw_unicode_escape", "punycode", "idna", "undefined"}  # codecs, but not of mail
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


def every(tree: Tree, name: str) -> list[str]:
    """Return every instance of a header as it was sent; get_all() makes raw 8-bit letters question marks."""
    return [str(value) for key, value in tree.raw_items() if key.lower() == name]


def first(tree: Tree, name: str) -> str:
    """Return the first instance of a header as it was sent, or ""."""
    return next((str(value) for value in every(tree, name)), "")


def kept(tree: Tree) -> dict[str, tuple[str, ...]]:
    """Return the headers somebody needs, by lower-case name, every instance (P12)."""
    found: dict[str, list[str]] = {}
    for name, value in list(tree.raw_items())[:HEADERS]:
        key = name.lower()
        if key in KEPT_HEADERS or key.startswith(("list-", "x-wpcf7", "x-auto")):
            length = RESULTS_LENGTH if key == "authentication-results" else 400
            found.setdefault(key, []).append(one_line(as_letters(str(value)[:1600]), length))
    return {key: tuple(values) for key, values in found.items()}


def one_line(text: str, length: int) -> str:
    """Return one line without controls, bidi marks and lone surrogates, cut to `length` (P7, P11)."""
    return " ".join(CONTROLS.sub(" ", text[: length * 4]).translate(INVISIBLE).split())[:length]


def as_shown(value: str, length: int) -> str:
    """Return a header as a person sees it: encoded words (RFC 2047) and raw 8-bit letters decoded."""
    value = value[: length * 6]
    try:
        pieces = decode_header(as_letters(value)) if "=?" in value else [(as_letters(value), None)]
    except (HeaderParseError, ValueError):
        pieces = [(value, None)]
    out = []
    for piece, charset in pieces[:HEADER_PIECES]:
        out.append(piece if isinstance(piece, str) else decoded(piece, charset))
    return one_line("".join(out), length)


def as_letters(value: str) -> str:
    """Return a value whose raw 8-bit bytes came as surrogates: as UTF-8 when they are that, else as Windows does it."""
    if value.isascii():
        return value
    return decoded(value.encode("utf-8", "surrogateescape"), None)


def decoded(octets: bytes, charset: str | None) -> str:
    """Return the text these bytes are: by the charset that was named, else by the ones that people use."""
    for name in (charset, "utf-8", "cp1252"):
        if name and name.lower().replace("-", "_") not in NO_CHARSETS:
            try:
                return octets.decode(name)
            except (UnicodeDecodeError, LookupError, ValueError):
                continue
    return octets.decode("latin-1", "replace")


def ids_in(tree: Tree, name: str, most: int = 30) -> tuple[str, ...]:
    """Return the Message-IDs of a strict syntax: others could write a header or a command (failure-cases 1.1)."""
    value = " ".join(str(one)[:8000] for one in every(tree, name)[:3])
    return tuple(dict.fromkeys(MESSAGE_ID.findall(value)))[-most:]


def addresses_in(tree: Tree, name: str) -> tuple[Address, ...]:
    """Return the plain addresses in every instance of a header, bounded in number."""
    found: list[Address] = []
    for value in every(tree, name)[:3]:
        text = as_letters(str(value)[:ADDRESS_BYTES])
        for shown, address in getaddresses([text])[:ADDRESSES]:
            canonical = canonical_address(address)
            if canonical:
                found.append(Address(canonical, as_shown(shown, 100)))
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


def sender_of(tree: Tree, defects: list[str]) -> Address | None:
    """Return the one From address, or None: two fields, two addresses or none leave nobody to write to safely (P10)."""
    values = every(tree, "from")
    if len(values) != 1:
        defects.append("no From field" if not values else "more than one From field")
        return None
    text = as_letters(str(values[0])[:ADDRESS_BYTES])
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
    return Address(canonical, as_shown(shown, 100))


def return_path_of(tree: Tree) -> str | None:
    """Return the envelope sender our server wrote down; "" for an empty one, None when there is no such header."""
    values = every(tree, "return-path")
    return one_line(str(values[0]), 320).strip("<> ") if values else None


def date_of(tree: Tree) -> datetime | None:
    """Return what the Date field says, which may be anything; None when it says no date."""
    try:
        return parsedate_to_datetime(first(tree, "date")[:100])
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
