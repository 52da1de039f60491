"""The owner's links: what he can say by one click, and what such a mail says when it comes back.

Owns making the links and reading them. Must never take a word from anybody but the owner, never without a token of
ours, and never the same token twice; a token goes to nobody else.
"""

import re
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from urllib.parse import quote

import msgspec

from mailbot import tokens
from mailbot.authentic import aligned
from mailbot.case import Case, Track
from mailbot.client import ClientRecord, LetterState
from mailbot.message import Message
from mailbot.phrases import Phrase, Phrases

OFFICE = "MAILBOT"  # in a case number's place: a word about all letters
SUBJECT = re.compile(rf"\[?([A-Z0-9]{{1,8}}-\d{{4}}-\d{{4,6}}|{OFFICE})\]?\s+([a-z-]+!?)\s+#", re.IGNORECASE)
REASON = 500  # characters of the owner's own words that are kept
SEND = "release"
ALL = "release-all"


@dataclass(frozen=True, slots=True)
class Link:
    """One thing a notice offers, from rules/owner.toml; its comments say what the keys mean."""

    name: str
    label: str
    states: tuple[str, ...]
    does: str = ""
    reason: bool = False
    sure: bool = False
    letter: bool = True
    small: bool = False
    digest: bool = False
    identity: tuple[str, ...] = ()
    track: str = ""
    asks_identity: bool = False
    only: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    outcome: str = "done"

    def about(self, case: Case) -> tuple[str, ...]:
        """The open kinds of the case this is about; empty when it is about all of them."""
        return tuple(kind for kind in case.open_kinds if kind in self.kinds)


@dataclass(frozen=True, slots=True)
class Occasion:
    """Where a link stands: the notice, its key, and the day; with these and the secret its token is made."""

    notice: str
    key: str
    day: date
    secret: bytes
    to: str
    identified: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Said:
    """What the owner's mail says: which case, what, with which reason; `wrong` is why it cannot be believed."""

    number: str
    action: str
    reason: str
    token: str = ""
    wrong: str = ""

    @property
    def confirmed(self) -> bool:
        """Whether this is the second, sure word."""
        return self.action.endswith("!")


def parse(text: str) -> tuple[tuple[Link, ...], Phrases]:
    """Return the links and phrases of rules/owner.toml; KeyError, TypeError or ValueError says what is wrong."""
    table = tomllib.loads(text)
    links = msgspec.convert(table["action"], tuple[Link, ...])
    phrases = Phrases(
        msgspec.convert(table["word"], tuple[Phrase, ...]),
        frozenset(table["answers"]["filler"]),
        tuple(table["answers"]["closings"]),
        msgspec.convert(table["question"], dict[str, dict[str, str]]),
    )
    names = {link.name for link in links} | {SEND, "yes", "no"}
    problems = [f"[[word]] {one.action}: is no action" for one in phrases.phrases if one.action not in names]
    problems += phrases.wrong()
    if problems:
        raise ValueError("; ".join(problems))
    return links, phrases


def offered(links: tuple[Link, ...], record: ClientRecord, case: Case, at: Occasion) -> list[dict[str, object]]:
    """Return what a notice offers about this case: letters that wait first, then the actions, each with its `href`."""
    letters: list[dict[str, object]] = [
        {"letter": name, "href": href(case.number, sending(name), at), "label": ""}
        for name in dict.fromkeys(one.letter for one in record.letters if _waits(one, case))
    ]
    actions: list[dict[str, object]] = [
        {"label": link.label, "small": link.small, "href": href(case.number, link.name, at)}
        for link in links
        if _fits(link, case, at)
    ]
    return letters + actions


def about_all(links: tuple[Link, ...], action: str, at: Occasion) -> tuple[dict[str, object], ...]:
    """Return the button that says `action` about all letters; the second, sure word ends in `!`."""
    name, sure = action.removesuffix("!"), action.endswith("!")
    return tuple(
        {"label": link.label, "sure": sure, "href": href(OFFICE, action, at)} for link in links if link.name == name
    )


def _waits(letter: object, case: Case) -> bool:
    return getattr(letter, "case", None) == case.number and getattr(letter, "state", None) is LetterState.HELD


def _fits(link: Link, case: Case, at: Occasion) -> bool:
    return (
        case.state in link.states
        and (not link.identity or case.identity in link.identity)
        and (not link.track or Track(link.track) in case.tracks.values())
        and (not link.kinds or bool(link.about(case)))
        and (not link.asks_identity or may_identify(case, at.identified))
        and (at.notice in link.only if link.only else at.notice != "digest" or link.digest)
    )


def may_identify(case: Case, identified: Collection[str]) -> bool:
    """Tell whether identity may be asked for anything that is open in the case (promises, section 3)."""
    return any(kind in identified for kind in case.open_kinds)


def sending(letter: str) -> str:
    """Return the action that lets this letter of a case go."""
    return f"{SEND}-{letter.replace('_', '-')}"


def letter_to_send(action: str) -> str | None:
    """Return which letter an action lets go: a name, empty for all that wait; None when it is another action."""
    if action == SEND:
        return ""
    return action.removeprefix(f"{SEND}-").replace("-", "_") if action.startswith(f"{SEND}-") else None


def href(number: str, action: str, at: Occasion, body: str = "") -> str:
    """Return a mailto link that says `action` on the case, signed for this occasion (RFC 6068: all percent-encoded)."""
    subject = f"[{number}] {action} {tokens.issue(at.secret, number, action, at.key, at.day)}"
    text = f"&body={quote(body, safe='')}" if body else ""
    return f"mailto:{quote(at.to, safe='@')}?subject={quote(subject, safe='')}{text}"


def said(
    message: Message, owner: str, secret: bytes, authserv_id: str, used: tuple[str, ...], today: date
) -> Said | None:
    """Return the owner's word in this message, or None when it is no such mail at all."""
    match = SUBJECT.search(message.subject)
    if match is None or not (from_owner(message, owner) or tokens.TOKEN.search(message.subject.lower())):
        return None
    number, action = match[1].upper(), match[2].lower()
    token = tokens.valid(secret, number, action, message.subject)
    checks = (
        (not from_owner(message, owner), "not_owner"),
        (bool(authserv_id) and not aligned(message, authserv_id), "not_authentic"),
        (token is None, "forged"),
        (token in used, "used"),
        (token is not None and tokens.expired(token, today), "expired"),
    )
    wrong = next((why for bad, why in checks if bad), "")
    return Said(number, action, " ".join(_own(message))[:REASON], token or "", wrong)


def from_owner(message: Message, owner: str) -> bool:
    """Tell whether the mail says it is from the owner's own address."""
    return message.sender is not None and message.sender.address.lower() == owner.lower()


def _own(message: Message) -> Iterator[str]:
    yield from (line.strip() for line in message.written.split("\n") if line.strip())
