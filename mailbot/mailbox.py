"""The mailbox, and what is changed in it: messages moved, copies of our letters put away, what was ordered deleted.

Owns every way in which mailbot touches the mailbox. Must never rename or expunge what is not ours, and never search for
anything but a Message-ID of our own making.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from imapclient import IMAPClient
from imapclient.exceptions import (
    IMAPClientError,
)

from mailbot import folders
from mailbot.connection import said, text
from mailbot.errors import Refused
from mailbot.looking import Looking, count
from mailbot.message import digest_of

SAME = 20  # messages of a folder that are compared with one that may have been put there before a crash
OUR_MESSAGE_ID = re.compile(r"<[0-9a-f]{32}@[a-z0-9.-]{1,253}>")
SEEN = (b"\\Seen",)
COPYUID = re.compile(rb"(\d+) ([\d:,]+) ([\d:,]+)")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Move:
    """One message to move: its UID under a UIDVALIDITY, and the digest it was handled under."""

    uid: int
    digest: str
    uidvalidity: int


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of a move: `filed` (seen in the target), `gone` (not in the inbox any more), `failed` (and why)."""

    uid: int
    digest: str
    state: str
    reason: str = ""


class Mailbox(Looking):
    """One connection to the watched mailbox. Every method may raise TryLater; the connection is then discarded."""

    def client_folder(self, address: str, taken: Collection[str]) -> str:
        """Return the folder proposed for this client on this server; the register keeps what is chosen."""
        return folders.client_folder(address, self.clients_parent, self.namespace.delimiter, taken)

    def move(self, moves: Mapping[str, Sequence[Move]]) -> list[Moved]:
        """Move messages from the inbox to folders, a batch a folder, and return what became of each.

        A move is repeatable: what an earlier one brought over is `filed`, what is in neither place is `gone`, and
        what failed stays where it was.
        """
        out: list[Moved] = []
        there = self._those_here(one.uid for wanted in moves.values() for one in wanted)
        for folder, wanted in moves.items():
            current = [one for one in wanted if one.uidvalidity == self._uidvalidity]
            out += [Moved(one.uid, one.digest, "gone") for one in wanted if one.uidvalidity != self._uidvalidity]
            try:
                out += self._into(folder, partial(self._move_to, folder, current, there))
            except Refused as error:
                out += [Moved(one.uid, one.digest, "failed", str(error)) for one in current]
        return out

    def _those_here(self, uids: Iterable[int]) -> set[int]:
        """Return which of these are in the inbox: a MOVE says nothing about what has gone."""
        with self._translated() as client:
            self._select(self.inbox)
            return set(client.fetch(sorted(uids), ["RFC822.SIZE"]))

    def _move_to(self, folder: str, wanted: Sequence[Move], there: Collection[int]) -> list[Moved]:
        if not wanted:
            return []
        with self._translated() as client:
            self._select(self.inbox)
            present = [one for one in wanted if one.uid in there]
            if present:
                self._ensure(folder)
                done = self._transfer(client, folder, present)
            else:
                done = set()
            absent = [one for one in wanted if one.uid not in there]
            earlier = self._newest(folder, len(absent)) if absent and folder in self._folders else set()
        filed = [one for one in wanted if one.uid in done or (one in absent and one.digest in earlier)]
        failed = [one for one in present if one not in filed]
        return [
            *(Moved(one.uid, one.digest, "filed") for one in filed),
            *(Moved(one.uid, one.digest, "gone") for one in absent if one not in filed),
            *(Moved(one.uid, one.digest, "failed", "the server did not show it in the folder") for one in failed),
        ]

    def _newest(self, folder: str, count: int) -> set[str]:
        """Digests of the newest messages of a folder: the answer to a MOVE may be lost and the MOVE be done (I23)."""
        with self._translated() as client:
            self._select(folder, readonly=True)
            return self._digests(folder, client.search()[-(SAME + count) :])

    def _digests(self, folder: str, uids: Sequence[int]) -> set[str]:
        return {digest_of(one.raw) for batch in self.fetch(uids, folder) for one in batch}

    def _transfer(self, client: IMAPClient, folder: str, present: Sequence[Move]) -> set[int]:
        """Bring the messages over and return the UIDs that were seen in the target."""
        if b"MOVE" in self._capabilities:
            return self._carried(client, folder, [one.uid for one in present], client.move)
        before = self._already_there(client, folder, present)
        self._select(self.inbox)
        missing = [one.uid for one in present if one.digest not in before]
        done = {one.uid for one in present if one.digest in before}
        if missing:
            done |= self._carried(client, folder, missing, client.copy)
        if done:
            client.add_flags(sorted(done), [b"\\Deleted"], silent=True)
            if b"UIDPLUS" in self._capabilities:
                client.uid_expunge(sorted(done))
            # Without UIDPLUS a bare EXPUNGE would remove what other clients marked (I13): \Deleted is left standing.
        return done

    def _carried(
        self, client: IMAPClient, folder: str, uids: Sequence[int], carry: Callable[[Sequence[int], str], object]
    ) -> set[int]:
        """MOVE or COPY, and look at the target: the answer alone proves nothing (I21, I22).

        What a server with UIDPLUS does not name is looked for by its bytes the next time.
        """
        before = count(client, folder) if b"UIDPLUS" not in self._capabilities else None
        responses = said(client)
        responses.pop("COPYUID", None)
        carry(uids, folder)
        after = count(client, folder)
        named = [text(item) for item in responses.pop("COPYUID", [])]
        if named:
            copied = _copied(named)
            return {uid for uid, new in copied.items() if new < after[1]} & set(uids)
        return set(uids) if before is not None and after[0] - before[0] >= len(uids) else set()

    def _already_there(self, client: IMAPClient, folder: str, wanted: Sequence[Move]) -> set[str]:
        """Digests of the messages a copy before a crash left in the target (I24). The search asks only for numbers."""
        sizes = client.fetch([one.uid for one in wanted], ["RFC822.SIZE"])
        self._select(folder, readonly=True)
        found: set[str] = set()
        for size in {int(data[b"RFC822.SIZE"]) for data in sizes.values()}:
            same = client.search(["LARGER", str(size - 1), "SMALLER", str(size + 1)])
            found |= self._digests(folder, same[-SAME:])
        return found

    def _into(self, folder: str, step: Callable[[], R]) -> R:
        """Do a step that needs the folder, and once more when it turns out that somebody removed it (I20)."""
        try:
            return step()
        except Refused:
            self.relist()
            if folder in self._folders:
                raise
            return step()

    def append(
        self,
        folder: str,
        raw: bytes,
        message_id: str,
        when: datetime,
        flags: Collection[bytes] = SEEN,
        *,
        look: bool = True,
    ) -> None:
        """Put a copy of our own letter into a folder; `look` first whether a crash left one there already."""
        if not OUR_MESSAGE_ID.fullmatch(message_id):
            raise ValueError("only a Message-ID of our own making may be searched for")
        if not (look and self._into(folder, partial(self._holds, folder, message_id))):
            self._into(folder, partial(self._append, folder, raw, when, flags))

    def _holds(self, folder: str, message_id: str) -> bool:
        with self._translated() as client:
            self._ensure(folder)
            self._select(folder, readonly=True)
            return bool(client.search(["HEADER", "Message-ID", message_id]))

    def _append(self, folder: str, raw: bytes, when: datetime, flags: Collection[bytes]) -> None:
        with self._translated() as client:
            self._ensure(folder)
            client.append(folder, raw, flags, when)

    def flag(self, uid: int, keyword: str) -> bool:
        r"""Mark a message in the inbox, with \Flagged where the server keeps no keywords; False when it has gone."""
        with self._translated() as client:
            self._select(self.inbox)
            name = keyword if "\\*" in self._permanent else "\\Flagged"
            return bool(client.add_flags([uid], [name.encode()]))

    def purge(self, folder: str, uids: Sequence[int]) -> int:
        """Delete these messages for good and return how many went.

        Refused where the server cannot do just that: they are then only marked as deleted, for the owner to clear.
        """
        if not uids:
            return 0
        with self._translated() as client:
            self._select(folder)
            client.add_flags(uids, [b"\\Deleted"], silent=True)
            if b"UIDPLUS" not in self._capabilities:
                raise Refused("the server cannot remove single messages (no UIDPLUS): delete them by hand")
            client.uid_expunge(uids)
            return len(uids)

    def remove_folder(self, folder: str) -> bool:
        """Remove an empty client folder; False when it holds messages or folders, or is no client folder."""
        delimiter = self.namespace.delimiter
        with self._translated() as client:
            inside = any(name.startswith(folder + delimiter) for name in self._folders)
            if not folder.startswith(self.clients_parent + delimiter) or inside or folder not in self._folders:
                return False
            if count(client, folder)[0]:
                return False
            self._select(self.inbox)
            with suppress(IMAPClientError):
                client.unsubscribe_folder(folder)
            client.delete_folder(folder)
            self._folders.discard(folder)
            return True


def _copied(named: Sequence[str]) -> dict[int, int]:
    """Return old UID -> new UID from COPYUID responses (RFC 4315, section 3)."""
    pairs: dict[int, int] = {}
    for one in named:
        match = COPYUID.search(one.encode())
        if match:
            pairs.update(zip(_numbers(match[2]), _numbers(match[3]), strict=False))
    return pairs


def _numbers(uid_set: bytes) -> list[int]:
    out: list[int] = []
    for part in uid_set.split(b","):
        first, _, last = part.partition(b":")
        low, high = sorted((int(first), int(last or first)))
        out += range(low, high + 1)
    return out
