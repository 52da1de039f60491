"""A mail server that misbehaves: what is sent goes once, what is not is told, and the mailbox is watched all along."""

import asyncio
import base64
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from aiosmtpd.smtp import AuthResult
from fixtures.daemon import running, until
from fixtures.house import Clock, mail, opened, settings_for
from fixtures.proxy import CLIENT, SERVER, Proxy, cut, cut_before, go_dead, go_dead_before, rewrite
from fixtures.smtp import smtp_server
from test_killed import once, prepared
from test_outbox import outbox, sent

from mailbot import outbox as outbox_module
from mailbot.app import smtp_settings
from mailbot.client import LetterState
from mailbot.config import Smtp
from mailbot.errors import LoginRefused, OwnerMustFix, Refused
from mailbot.outbox import NotSent

OWNER = "geert@kosternet.example"
JAN = "jan@example.nl"


def wanted(sender=JAN):
    return mail("Hallo, ik wil graag inzage in mijn gegevens.", sender=sender, subject="inzage")


@pytest.fixture
def wire(smtp):
    """A proxy before the SMTP server."""
    proxy = Proxy("127.0.0.1", smtp.port)
    yield proxy
    proxy.close()


@asynccontextmanager
async def house(login, port, directory, clock=None, **changes):
    """A mailbot that has looked once, to be turned by hand."""
    settings = settings_for(login, port, directory)
    app = opened(replace(settings, smtp=replace(settings.smtp, **changes)), clock or Clock())
    app.world.outbox.settings = replace(app.world.outbox.settings, command_timeout=1.0, after_dot_timeout=0.5)
    await app.once()
    try:
        yield app
    finally:
        await app.close()


def letters(app, audience="person"):
    return [one for record in app.world.register.clients() for one in record.letters if one.audience == audience]


def state(app):
    return [one.state for one in letters(app)]


STAGES = {
    "connect": (rb"^220 [^\r]*", b"421 4.3.2 later"),
    "connect for good": (rb"^220 [^\r]*", b"554 no"),
    "DATA": (rb"354 [^\r]*", b"451 4.3.0 later"),
    "MAIL": "451 4.3.0 later",
    "MAIL for good": "550 5.7.1 sender refused",
    "RCPT": "450 4.2.0 greylisted",
    "after the dot": "452 4.3.1 no room",
    "away": "",
}


def unwell(stage, smtp, wire):
    fault = STAGES[stage]
    if isinstance(fault, tuple):
        wire.when(SERVER, fault[0], rewrite(fault[1]), times=10**6)
    elif stage.startswith("MAIL"):
        smtp.mail = fault
    else:
        wire.away = not fault
        (smtp.rcpt if stage == "RCPT" else smtp.data)["jan"] = fault


def well_again(smtp, wire):
    smtp.mail, wire.away = "", False
    smtp.rcpt.clear()
    smtp.data.clear()
    wire.faults.clear()
    wire.hang_up()


@pytest.mark.parametrize("stage", STAGES)
async def test_a_letter_put_off_is_offered_with_growing_pauses_and_goes_once(stage, mail_user, smtp, tmp_path, wire):
    clock = Clock()
    async with house(mail_user, wire.port, tmp_path, clock) as app:
        unwell(stage, smtp, wire)
        mail_user.deliver(wanted())
        pauses = []
        for _ in range(4):
            at = clock()
            await app.once()
            (letter,) = letters(app)
            pauses.append(round((letter.next_try - at) / timedelta(minutes=1)))
            assert (await app.once()).letters_waiting == 0, "not a moment before its time"
            clock.offset += letter.next_try - clock() + timedelta(seconds=1)
        assert pauses == [5, 10, 20, 40]
        assert smtp.raw == []
        well_again(smtp, wire)
        await app.once()
        await app.once()
        assert state(app) == [LetterState.SENT]
        assert len(smtp.to(JAN)) == 1
        assert len(mail_user.folder(f"Klanten/{JAN}")) == 2


async def test_a_recipient_who_is_put_off_for_days_is_given_up_and_the_owner_told(mail_user, smtp, tmp_path):
    clock = Clock()
    smtp.rcpt["jan"] = "450 4.2.0 mailbox busy"
    async with house(mail_user, smtp.port, tmp_path, clock) as app:
        began = clock()
        mail_user.deliver(wanted())
        attempts = 0
        while LetterState.FAILED not in state(app):
            await app.once()
            attempts += 1
            (letter,) = letters(app)
            clock.offset += max((letter.next_try or clock()) - clock(), timedelta()) + timedelta(seconds=1)
        await app.once()
        assert timedelta(days=4) < clock() - began < timedelta(days=4, hours=6)
        assert attempts < 40
        told = [m["X-Mailbot"] for m in smtp.to(OWNER)]
        assert told.count("notice-letter-failed") == 1
        ((case,),) = [record.cases for record in app.world.register.clients() if record.cases]
        assert case.events[-1].event == "letter_failed"
        assert case.is_open, "the case waits for the owner"


async def test_mail_that_cannot_leave_for_days_is_told_in_the_mailbox_itself(
    mail_user, smtp, tmp_path, wire, monkeypatch
):
    clock = Clock()
    async with house(mail_user, wire.port, tmp_path, clock) as app:
        wire.away = True
        mail_user.deliver(wanted())
        for _ in range(8):  # the eighth attempt is beyond four hours
            await app.once()
            assert app.trouble.exit_code == 75
            (letter,) = letters(app)
            clock.offset += letter.next_try - clock() + timedelta(seconds=1)
        (notice,) = [raw for raw in mail_user.folder("INBOX") if b"X-Mailbot: notice-trouble" in raw]
        assert b"Er kan geen brief weg" in notice
        with mail_user.client() as client:
            client.select_folder("INBOX")
            assert client.search(["FLAGGED", "UNSEEN"]), "it stands out and is not marked as read"
        clock.forward(days=14)  # the owner's warnings reach him there as well
        for _ in range(9):
            await app.once()
            clock.forward(hours=1)
        inbox = b"".join(mail_user.folder("INBOX"))
        assert b"X-Mailbot: notice-warning" in inbox
        assert b"X-Mailbot: notice-letter-failed" in inbox
        assert state(app) == [LetterState.FAILED]
        wire.away = False
        clock.forward(hours=5)
        await app.once()
        assert (await app.once()).messages == 0, "its own notices are no mail to it"
        assert not any(m["X-Mailbot"] == "notice-trouble" for m in smtp.mails), "told once, not again by mail"


async def test_the_status_line_says_that_letters_wait(mail_user, smtp, tmp_path, wire, monkeypatch):
    wire.away = True
    async with running(settings_for(mail_user, wire.port, tmp_path), monkeypatch) as watcher:
        mail_user.deliver(wanted())
        await until(lambda: watcher.heard("letters wait: smtp: the mail server cannot be reached"))
        await until(lambda: len(mail_user.folder(f"Klanten/{JAN}")) == 1)  # the request is in the register and filed


async def test_once_ends_with_75_while_letters_wait(mail_user, smtp, tmp_path, wire):
    config = prepared(mail_user, wire.port, tmp_path, tmp_path / "register")
    assert (await once(config))[0] == 0
    wire.away = True
    mail_user.deliver(wanted())
    code, errors = await once(config)
    assert code == 75
    assert "the mail server cannot be reached" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    "answer", ["450 4.7.1 slow down", "452 4.5.3 too many", "421 4.7.0 closing", "454 4.7.0 later"]
)
async def test_a_rate_limit_is_kept_to_and_every_letter_goes_once(answer, mail_user, smtp, tmp_path, wire):
    clock, people = Clock(), [f"persoon{place}@example{place}.nl" for place in range(7)]
    async with house(mail_user, wire.port, tmp_path, clock) as app:
        smtp.rcpt["*"] = answer
        for person in people:
            mail_user.deliver(wanted(person))
        await app.once()
        offered = wire.seen[CLIENT].count(b"RCPT TO")
        assert offered <= 4, "after a few in a row the server wants less of us, not of a recipient"
        smtp.rcpt.clear()
        for _ in range(3):
            clock.forward(minutes=6)
            await app.once()
        assert sorted(rcpts[0] for _, rcpts in smtp.envelopes) == people


async def test_what_befalls_one_letter_does_not_befall_the_others(mail_user, smtp, tmp_path):
    clock = Clock()
    smtp.rcpt |= {"weg": "550 5.1.1 unknown", "druk": "450 4.2.0 busy"}
    smtp.data |= {"vol": "552 5.3.4 too big", "kwijt": "keep-and-drop"}
    names = ["weg", "jan", "druk", "vol", "piet", "kwijt", "klaas"]
    async with house(mail_user, smtp.port, tmp_path, clock) as app:
        for place, name in enumerate(names):
            mail_user.deliver(wanted(f"{name}@example{place}.nl"))
        await app.once()
        await app.once()
        smtp.rcpt.pop("druk")
        smtp.data.pop("kwijt")
        clock.forward(minutes=6)
        await app.once()
        got = {one.to.partition("@")[0]: one.state for one in letters(app)}
        assert got == {name: LetterState.FAILED if name in {"weg", "vol"} else LetterState.SENT for name in names}
        sent_to = [
            (rcpts[0].partition("@")[0], m["Message-ID"])
            for m, (_, rcpts) in zip(smtp.mails, smtp.envelopes, strict=True)
        ]
        persons = [pair for pair in sent_to if pair[0] in names]
        assert sorted(name for name, _ in set(persons)) == ["druk", "jan", "klaas", "kwijt", "piet"]
        assert [name for name, _ in persons if persons.count((name, dict(persons)[name])) > 1] == ["kwijt", "kwijt"]
        assert [m["X-Mailbot"] for m in smtp.to(OWNER)].count("notice-letter-failed") == 2


async def test_a_notice_the_owners_address_refuses_is_put_into_the_mailbox(mail_user, smtp, tmp_path):
    smtp.rcpt["geert"] = "550 5.1.1 no such user"
    async with house(mail_user, smtp.port, tmp_path) as app:
        mail_user.deliver(mail("Ik maak bezwaar tegen reclame met mijn gegevens.", subject="bezwaar"))
        await app.once()
        assert b"X-Mailbot: notice-request" in b"".join(mail_user.folder("INBOX"))
        assert (await app.once()).messages == 1, "it sees its own notice once, and lets it lie"
        assert len(mail_user.folder("INBOX")) == 1


def secrets(wire):
    """Whatever could be a password on the wire."""
    seen = wire.seen[CLIENT]
    coded = [base64.b64encode(text) for text in (b"geheim", b"\0info@kosternet.nl\0geheim", b"info@kosternet.nl")]
    return [text for text in (b"geheim", b"AUTH", *coded) if text.lower() in seen.lower()]


@pytest.mark.parametrize("fault", ["not offered", "refused", "hung up"])
async def test_without_starttls_no_password_crosses_the_wire_and_the_watch_goes_on(
    fault, mail_user, smtp, tmp_path, wire
):
    if fault != "not offered":
        wire.when(SERVER, rb"250-SIZE", rewrite(rb"250-STARTTLS\r\n250-SIZE"), times=99)
        wire.when(SERVER, rb"5\d\d [^\r]*STARTTLS[^\r]*", rewrite(b"454 no") if fault == "refused" else cut_before, 99)
    login = {"security": "starttls", "username": "info@kosternet.nl", "password": "geheim"}
    async with house(mail_user, wire.port, tmp_path, **login) as app:
        mail_user.deliver(wanted())
        await app.once()
        assert wire.connections >= 1
        assert secrets(wire) == []
        assert smtp.raw == []
        assert isinstance(app.trouble, OwnerMustFix) == (fault == "not offered")
        assert len(mail_user.folder(f"Klanten/{JAN}")) == 1, "the request is registered and filed all the same"
        assert state(app) == [LetterState.QUEUED]


async def test_a_refused_mail_login_is_tried_three_times_and_told_in_the_mailbox(mail_user, tmp_path, monkeypatch):
    def nobody(*_):
        return AuthResult(success=False, handled=False)

    async with smtp_server(authenticator=nobody, auth_require_tls=False) as smtp:
        wire = Proxy("127.0.0.1", smtp.port)
        settings = settings_for(mail_user, wire.port, tmp_path)
        login = replace(settings.smtp, username="info@kosternet.nl", password="fout")
        async with running(replace(settings, smtp=login), monkeypatch) as watcher:
            mail_user.deliver(wanted())
            assert await watcher.ends() == LoginRefused.exit_code == 3
        assert wire.seen[CLIENT].upper().count(b"EHLO") == 3
        wire.close()
    assert b"X-Mailbot: notice-trouble" in b"".join(mail_user.folder("INBOX"))
    assert len(mail_user.folder(f"Klanten/{JAN}")) == 1


async def test_a_domain_with_accents_is_acknowledged_and_a_local_part_with_accents_is_the_owners(
    mail_user, smtp, tmp_path
):
    async with house(mail_user, smtp.port, tmp_path) as app:
        mail_user.deliver(wanted("Jan <jan@münchen.example>"))
        mail_user.deliver(wanted("Jàn <jàn@example.org>"))
        await app.once()
        assert [rcpts for _, rcpts in smtp.envelopes if rcpts != [OWNER]] == [["jan@xn--mnchen-3ya.example"]]
        assert [m["X-Mailbot"] for m in smtp.to(OWNER)] == ["notice-unanswered"]
        assert sum(len(record.cases) for record in app.world.register.clients()) == 2


async def test_a_local_part_with_accents_goes_where_the_server_can_write_it(smtp):
    await sent(outbox(smtp.port), "jàn@example.nl")
    assert smtp.envelopes[0][1] == ["jàn@example.nl"]


async def test_the_server_may_think_for_ten_minutes_after_the_dot_and_no_longer_over_the_rest(smtp, monkeypatch):
    settings = smtp_settings(replace(settings_for_nobody(), smtp=Smtp(host="127.0.0.1", port=smtp.port)))
    assert (settings.after_dot_timeout, settings.command_timeout) == (600.0, 60.0)
    thinking = asyncio.Event()
    taken = smtp.handle_DATA

    async def slow(*args):
        await thinking.wait()
        return await taken(*args)

    monkeypatch.setattr(smtp, "handle_DATA", slow)
    asyncio.get_running_loop().call_later(0.4, thinking.set)
    accepted = await sent(outbox(smtp.port, command_timeout=0.2, after_dot_timeout=20.0))
    assert accepted.reply.startswith("250")


def settings_for_nobody():
    class Nobody:
        user = "info@kosternet.nl"

        class server:  # noqa: N801 - stands for the attribute of a login
            host, imap_port, variant, ca_file = "127.0.0.1", 1, "plain", ""

    return settings_for(Nobody, 1, "/nowhere")


@pytest.mark.parametrize(
    ("pattern", "act"),
    [(rb"221 [^\r]*\r\n", go_dead), (rb"221 [^\r]*", cut_before), (rb"221 [^\r]*", rewrite(b"500 what?"))],
    ids=["hangs", "hangs up", "refuses"],
)
async def test_a_quit_that_fails_costs_no_letter_and_no_time(pattern, act, smtp, wire, monkeypatch):
    monkeypatch.setattr(outbox_module, "QUIT", 0.3)
    if act is go_dead:
        wire.when(CLIENT, rb"QUIT", go_dead_before)
    else:
        wire.when(SERVER, pattern, act)
    box = outbox(wire.port)
    await sent(box)
    started = asyncio.get_running_loop().time()
    await box.close()
    assert asyncio.get_running_loop().time() - started < 3
    assert wire.happened == 1
    await sent(box, "piet@example.nl")
    assert len(smtp.raw) == 2
    await box.close()


RUBBISH = {
    "greeting": (rb"^220 [^\r]*", False),
    "answer to MAIL": (rb"250 OK(?=\r\n)", False),
    "answer after the dot": (rb"250 queued", True),
}


SAID = {"http": b"HTTP/1.1 400 Bad Request", "long": b"9" * 9000, "binary": b"\xff\xfe\x00"}


async def offered(box, to=JAN):
    """Offer a letter and return what kept it, if anything did."""
    try:
        await sent(box, to)
    except NotSent as error:
        return error
    return None


@pytest.mark.parametrize("by", SAID)
@pytest.mark.parametrize("place", RUBBISH)
async def test_rubbish_on_the_line_is_for_later_and_the_connection_is_left(place, by, smtp, wire):
    pattern, maybe = RUBBISH[place]
    wire.when(SERVER, pattern, rewrite(SAID[by]))
    box = outbox(wire.port, command_timeout=0.5, after_dot_timeout=0.5)
    error = await offered(box)
    assert error is not None
    assert error.maybe is maybe
    assert await offered(box) is None
    assert len(smtp.raw) == (2 if maybe else 1)
    await box.close()


@pytest.mark.parametrize("stage", ["mail", "data"])
async def test_a_letter_that_is_too_big_is_refused_for_good(stage, smtp):
    if stage == "mail":
        smtp.mail = "552 5.3.4 too big"
    else:
        smtp.data["jan"] = "552 5.3.4 too big"
    box = outbox(smtp.port)
    with pytest.raises(Refused, match="552"):
        await sent(box)
    await box.close()


@pytest.mark.parametrize("fault", ["while it was kept", "at MAIL", "at DATA"])
async def test_a_connection_that_dies_between_letters_costs_none(fault, smtp, wire):
    box = outbox(wire.port, command_timeout=1.0)
    await sent(box)
    if fault == "while it was kept":
        wire.hang_up()
    else:
        wire.when(CLIENT, rb"MAIL FROM[^\r]*\r\n" if fault == "at MAIL" else rb"DATA\r\n", cut)
    error = await offered(box, "piet@example.nl")
    if error is not None:
        assert error.maybe, "only what may have been taken is left to the one place that retries"
        await sent(box, "piet@example.nl")
    assert [rcpts for _, rcpts in smtp.envelopes] == [[JAN], ["piet@example.nl"]]
    await box.close()


async def test_each_connection_gets_a_fresh_token(wire):
    given = []

    def token():
        given.append(f"token-{len(given)}")
        return given[-1]

    wire.when(SERVER, rb"250-SIZE", rewrite(rb"250-AUTH XOAUTH2\r\n250-SIZE"), times=9)
    box = outbox(wire.port, username="info@kosternet.nl", token=token)
    for _ in range(2):  # this server knows no tokens, so it refuses them
        with pytest.raises((LoginRefused, NotSent)):
            await sent(box)
    assert given == ["token-0", "token-1"]
    lines = [line.split()[2] for line in wire.seen[CLIENT].split(b"\r\n") if line.startswith(b"AUTH XOAUTH2")]
    assert [b"token-%d" % place in base64.b64decode(line) for place, line in enumerate(lines)] == [True, True]


async def test_a_mail_server_whose_name_does_not_resolve_is_for_later():
    with pytest.raises(NotSent, match="cannot be reached"):
        await sent(outbox(25, host="nergens.invalid"))


async def test_a_letter_needs_no_more_than_seven_bits_and_short_lines(mail_user, smtp, tmp_path, wire):
    wire.when(SERVER, rb"250-8BITMIME\r\n", rewrite(b""), times=9)
    async with house(mail_user, wire.port, tmp_path) as app:
        mail_user.deliver(wanted())
        await app.once()
        (letter,) = smtp.raw
        assert letter.isascii()
        assert max(map(len, letter.split(b"\r\n"))) < 998
        assert b"\n" not in letter.replace(b"\r\n", b"")
