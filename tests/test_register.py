"""The register: durable, found again, shared between processes, and honest about damage."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailbot.case import open_case
from mailbot.client import Filing, LetterState, QueuedLetter, SeenMessage
from mailbot.errors import OwnerMustFix, Refused, TryLater
from mailbot.office import Stop, Watch
from mailbot.register import Closed, Register
from mailbot.storage import load

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
KILLS = 60 if os.environ.get("CI") else 15


def filled(register, address="jan@example.nl", **changes):
    record = register.new_client(address)
    number = register.next_number("KN", 2026)
    fixed = {"channel": "mail", "language": "nl", "reason": "r"}
    case = open_case(number=number, kinds=["access"], received=NOW, at=NOW, **fixed)
    letter = QueuedLetter(f"<{number}@x>", "identity", "person", address, "nl", number, {"number": number}, NOW)
    seen = SeenMessage(f"digest {address}", 1, 2, f"<{address}>", NOW, "request", number, Filing.INTENDED)
    return replace(record, cases=(case,), letters=(letter,), messages=(seen,), folder=f"Klanten/{address}", **changes)


def put(register, record):
    with register.transaction():
        register.commit(record)


def only_file(directory):
    return next((directory / "clients").rglob("*.json"))


def test_what_was_committed_is_found_again_by_every_name(tmp_path):
    register = Register.open(tmp_path)
    record = filled(register)
    put(register, record)
    again = Register.open(tmp_path)
    assert again.client("JAN@example.nl") == record
    assert again.case("KN-2026-0001")[1] == record.cases[0]
    assert again.find_digest("digest jan@example.nl") == list(record.messages)
    assert again.find_message_id("<jan@example.nl>")[1].number == "KN-2026-0001"
    assert again.case_of_letter("<KN-2026-0001@x>")[0] == record
    assert [letter.letter for _, letter in again.owed_letters()] == ["identity"]
    assert [seen.uid for _, seen in again.owed_filings()] == [2]
    assert again.folders() == {"Klanten/jan@example.nl"}
    assert again.next_number("KN", 2026) == "KN-2026-0002"


def test_file_names_show_nobody_and_nobody_else_can_read_them(tmp_path):
    register = Register.open(tmp_path)
    put(register, filled(register))
    path = only_file(tmp_path)
    assert "jan" not in str(path.relative_to(tmp_path))
    assert path.stat().st_mode & 0o077 == 0
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda _raw: b"", "empty"),
        (lambda raw: b"\0" * len(raw), "empty"),
        (lambda raw: raw[: len(raw) // 2], "checksum"),
        (lambda raw: raw.replace(b"jan@", b"jon@"), "checksum"),
        (lambda raw: raw.replace(b'"schema":1', b'"schema":9'), "newer mailbot"),
    ],
)
def test_a_damaged_file_stops_the_start_and_names_the_generation_before(tmp_path, damage, why):
    register = Register.open(tmp_path)
    put(register, filled(register))
    put(register, replace(register.client("jan@example.nl"), name="Jan"))
    path = only_file(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(OwnerMustFix, match=why) as caught:
        Register.open(tmp_path)
    assert str(path) in str(caught.value)
    if why != "newer mailbot":
        assert path.name + ".prev" in str(caught.value)
        path.with_name(path.name + ".prev").replace(path)
        assert Register.open(tmp_path).client("jan@example.nl").name == ""


def test_what_a_crash_left_beside_a_file_is_never_read(tmp_path):
    register = Register.open(tmp_path)
    put(register, filled(register))
    leftover = only_file(tmp_path).with_suffix(".json.new")
    leftover.write_bytes(b"half")
    Register.open(tmp_path)
    assert not leftover.exists()


def test_a_write_the_disk_refuses_changes_neither_disk_nor_memory(tmp_path, monkeypatch):
    register = Register.open(tmp_path)
    record = filled(register)
    put(register, record)
    before = only_file(tmp_path).read_bytes()

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mailbot.storage.os.fsync", full)
    with pytest.raises(TryLater, match="No space left"):
        put(register, replace(record, name="Jan"))
    assert only_file(tmp_path).read_bytes() == before
    assert register.client("jan@example.nl").name == ""


def test_a_full_disk_is_noticed_before_work_is_accepted(tmp_path, monkeypatch):
    register = Register.open(tmp_path)
    register.room()
    monkeypatch.setattr("mailbot.register.ROOM", 1 << 60)
    with pytest.raises(TryLater, match="make room"):
        register.room()


def test_two_processes_see_each_others_work_and_lose_none(tmp_path):
    one, other = Register.open(tmp_path), Register.open(tmp_path)
    put(one, filled(one))
    with other.transaction():
        assert other.client("jan@example.nl").cases[0].number == "KN-2026-0001"
        other.commit(replace(other.client("jan@example.nl"), name="Jan"))
    with one.transaction():
        one.commit(replace(one.client("jan@example.nl"), language="en"))
    assert Register.open(tmp_path).client("jan@example.nl").name == "Jan"


def count_up(directory, times):
    register = Register.open(directory)
    for _ in range(times):
        with register.transaction():
            record = register.client("teller@example.nl") or register.new_client("teller@example.nl")
            register.commit(replace(record, name=str(int(record.name or 0) + 1)))


def test_interleaved_writers_lose_no_update(tmp_path):
    Register.open(tmp_path)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=count_up, args=(tmp_path, 40)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert Register.open(tmp_path).client("teller@example.nl").name == "80"


def test_a_second_daemon_is_refused(tmp_path):
    Register.open(tmp_path).claim_daemon()
    with pytest.raises(Refused, match="another mailbot"):
        Register.open(tmp_path).claim_daemon()


def test_writing_outside_a_transaction_is_a_bug(tmp_path):
    register = Register.open(tmp_path)
    with pytest.raises(RuntimeError):
        register.commit(filled(register))


def test_an_erased_person_is_in_no_file_and_the_number_is_never_given_again(tmp_path):
    register = Register.open(tmp_path)
    record = filled(register)
    put(register, record)
    put(register, replace(record, name="Jan"))
    line = Closed("KN-2026-0001", ("erasure",), "2026-11-25", "2026-12-01", "done", (register.fingerprint("d"),))
    with register.transaction():
        register.erase(register.client("jan@example.nl"), (line,))
    assert not any(b"jan@example.nl" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    again = Register.open(tmp_path)
    assert again.next_number("KN", 2026) == "KN-2026-0002"
    assert again.purged("d")
    assert not again.purged("e")


def test_the_office_is_kept(tmp_path):
    register = Register.open(tmp_path)
    office = replace(register.office, watch=Watch(1, 2, 3, NOW), stops=(Stop("flood", NOW),))
    with register.transaction():
        register.commit_office(office)
    assert Register.open(tmp_path).office == office


def test_a_held_letter_is_not_owed(tmp_path):
    register = Register.open(tmp_path)
    record = filled(register)
    held = tuple(replace(one, state=LetterState.HELD) for one in record.letters)
    put(register, replace(record, letters=held))
    assert list(register.owed_letters()) == []


WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from mailbot.register import Register
register = Register.open(Path(sys.argv[1]))
place = 0
while True:
    place += 1
    with register.transaction():
        record = register.client("teller@example.nl") or register.new_client("teller@example.nl")
        register.commit(replace(record, name=str(place) * 200, language=str(place)))
    print(place, flush=True)
"""


@pytest.mark.slow
def test_a_kill_in_a_write_tears_no_file_and_loses_nothing_acknowledged(tmp_path):
    dice = random.Random(3)
    Register.open(tmp_path)
    torn = 0
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).resolve().parents[1],
        ) as child:
            first = child.stdout.readline()
            until = time.monotonic() + dice.random() * 0.05
            while time.monotonic() < until:
                pass
            child.send_signal(signal.SIGKILL)
            told = (first + child.stdout.read()).split()
        try:
            kept = int(load(only_file(tmp_path))["client"]["1"]["language"])
        except OwnerMustFix:
            torn += 1
            continue
        assert kept >= int(told[-1])
    print(f"kills {KILLS}, torn {torn}")
    assert torn == 0
