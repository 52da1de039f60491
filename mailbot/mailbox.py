r"""The mailbox: IMAPClient, and every difference between servers.

Owns one connection, used from one thread. Must never mark anything as read, never use \Seen or UNSEEN as a queue,
never rename or expunge what is not ours, and never put a header value into a command: a sender could write commands
with it (failure-cases 1.1). The only header value that is ever searched for is a Message-ID we made ourselves.

IDLE is a hint and the scan by UID is the truth: whatever the connection does, the caller looks again.
"""

import logging
import re
import select
import socket
import ssl
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import (
    CapabilityError,
    IMAPClientAbortError,
    IMAPClientError,
    IMAPClientReadOnlyError,
    LoginError,
    ProtocolError,
)

from mailbot import folders, large
from mailbot.errors import LoginRefused, MailbotError, OwnerMustFix, Refused, TryLater
from mailbot.folders import Namespace
from mailbot.message import digest_of

LOG = logging.getLogger(__name__)
WHOLE = 256 * 1024  # bytes: larger messages are fetched by their structure (large.py)
HEADER_BYTES = 128 * 1024  # Postfix stops at 102,400; more is no mail from a person
BATCH = 50  # messages a FETCH: beyond this nothing gets faster and memory grows
BATCH_BYTES = 4 * 1024 * 1024
HEADERS = 500  # headers a FETCH: some 200 kB
WHOSE = "BODY.PEEK[HEADER.FIELDS (FROM SENDER REPLY-TO TO CC BCC SUBJECT MESSAGE-ID IN-REPLY-TO REFERENCES)]"
SAME = 20  # messages of a folder that are compared with one that may have been put there before a crash
SEARCH_RANGE = 100_000  # UIDs a SEARCH: IMAPClient refuses an answer of more than a million bytes (I29)
OUR_MESSAGE_ID = re.compile(r"<[0-9a-f]{32}@[a-z0-9.-]{1,253}>")
SEEN = (b"\\Seen",)
CLAIM_FIELD = "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]"
R = TypeVar("R")
PATIENCE = ("[LIMIT]", "[UNAVAILABLE]", "[INUSE]", "[SERVERBUG]")  # RFC 5530: nothing is wrong with what we asked
COPYUID = re.compile(rb"(\d+) ([\d:,]+) ([\d:,]+)")


@dataclass(frozen=True, slots=True)
class ImapSettings:
    """How to reach the mailbox. `token` gives a fresh XOAUTH2 token for each connection."""

    host: str
    port: int = 993
    security: str = "tls"
    username: str = ""
    password: str = field(default="", repr=False)
    token: Callable[[], str] | None = None
    ca_file: str = ""
    inbox: str = "INBOX"
    clients: str = "Klanten"
    sent: str = ""
    review: str = ""
    connect_timeout: float = 15.0
    read_timeout: float = 60.0


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


class Mailbox:
    """One connection to the watched mailbox. Every method may raise TryLater; the connection is then discarded."""

    def __init__(self, settings: ImapSettings) -> None:
        self.settings = settings
        self.namespace = Namespace()
        self.sent_folder: str = settings.sent
        self._client: IMAPClient | None = None
        self._selected: tuple[str, bool] | None = None
        self._folders: set[str] = set()
        self._uidvalidity = 0
        self._uidnext = 0  # of the inbox when it was last selected
        self._looked_to = 0  # the UIDs below this were asked for
        self._ear, self._bell = socket.socketpair()
        self._ear.settimeout(0)
        self._bell.settimeout(0)

    # Connecting

    @property
    def connected(self) -> bool:
        """Whether there is a connection that was not found dead."""
        return self._client is not None

    def connect(self) -> None:
        """Open the connection, log in and look around. LoginRefused, OwnerMustFix or TryLater when it cannot be."""
        self._drop()
        try:
            with self._translated(connecting=True):
                client = self._open()
                self._client = client
                self._login(client)
                self._look_around(client)
        except MailbotError:
            self._drop()  # half a connection would pass for one that works
            raise

    def _open(self) -> IMAPClient:
        settings = self.settings
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        client = IMAPClient(
            settings.host,
            port=settings.port,
            ssl=settings.security == "tls",
            ssl_context=context if settings.security == "tls" else None,
            timeout=SocketTimeout(connect=settings.connect_timeout, read=settings.read_timeout),
        )
        client.normalise_times = False  # aware times: a naive local one is ambiguous when the clock goes back (I37)
        if settings.security == "starttls":
            self._encrypt(client, context)
        # IMAPClient sends a command in two small writes; without this they wait for each other (measured: 44 ms).
        client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def _encrypt(self, client: IMAPClient, context: ssl.SSLContext) -> None:
        self._client = client  # so that it is dropped whatever comes
        if not client.has_capability("STARTTLS"):
            raise OwnerMustFix("imap: the server does not offer STARTTLS: nothing is sent in the clear")
        client.starttls(context)

    def _login(self, client: IMAPClient) -> None:
        settings = self.settings
        try:
            if settings.token is not None:
                client.oauth2_login(settings.username, settings.token())
            else:
                client.login(settings.username, settings.password)
        except LoginError as error:
            if isinstance(error.__context__, IMAPClientAbortError):
                # It says nothing about the password: three of these must not end the watch.
                raise TryLater("imap: the connection was lost during the login") from error
            said = str(error).upper()
            if any(code in said for code in PATIENCE):
                raise TryLater("imap: the server takes no login for the moment") from error
            if "[PRIVACYREQUIRED]" in said:
                raise OwnerMustFix(
                    "imap: the server wants encryption first: set security to starttls or tls"
                ) from error
            raise LoginRefused("imap: the server refused the user name or password: mend [imap]") from error

    def _look_around(self, client: IMAPClient) -> None:
        """Learn the namespace, the folders and the inbox; none of it may be assumed (I15, I16)."""
        self._capabilities = set(client.capabilities())
        listed = client.list_folders()
        delimiter = next((_text(item[1]) for item in listed if item[1]), "/")
        prefix = ""
        if b"NAMESPACE" in self._capabilities:
            personal = client.namespace().personal
            if personal:
                prefix, delimiter = _text(personal[0][0]), _text(personal[0][1]) or delimiter
        self.namespace = Namespace(prefix, delimiter)
        self._folders = {_text(item[2]) for item in listed}
        found = folders.find_sent(((item[0], _text(item[2])) for item in listed), self.namespace)
        self.sent_folder = self.namespace.path(self.settings.sent) if self.settings.sent else found or ""
        if not self.sent_folder:
            self.sent_folder = self.namespace.path("Sent")
            self._ensure(self.sent_folder)
        chosen = client.select_folder(self.inbox)
        self._selected, self._uidnext = (self.inbox, False), int(chosen.get(b"UIDNEXT", 0))
        self._looked_to = self._uidnext  # whoever connects looks before he waits
        _said(client).pop("EXISTS", None)
        self._uidvalidity = int(chosen[b"UIDVALIDITY"])
        self._permanent = tuple(_text(flag) for flag in chosen.get(b"PERMANENTFLAGS", ()))

    @property
    def inbox(self) -> str:
        """The watched folder, as this server names it."""
        return self.namespace.path(self.settings.inbox)

    @property
    def clients_parent(self) -> str:
        """The folder the client folders are in, as this server names it."""
        return self.namespace.path(self.settings.clients)

    def report(self) -> dict[str, Any]:
        """Return what `mailbot check` shows: what the server can do and what would be used."""
        can = {_text(capability) for capability in self._capabilities}
        return {
            "namespace": repr(self.namespace.prefix) + " with " + repr(self.namespace.delimiter),
            "inbox": self.inbox,
            "sent": self.sent_folder,
            "clients": self.clients_parent,
            "review": self.review_folder or "none",
            "waiting": "IDLE and a regular look" if "IDLE" in can else "a regular look (no IDLE)",
            "moving": _moving(can),
            "flags": "own keywords" if "\\*" in self._permanent else "only the standard flags",
            "capabilities": sorted(can),
        }

    def give_up(self) -> None:
        """Leave the connection unused, so that the next look begins with a new one."""
        self._drop()

    def close(self) -> None:
        """Say goodbye, briefly."""
        if self._client is not None:
            with suppress(Exception):
                self._client.logout()
        self._drop()

    def _drop(self) -> None:
        client, self._client, self._selected = self._client, None, None
        if client is not None:
            with suppress(Exception):
                client.shutdown()

    # Looking

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
            _said(client).pop("EXISTS", None)  # whatever it spoke of, the search sees
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

    @property
    def review_folder(self) -> str:
        """The folder whose messages the owner wants looked at again, as this server names it; "" when there is none."""
        return self.namespace.path(self.settings.review) if self.settings.review else ""

    def contents(self, folder: str) -> tuple[int, list[int]]:
        """Return UIDVALIDITY and all UIDs of a folder, which is made when it is not there."""
        with self._translated() as client:
            self._ensure(folder)
            uidvalidity = int(client.folder_status(folder, ["UIDVALIDITY"])[b"UIDVALIDITY"])
        return uidvalidity, self.uids_from(1, folder)

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
            (uid, int(data[b"RFC822.SIZE"]), _aware(data[b"INTERNALDATE"]))
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

    # Waiting

    def wait(self, seconds: float) -> bool:
        """Wait for a hint that something changed and return whether there was one; False when the time is over.

        Any byte from the server is a hint: it is not read as an event, because IMAPClient's way of reading them loses
        lines, spins on a dead connection and does not see what came with the `+ idling` (failure-cases 1.4). DONE and
        its answer then prove within the read timeout that the connection lives. `wake` ends the wait at once.
        """
        with self._translated() as client:
            self._select(self.inbox)
            if self._uidnext > self._looked_to or "EXISTS" in _said(client):
                return True  # it came while we were busy elsewhere: IDLE would not speak of it again
            if b"IDLE" not in self._capabilities:
                return self._woken(seconds)
            if not self._idle(client):
                return self._woken(seconds)
            hint = self._buffered(client) or self._readable(client, seconds)
            client.idle_done()
            return hint

    def _idle(self, client: IMAPClient) -> bool:
        """Enter IDLE; False when the server will not. Lines may come before its `+`, where IMAPClient.idle() fails."""
        imap = client._imap  # noqa: SLF001 - the parts idle() itself is made of
        tag = client._idle_tag = imap._command("IDLE")  # noqa: SLF001
        while imap._get_response() is not None:  # noqa: SLF001 - None is the `+`
            if imap.tagged_commands.get(tag):
                imap.tagged_commands.pop(tag)
                self._capabilities.discard(b"IDLE")
                return False
        return True

    def _buffered(self, client: IMAPClient) -> bool:
        """Tell whether bytes came along with the server's `+`: they sit in imaplib's buffer, not in the socket."""
        sock, reader = client.socket(), client._imap.file  # noqa: SLF001 - the only place where they can be seen
        sock.settimeout(0)
        try:
            return bool(reader.peek(1)) if hasattr(reader, "peek") else False
        except (ssl.SSLWantReadError, BlockingIOError):
            return False
        finally:
            sock.settimeout(self.settings.read_timeout)

    def _readable(self, client: IMAPClient, seconds: float) -> bool:
        poller = select.poll()
        poller.register(client.socket(), select.POLLIN | select.POLLHUP | select.POLLERR)
        poller.register(self._ear, select.POLLIN)
        ready = {descriptor for descriptor, _ in poller.poll(seconds * 1000)}
        if self._ear.fileno() in ready:
            self._hush()
        return bool(ready)

    def _woken(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._ear], [], [], min(seconds, 30.0))
        self._hush()
        return bool(ready)

    def _hush(self) -> None:
        with suppress(BlockingIOError):
            while self._ear.recv(64):
                pass

    def wake(self) -> None:
        """End a wait at once. The one method another thread may call."""
        with suppress(BlockingIOError, OSError):
            self._bell.send(b"!")

    # Filing

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
        before = _count(client, folder) if b"UIDPLUS" not in self._capabilities else None
        responses = _said(client)
        responses.pop("COPYUID", None)
        carry(uids, folder)
        after = _count(client, folder)
        named = [_text(item) for item in responses.pop("COPYUID", [])]
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

    def claims(self, mark: str) -> list[str]:
        """Return the Message-IDs of the mails in the clients' parent folder whose X-Mailbot is `mark`, oldest first."""
        with self._translated() as client:
            self._ensure(self.clients_parent)
            self._select(self.clients_parent, readonly=True)
            uids = client.search(["HEADER", "X-Mailbot", mark])
            found = client.fetch(uids, [CLAIM_FIELD]) if uids else {}
            return [_message_id(found[uid]) for uid in sorted(found)]

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
                    Header(uid, _header_of(data), tuple(data.get(b"FLAGS", ())), _aware(data[b"INTERNALDATE"]))
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
                    yield name, data[b"BODY[]"], _aware(data[b"INTERNALDATE"])

    def messages_in(self, folder: str) -> int:
        """Return how many messages a folder holds; none when it is not there."""
        with self._translated() as client:
            return _count(client, folder)[0] if folder in self._folders else 0

    def remove_folder(self, folder: str) -> bool:
        """Remove an empty client folder; False when it holds messages or folders, or is no client folder."""
        delimiter = self.namespace.delimiter
        with self._translated() as client:
            inside = any(name.startswith(folder + delimiter) for name in self._folders)
            if not folder.startswith(self.clients_parent + delimiter) or inside or folder not in self._folders:
                return False
            if _count(client, folder)[0]:
                return False
            self._select(self.inbox)
            with suppress(IMAPClientError):
                client.unsubscribe_folder(folder)
            client.delete_folder(folder)
            self._folders.discard(folder)
            return True

    def relist(self) -> None:
        """Look again at which folders there are: the owner may have made some since we connected."""
        with self._translated() as client:
            self._folders = {_text(item[2]) for item in client.list_folders()}

    def _ensure(self, folder: str) -> None:
        """Make and subscribe the folder when the list does not have it (never folder_exists: I19)."""
        if folder in self._folders or self._client is None:
            return
        try:
            self._client.create_folder(folder)
        except IMAPClientError as error:
            if isinstance(error, IMAPClientAbortError):
                raise
            self._folders = {_text(item[2]) for item in self._client.list_folders()}
            if folder not in self._folders:
                raise
        with suppress(IMAPClientError):
            self._client.subscribe_folder(folder)
        self._folders.add(folder)

    def has_folder(self, folder: str) -> bool:
        """Tell whether the server lists this folder."""
        return folder in self._folders

    def _select(self, folder: str, *, readonly: bool = False) -> None:
        if self._selected == (folder, readonly) or self._client is None:
            return
        self._selected = None
        chosen = self._client.select_folder(folder, readonly=readonly)
        self._selected = (folder, readonly)
        if folder == self.inbox:
            self._uidnext = int(chosen.get(b"UIDNEXT", 0))
            _said(self._client).pop("EXISTS", None)

    @contextmanager
    def _translated(self, *, connecting: bool = False) -> Iterator[IMAPClient]:
        """Give the connection, and turn whatever the library raises into what happens next.

        A connection that showed any trouble is never used again (I7): after a time-out it only raises.
        """
        if self._client is None and not connecting:
            raise TryLater("imap: there is no connection")
        try:
            yield self._client
        except (LoginRefused, OwnerMustFix, Refused, TryLater):
            raise
        except ssl.SSLCertVerificationError as error:
            self._drop()
            raise OwnerMustFix(f"imap: the server's certificate is not right ({error.verify_message})") from error
        except CapabilityError as error:
            raise Refused("the server cannot do this") from error
        except IMAPClientReadOnlyError as error:
            raise OwnerMustFix("imap: the mailbox can only be read: give this login the right to move mail") from error
        except (IMAPClientAbortError, ProtocolError, OSError, EOFError) as error:
            self._drop()
            raise TryLater(f"imap: the connection was lost ({type(error).__name__})") from error
        except IMAPClientError as error:
            if connecting:
                raise TryLater("imap: the server does not let us in for the moment") from error
            raise _refusal(error) from error
        except Exception as error:
            self._drop()  # an answer the library trips over: what it says may quote mail, so only its class is kept
            raise TryLater(f"imap: the server's answer could not be understood ({type(error).__name__})") from error


def _refusal(error: IMAPClientError) -> TryLater | Refused:
    """A tagged NO: what its response code means (RFC 5530). Its text may quote a folder, so only the code is kept."""
    said = str(error).upper()
    if any(code in said for code in PATIENCE):
        return TryLater("imap: the server asks for patience")
    if "[OVERQUOTA]" in said:
        return Refused("the mailbox is full: make room, nothing is deleted by mailbot")
    code = re.search(r"\[[A-Z]+\]", said)
    return Refused(f"the server refused this command {code.group() if code else ''}".rstrip())


def _moving(can: Collection[str]) -> str:
    if "MOVE" in can:
        return "MOVE"
    return "COPY and UID EXPUNGE" if "UIDPLUS" in can else "COPY; the original stays behind, marked as deleted"


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


def _said(client: IMAPClient) -> dict[str, list[Any]]:
    """What the server said without being asked: COPYUID and an EXISTS in passing are kept nowhere else."""
    said: dict[str, list[Any]] = client._imap.untagged_responses  # noqa: SLF001
    return said


def _count(client: IMAPClient, folder: str) -> tuple[int, int]:
    found = client.folder_status(folder, ["MESSAGES", "UIDNEXT"])
    return int(found[b"MESSAGES"]), int(found[b"UIDNEXT"])


def _copied(named: Sequence[str]) -> dict[int, int]:
    """Return old UID -> new UID from COPYUID responses (RFC 4315, section 3)."""
    pairs: dict[int, int] = {}
    for text in named:
        match = COPYUID.search(text.encode())
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


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _message_id(data: Mapping[bytes, Any]) -> str:
    """The Message-ID in a fetched header field, or nothing that could be ours."""
    field = next((value for key, value in data.items() if key.startswith(b"BODY[")), b"")
    return _text(field).partition(":")[2].strip()


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
