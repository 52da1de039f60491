"""A large message made small: its headers and its texts, and only the outside of everything else.

Owns choosing what to fetch of a message that is too large to take whole, from its BODYSTRUCTURE (RFC 3501, 7.4.2), so
that memory does not grow with an attachment (I36). Must never talk to a server.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

PART_BYTES = 64 * 1024  # of one text: more than anybody reads; a multiple of four keeps base64 whole
PARTS = 50  # beyond this many leaves nothing is looked at
DEPTH = 10


@dataclass(frozen=True, slots=True)
class Leaf:
    """One part: its section number and whether it is text that is worth fetching."""

    section: str
    is_text: bool


@dataclass(frozen=True, slots=True)
class Branch:
    """A multipart: its subtype and what is in it."""

    subtype: str
    parts: tuple["Leaf | Branch", ...]


def outline(structure: Any, section: str = "", depth: int = 0) -> Leaf | Branch:  # noqa: ANN401 - as the library parses it
    """Return what is in the message, from the structure as IMAPClient parses it; total on odd structures."""
    try:
        if structure.is_multipart and depth < DEPTH:
            parts = structure[0][:PARTS]
            sections = [f"{section}.{place}" if section else str(place) for place in range(1, len(parts) + 1)]
            inside = tuple(outline(part, name, depth + 1) for part, name in zip(parts, sections, strict=True))
            return Branch(structure[1].decode("ascii", "replace").lower(), inside)
        kind = structure[0].decode("ascii", "replace").lower()
        attached = any(
            isinstance(item, tuple) and item and item[0] in {b"attachment", b"ATTACHMENT"} for item in structure
        )
    except (AttributeError, IndexError, TypeError):
        return Leaf(section or "1", is_text=False)
    return Leaf(section or "1", is_text=kind == "text" and not attached)


def leaves(node: Leaf | Branch) -> Iterator[Leaf]:
    """Yield the parts in the order they stand."""
    if isinstance(node, Leaf):
        yield node
        return
    for part in node.parts:
        yield from leaves(part)


def composed(header: bytes, node: Leaf | Branch, fetched: Callable[[Leaf], tuple[bytes, bytes]]) -> bytes:
    """Return a message with the original headers and, of each part, what `fetched` gives: its headers and its body."""
    if isinstance(node, Leaf):
        return header.rstrip(b"\r\n") + b"\r\n\r\n" + fetched(node)[1]
    return _without_type(header) + _branch(node, "m", fetched)


def _branch(node: Branch, name: str, fetched: Callable[[Leaf], tuple[bytes, bytes]]) -> bytes:
    boundary = f"mailbot-large-{name}"
    out = [f'Content-Type: multipart/{node.subtype}; boundary="{boundary}"\r\n\r\n'.encode("ascii", "replace")]
    for place, part in enumerate(node.parts):
        out.append(f"--{boundary}\r\n".encode())
        if isinstance(part, Branch):
            out.append(_branch(part, f"{name}{place}", fetched))
        else:
            mime, body = fetched(part)
            out.append(mime.rstrip(b"\r\n") + b"\r\n\r\n" + body + b"\r\n")
    out.append(f"--{boundary}--\r\n".encode())
    return b"".join(out)


def _without_type(header: bytes) -> bytes:
    """Return the header fields without those that describe the body, which is composed anew."""
    kept: list[bytes] = []
    skipping = False
    for line in header.rstrip(b"\r\n").split(b"\r\n"):
        if not line.startswith((b" ", b"\t")):
            skipping = line.lower().startswith((b"content-type:", b"content-transfer-encoding:"))
        if not skipping:
            kept.append(line)
    return b"\r\n".join(kept) + b"\r\n"
