"""The parts of a mail: which there are, what they are called, and the text in them that a person reads.

Owns walking the MIME tree within bounds of depth, number and size. Must never open an attachment, and never raise,
whatever the bytes.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import Message as Tree
from typing import Any

from mailbot import header, html
from mailbot.header import INVISIBLE

HEADER_VALUE = 2_000  # of Content-Type: parameters beyond this are an attack (25 s for half a megabyte)
PARTS = 100
DEPTH = 15
TEXT_BYTES = 256 * 1024  # of one part: a long novel; the rest is not judged
TEXT_LENGTH = 300_000
TEXTS = 5  # texts of one message that are read: people's mails have one, with a footer two
STUB_LENGTH = 400  # characters of a plain part that only says "use an HTML program"
CONTROLS_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9._:+-]{1,40})", re.IGNORECASE)
FLOWED = re.compile(r" \n(?![>\n-])")
STUB = re.compile(r"html", re.IGNORECASE)
NO_TEXT = {"text/calendar", "text/rfc822-headers", "text/vcard", "text/x-vcard", "text/css", "text/csv"}


@dataclass(frozen=True, slots=True)
class Attachment:
    """The outside of an attached part. The contents are never opened."""

    filename: str
    content_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """A part that holds no others. `choice`: leaves of one multipart/alternative say the same thing in several ways."""

    part: Tree
    choice: int


def leaves_of(tree: Tree, defects: list[str]) -> list[Leaf]:
    """Return the leaves in their order, bounded in number and depth; an attached message counts as one leaf."""
    out: list[Leaf] = []
    stack: list[tuple[Any, int, int | None]] = [(tree, 0, None)]
    choices = 0
    while stack and len(out) < PARTS:
        part, depth, choice = stack.pop()
        if depth > DEPTH:
            defects.append("nested too deep: cut")
            continue
        payload = payload_of(part)
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


def payload_of(part: Tree) -> Any:  # noqa: ANN401 - parts or text, as the library has it
    """Return what a part holds, undecoded. The library decodes raw letters here, by a charset the sender chose."""
    try:
        return part.get_payload()
    except UnicodeError:
        return ""


def kind_of(part: Tree) -> str:
    """Return the media type of a part; what names none is plain text (RFC 2045, 5.2)."""
    return part.get_content_type() if "/" in str(part.get("content-type", "text/plain")) else "text/plain"


def is_attached(part: Tree) -> bool:
    """Tell whether a part stands beside the mail's text and is not read as such."""
    disposition = str(part.get("content-disposition", ""))[:200].lower().strip()
    return disposition.startswith("attachment") or (bool(filename_of(part)) and not kind_of(part).startswith("text/"))


def filename_of(part: Tree) -> str:
    """Return the name an attachment says it has, as one safe line without slashes; "" when it says none."""
    try:
        name = part.get_filename("") if len(str(part.get("content-type", ""))) < HEADER_VALUE else ""
    except (ValueError, TypeError, LookupError, AttributeError):
        name = ""
    return header.as_shown(str(name), 120).replace("/", "_").replace("\\", "_")


def attachment_of(part: Tree) -> Attachment | None:
    """Return the outside of an attached part, or None when the part is the mail's own text."""
    kind = kind_of(part)
    if not (is_attached(part) or not kind.startswith("text/")):
        return None
    payload = payload_of(part)
    return Attachment(filename_of(part), kind, len(payload) if isinstance(payload, str) else 0)


def text_of(leaves: Sequence[Leaf], defects: list[str]) -> str:
    """Return what a person reads of the mail itself: each text part, of alternatives one."""
    groups: dict[int, list[Tree]] = {}
    for leaf in leaves:
        if leaf.part.get_content_maintype() == "text" and not is_attached(leaf.part):
            groups.setdefault(leaf.choice, []).append(leaf.part)
    return joined(_chosen(group, defects) for group in list(groups.values())[:TEXTS])


def _chosen(group: Sequence[Tree], defects: list[str]) -> str:
    """Plain text, unless it is empty or only says that the mail is HTML."""
    plain = joined(body(part, defects) for part in group if kind_of(part) == "text/plain")
    rich = [part for part in group if kind_of(part) == "text/html"]
    if rich and (not plain.strip() or (STUB.search(plain[:300]) and len(plain) < STUB_LENGTH)):
        return joined(html.visible(body(part, defects)) for part in rich[:TEXTS])
    if plain.strip():
        return plain
    return joined(body(part, defects) for part in group if kind_of(part) not in NO_TEXT | {"text/plain", "text/html"})


def joined(texts: Iterable[str], between: str = "\n") -> str:
    """Return the texts that say something as one, bounded in length."""
    return between.join(text.strip("\n") for text in texts if text.strip("\n"))[:TEXT_LENGTH]


def body(part: Tree, defects: list[str]) -> str:
    """Return the text of one part, decoded, bounded, and without what a reader does not see."""
    try:
        octets = part.get_payload(decode=True)
    except (ValueError, AssertionError, LookupError):
        octets = None
    if not isinstance(octets, bytes):
        payload = payload_of(part)
        octets = payload.encode("utf-8", "surrogateescape") if isinstance(payload, str) else b""
    if len(octets) > TEXT_BYTES:
        defects.append("text too long: cut")
        octets = octets[:TEXT_BYTES]
    charset = _charset(part)
    text = header.decoded(octets, charset)
    if "format=flowed" in str(part.get("content-type", ""))[:HEADER_VALUE].lower():
        text = FLOWED.sub(" ", text.replace("\r\n", "\n"))
    return CONTROLS_IN_TEXT.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n")).translate(INVISIBLE)


def _charset(part: Tree) -> str | None:
    value = str(part.get("content-type", ""))[:HEADER_VALUE]
    match = CHARSET.search(value)
    return match[1].lower() if match else None
