"""What is kept in memory of every client's record, so that a record is found without reading all of them.

Owns the indexes and that they agree with each other. Must never be the only place where something is known: all of it
follows from the records, and is built anew at each start.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass
from datetime import datetime

from mailbot.client import ClientRecord, Filing, LetterState
from mailbot.ending import copies_to_delete, owes_erasure


@dataclass(slots=True)
class Entry:
    """The index's view of one client."""

    folder: str | None
    numbers: tuple[str, ...]
    opened: tuple[tuple[datetime, str], ...]
    running: bool
    digests: tuple[str, ...]
    message_ids: tuple[str, ...]
    letter_ids: tuple[str, ...]
    sent: tuple[tuple[datetime, str], ...]
    letters: bool
    copies: bool
    filings: bool
    examples: bool
    endings: bool


def entry_of(record: ClientRecord) -> Entry:
    """Return what the index keeps of a record."""
    persons = [one for one in record.letters if one.audience == "person"]
    return Entry(
        folder=record.folder,
        numbers=tuple(case.number for case in record.cases),
        opened=tuple((case.events[0].at, case.number) for case in record.cases if case.events and not case.backlog),
        running=any(case.is_open for case in record.cases),
        digests=tuple(seen.digest for seen in record.messages),
        message_ids=tuple(seen.message_id for seen in record.messages if seen.message_id),
        letter_ids=tuple(one.message_id for one in record.letters),
        sent=tuple((one.settled or one.queued, one.to) for one in persons if one.state in GOING),
        letters=any(one.state is LetterState.QUEUED for one in record.letters),
        copies=any(one.state is LetterState.SENT and one.copies for one in record.letters),
        filings=any(seen.filing is Filing.INTENDED for seen in record.messages),
        examples=any(not one.text for one in record.examples),
        endings=owes_erasure(record) or any(copies_to_delete(record)),
    )


GOING = {LetterState.SENT, LetterState.QUEUED}
OWED = ("letters", "copies", "filings", "running", "endings", "examples")


def _drop(index: dict[str, str], names: tuple[str, ...], place: str) -> None:
    for name in names:
        if index.get(name) == place:
            del index[name]


def _take_out(kept: list[tuple[datetime, str]], gone: tuple[tuple[datetime, str], ...]) -> None:
    for item in gone:
        position = bisect_left(kept, item)
        if position < len(kept) and kept[position] == item:
            del kept[position]


class Index:
    """Where everything is: each answer is the id of a record, or a number of them."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.numbers: dict[str, str] = {}
        self.message_ids: dict[str, str] = {}
        self.letters: dict[str, str] = {}
        self.folders: dict[str, str] = {}
        self._digests: dict[str, list[str]] = {}
        self._sent: list[tuple[datetime, str]] = []
        self._opened: list[tuple[datetime, str]] = []
        self._owed: dict[str, set[str]] = {name: set() for name in OWED}

    def holding(self, digest: str) -> tuple[str, ...]:
        """Return the records in which a message with this digest was handled."""
        return tuple(self._digests.get(digest, ()))

    def owing(self, what: str) -> list[str]:
        """Return the records that owe the world one of OWED, in the order of their ids."""
        return sorted(self._owed[what])

    def sent_since(self, moment: datetime) -> list[tuple[datetime, str]]:
        """Return moment and address of every letter to a person that left, or is about to, after `moment`."""
        return self._sent[bisect_left(self._sent, (moment, "")) :]

    def opened_since(self, moment: datetime) -> int:
        """Return how many cases were opened after `moment`, backlog not counted."""
        return len(self._opened) - bisect_left(self._opened, (moment, ""))

    def put(self, place: str, entry: Entry, *, many: bool = False) -> None:
        """Take in a record as it is now. With `many` the caller sorts once, by `sort`, when all are in."""
        self.forget(place)
        self.entries[place] = entry
        if entry.folder:
            self.folders[entry.folder] = place
        self.numbers.update(dict.fromkeys(entry.numbers, place))
        for digest in set(entry.digests):
            self._digests.setdefault(digest, []).append(place)
        self.message_ids.update(dict.fromkeys(entry.message_ids, place))
        self.letters.update(dict.fromkeys(entry.letter_ids, place))
        for kept, fresh in ((self._sent, entry.sent), (self._opened, entry.opened)):
            for item in fresh:
                if many:
                    kept.append(item)
                else:
                    insort(kept, item)
        for what, places in self._owed.items():
            if getattr(entry, what):
                places.add(place)

    def sort(self) -> None:
        """Bring the moments into order after many records were put in."""
        self._sent.sort()
        self._opened.sort()

    def forget(self, place: str) -> None:
        """Take a record out of every index."""
        entry = self.entries.pop(place, None)
        if entry is None:
            return
        if entry.folder:
            self.folders.pop(entry.folder, None)
        for number in entry.numbers:
            self.numbers.pop(number, None)
        for digest in set(entry.digests):
            self._digests[digest].remove(place)
            if not self._digests[digest]:
                del self._digests[digest]
        _drop(self.message_ids, entry.message_ids, place)
        _drop(self.letters, entry.letter_ids, place)
        _take_out(self._sent, entry.sent)
        _take_out(self._opened, entry.opened)
        for places in self._owed.values():
            places.discard(place)
