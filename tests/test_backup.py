"""The register put away, put back and looked over."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from test_register import filled, only_file, put

from mailbot.backup import backup, restore, verify
from mailbot.errors import OwnerMustFix, Refused
from mailbot.register import Register
from mailbot.storage import DurableStorage, load

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)


@pytest.fixture
def register(tmp_path):
    found = Register.open(tmp_path / "register")
    put(found, filled(found))
    put(found, filled(found, "piet@example.nl"))
    return found


def test_a_backup_is_put_back_with_letters_on_hold(register, tmp_path):
    file = tmp_path / "backup.tar.gz"
    assert backup(register, file) >= 3
    assert file.stat().st_mode & 0o077 == 0
    restore(file, tmp_path / "other", NOW)
    again = Register.open(tmp_path / "other")
    assert list(again.clients()) == list(register.clients())
    assert [stop.why for stop in again.office.stops] == ["restored"]
    assert list(verify(tmp_path / "other")) == []


def test_a_backup_never_goes_over_a_file_and_a_restore_never_over_a_register(register, tmp_path):
    file = tmp_path / "backup.tar.gz"
    backup(register, file)
    with pytest.raises(Refused, match="exists already"):
        backup(register, file)
    with pytest.raises(Refused, match="holds a register"):
        restore(file, tmp_path / "register", NOW)


def test_a_torn_archive_is_no_backup(register, tmp_path):
    file = tmp_path / "backup.tar.gz"
    backup(register, file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(OwnerMustFix, match="no backup"):
        restore(file, tmp_path / "other", NOW)


def changed(path, change):
    tables = load(path)
    change(tables)
    DurableStorage(path).write(tables)


def test_verify_finds_each_kind_of_damage(register, tmp_path):
    folder = tmp_path / "register"
    assert list(verify(folder)) == []
    path = only_file(folder)
    changed(path, lambda tables: tables["cases"]["1"]["events"][0].update(reason="another"))
    assert "was changed after it was written" in next(verify(folder))
    changed(path, lambda tables: tables["client"]["1"].update(address="iemand@anders.nl"))
    assert any("does not belong to the address" in problem for problem in verify(folder))
    (folder / "kladblok.txt").write_text("jan@example.nl")
    (folder / "kladblok.txt").chmod(0o600)
    assert any("kladblok.txt" in problem for problem in verify(folder))
    path.write_bytes(b"")
    assert any("empty" in problem for problem in verify(folder))


def test_verify_finds_a_number_given_twice(register, tmp_path):
    one, other = list(register.clients())
    put(register, replace(other, cases=one.cases))
    assert any("given 2 times" in problem for problem in verify(tmp_path / "register"))
    assert json.dumps(load(only_file(tmp_path / "register")))
