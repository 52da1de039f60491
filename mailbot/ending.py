"""What the end of a case leaves of a person, and what it must not leave.

Owns what leads to a person (`Traces`), which messages are his, the anonymised line an erasure leaves, and whose five
years are over. Must never delete anything: `purge.py` does, on the owner's word, and asks here what.
"""

import json
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from functools import lru_cache

from mailbot.case import LASTING, OVER, Case, State, Track
from mailbot.client import ClientRecord, Filing, LetterState, QueuedLetter, SeenMessage
from mailbot.message import Message

GONE = "(gewist)"
LEAST = 12  # characters of a subject: a shorter one is anybody's
ERASED = "erased"  # the role of a message that is remembered only until its fingerprint is


@dataclass(frozen=True, slots=True)
class Ending:
    """What rules/ending.toml says."""

    keep: frozenset[str] = frozenset({"\\flagged"})
    client_years: int = 5

    @classmethod
    def parse(cls, text: str) -> "Ending":
        """Return the values of rules/ending.toml; KeyError, TypeError or ValueError says what is wrong."""
        table = tomllib.loads(text)
        flags = frozenset(str(flag).lower() for flag in table["keep"]["flags"])
        return cls(flags, int(table["years"]["clients"]))


@dataclass(frozen=True, slots=True)
class Closed:
    """What an erasure leaves: nothing that leads to the person.

    `prints` are keyed fingerprints of the messages that were purged, `person` that of the address, so that neither
    comes back unseen. `steps` are moments and events without their reasons; `seal` is the last hash of the chain.
    """

    number: str
    kinds: tuple[str, ...]
    received: str
    ended: str
    outcome: str
    prints: tuple[str, ...] = ()
    person: str = ""
    erased: str = ""
    steps: tuple[tuple[str, str], ...] = ()
    seal: str = ""


@dataclass(frozen=True, slots=True)
class Traces:
    """What leads to one person: words that may stand in no file afterwards, and what marks his mail.

    `subjects` are the lines above his mails: his only where the record is about him, since others use the same words.
    """

    address: str
    words: frozenset[str]
    subjects: frozenset[str]
    ids: frozenset[str]
    numbers: tuple[str, ...]

    def within(self, text: str, *, subjects: bool = False) -> bool:
        """Tell whether something in the text, or in text as JSON writes it, leads to the person."""
        wanted = self.words | self.subjects if subjects else self.words
        return bool(wanted) and _pattern(wanted).search(text.lower().replace("\\n", " ")) is not None


@lru_cache(8)
def _pattern(words: frozenset[str]) -> re.Pattern[str]:
    """Any of the words, by itself: `an@example.nl` is not found in `jan@example.nl`."""
    forms = {form for word in words for form in (word, json.dumps(word, ensure_ascii=False)[1:-1])}
    return re.compile(rf"(?<![\w.+-])(?:{'|'.join(map(re.escape, sorted(forms)))})(?![\w-])")


class Whose(Enum):
    """Whose a message is. `shared`: others are in it too, so it is the owner's to look at."""

    THEIRS = "theirs"
    SHARED = "shared"
    OTHER = "other"


def traces_of(record: ClientRecord) -> Traces:
    """Return what leads to the person of this record."""
    ids = {seen.message_id for seen in record.messages if seen.message_id}
    letters = {one.message_id for one in record.letters}
    name = record.name if " " in record.name.strip() else ""  # a first name alone is anybody's
    words = {record.address, name, record.folder or "", *ids}
    subjects = {str(one.facts.get("subject", "")) for one in record.letters} | {one.subject for one in record.examples}
    return Traces(
        address=record.address.lower(),
        words=frozenset(word.lower() for word in words if word),
        subjects=frozenset(text.lower() for text in subjects if len(text) >= LEAST),
        ids=frozenset(ids | letters),
        numbers=tuple(case.number for case in record.cases),
    )


def owes_erasure(record: ClientRecord) -> bool:
    """Tell whether the owner ordered it and nothing else of this person is still on its way."""
    ordered = any(case.erasure_ordered for case in record.cases)
    waiting = any(one.state is LetterState.QUEUED and one.audience == "person" for one in record.letters)
    return ordered and not waiting and all(case.state in OVER for case in record.cases)


def copies_to_delete(record: ClientRecord) -> Iterator[SeenMessage]:
    """Yield the messages with an identity copy whose time is over: once checked, at the latest when the case closes."""
    asked = [case for case in record.cases if case.identity != "not_needed"]
    over = {case.number for case in asked if case.identity == "confirmed" or case.state in OVER}
    for seen in record.messages:
        if seen.copy and seen.case in over and seen.filing is not Filing.PURGED:
            yield seen


def ordered_at(record: ClientRecord) -> datetime | None:
    """Return when the erasure was ordered: what arrived later was not meant by it."""
    return max((case.erasure_ordered for case in record.cases if case.erasure_ordered), default=None)


def whose(message: Message, received: datetime, traces: Traces, ordered: datetime, ours: Collection[str]) -> Whose:
    """Tell whose a message is, by its headers alone: by thread, by number, or by the address when nobody else is in it.

    `received` and `ordered` are aware. Mail of the address that came after the order is new and not meant.
    """
    identities = {message.message_id, *message.in_reply_to, *message.references}
    if identities & traces.ids or _names(message.subject, traces.numbers):
        return Whose.THEIRS
    sender = message.sender.address.lower() if message.sender else ""
    named = {one.address.lower() for one in (*message.recipients, *message.reply_to)} - {one.lower() for one in ours}
    if received > ordered or traces.address not in {sender, *named}:
        return Whose.OTHER
    return Whose.THEIRS if sender == traces.address or named == {traces.address} else Whose.SHARED


def _names(subject: str, numbers: Collection[str]) -> bool:
    """Whether one of the case numbers stands in the subject, not as the beginning of a longer one."""
    return any(re.search(rf"\b{re.escape(number)}\b", subject, re.IGNORECASE) for number in numbers)


def kept(flags: Iterable[bytes], ending: Ending) -> bool:
    """Tell whether the owner marked the message as one to keep."""
    return any(flag.decode("ascii", "replace").lower() in ending.keep for flag in flags)


def remembered(record: ClientRecord, found: Iterable[SeenMessage]) -> ClientRecord:
    """Return the record with these messages marked as purged, so that their fingerprints outlive them."""
    gone = {seen.digest: seen for seen in found}
    known = tuple(replace(one, filing=Filing.PURGED) if one.digest in gone else one for one in record.messages)
    fresh = [seen for digest, seen in gone.items() if all(one.digest != digest for one in record.messages)]
    return replace(record, messages=(*known, *fresh))


def lines_of(record: ClientRecord, now: datetime, mark: Callable[[str], str]) -> tuple[Closed, ...]:
    """Return the anonymised line of each case; `mark` is the register's keyed hash."""
    return tuple(_line(record, case, now, mark) for case in record.cases)


def _line(record: ClientRecord, case: Case, now: datetime, mark: Callable[[str], str]) -> Closed:
    last = case.number == record.cases[-1].number  # what belongs to no case goes with the last
    mine = [seen for seen in record.messages if seen.case == case.number or (last and seen.case is None)]
    letters = [one.message_id for one in record.letters if one.case == case.number and one.audience == "person"]
    known = {seen.digest for seen in mine} | {seen.message_id for seen in mine if seen.message_id} | {*letters}
    return Closed(
        number=case.number,
        kinds=case.kinds,
        received=case.received.date().isoformat(),
        ended=case.ended.date().isoformat() if case.ended else "",
        outcome=", ".join(f"{kind} {_ending(kind, track)}" for kind, track in case.tracks.items()) or str(case.state),
        prints=tuple(sorted(map(mark, known))),
        person=mark(record.address.lower()),
        erased=now.date().isoformat(),
        steps=tuple((event.at.isoformat(), event.event) for event in case.events),
        seal=case.events[-1].hash if case.events else "",
    )


def _ending(kind: str, track: Track) -> str:
    return "done" if kind in LASTING and track in {Track.LIVE, Track.LIFTED} else str(track)


def scrubbed(record: ClientRecord, traces: Traces, *, subjects: bool) -> ClientRecord:
    """Return somebody else's record (the owner's, mostly) without what its letters say about the erased person."""

    def clean(value: object) -> object:
        if isinstance(value, str):
            return GONE if traces.within(value, subjects=subjects) else value
        if isinstance(value, list | tuple):
            return [clean(one) for one in value]
        return {key: clean(one) for key, one in value.items()} if isinstance(value, dict) else value

    def without(letter: QueuedLetter) -> QueuedLetter:
        facts = {name: clean(value) for name, value in letter.facts.items()}
        return replace(letter, facts=facts, reason=str(clean(letter.reason)))

    letters = tuple(without(one) for one in record.letters)
    examples = tuple(one for one in record.examples if not traces.within(f"{one.subject}\n{one.text}"))
    return replace(record, letters=letters, examples=examples)


def scrubbed_office(marks: Mapping[str, str], traces: Traces) -> dict[str, str]:
    """Return the marks of the office without the lines that lead to the person (what the night's count told)."""
    return {
        name: "\n".join(line for line in text.split("\n") if not traces.within(line)) for name, text in marks.items()
    }


def silent_since(record: ClientRecord, now: datetime, years: int) -> datetime | None:
    """Return the last thing known of a client when that is more than `years` ago and nothing of his is open."""
    moments = [case.received for case in record.cases] + [seen.received for seen in record.messages]
    moments += [event.at for case in record.cases for event in case.events]
    live = any(case.restricts for case in record.cases)
    if not moments or live or any(case.state not in OVER and case.state is not State.ANSWERED for case in record.cases):
        return None
    last = max(moments)
    return last if _years_later(last, years) < now else None


def _years_later(moment: datetime, years: int) -> datetime:
    try:
        return moment.replace(year=moment.year + years)
    except ValueError:  # 29 February
        return moment.replace(year=moment.year + years, day=28)
