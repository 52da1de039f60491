"""The daemon as systemd runs it: ready, fed, quick, told to reload and to stop."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fixtures.daemon import until
from fixtures.house import mail
from test_killed import configuration

ROOT = Path(__file__).resolve().parents[1]
UNIT = ROOT / "deploy" / "mailbot.service"


class Daemon:
    """A running `mailbot run`, with the socket systemd would listen on."""

    def __init__(self, child, ear):
        self.child, self.ear, self.said = child, ear, ""

    def heard(self, words):
        try:
            while True:
                self.said += self.ear.recv(4096).decode() + "\n"
        except BlockingIOError:
            pass
        return words in self.said


async def started(config, folder):
    ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ear.bind(str(folder / "notify"))
    ear.settimeout(0)
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "run.py"), "run", "--config", str(config), stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify")},
    )  # fmt: skip
    daemon = Daemon(child, ear)
    await until(lambda: daemon.heard("READY=1"))
    return daemon


def written(login, smtp_port, folder):
    config = folder / "mailbot.toml"
    text = configuration(login, smtp_port, folder / "register").split("[overrides]", maxsplit=1)[0]
    config.write_text(text, encoding="utf-8")
    config.chmod(0o600)
    return config


async def test_the_daemon_answers_at_once_and_stops_when_told(mail_user, smtp, tmp_path):
    daemon = await started(written(mail_user, smtp.port, tmp_path), tmp_path)
    delivered = time.monotonic()
    mail_user.deliver(mail("Ik wil graag inzage in mijn gegevens.", subject="inzage"))
    await until(lambda: smtp.to("jan@example.nl"))
    assert time.monotonic() - delivered < 5, "IDLE tells within a second; without it a look comes after minutes"
    await until(lambda: len(mail_user.folder("Klanten/jan@example.nl")) == 2)
    assert daemon.heard("WATCHDOG=1")
    daemon.child.send_signal(signal.SIGTERM)
    _, errors = await asyncio.wait_for(daemon.child.communicate(), 20)
    assert daemon.child.returncode == 0, errors.decode()
    assert daemon.heard("STOPPING=1")
    assert b"jan@example.nl" not in errors


async def test_a_wrong_configuration_is_not_taken_over_and_the_old_one_goes_on(mail_user, smtp, tmp_path):
    config = written(mail_user, smtp.port, tmp_path)
    daemon = await started(config, tmp_path)
    config.write_text("[organisation\n", encoding="utf-8")
    daemon.child.send_signal(signal.SIGHUP)
    line = await asyncio.wait_for(daemon.child.stderr.readline(), 20)
    assert b"the old one stays in force" in line
    mail_user.deliver(mail("Ik wil graag inzage in mijn gegevens.", subject="inzage"))
    await until(lambda: smtp.to("jan@example.nl"))
    daemon.child.send_signal(signal.SIGTERM)
    await asyncio.wait_for(daemon.child.communicate(), 20)


async def test_a_server_that_restarts_is_found_again(mail_user, smtp, tmp_path):
    daemon = await started(written(mail_user, smtp.port, tmp_path), tmp_path)
    mail_user.server.doveadm("kick", mail_user.user)
    await until(lambda: daemon.heard("STATUS=trying again"))
    mail_user.deliver(mail("Ik wil graag inzage in mijn gegevens.", subject="inzage"))
    await until(lambda: smtp.to("jan@example.nl"), 30)
    daemon.child.send_signal(signal.SIGTERM)
    await asyncio.wait_for(daemon.child.communicate(), 20)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")
def test_the_unit_is_hardened_and_never_restarts_on_what_needs_a_person():
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(UNIT)], capture_output=True, text=True, check=False
    )
    level = float(done.stdout.rsplit("exposure level for", 1)[1].split(":")[1].split()[0])
    assert level <= 1.5
    text = UNIT.read_text(encoding="utf-8")
    for line in ("Type=notify", "RestartPreventExitStatus=2 3", "LoadCredential=imap.password", "WatchdogSec="):
        assert line in text


async def test_check_says_what_would_be_used_and_changes_nothing(mail_user, smtp, tmp_path):
    config = written(mail_user, smtp.port, tmp_path)
    words = (sys.executable, str(ROOT / "run.py"), "check", "--config", str(config))
    child = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    said, errors = await asyncio.wait_for(child.communicate(), 30)
    assert child.returncode == 0, errors.decode()
    for part in (b"imap moving", b"MOVE", b"imap sent", b"Sent", b"Klanten", b"smtp", b"rules for 12 kinds"):
        assert part in said
    assert not (tmp_path / "register").exists()
    assert smtp.raw == []
