"""What is large or odd is read by a process that may die of it: the mailbot goes on and the owner hears of it."""

import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from fixtures import bombs
from fixtures.house import mail, opened, settings_for, turn
from test_daemon import started, until, written

from mailbot.classify import Decision
from mailbot.register import Register
from mailbot.understanding import LARGE, Understanding, is_odd

ACCESS = "Ik wil graag inzage in mijn gegevens."
HUNDRED_MB = (b"A" * 76 + b"\r\n") * (100 * 1024 * 1024 // 57)


def bombed(house):
    """The house, with a reader that bombs blow up."""
    reading = house.reader.read.keywords["reading"]
    return replace(house, reader=replace(house.reader, read=partial(bombs.read, reading=reading)))


@pytest.mark.parametrize("kind", ["time", "memory"])
async def test_a_message_that_breaks_its_reader_is_registered_as_unreadable_for_the_owner(
    kind, mail_user, smtp, tmp_path
):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail(ACCESS + "=?" * 300, subject="eerst", headers=f"X-Bomb: BOMB: {kind}\r\n"))
    mail_user.deliver(mail(ACCESS, sender="piet@example.org", subject="inzage"))
    app = opened(settings)
    app.house, app.world.understanding = bombed(app.house), Understanding(seconds=1)
    summary = await app.once()
    await app.close()
    assert (summary.reviews, summary.requests, summary.letters_sent) == (1, 1, 2)
    assert [letter["X-Mailbot"] for letter in smtp.to("geert@kosternet.example")] == ["notice-review"]
    assert smtp.to("piet@example.org")
    assert smtp.to("jan@example.nl") == []
    (case,) = [case for record in Register.open(tmp_path).clients() for case in record.cases if case.state == "review"]
    assert "too heavy to read" in case.events[0].reason
    assert any(record.address == "jan@example.nl" for record in Register.open(tmp_path).clients())
    assert (await turn(settings)).messages == 0


async def test_what_a_worker_understands_is_what_is_understood_here(mail_user, smtp, tmp_path):
    reader = opened(settings_for(mail_user, smtp.port, tmp_path)).house.reader
    raws = [mail(ACCESS, subject=str(place)) for place in range(25)]
    understanding = Understanding()
    found = await understanding.of(raws, (reader.read, reader.classify), many=True)
    assert [(one.message, one.verdict) for one in found] == [reader.understood(raw) for raw in raws]
    assert found[0].verdict.decision is Decision.REQUEST
    assert await understanding.of(raws[:2], (reader.read, reader.classify)) == [None, None]
    await understanding.close()


def test_odd_is_what_people_do_not_send():
    assert not is_odd(mail(f"{ACCESS}\r\n" * 500))
    nested = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" * 30
    for raw in (mail("x" * (LARGE + 1)), mail("\0"), nested, b"X: " + b"a" * 20_000, mail("=?" * 300)):
        assert is_odd(raw)


def peak_kb(process):
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


async def test_an_attachment_of_a_hundred_megabytes_costs_the_daemon_no_memory(mail_user, smtp, tmp_path):
    daemon = await started(written(mail_user, smtp.port, tmp_path), tmp_path)
    mail_user.deliver(mail(ACCESS, sender="piet@example.org"))
    await until(lambda: len(mail_user.folder("Klanten/piet@example.org")) == 2)
    before = peak_kb(daemon.child.pid)
    head = mail(ACCESS, headers="MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nX-Was: ")
    part = f"\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{ACCESS}\r\n".encode()
    scan = b"--b\r\nContent-Type: application/pdf; name=scan.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    mail_user.append(head + part + scan + HUNDRED_MB + b"--b--\r\n")
    await until(lambda: smtp.to("jan@example.nl"), 60)
    await until(lambda: "Klanten/jan@example.nl" in mail_user.folders(), 60)
    grown = peak_kb(daemon.child.pid) - before
    print(f"peak memory of the daemon {before / 1024:.0f} MB, {grown / 1024:.1f} MB more for 100 MB")
    daemon.child.send_signal(signal.SIGTERM)
    await daemon.child.communicate()
    assert grown < 10 * 1024
