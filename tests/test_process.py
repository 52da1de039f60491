"""The process around the work: stopped in mid-letter, hung, poisoned, in another zone, without name server or log."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from fixtures.house import ZONE, mail, opened, settings_for, turn
from test_daemon import ROOT, UNIT, started
from test_daemon import written as configured

from mailbot import config, data, due
from mailbot.client import LetterState
from mailbot.errors import TryLater
from mailbot.outbox import AFTER_DOT
from mailbot.register import Register
from mailbot.world import ImapThread

ACCESS = "Ik wil graag inzage in mijn gegevens."
OWNER = "geert@kosternet.example"


async def test_a_stop_in_the_middle_of_a_letter_waits_for_the_answer_and_records_it(mail_user, smtp, tmp_path):
    offered, answered, taken = asyncio.Event(), asyncio.Event(), smtp.handle_DATA

    async def slowly(*parts):
        offered.set()
        await answered.wait()
        return await taken(*parts)

    smtp.handle_DATA = slowly
    daemon = await started(configured(mail_user, smtp.port, tmp_path), tmp_path)
    for person in ("jan@example.nl", "piet@example.org"):
        mail_user.deliver(mail(ACCESS, sender=person))
    await asyncio.wait_for(offered.wait(), 20)
    daemon.child.send_signal(signal.SIGTERM)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(daemon.child.wait(), 0.5)
    answered.set()
    await asyncio.wait_for(daemon.child.communicate(), 20)
    assert daemon.child.returncode == 0
    register = Register.open(tmp_path / "register")
    states = {one.to: one.state for record in register.clients() for one in record.letters if one.audience == "person"}
    sent = {to[0] for _, to in smtp.envelopes}
    assert {to for to, state in states.items() if state is LetterState.SENT} == sent
    assert len(smtp.raw) == 1, "the letter in hand, and no other"


async def test_the_watchdog_is_fed_at_the_end_of_a_turn_and_never_while_one_hangs(
    mail_user, smtp, tmp_path, monkeypatch
):
    notes, hung, let_go = [], asyncio.Event(), threading.Event()
    monkeypatch.setattr("mailbot.systemd.notify", notes.append)
    loop = asyncio.get_running_loop()
    app = opened(settings_for(mail_user, smtp.port, tmp_path))
    app.world.imap.mailbox.wake()
    await app._turn()
    assert any("WATCHDOG=1" in note for note in notes)
    notes.clear()
    look = app.world.imap.mailbox.status

    def hangs():
        loop.call_soon_threadsafe(hung.set)
        let_go.wait()
        return look()

    monkeypatch.setattr(app.world.imap.mailbox, "status", hangs)
    turning = asyncio.create_task(app._turn())
    await asyncio.wait_for(hung.wait(), 20)
    await app._nudge()  # the timer goes on, and feeds nothing
    assert notes == []
    let_go.set()
    await turning
    assert any("WATCHDOG=1" in note for note in notes)
    await app.close()


def test_the_unit_waits_between_starts_gives_up_in_the_end_and_lets_a_letter_finish():
    unit = dict(line.split("=", 1) for line in UNIT.read_text(encoding="utf-8").splitlines() if "=" in line[1:])
    assert int(unit["RestartSec"]) >= 30
    assert unit["Restart"] == "on-failure"
    assert int(unit["StartLimitBurst"]) * int(unit["RestartSec"]) < 3600, "a program that only falls over is given up"
    assert unit["TimeoutStartSec"] == "infinity", "a long backlog at the start is not cut off"
    assert int(unit["TimeoutStopSec"].removesuffix("min")) * 60 > AFTER_DOT


async def test_a_message_that_breaks_something_is_set_aside_after_three_tries_and_the_rest_goes_on(
    mail_user, smtp, tmp_path
):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail("x", subject="gif", sender="gif@example.org"))
    mail_user.deliver(mail(ACCESS))
    outcomes = []
    for _ in range(4):
        app = opened(settings)
        real = app.house.reader.classify

        def poisoned(message, real=real):
            if message.subject == "gif":
                raise ZeroDivisionError("gif@example.org")
            return real(message)

        app.house.reader.classify = poisoned
        try:
            outcomes.append((await app.once()).aside)
        except TryLater:
            outcomes.append("later")
        await app.close()
    assert outcomes == ["later", "later", 1, 0]
    assert len(smtp.to("jan@example.nl")) == 1
    assert [m["X-Mailbot"] for m in smtp.to(OWNER)].count("notice-aside") == 1
    with mail_user.client() as client:
        client.select_folder("INBOX")
        assert client.search(["KEYWORD", "$MailbotAside"]) == [1]


async def test_waiting_for_mail_stops_nothing_else_and_one_thread_has_the_connection():
    ticks, threads = 0, set()

    def blocked(seconds):
        threads.add(threading.get_ident())
        time.sleep(seconds)

    thread = ImapThread(SimpleNamespace())
    waiting = asyncio.gather(thread.call(blocked, 0.3), thread.call(blocked, 0.1))
    while not waiting.done():
        ticks += 1
        await asyncio.sleep(0.01)
    thread.close()
    assert ticks > 10
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


async def ran(*words, **options):
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "run.py"), *words, stdout=asyncio.subprocess.PIPE, **options
    )
    said, _ = await asyncio.wait_for(child.communicate(), 60)
    return child.returncode, said.decode()


async def test_a_log_that_takes_nothing_more_stops_no_letter(mail_user, smtp, tmp_path):
    config = configured(mail_user, smtp.port, tmp_path)
    await ran("once", "--config", str(config))
    smtp.rcpt["piet"] = "450 later"  # something to warn about
    for person in ("piet@example.org", "jan@example.nl"):
        mail_user.deliver(mail(ACCESS, sender=person))
    full = os.open("/dev/full", os.O_WRONLY)
    code, _ = await ran("once", "--config", str(config), stderr=full)
    os.close(full)
    assert code == 0
    assert len(smtp.to("jan@example.nl")) == 1


async def test_a_name_server_that_is_away_is_for_later_and_loses_nothing(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail(ACCESS))
    with pytest.raises(TryLater, match="imap"):
        await turn(replace(settings, imap=replace(settings.imap, host="nergens.invalid")))
    await turn(replace(settings, smtp=replace(settings.smtp, host="nergens.invalid")))
    assert smtp.raw == []
    later = datetime.now(ZONE) + timedelta(minutes=10)
    await turn(settings, lambda: later)
    assert len(smtp.to("jan@example.nl")) == 1


async def test_another_zone_and_locale_of_the_machine_change_nothing(mail_user, smtp, tmp_path):
    config = configured(mail_user, smtp.port, tmp_path)
    odd = {
        **os.environ,
        "TZ": "Pacific/Kiritimati",
        "LC_ALL": "C",
        "LANG": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    await ran("once", "--config", str(config), env=odd)
    mail_user.deliver(mail("Ik wil graag inzage in mijn gegevens. Groet, Zoë Ångström", sender="Zoë <zoe@example.nl>"))
    assert (await ran("once", "--config", str(config), env=odd))[0] == 0
    plain = {**os.environ, "TZ": "Europe/Amsterdam", "LC_ALL": "C.UTF-8"}
    shown = [json.loads((await ran("cases", "--json", "--config", str(config), env=env))[1]) for env in (odd, plain)]
    assert shown[0] == shown[1]
    received = datetime.fromisoformat(shown[0]["received"])
    assert received.utcoffset() == received.astimezone(ZONE).utcoffset()
    (letter,) = smtp.to("zoe@example.nl")
    assert re.search(rf"{received.day} \w+ {received.year}", letter.get_body(("plain",)).get_content())


@pytest.mark.parametrize("date", ["Fri, 31 Dec 9999 23:59:59 +0000", "gisteren", "Thu, 1 Jan 1970 00:00:00 +0000", ""])
async def test_a_date_from_another_age_moves_no_term(mail_user, smtp, tmp_path, date):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail(ACCESS, headers=f"Date: {date}\r\n" if date else ""))
    await turn(settings)
    (case,) = [case for record in Register.open(tmp_path).clients() for case in record.cases]
    assert abs(case.received - datetime.now(UTC)) < timedelta(minutes=2)
    assert len(smtp.to("jan@example.nl")) == 1


def test_each_night_and_each_digest_comes_once_when_the_clock_changes():
    zone = ZoneInfo("Europe/Amsterdam")
    for start in (datetime(2027, 3, 25, tzinfo=UTC), datetime(2027, 10, 28, tzinfo=UTC)):
        last, nights, digests = start.astimezone(zone), [], []
        for step in range(7 * 96):
            now = (start + timedelta(minutes=15 * step)).astimezone(zone)
            if due.a_night_passed(now, last):
                nights.append(now.date())
                last = now
            at = now.replace(hour=2, minute=30)
            if due.digest_due(now, at, tuple(day.isoformat() for day in digests), something=True):
                digests.append(now.date())
        assert nights == sorted(set(nights))
        assert len(nights) >= 6
        assert digests == sorted(set(digests))
        assert len(digests) >= 4


def test_a_job_of_the_scheduler_is_only_a_nudge():
    """What is due is computed from the register, so a tick that is dropped loses nothing (1.6)."""
    source = (ROOT / "mailbot" / "app.py").read_text(encoding="utf-8")
    assert re.findall(r"add_job\((\S+),", source) == ["self._nudge"]
    users = subprocess.run(
        ["grep", "-lr", "--include=*.py", "add_job", str(ROOT / "mailbot")], capture_output=True, text=True, check=True
    )
    assert users.stdout.split() == [str(ROOT / "mailbot" / "app.py")]


async def test_a_reload_puts_the_limits_and_the_envelope_in_force_too(tmp_path):
    before = config.Settings(register=config.RegisterSettings(str(tmp_path / "register")))
    app = opened(before)
    assert (app.world.retry.give_up, app.world.envelope_from) == (timedelta(days=4), before.organisation.address)
    text = data.texts("rules")["limits.toml"].replace("give_up_days = 4", "give_up_days = 9")
    own = tmp_path / "rules"
    own.mkdir()
    (own / "limits.toml").write_text(text, encoding="utf-8")
    organisation = replace(before.organisation, address="privacy@kosternet.example")
    app.reload = lambda: replace(before, organisation=organisation, overrides=config.Overrides(rules=str(own)))
    app._reload()
    assert (app.world.retry.give_up, app.world.envelope_from) == (timedelta(days=9), "privacy@kosternet.example")
    await app.close()
