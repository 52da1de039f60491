"""A TinyDB storage that survives a crash at any moment: one file, replaced whole.

Owns the bytes of one register file: a header line (schema, checksum, number of documents) and a line of JSON. Must
never change a file in place, never start empty from a damaged one, and never let memory run ahead of the disk.

TinyDB's own JSONStorage overwrites its only copy and truncates afterwards; a kill in between leaves rubbish, and an
empty file opens as an empty database (failure-cases 1.3, T1-T4).
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from tinydb.storages import Storage

from mailbot.errors import OwnerMustFix, TryLater

T = TypeVar("T")
SCHEMA = 1
PREVIOUS = ".prev"
BESIDE = ".new"

Tables = dict[str, dict[str, Any]]


class Header(msgspec.Struct, forbid_unknown_fields=True):
    """The first line of a file: what the second must be."""

    schema: int
    sha256: str
    documents: int


class DurableStorage(Storage):
    """Reads and replaces one file. `read` gives a copy, so that nested edits never leak into what is stored."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._memory: Tables | None = None
        self._loaded = False

    def read(self) -> Tables | None:
        """Return the tables, None when there is no file yet. Raises OwnerMustFix on a damaged or newer file."""
        if not self._loaded:
            self._memory = load(self.path)
            self._loaded = True
        return deepcopy(self._memory)

    def write(self, data: Tables) -> None:
        """Replace the file by these tables. Raises TryLater when the disk refuses; the old file then still stands."""
        tables: Tables = {str(name): {str(key): doc for key, doc in table.items()} for name, table in data.items()}
        body = msgspec.json.encode(tables)
        replace_file(self.path, _with_header(tables, body), keep=True)
        self._memory, self._loaded = msgspec.json.decode(body), True

    def close(self) -> None:
        """Nothing is kept open."""


def load(path: Path) -> Tables | None:
    """Return the tables in the file, None when it does not exist; OwnerMustFix says what is wrong and what to do."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OwnerMustFix(f"{path}: cannot be read ({error.strerror}): mend the disk or the permissions") from error
    return parse(raw, path, _decode_tables)


def parse(raw: bytes, path: Path, decode: Callable[[bytes], T]) -> T:
    """Return the body of a file's bytes after checking it against its header."""
    first, newline, body = raw.partition(b"\n")
    body = body.rstrip(b"\n")
    try:
        header = msgspec.json.decode(first, type=Header)
    except (msgspec.ValidationError, msgspec.DecodeError):
        raise OwnerMustFix(
            _damaged(path, "it is empty" if not raw.strip(b"\0") else "its first line is torn")
        ) from None
    if header.schema > SCHEMA:
        raise OwnerMustFix(
            f"{path}: was written by a newer mailbot (schema {header.schema}, this one knows {SCHEMA}): "
            "install that version again, or restore a backup of this one"
        )
    if not newline or hashlib.sha256(body).hexdigest() != header.sha256:
        raise OwnerMustFix(_damaged(path, "its contents do not match their checksum"))
    try:
        return decode(body)
    except (KeyError, TypeError, msgspec.ValidationError, msgspec.DecodeError) as error:
        raise OwnerMustFix(_damaged(path, f"it does not have the expected shape ({error})")) from None


def _decode_tables(body: bytes) -> Tables:
    return msgspec.json.decode(body, type=Tables)


def missing(path: Path) -> str:
    """Return what a person reads when a file is gone that must be there."""
    return _damaged(path, "it is missing")


def _damaged(path: Path, why: str) -> str:
    previous = path.with_name(path.name + PREVIOUS)
    mend = (
        f"the generation before it is {previous.name}: put it in its place"
        if previous.exists()
        else ("put it back from a backup")
    )
    return f"{path}: is damaged ({why}): nothing was changed; {mend}, then run `mailbot verify`"


def _with_header(tables: Tables, body: bytes) -> bytes:
    documents = sum(len(table) for table in tables.values())
    header = Header(SCHEMA, hashlib.sha256(body).hexdigest(), documents)
    return msgspec.json.encode(header) + b"\n" + body + b"\n"


def replace_file(path: Path, contents: bytes, *, keep: bool = False) -> None:
    """Put `contents` where `path` is, whole or not at all, and on the disk when this returns.

    `keep` leaves the file that was there as the generation before. Raises TryLater when the disk refuses.
    """
    beside = path.with_name(path.name + BESIDE)
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(descriptor, contents)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if keep and path.exists():
            _keep(path)
        beside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise not_written(path, error) from error


def not_written(path: Path, error: OSError) -> TryLater:
    """Return what a person reads when the disk refuses."""
    return TryLater(f"{path}: could not be written ({error.strerror}): nothing was changed; make room or mend the disk")


def _write_all(descriptor: int, contents: bytes) -> None:
    view = memoryview(contents)
    while view:
        view = view[os.write(descriptor, view) :]


def _keep(path: Path) -> None:
    """Make today's file the generation before, without a moment in which there is no file."""
    previous, link = path.with_name(path.name + PREVIOUS), path.with_name(path.name + PREVIOUS + BESIDE)
    link.unlink(missing_ok=True)
    os.link(path, link)
    link.replace(previous)


def sync_folder(folder: Path) -> None:
    """Put the folder's names on the disk: a rename is only durable after this."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
