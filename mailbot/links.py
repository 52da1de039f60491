"""The owner's links: what he can say by one click, and what such a mail says when it comes back.

Owns making the links and reading them. Must never take a word from anybody but the owner, never without a token of
ours, and never the same token twice; a token goes to nobody else.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from mailbot import tokens
from mailbot.case import Case
from mailbot.decide import sender_contradicted
from mailbot.message import Message

SUBJECT = re.compile(r"\[?([A-Z0-9]{1,8}-\d{4}-\d{4,6})\]?\s+([a-z-]+!?)\s+#", re.IGNORECASE)
REASON = 500  # characters of the owner's own words that are kept
SEND = "release"


@dataclass(frozen=True, slots=True)
class Link:
    """One thing a notice offers, from rules/owner.toml."""

    name: str
    label: str
    states: tuple[str, ...]
    reason: bool = False
    sure: bool = False
    identity: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """What the owner's mail says: which case, what, with which reason; `wrong` is why it cannot be believed."""

    number: str
    action: str
    reason: str
    token: str
    wrong: str = ""

    @property
    def confirmed(self) -> bool:
        """Whether this is the second, sure word."""
        return self.action.endswith("!")


def parse(text: str) -> tuple[Link, ...]:
    """Return the links of rules/owner.toml; KeyError, TypeError or ValueError says what is wrong."""
    return msgspec.convert(tomllib.loads(text)["action"], tuple[Link, ...])


def offered(links: tuple[Link, ...], case: Case, secret: bytes, occasion: str, to: str) -> list[dict[str, str]]:
    """Return the buttons for a notice about this case, as `label` and `href` (RFC 6068)."""
    return [
        {"label": link.label, "href": href(case.number, link.name, secret, occasion, to)}
        for link in links
        if case.state in link.states and (not link.identity or case.identity in link.identity)
    ]


def href(number: str, action: str, secret: bytes, occasion: str, to: str, body: str = "") -> str:
    """Return a mailto link that says `action` on the case, signed for this occasion."""
    subject = f"[{number}] {action} {tokens.issue(secret, number, action, occasion)}"
    text = f"&body={quote(body)}" if body else ""
    return f"mailto:{to}?subject={quote(subject)}{text}"


def said(message: Message, owner: str, secret: bytes, authserv_id: str, used: tuple[str, ...]) -> Said | None:
    """Return the owner's word in this message, or None when it is no such mail at all."""
    match = SUBJECT.search(message.subject)
    if match is None:
        return None
    number, action = match[1].upper(), match[2].lower()
    token = tokens.valid(secret, number, action, message.subject)
    return Said(
        number, action, " ".join(_own(message))[:REASON], token or "", _wrong(message, owner, token, used, authserv_id)
    )


def _own(message: Message) -> Iterator[str]:
    yield from (line.strip() for line in message.written.split("\n") if line.strip())


def _wrong(message: Message, owner: str, token: str | None, used: tuple[str, ...], authserv_id: str) -> str:
    sender = message.sender.address.lower() if message.sender else ""
    checks = (
        (sender != owner.lower(), "het komt niet van het adres van de eigenaar"),
        (token is None, "de code in het onderwerp klopt niet"),
        (token in used, "deze knop is al een keer gebruikt"),
        (sender_contradicted(message, authserv_id), "de mailserver zegt dat de afzender niet echt is"),
    )
    return next((why for wrong, why in checks if wrong), "")
