"""The register: one TinyDB file per client, indexes in memory, and a lock between processes.

Owns what is durable and how it is found again. Must never hold the contents of a request, never write two files where
one must do, and never read the clock.

    directory/key                    names files without showing addresses, signs the owner's links (0600)
    directory/clients/ab/ab12….json  one client: client, cases, letters, messages and examples commit together
    directory/office.json            what belongs to nobody: the water mark, stops, tries, tokens, digests sent
    directory/closed/NUMBER.json     the anonymised line an erasure leaves
    directory/changes                which file was written last, so that two processes see each other's work
"""

import fcntl
import hashlib
import hmac
import os
import re
import secrets
import unicodedata
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec
from tinydb import TinyDB

from mailbot import tables
from mailbot.case import Case
from mailbot.client import ClientRecord, Filing, LetterState, QueuedLetter, SeenMessage
from mailbot.ending import Closed, Traces
from mailbot.errors import OwnerMustFix, Refused, TryLater
from mailbot.index import Index, entry_of
from mailbot.office import CHECKED, RESTORED, Office, Stop
from mailbot.storage import (
    BESIDE,
    PREVIOUS,
    DurableStorage,
    load,
    missing,
    not_written,
    parse,
    replace_file,
    sync_folder,
)

OFFICE = "office.json"
PROBE = "probe"  # an empty file, written before each turn: a letter must not go out that cannot be recorded
KEPT_IN_MEMORY = 256  # whole records; the rest is an index and read again when needed
ROOM = 64 * 1024 * 1024  # bytes that must be free before work is accepted: a full disk must not surprise a commit
KEY = re.compile(rb"[0-9a-f]{64}")


class Register:
    """Everything mailbot remembers. One thread of one process uses one Register; processes share the directory."""

    def __init__(self, directory: Path, key: bytes) -> None:
        self.directory = directory
        self.key = key
        self.office = Office()
        self._index = Index()
        self._records: OrderedDict[str, ClientRecord] = OrderedDict()
        self._closed: dict[str, Closed] = {}
        self._highest: dict[str, int] = {}
        self._prints: dict[str, str] = {}
        self._lock: int | None = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._daemon: int | None = None
        self._depth = 0
        self._seen_changes = 0

    @classmethod
    def open(cls, directory: Path) -> "Register":
        """Return the register in this directory, made when it is not there. OwnerMustFix names every damaged file."""
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            for part in ("clients", "closed"):
                (directory / part).mkdir(exist_ok=True, mode=0o700)
            register = cls(directory, _key(directory))
        except OSError as error:
            raise OwnerMustFix(f"{error.filename}: cannot be used for the register ({error.strerror})") from error
        with register._locked():
            register._load_all()
            if not (directory / OFFICE).exists():
                register.commit_office(register.office)  # from now on its absence is damage
        return register

    def claim_daemon(self) -> None:
        """Hold the register for the life of this process. Refused when another daemon has it (T5, I33)."""
        self._daemon = os.open(self.directory / "daemon.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._daemon, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._daemon)
            self._daemon = None
            raise Refused(
                f"{self.directory}: another mailbot is at work on this register: stop it first (systemctl stop mailbot)"
            ) from error

    def close(self) -> None:
        """Let go of the locks. The register itself is always whole."""
        for descriptor in (self._lock, self._daemon):
            if descriptor is not None:
                os.close(descriptor)
        self._lock = self._daemon = None

    @property
    def version(self) -> int:
        """A number that changes with every commit, by this process or another."""
        return self._changes_size()

    # Finding

    def client_id(self, address: str) -> str:
        """Return the id, and so the file, of an address: a keyed hash, so that file names show nobody."""
        canonical = unicodedata.normalize("NFC", address).lower().encode("utf-8", "surrogatepass")
        return hmac.new(self.key, canonical, hashlib.sha256).hexdigest()[:20]

    def client(self, address: str) -> ClientRecord | None:
        """Return the record of this address, or None."""
        return self.client_by_id(self.client_id(address))

    def client_by_id(self, place: str) -> ClientRecord | None:
        """Return the record with this id, or None."""
        if place not in self._index.entries:
            return None
        if place not in self._records:
            self._remember(place, self._read(self._path(place)))
        self._records.move_to_end(place)
        return self._records[place]

    def clients(self) -> Iterator[ClientRecord]:
        """Yield every record, in the order of their ids."""
        for place in sorted(self._index.entries):
            record = self.client_by_id(place)
            if record is not None:
                yield record

    def new_client(self, address: str) -> ClientRecord:
        """Return an empty record for this address; it exists once it is committed."""
        return ClientRecord(id=self.client_id(address), address=address)

    @staticmethod
    def blank(address: str) -> ClientRecord:
        """Return an empty record that belongs to no register: for previews."""
        return ClientRecord(id="", address=address)

    def case(self, number: str) -> tuple[ClientRecord, Case] | None:
        """Return the case with this number and whose it is, or None."""
        return self._case_in(self._index.numbers.get(number), number)

    def _case_in(self, place: str | None, number: str | None) -> tuple[ClientRecord, Case] | None:
        record = self.client_by_id(place) if place else None
        found = record.case(number) if record else None
        return (record, found) if record and found else None

    def find_digest(self, digest: str) -> list[SeenMessage]:
        """Return every time these bytes were handled."""
        return [seen for record in self.holders(digest) for seen in record.messages if seen.digest == digest]

    def holders(self, digest: str) -> list[ClientRecord]:
        """Return the records in which a message with these bytes was handled."""
        records = [self.client_by_id(place) for place in self._index.holding(digest)]
        return [record for record in records if record]

    def find_message_id(self, message_id: str) -> tuple[ClientRecord, Case] | None:
        """Return the case a handled message with this Message-ID belongs to, or None."""
        place = self._index.message_ids.get(message_id)
        record = self.client_by_id(place) if place else None
        numbers = [seen.case for seen in record.messages if seen.message_id == message_id] if record else []
        return self._case_in(place, numbers[0]) if numbers and numbers[0] else None

    def find_letter(self, message_id: str) -> QueuedLetter | None:
        """Return our letter with this Message-ID, or None."""
        place = self._index.letters.get(message_id)
        record = self.client_by_id(place) if place else None
        return next((one for one in record.letters if one.message_id == message_id), None) if record else None

    def case_of_letter(self, message_id: str) -> tuple[ClientRecord, Case] | None:
        """Return the case our letter with this Message-ID belongs to, or None."""
        letter = self.find_letter(message_id)
        return self.case(letter.case) if letter and letter.case else None

    def folders(self) -> set[str]:
        """Return the names of all client folders that are taken."""
        return set(self._index.folders)

    def running(self) -> Iterator[ClientRecord]:
        """Yield the records in which an answer is still owed."""
        yield from self._records_of("running")

    def owed_letters(self) -> Iterator[tuple[str, QueuedLetter]]:
        """Yield every queued letter with its record's id."""
        for record in self._records_of("letters"):
            yield from ((record.id, one) for one in record.letters if one.state is LetterState.QUEUED)

    def owed_copies(self) -> Iterator[tuple[str, QueuedLetter]]:
        """Yield every sent letter of which a copy must still be put away."""
        for record in self._records_of("copies"):
            yield from ((record.id, one) for one in record.letters if one.state is LetterState.SENT and one.copies)

    def owed_filings(self) -> Iterator[tuple[str, SeenMessage]]:
        """Yield every message that must still be moved."""
        for record in self._records_of("filings"):
            yield from ((record.id, seen) for seen in record.messages if seen.filing is Filing.INTENDED)

    def owed_endings(self) -> Iterator[ClientRecord]:
        """Yield the records of which something must be deleted: an identity copy, or everything."""
        yield from self._records_of("endings")

    def owed_examples(self) -> Iterator[ClientRecord]:
        """Yield the records with an example whose words must still be brought."""
        yield from self._records_of("examples")

    def _records_of(self, what: str) -> Iterator[ClientRecord]:
        for place in self._index.owing(what):
            record = self.client_by_id(place)
            if record is not None:
                yield record

    def letters_since(self, moment: datetime) -> list[tuple[datetime, str]]:
        """Return moment and address of every letter to a person that left, or is about to, after `moment`."""
        return self._index.sent_since(moment)

    def cases_since(self, moment: datetime) -> int:
        """Return how many cases were opened after `moment`, backlog not counted."""
        return self._index.opened_since(moment)

    def next_number(self, prefix: str, year: int) -> str:
        """Return the next case number of the year. A number is never given twice, not even after an erasure (T6)."""
        return f"{prefix}-{year}-{self._highest.get(f'{prefix}-{year}', 0) + 1:04d}"

    def is_given(self, number: str) -> bool:
        """Tell whether this number belongs to a case, to an erased one, or is kept from being given."""
        return number in self._index.numbers or number in self._closed or number in self.office.given

    def reserve(self, numbers: Sequence[str]) -> None:
        """Never give these numbers: a restored register finds them in letters of ours. The promises of `commit`."""
        self.commit_office(replace(self.office, given=(*self.office.given, *numbers)))
        for number in numbers:
            self._count(number)

    def closed(self) -> Iterator[Closed]:
        """Yield the anonymised lines of erased cases."""
        yield from self._closed.values()

    def fingerprint(self, digest: str) -> str:
        """Return the keyed hash under which a purged message is known: it leads nowhere without the key."""
        return hmac.new(self.key, b"purged\0" + digest.encode(), hashlib.sha256).hexdigest()

    def purged(self, *marks: str | None) -> str | None:
        """Return the number of the erased case a digest or a Message-ID belonged to, so that it does not come back."""
        found = (self._prints.get(self.fingerprint(one)) for one in marks if one) if self._prints else ()
        return next((number for number in found if number), None)

    def left_of(self, traces: Traces, *, but: ClientRecord) -> list[Path]:
        """Return the files in which something still leads to the person, his own left out."""
        own = self._path(but.id).name
        files = [path for path in sorted(self.directory.rglob("*")) if path.is_file() and not path.name.startswith(own)]
        return [path for path in files if traces.within(path.read_text(encoding="utf-8", errors="replace"))]

    # Changing

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the register alone: what another process wrote is seen inside, and nobody writes meanwhile."""
        with self._locked():
            if self._depth == 1:
                self._refresh()
            yield

    def commit(self, record: ClientRecord) -> None:
        """Write one client's record, whole, to the disk. TryLater when the disk refuses; nothing changed then."""
        self._must_hold_lock()
        path = self._path(record.id)
        if not path.parent.exists():
            _make_folder(path.parent)
        self._note(record.id)
        database = TinyDB(path, storage=DurableStorage)
        database.storage.write(tables.of_record(record))
        self._known(record)
        self._remember(record.id, record)

    def commit_office(self, office: Office) -> None:
        """Write what belongs to no client. The same promises as `commit`."""
        self._must_hold_lock()
        self._note("office")
        storage = DurableStorage(self.directory / OFFICE)
        storage.write({"office": {"1": msgspec.to_builtins(office)}})
        self.office = office

    def forget_before(self, path: Path) -> None:
        """Remove the generation before of a file: it may say what the file no longer does."""
        self._must_hold_lock()
        path.with_name(path.name.removesuffix(PREVIOUS) + PREVIOUS).unlink(missing_ok=True)
        sync_folder(path.parent)

    def erase(self, record: ClientRecord, lines: tuple[Closed, ...]) -> None:
        """Write the anonymised lines, then remove every generation of the client's file. Repeatable after a crash."""
        self._must_hold_lock()
        for fresh in lines:
            before = self._closed.get(fresh.number)  # erased before, and put back by a backup: nothing is forgotten
            known = {*fresh.prints, *(before.prints if before else ())}
            line = replace(fresh, prints=tuple(sorted(known)))
            storage = DurableStorage(self.directory / "closed" / f"{line.number}.json")
            storage.write({"closed": {"1": msgspec.to_builtins(line)}})
            self._keep_closed(line)
        self._note(record.id)
        path = self._path(record.id)
        for leftover in path.parent.glob(path.name + "*"):
            leftover.unlink(missing_ok=True)
        sync_folder(path.parent)
        self._forget(record.id)

    def room(self) -> None:
        """Raise TryLater when the disk is nearly full or takes nothing: before work is accepted, not later (T2, T7)."""
        free = os.statvfs(self.directory)
        if free.f_bavail * free.f_frsize < ROOM:
            raise TryLater(
                f"{self.directory}: less than {ROOM >> 20} MB free: make room; no mail is handled until then"
            )
        replace_file(self.directory / PROBE, b"")

    # Inside

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self._lock
        if lock is None:
            raise RuntimeError("the register was closed")
        if self._depth == 0:
            fcntl.flock(lock, fcntl.LOCK_EX)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                fcntl.flock(lock, fcntl.LOCK_UN)

    def _must_hold_lock(self) -> None:
        if not self._depth:
            raise RuntimeError("the register is written outside a transaction")

    def _path(self, place: str) -> Path:
        return self.directory / "clients" / place[:2] / f"{place}.json"

    def _read(self, path: Path) -> ClientRecord:
        """Return the record in the file. OwnerMustFix when it is damaged."""
        try:
            return parse(path.read_bytes(), path, tables.record_in)
        except OSError as error:
            raise OwnerMustFix(
                f"{path}: cannot be read ({error.strerror}): mend the disk or the permissions"
            ) from error

    def _load_all(self) -> None:
        """Read everything once and build the indexes; every damaged file is listed before anything starts."""
        problems: list[str] = []
        for path in self._files():
            try:
                record = self._read(path)
            except OwnerMustFix as error:
                problems.extend(error.problems)
                continue
            self._known(record, many=True)
        try:
            self.office = self._read_office()
            for path in sorted((self.directory / "closed").glob("*.json")):
                self._keep_closed(tables.value_in(load(path), "closed", Closed))
        except OwnerMustFix as error:
            problems.extend(error.problems)
        if problems:
            raise OwnerMustFix(problems)
        self._index.sort()
        self._seen_changes = self._changes_size()

    def _files(self) -> Iterator[Path]:
        """Yield every client's file; what a crash left beside one is swept away (T8)."""
        for shard in sorted((self.directory / "clients").iterdir()):
            if not shard.is_dir():
                continue
            for item in os.scandir(shard):
                if item.name.endswith(BESIDE):
                    with suppress(OSError):
                        Path(item.path).unlink(missing_ok=True)
                elif item.name.endswith(".json"):
                    yield Path(item.path)

    def _read_office(self) -> Office:
        path = self.directory / OFFICE
        found = load(path)
        if found is None and self._index.entries:
            raise OwnerMustFix(missing(path))  # as if it were the first start, mail would be taken for history
        office = tables.value_in(found, "office", Office) if found is not None else Office()
        for number in office.given:
            self._count(number)
        return office

    def _known(self, record: ClientRecord, *, many: bool = False) -> None:
        """Take a record into the indexes as it is now."""
        self._records.pop(record.id, None)
        entry = entry_of(record)
        self._index.put(record.id, entry, many=many)
        for number in entry.numbers:
            self._count(number)

    def _count(self, number: str) -> None:
        year, _, serial = number.rpartition("-")
        self._highest[year] = max(self._highest.get(year, 0), int(serial))

    def _keep_closed(self, line: Closed) -> None:
        self._closed[line.number] = line
        self._prints.update(dict.fromkeys(line.prints, line.number))
        self._count(line.number)

    def _forget(self, place: str) -> None:
        """Take a client out of memory."""
        self._records.pop(place, None)
        self._index.forget(place)

    def _remember(self, place: str, record: ClientRecord) -> None:
        self._records[place] = record
        self._records.move_to_end(place)
        while len(self._records) > KEPT_IN_MEMORY:
            self._records.popitem(last=False)

    def _note(self, place: str) -> None:
        """Tell other processes that this file is about to change. A hint in memory's service: it needs no fsync."""
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            changes = os.open(self.directory / "changes", flags, 0o600)  # whatever the umask says
            try:
                os.write(changes, f"{place}\n".encode())
            finally:
                os.close(changes)
        except OSError as error:
            raise not_written(self.directory, error) from error
        self._seen_changes = self._changes_size()

    def _changes_size(self) -> int:
        try:
            return (self.directory / "changes").stat().st_size
        except OSError:
            return 0

    def _refresh(self) -> None:
        """Read again what other processes wrote since we last held the lock."""
        size = self._changes_size()
        if size == self._seen_changes:
            return
        with (self.directory / "changes").open("rb") as changes:
            changes.seek(self._seen_changes if size > self._seen_changes else 0)
            places = set(changes.read().decode("ascii", "replace").split())
        for place in sorted(places):
            if place == "office":
                self.office = self._read_office()
                continue
            self._forget(place)
            if self._path(place).exists():
                self._known(self._read(self._path(place)))
        for path in (self.directory / "closed").glob("*.json"):
            if path.stem not in self._closed:
                self._keep_closed(tables.value_in(load(path), "closed", Closed))
        self._seen_changes = size


def put_office(directory: Path, raw: bytes, now: datetime) -> None:
    """Write the office of a backup with all letters on hold: the last file of a restore. OwnerMustFix when damaged."""
    path = directory / OFFICE
    office: Office = tables.value_in(parse(raw, path, msgspec.json.decode), "office", Office)
    stops = (*(stop for stop in office.stops if stop.why != RESTORED), Stop(RESTORED, now))
    held = replace(office.marked({RESTORED: now.isoformat(), CHECKED: now.isoformat()}), stops=stops)
    DurableStorage(path).write({"office": {"1": msgspec.to_builtins(held)}})


def _key(directory: Path) -> bytes:
    """Return the register's key, made at the first start. It must be readable by us alone."""
    path = directory / "key"
    if not path.exists():
        if any((directory / "clients").rglob("*.json")):
            raise OwnerMustFix(f"{path}: is missing: put it back from a backup; without it no file is found again")
        replace_file(path, secrets.token_hex(32).encode() + b"\n")
    if path.stat().st_mode & 0o077:
        raise OwnerMustFix(f"{path}: can be read by others: chmod 600 it")
    key = path.read_bytes().strip()
    if not KEY.fullmatch(key):
        raise OwnerMustFix(f"{path}: is damaged: put it back from a backup; without it no file is found again")
    return key


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)
    except OSError as error:
        raise not_written(folder, error) from error
