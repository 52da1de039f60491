"""The register put away and put back, and looked over.

Owns backup, restore and verify. Must never write into a register that is in use, and never let letters go after a
restore: the mailbox may know of letters the restored register does not (T9).
"""

import io
import os
import re
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from mailbot.case import verify_chain
from mailbot.client import ClientRecord
from mailbot.ending import Closed
from mailbot.errors import OwnerMustFix, Refused
from mailbot.register import OFFICE, PROBE, Register, put_office
from mailbot.storage import BESIDE, PREVIOUS, replace_file

ADDRESS = re.compile(r"[^\s\"'<>()\[\],;:\\@]{1,64}@[^\s\"'<>()\[\],;:\\@]{1,253}\w")
LEFT_OUT = {"lock", "daemon.lock", "changes", PROBE}
KNOWN = {"key", "office.json", "clients", "closed", *LEFT_OUT}


def backup(register: Register, file: Path) -> int:
    """Write the whole register into one archive and return how many files it holds.

    Under the register's lock, so that it is one moment even while the daemon runs; readable by its owner only, and
    whole or not there. It holds the key: keep it as carefully as the register.
    """
    if file.exists():
        raise Refused(f"{file} exists already and was left as it is: name another file")
    buffer = io.BytesIO()
    with register.transaction(), tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        paths = [path for path in sorted(register.directory.rglob("*")) if _belongs(path, register.directory)]
        for path in paths:
            archive.add(path, arcname=str(path.relative_to(register.directory)), recursive=False)
    replace_file(file, buffer.getvalue())
    return len(paths)


def _belongs(path: Path, directory: Path) -> bool:
    return path.is_file() and path.relative_to(directory).parts[0] not in LEFT_OUT and not path.name.endswith(BESIDE)


def restore(file: Path, directory: Path, now: datetime, closed: Path | None = None) -> int:
    """Unpack an archive into an empty place, hold all letters, and return how many files there were.

    `closed` is that folder of the register that was moved away: with its lines `verify` tells which erasures the
    backup is older than, and purged mail stays refused.
    """
    if closed is not None and not closed.is_dir():
        raise Refused(f"{closed} is no folder: name the folder `closed` of the register that was moved away")
    if directory.exists() and any(path.name not in LEFT_OUT for path in directory.iterdir()):
        raise Refused(f"{directory} holds a register: stop mailbot and move it away first; nothing was changed")
    try:
        with tarfile.open(file, mode="r:gz") as archive:
            members = [member for member in archive.getmembers() if member.isfile()]
            last = archive.extractfile(OFFICE)
            office = last.read() if last else b""
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            archive.extractall(directory, members=[one for one in members if one.name != OFFICE], filter="data")
            (directory / "closed").mkdir(exist_ok=True, mode=0o700)
    except FileNotFoundError as error:
        raise OwnerMustFix(f"{file}: there is no such file: name a backup that `mailbot backup` made") from error
    except (OSError, KeyError, tarfile.TarError, EOFError) as error:
        raise OwnerMustFix(f"{file}: is no backup that can be read ({type(error).__name__})") from error
    for line in sorted(closed.glob("*.json")) if closed else ():
        shutil.copyfile(line, directory / "closed" / line.name)
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    put_office(directory, office, now)  # last, and with the hold in it: before that the register does not open
    Register.open(directory).close()
    return len(members)


def verify(directory: Path) -> Iterator[str]:
    """Yield everything that is wrong with the register: damage, broken chains, numbers given twice, strange files."""
    try:
        register = Register.open(directory)
    except OwnerMustFix as error:
        yield from error.problems
        return
    numbers: Counter[str] = Counter()
    erased = {line.number: line for line in register.closed()}
    for record in register.clients():
        if register.client_id(record.address) != record.id:
            yield f"client file {record.id} does not belong to the address in it: it was copied or renamed"
        for case in record.cases:
            numbers[case.number] += 1
            if case.number in erased:
                yield _again(case.number, erased[case.number].erased)
            problem = verify_chain(case)
            if problem:
                yield problem
    yield from (f"{number} was given {count} times" for number, count in numbers.items() if count > 1)
    yield from _remains(register, directory)
    register.close()
    yield from _strangers(directory)


def _again(number: str, when: str) -> str:
    return (
        f"{number} was erased on {when or 'an earlier day'} and is here again: a backup from before that was put back. "
        f"Erase it again: `mailbot close {number} --erase` (first `mailbot answer {number} --no-letter` if it is open)"
    )


def _remains(register: Register, directory: Path) -> Iterator[str]:
    """Yield every file with the address of an erased person in it, found by its keyed fingerprint.

    Somebody who wrote again after the erasure has a record of his own, in which his address may stand.
    """
    erased = {line.person: line for line in register.closed() if line.person}
    if not erased:
        return
    back = {register.fingerprint(record.address.lower()) for record in register.clients() if _anew(record, erased)}
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        text = path.read_text(encoding="utf-8", errors="replace").lower().replace("\\n", " ")
        marks = {register.fingerprint(address) for address in set(ADDRESS.findall(text))}
        for line in {mark: erased[mark] for mark in marks & erased.keys() - back}.values():
            yield f"{path}: still holds the address of the person of {line.number}, erased on {line.erased}"


def _anew(record: ClientRecord, erased: Mapping[str, Closed]) -> bool:
    numbers = {line.number for line in erased.values()}
    return not any(case.number in numbers for case in record.cases)


def _strangers(directory: Path) -> Iterator[str]:
    for path in sorted(directory.rglob("*")):
        top = path.relative_to(directory).parts[0]
        fits = path.name.endswith((".json", f".json{PREVIOUS}")) or path.is_dir() or path.parent == directory
        if top.removesuffix(PREVIOUS) not in KNOWN or not fits:
            yield f"{path}: is no file of the register: look what it is, it may hold personal data"
        elif path.stat().st_mode & 0o077 and os.geteuid() == path.stat().st_uid:
            yield f"{path}: can be used by others: chmod it to {'700' if path.is_dir() else '600'}"
