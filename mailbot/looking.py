r"""What is in the mailbox: numbers, messages and headers, read without leaving a trace.

Owns looking and waiting. Must never mark anything as read, never use \Seen or UNSEEN as a queue, and never put a
header value into a command: a sender could write commands with it (failure-cases 1.1).

IDLE is a hint and the scan by UID is the truth: whatever the connection does, the caller looks again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from imapclient import IMAPClient
from imapclient.exceptions import (
    IMAPClientAbortError,
    IMAPClientError,
)

from mailbot import large, waiting
from mailbot.connection import Connection, ImapSettings, said, text

WHOLE = 256 * 1024  # bytes: larger messages are fetched by their structure (large.py)
HEADER_BYTES = 128 * 1024  # Postfix stops at 102,400; more is no mail from a person
BATCH = 50  # messages a FETCH: beyond this nothing gets faster and memory grows
BATCH_BYTES = 4 * 1024 * 1024
NO_IDLE = 30.0  # seconds between two looks at a server that speaks of nothing
HEADERS = 500  # headers a FETCH: some 200 kB
WHOSE = "BODY.PEEK[HEADER.FIELDS (FROM SENDER REPLY-TO TO CC BCC SUBJECT MESSAGE-ID IN-REPLY-TO REFERENCES)]"
SEARCH_RANGE = 100_000  # UIDs a SEARCH: IMAPClient refuses an answer of more than a million bytes (I29)
CLAIM_FIELD = "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]"


@dataclass(frozen=True, slots=True)
class InboxStatus:
    """What the server says of the inbox."""

    uidvalidity: int
    uidnext: int
    messages: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """One message. `raw` is whole, or composed from its structure when `complete` is False; `internaldate` is aware."""

    uid: int
    raw: bytes
    size: int
    internaldate: datetime
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Header:
    """The outside of a message in a folder: enough to see whose it is. `internaldate` is aware."""

    uid: int
    raw: bytes
    flags: tuple[bytes, ...]
    internaldate: datetime


class Looking(Connection):
    """A connection that looks and waits."""

    def __init__(self, settings: ImapSettings) -> None:
        super().__init__(settings)
        self._bell = waiting.Bell()

    def status(self) -> InboxStatus:
        """Return the state of the inbox: a real round trip. A changed UIDVALIDITY selects it anew (I10)."""
        with self._translated() as client:
            # STATUS of the selected folder is allowed and cheap; NOOP first makes the server say what is new.
            client.noop()
            found = client.folder_status(self.inbox, ["UIDVALIDITY", "UIDNEXT", "MESSAGES"])
            now = InboxStatus(*(int(found[name]) for name in (b"UIDVALIDITY", b"UIDNEXT", b"MESSAGES")))
            if now.uidvalidity != self._uidvalidity:
                self._selected = None
                self._looked_to = 0
                self._select(self.inbox)
                self._uidvalidity = now.uidvalidity
            return now

    def mark_of(self, folder: str) -> tuple[int, int]:
        """Return UIDVALIDITY and the next UID of a folder, without selecting it; (0, 1) where there is none."""
        with self._translated() as client:
            try:
                found = client.folder_status(folder, ["UIDVALIDITY", "UIDNEXT"])
            except IMAPClientAbortError:
                raise
            except IMAPClientError:
                return 0, 1
            return int(found[b"UIDVALIDITY"]), int(found[b"UIDNEXT"])

    def uids_from(self, first: int, folder: str | None = None) -> list[int]:
        """Return the UIDs from `first` on, ascending. Asked in ranges, and filtered: `n:*` always gives one (I30)."""
        with self._translated() as client:
            name = folder or self.inbox
            uidnext = int(client.folder_status(name, ["UIDNEXT"])[b"UIDNEXT"])
            if self._selected == (name, folder is not None):
                client.noop()  # what STATUS counted may not be in the selected view yet
            self._select(name, readonly=folder is not None)
            said(client).pop("EXISTS", None)  # whatever it spoke of, the search sees
            found: set[int] = set()
            for start in range(max(first, 1), uidnext, SEARCH_RANGE):
                end = min(start + SEARCH_RANGE, uidnext) - 1
                found.update(client.search(["UID", f"{start}:{end}"]))
            found.update(client.search(["UID", f"{max(first, uidnext)}:*"]))
            if folder is None:
                self._looked_to = max(uidnext, *(uid + 1 for uid in found), 1)
            return sorted(uid for uid in found if uid >= first)

    def answered(self) -> list[int]:
        """Return the UIDs in the inbox that the owner's mail program marked as answered."""
        with self._translated() as client:
            self._select(self.inbox)
            return sorted(client.search(["ANSWERED"]))

    def contents(self, folder: str) -> tuple[int, list[int]]:
        """Return UIDVALIDITY and all UIDs of a folder, which is made when it is not there."""
        with self._translated() as client:
            self._ensure(folder)
            uidvalidity = int(client.folder_status(folder, ["UIDVALIDITY"])[b"UIDVALIDITY"])
        return uidvalidity, self.uids_from(1, folder)

    def messages_in(self, folder: str) -> int:
        """Return how many messages a folder holds; none when it is not there."""
        with self._translated() as client:
            return count(client, folder)[0] if folder in self._folders else 0

    def fetch(self, uids: Sequence[int], folder: str | None = None) -> Iterator[list[Fetched]]:
        """Yield the messages in batches, in the order of their UIDs; what has gone meanwhile is left out (I25)."""
        for start in range(0, len(uids), BATCH * 4):
            outsides = self._outsides(uids[start : start + BATCH * 4], folder)
            for batch in _batches(outsides):
                yield self._fetch_batch(batch, folder)

    def _outsides(self, uids: Sequence[int], folder: str | None) -> list[tuple[int, int, datetime]]:
        if not uids:
            return []
        with self._translated() as client:
            self._select(folder or self.inbox, readonly=folder is not None)
            found = client.fetch(uids, ["RFC822.SIZE", "INTERNALDATE"])
        return [
            (uid, int(data[b"RFC822.SIZE"]), aware(data[b"INTERNALDATE"]))
            for uid, data in sorted(found.items())
            if b"RFC822.SIZE" in data and b"INTERNALDATE" in data
        ]

    def _fetch_batch(self, batch: Sequence[tuple[int, int, datetime]], folder: str | None) -> list[Fetched]:
        with self._translated() as client:
            self._select(folder or self.inbox, readonly=folder is not None)
            small = [uid for uid, size, _ in batch if size <= WHOLE]
            bodies = client.fetch(small, ["BODY.PEEK[]"]) if small else {}
            out = []
            for uid, size, at in batch:
                if size > WHOLE:
                    raw = self._compose(client, uid)
                else:  # a message that is there without its text (NIL, I26) is not gone: it comes as no bytes at all
                    raw = (bodies[uid].get(b"BODY[]") or b"") if uid in bodies else None
                if raw is not None:
                    out.append(Fetched(uid, raw, size, at, complete=size <= WHOLE))
            return out

    def _compose(self, client: IMAPClient, uid: int) -> bytes | None:
        """Return a large message as its headers, its texts and the outside of the rest (I36)."""
        found = client.fetch([uid], ["BODYSTRUCTURE"]).get(uid, {})
        if b"BODYSTRUCTURE" not in found:
            return None
        header = _section(client, uid, "HEADER", HEADER_BYTES)
        outline = large.outline(found[b"BODYSTRUCTURE"])

        def fetched(leaf: large.Leaf) -> tuple[bytes, bytes]:
            if isinstance(outline, large.Leaf):
                return b"", _section(client, uid, "TEXT", large.PART_BYTES) if leaf.is_text else b""
            mime = _section(client, uid, f"{leaf.section}.MIME", large.PART_BYTES)
            return mime, _section(client, uid, leaf.section, large.PART_BYTES) if leaf.is_text else b""

        return large.composed(header, outline, fetched)

    def headers(self, folder: str) -> Iterator[list[Header]]:
        """Yield the headers of everything in a folder in batches; nothing when the folder is not there.

        Whose a message is, is found by reading, never by a search for something a stranger wrote.
        """
        if not self.has_folder(folder):
            return
        uids = self.uids_from(1, folder)
        for start in range(0, len(uids), HEADERS):
            with self._translated() as client:
                self._select(folder, readonly=True)
                found = client.fetch(uids[start : start + HEADERS], [WHOSE, "FLAGS", "INTERNALDATE"])
                yield [
                    Header(uid, _header_of(data), tuple(data.get(b"FLAGS", ())), aware(data[b"INTERNALDATE"]))
                    for uid, data in sorted(found.items())
                    if b"INTERNALDATE" in data
                ]

    def whole(self, folder: str) -> Iterator[tuple[str, bytes, datetime]]:
        """Yield each message of a folder and the folders in it, whole: folder, bytes, INTERNALDATE (aware)."""
        self.relist()
        inside = sorted(name for name in self._folders if folder and name.startswith(folder + self.namespace.delimiter))
        for name in [folder, *inside] if self.has_folder(folder) else inside:
            for uid in self.uids_from(1, name):
                with self._translated() as client:
                    self._select(name, readonly=True)
                    data = client.fetch([uid], ["BODY.PEEK[]", "INTERNALDATE"]).get(uid, {})
                if data.get(b"BODY[]") is not None:
                    yield name, data[b"BODY[]"], aware(data[b"INTERNALDATE"])

    def claims(self, mark: str) -> list[str]:
        """Return the Message-IDs of the mails in the clients' parent folder whose X-Mailbot is `mark`, oldest first."""
        with self._translated() as client:
            self._ensure(self.clients_parent)
            self._select(self.clients_parent, readonly=True)
            uids = client.search(["HEADER", "X-Mailbot", mark])
            found = client.fetch(uids, [CLAIM_FIELD]) if uids else {}
            return [_message_id(found[uid]) for uid in sorted(found)]

    def wait(self, seconds: float) -> bool:
        """Wait for a hint that something changed and return whether there was one; False when the time is over.

        Any byte from the server is a hint: it is not read as an event, because IMAPClient's way of reading them loses
        lines, spins on a dead connection and does not see what came with the `+ idling` (failure-cases 1.4). DONE and
        its answer then prove within the read timeout that the connection lives. `wake` ends the wait at once.
        """
        with self._translated() as client:
            self._select(self.inbox)
            if self._uidnext > self._looked_to or "EXISTS" in said(client):
                return True  # it came while we were busy elsewhere: IDLE would not speak of it again
            if b"IDLE" in self._capabilities and waiting.enter_idle(client):
                hint = waiting.buffered(client, self.settings.read_timeout) or self._bell.heard(
                    seconds, client.socket()
                )
                client.idle_done()
                return hint
            self._capabilities.discard(b"IDLE")
            return self._bell.heard(min(seconds, NO_IDLE))

    def wake(self) -> None:
        """End a wait at once. The one method another thread may call."""
        self._bell.ring()


def _batches(outsides: Sequence[tuple[int, int, datetime]]) -> Iterator[list[tuple[int, int, datetime]]]:
    """Cut by number and by bytes, so that a batch never holds more than a few megabytes."""
    batch: list[tuple[int, int, datetime]] = []
    weight = 0
    for item in outsides:
        if batch and (len(batch) == BATCH or weight + item[1] > BATCH_BYTES):
            yield batch
            batch, weight = [], 0
        batch.append(item)
        weight += min(item[1], WHOLE)
    if batch:
        yield batch


def _section(client: IMAPClient, uid: int, section: str, limit: int) -> bytes:
    data = client.fetch([uid], [f"BODY.PEEK[{section}]<0.{limit}>"]).get(uid, {})
    return next((value for key, value in data.items() if key.startswith(b"BODY[") and value is not None), b"")


def _header_of(data: Mapping[bytes, Any]) -> bytes:
    return next((value for key, value in data.items() if key.startswith(b"BODY[HEADER") and value), b"")


def count(client: IMAPClient, folder: str) -> tuple[int, int]:
    """Return how many messages a folder holds, and its next UID."""
    found = client.folder_status(folder, ["MESSAGES", "UIDNEXT"])
    return int(found[b"MESSAGES"]), int(found[b"UIDNEXT"])


def aware(moment: datetime) -> datetime:
    """Return the moment with a time zone: UTC where the server gave none."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _message_id(data: Mapping[bytes, Any]) -> str:
    """The Message-ID in a fetched header field, or nothing that could be ours."""
    field = next((value for key, value in data.items() if key.startswith(b"BODY[")), b"")
    return text(field).partition(":")[2].strip()
