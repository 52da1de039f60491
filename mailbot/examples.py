"""What the owner corrected, kept as examples: as few words as a rule needs to be tried on, and nobody's name.

Owns what is left of a message's words, and what today's rules make of every example. Must never keep an address, a
number or a name, and must never touch a disk or a mailbox: `learning.py` brings the messages.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mailbot.classify import Decision, Verdict, classify
from mailbot.client import JUDGED, ClientRecord, Example
from mailbot.message import Message
from mailbot.rules import Rules, fold, knows

PIECE = re.compile(r"\n\s*\n|\S+")
MARKS = ".!?;,:"
WORD = re.compile(r"[^\W\d_]{1,30}(?:['\u2019-][^\W\d_]{1,30}){0,2}")
ARTICLE = re.compile(r"art|article|artikel|artikels?|§|avg|gdpr|dsgvo|rgpd", re.IGNORECASE)
GONE = "xx"  # stands where a word was taken out, so that the others stay as far apart as they were
CORRECTIONS = ("kinds_corrected", "recognised", "not_a_request")


@dataclass(frozen=True, slots=True)
class Keeping:
    """How much is kept of an example, and how long: rules/limits.toml, [examples]."""

    days: int = 365
    words: int = 250
    closings: frozenset[str] = frozenset()


def corrected(before: ClientRecord, after: ClientRecord, number: str, event: str, now: datetime) -> ClientRecord:
    """Return the record with an example of what the owner just said of a case. Its words are brought later."""
    case = after.case(number)
    old = before.case(number)
    if event not in CORRECTIONS or case is None or old is None or len(case.events) == len(old.events):
        return after
    seen = next((one for one in after.messages if one.case == number and one.role in JUDGED), None)
    kinds = () if event == "not_a_request" else case.kinds
    if seen is None or (event != "not_a_request" and not kinds):
        return after  # it came by phone, or nobody said yet what it is about: there is nothing to learn
    known = next((one for one in after.examples if one.digest == seen.digest), None)
    fresh = known or Example(seen.digest, now, "", "", (), old.kinds, case.language)
    others = tuple(one for one in after.examples if one.digest != seen.digest)
    return replace(after, examples=(*others, replace(fresh, kinds=kinds, at=now)))


def kept_words(message: Message, rules: Rules, keeping: Keeping) -> tuple[str, str]:
    """Return subject and text as they are kept: known words and small ones, up to where the mail is signed."""
    text = message.form.text if message.form else message.written
    names = _names(message)
    return _kept(message.subject, rules, names, keeping), _kept(text, rules, names, keeping) or GONE


def _names(message: Message) -> frozenset[str]:
    """The words of who wrote: of the shown name, and of the address before its domain."""
    who = [message.sender] if message.sender else []
    said = " ".join(f"{one.name} {one.address.rpartition('@')[0]}" for one in (*who, *message.reply_to))
    said += f" {message.form.name} {(message.form.address or '').rpartition('@')[0]}" if message.form else ""
    return frozenset(word for word in re.findall(r"[^\W\d_]+", fold(said)) if len(word) > SHORTEST)


SHORTEST = 2  # letters: `de` and `van` are in half of all names


def _kept(text: str, rules: Rules, names: frozenset[str], keeping: Keeping) -> str:
    out: list[str] = []
    small = frozenset(word for words in rules.languages.values() for word in words)
    for match in PIECE.finditer(text):
        piece, before = match[0].rstrip(MARKS), out[-1] if out else ""
        mark = match[0][len(piece) : len(piece) + 1]
        if len(out) >= keeping.words or (fold(piece) in keeping.closings and len(out) > OPENING):
            break
        if not piece.strip():
            out.append(mark or "\n\n")
        elif _may_stay(piece, before, rules, small, names):
            out.append(f"{piece.lower()}{mark}")
        elif mark or before != GONE:
            out.append(f"{GONE}{mark}")
    return re.sub(r" ?\n\n ?", "\n\n", " ".join(out)).strip()


OPENING = 6  # words: "Groet" among the first words signs nothing


def _may_stay(piece: str, before: str, rules: Rules, small: frozenset[str], names: frozenset[str]) -> bool:
    """A word the rules know, or a small or plain word in small letters; of numbers only those of an article."""
    bare = piece.strip("\"'()[]:*_-\u2018\u2019\u201c\u201d")
    if not WORD.fullmatch(bare):
        return bare.isdigit() and len(bare) <= len("22") and bool(ARTICLE.match(before))
    folded = fold(bare)
    if folded in names:
        return False
    return bare.islower() or folded in small or knows(folded, rules.classes)


def expired(record: ClientRecord, now: datetime, keeping: Keeping) -> ClientRecord:
    """Return the record without examples whose time is over. `now` is aware."""
    kept = tuple(one for one in record.examples if now - one.at < timedelta(days=keeping.days))
    return record if kept == record.examples else replace(record, examples=kept)


@dataclass(frozen=True, slots=True)
class Compared:
    """One example: what the owner says it is, what was made of it then, now, and with the watched rules counting."""

    at: datetime
    owner: tuple[str, ...]
    was: tuple[str, ...]
    verdict: Verdict
    watched: Verdict

    @property
    def right(self) -> bool:
        """Whether today's rules agree with the owner."""
        return agrees(self.verdict, self.owner)

    def as_json(self) -> dict[str, object]:
        """Return the facts, without a word of the message."""
        return {
            "at": self.at.isoformat(),
            "owner": list(self.owner),
            "was": list(self.was),
            "decision": str(self.verdict.decision),
            "kinds": list(self.verdict.kinds),
            "right": self.right,
            "watched_kinds": list(self.watched.kinds),
            "watched_right": agrees(self.watched, self.owner),
        }


def agrees(verdict: Verdict, owner: tuple[str, ...]) -> bool:
    """Tell whether a verdict is what the owner says: no request at all, or just these kinds."""
    if not owner:
        return verdict.decision is Decision.OTHER
    return verdict.decision is not Decision.OTHER and set(verdict.kinds) == set(owner)


def compare(examples: Iterable[Example], rules: Rules) -> Iterator[Compared]:
    """Yield what today's rules make of each example, the oldest first; those whose words are not there yet are not."""
    counting = replace(rules, rules=tuple(replace(one, watch=False) for one in rules.rules))
    for one in sorted(examples, key=lambda example: example.at):
        if one.text:
            message = Message(one.digest, subject=one.subject, text=one.text, written=one.text)
            yield Compared(one.at, one.kinds, one.was, classify(message, rules), classify(message, counting))


def summary(compared: Iterable[Compared]) -> Mapping[str, int]:
    """Return how many examples there are, and how many today's rules and the watched ones get right."""
    rows = list(compared)
    return {
        "examples": len(rows),
        "right": sum(one.right for one in rows),
        "right_with_watched": sum(agrees(one.watched, one.owner) for one in rows),
    }
