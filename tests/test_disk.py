"""The disk: full, read-only, torn, older, and a register that is put away and put back while work goes on."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from fixtures.house import ZONE, mail, opened, settings_for, turn
from test_register import WRITER, filled, only_file, put

from mailbot import owner
from mailbot.backup import backup, restore, verify
from mailbot.errors import OwnerMustFix, TryLater
from mailbot.register import Register
from mailbot.storage import load

ACCESS = "Ik wil graag inzage in mijn gegevens."
OWNER = "geert@kosternet.example"
MOUNTS = os.geteuid() == 0 and shutil.which("mount") is not None


@contextmanager
def small_disk(folder, size):
    """A disk of its own of this many bytes."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(not MOUNTS, reason="only root may mount")
def test_a_disk_that_is_full_at_any_page_keeps_the_old_record_or_has_the_new_one(tmp_path):
    refused = 0
    with small_disk(tmp_path / "disk", 512 * 1024) as disk:
        register = Register.open(disk / "register")
        put(register, filled(register))
        kept = register.client("jan@example.nl")
        for pages in range(16):
            with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
                while True:
                    filler.write(b"x" * 4096)
            room = max((disk / "filler").stat().st_size - pages * 4096, 0)
            os.truncate(disk / "filler", room)
            wanted = replace(kept, name=str(pages) * 9000)
            try:
                put(register, wanted)
                kept = wanted
            except TryLater as error:
                refused += 1
                assert "make room" in str(error)  # noqa: PT017 - both endings are right
            (disk / "filler").unlink()
            again = Register.open(disk / "register")
            assert again.client("jan@example.nl") == kept == register.client("jan@example.nl")
            again.close()
        assert list(verify(disk / "register")) == []
    assert 0 < refused < 16


@pytest.mark.skipif(not MOUNTS, reason="only root may mount")
async def test_a_disk_that_is_nearly_full_takes_no_mail_in_until_there_is_room(mail_user, smtp, tmp_path):
    with small_disk(tmp_path / "disk", "100m") as disk:
        settings = settings_for(mail_user, smtp.port, disk / "register")
        await turn(settings)
        mail_user.deliver(mail(ACCESS))
        (disk / "filler").write_bytes(b"x" * (60 << 20))
        with pytest.raises(TryLater, match="make room"):
            await turn(settings)
        assert smtp.raw == []
        (disk / "filler").unlink()
        await turn(settings)
        assert len(smtp.to("jan@example.nl")) == 1


async def test_a_letter_the_disk_would_not_record_is_not_offered_again(mail_user, smtp, tmp_path, monkeypatch):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail(ACCESS))
    taken = smtp.handle_DATA

    def read_only(_descriptor):
        raise OSError(30, "Read-only file system")

    async def taken_while_the_disk_fails(*parts):
        patch.setattr("mailbot.storage.os.fsync", read_only)
        return await taken(*parts)

    smtp.handle_DATA = taken_while_the_disk_fails
    app = opened(settings)
    with monkeypatch.context() as patch:
        for _ in range(3):
            with pytest.raises(TryLater, match=r"Read-only file system.*mend the disk"):
                await app.once()
    await app.once()
    await app.close()
    assert len(smtp.to("jan@example.nl")) == 1


LENGTHS = {
    "nothing": lambda _raw: b"",
    "one byte": lambda raw: raw[:1],
    "half the first line": lambda raw: raw[: raw.index(b"\n") // 2],
    "the first line without its end": lambda raw: raw[: raw.index(b"\n")],
    "the first line": lambda raw: raw[: raw.index(b"\n") + 1],
    "half": lambda raw: raw[: len(raw) // 2],
    "all but the last letter": lambda raw: raw.rstrip(b"\n")[:-1],
    "zeros of the same length": lambda raw: bytes(len(raw)),
    "a page of zeros in it": lambda raw: raw[:300] + bytes(200) + raw[500:],
    "twice itself": lambda raw: raw + raw,
}


WHOLE = {("key", "the first line without its end"), ("key", "the first line")}  # the key is one line


@pytest.mark.parametrize(
    ("which", "name"),
    [(one, name) for one in ("client", "office.json", "key") for name in LENGTHS if (one, name) not in WHOLE],
)
def test_a_torn_file_stops_the_start_and_nothing_is_touched(tmp_path, which, name):
    register = Register.open(tmp_path)
    put(register, filled(register))
    register.close()
    path = only_file(tmp_path) if which == "client" else tmp_path / which
    torn = LENGTHS[name](path.read_bytes())
    path.write_bytes(torn)
    with pytest.raises(OwnerMustFix, match=r"is damaged.*put it"):
        Register.open(tmp_path)
    assert path.read_bytes() == torn


@pytest.mark.parametrize("which", ["office.json", "key"])
def test_a_file_that_is_gone_is_no_first_start(tmp_path, which):
    register = Register.open(tmp_path)
    put(register, filled(register))
    register.close()
    (tmp_path / which).unlink()
    with pytest.raises(OwnerMustFix, match="is missing"):
        Register.open(tmp_path)
    assert not (tmp_path / which).exists()


def test_nothing_a_crash_left_beside_a_file_is_read_or_put_away(tmp_path):
    register = Register.open(tmp_path / "register")
    put(register, filled(register))
    leftovers = [tmp_path / "register" / name for name in ("office.json.new", "key.new", "probe.new")]
    leftovers.append(only_file(tmp_path / "register").with_suffix(".json.prev.new"))
    for path in leftovers:
        path.write_bytes(b"half")
        path.chmod(0o600)
    again = Register.open(tmp_path / "register")
    assert again.office == register.office
    backup(again, tmp_path / "backup.tar.gz")
    restore(tmp_path / "backup.tar.gz", tmp_path / "other", datetime.now(ZONE))
    assert not list((tmp_path / "other").rglob("*.new"))


def test_a_backup_beside_a_writing_process_is_one_moment(tmp_path):
    Register.open(tmp_path / "register").close()
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "register")],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[1],
    ) as writer:
        writer.stdout.readline()
        register = Register.open(tmp_path / "register")
        for place in range(8):
            backup(register, tmp_path / f"{place}.tar.gz")
        writer.kill()
    kept = []
    for place in range(8):
        directory = tmp_path / f"restored{place}"
        restore(tmp_path / f"{place}.tar.gz", directory, datetime.now(ZONE))
        assert list(verify(directory)) == []
        client = load(only_file(directory))["client"]["1"]
        assert client["name"] == client["language"] * 200
        kept.append(int(client["language"]))
    assert kept == sorted(kept)


async def test_after_an_old_backup_nobody_is_answered_twice_and_no_number_is_given_twice(mail_user, smtp, tmp_path):
    directory = tmp_path / "register"
    settings = settings_for(mail_user, smtp.port, directory)
    await turn(settings)
    smtp.rcpt["piet"] = "450 later"
    mail_user.deliver(mail(ACCESS, sender="piet@example.org", subject="eerst"))
    await turn(settings)
    register = Register.open(directory)
    backup(register, tmp_path / "backup.tar.gz")  # Piet's letter is queued in it; Jan is not in it at all
    register.close()
    smtp.rcpt.clear()
    mail_user.deliver(mail(ACCESS, subject="daarna"))
    mail_user.deliver(mail(ACCESS, sender="mia@example.org", subject="ook"))
    later = datetime.now(ZONE).replace(microsecond=0)
    await turn(settings, lambda: later.fromtimestamp(later.timestamp() + 600, ZONE))
    assert [len(smtp.to(one)) for one in ("piet@example.org", "jan@example.nl", "mia@example.org")] == [1, 1, 1]
    with mail_user.client() as client:  # Mia's mail is in the inbox again: the owner put it back to look at it
        client.select_folder("Klanten/mia@example.org")
        client.move(client.search()[-1:], "INBOX")
    shutil.rmtree(directory)
    restore(tmp_path / "backup.tar.gz", directory, datetime.now(ZONE))
    await turn(settings)
    register = owner.open_register(settings)
    owner.release(register, None)
    register.close()
    mail_user.deliver(mail(ACCESS, sender="nieuw@example.org", subject="nieuw"))
    await turn(settings, lambda: later.fromtimestamp(later.timestamp() + 1200, ZONE))
    assert [len(smtp.to(one)) for one in ("piet@example.org", "jan@example.nl", "mia@example.org")] == [1, 1, 1]
    (letter,) = smtp.to("nieuw@example.org")
    register = Register.open(directory)
    numbers = {record.address: record.cases[0].number[-4:] for record in register.clients() if record.cases}
    assert numbers == {"piet@example.org": "0001", "mia@example.org": "0004", "nieuw@example.org": "0005"}
    assert "0005" in letter["Subject"]
    (notice,) = [m for m in smtp.to(OWNER) if m["X-Mailbot"] == "notice-gap"]
    said = notice.get_body(("plain",)).get_content()
    assert all(f"-000{place}" in said for place in (2, 3))


def test_a_restore_that_is_cut_off_does_not_open(tmp_path, monkeypatch):
    register = Register.open(tmp_path / "register")
    put(register, filled(register))
    backup(register, tmp_path / "backup.tar.gz")

    def cut(*_parts):
        raise KeyboardInterrupt

    monkeypatch.setattr("mailbot.backup.put_office", cut)
    with pytest.raises(KeyboardInterrupt):
        restore(tmp_path / "backup.tar.gz", tmp_path / "other", datetime.now(ZONE))
    with pytest.raises(OwnerMustFix, match="is missing"):
        Register.open(tmp_path / "other")
