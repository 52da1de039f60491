"""A network that misbehaves: whatever it does, afterwards one case, one letter, the message filed and nothing lost."""

import asyncio
import contextlib
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fixtures.daemon import running, state_of, until
from fixtures.dovecot import Dovecot, instance
from fixtures.house import Clock, mail, settings_for, turn
from fixtures.proxy import (
    CLIENT,
    SERVER,
    Proxy,
    cut,
    cut_before,
    cut_inside,
    go_dead,
    hold,
    rewrite,
    split,
    then,
)
from test_killed import configuration

from mailbot import owner
from mailbot.errors import OwnerMustFix
from mailbot.register import Register

ROOT = Path(__file__).resolve().parents[1]
OWNER = "geert@kosternet.example"
WANTED = mail("Hallo, ik wil graag inzage in mijn gegevens.", subject="inzage")
DONE = {"cases": 1, "letters": ["sent"], "owed": 0, "unfiled": 0}
FOLDER = "Klanten/jan@example.nl"


@pytest.fixture
def proxies():
    """Makes proxies and closes them at the end."""
    made = []

    def make(host, port, **options):
        made.append(Proxy(host, port, **options))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


def behind(login, smtp_port, directory, proxy, **changes):
    settings = settings_for(login, smtp_port, directory)
    values = {"host": "127.0.0.1", "port": proxy.port, "poll_seconds": 1, **changes}
    return replace(settings, imap=replace(settings.imap, **values))


def before(login, proxies):
    return proxies(login.server.host, login.server.imap_port)


async def finished(login, smtp, directory, folder=FOLDER, inbox="INBOX"):
    """Wait for the end state, and look that it is exactly that."""
    await until(lambda: len(login.folder(folder)) >= 2 and state_of(directory) | DONE == state_of(directory))
    state = state_of(directory)
    assert {name: state[name] for name in DONE} == DONE
    assert len(smtp.to("jan@example.nl")) == 1
    assert len(login.folder(folder)) == 2
    assert len(login.folder("Sent")) == 1
    assert login.folder(inbox) == []


FAULTS = {
    "hangs up in IDLE": (SERVER, rb"\+ idling\r\n", cut),
    "is half-open in IDLE": (SERVER, rb"\+ idling\r\n", go_dead),
    "says BYE in IDLE": (SERVER, rb"\+ idling\r\n", then(b"* BYE Disconnected for inactivity.\r\n")),
    "splits EXISTS": (SERVER, rb"\* \d+ EXISTS\r\n(?!\* \d+ RECENT\r\n\*)", split),
    "says EXISTS before the +": (SERVER, rb"\+ idling\r\n", rewrite(rb"* 1 EXISTS\r\n+ idling\r\n")),
    "hangs up in a literal": (SERVER, rb"BODY\[\] \{\d+\}\r\n.{40}", cut_inside),
    "stalls in a literal": (SERVER, rb"BODY\[\] \{\d+\}\r\n.{40}", go_dead),
    "hangs up after FETCH": (CLIENT, rb"UID FETCH [^\r]*BODY", cut),
    "loses the answer to MOVE": (SERVER, rb"\* OK \[COPYUID", cut_before),
    "is half-open after MOVE": (CLIENT, rb"UID MOVE [^\r]*\r\n", go_dead),
    "hangs up before MOVE": (CLIENT, rb"\w+ UID MOVE", cut_before),
    "hangs up in an APPEND": (CLIENT, rb"Auto-Submitted: auto-replied\r\n", cut),
    "loses the answer to APPEND": (SERVER, rb"\w+ OK \[APPENDUID", cut_before),
    "gives no text": (SERVER, rb"BODY\[\] \{\d+\}\r\n.*\)\r\n(?=\w+ OK)", rewrite(rb"BODY[] NIL)\r\n")),
    "says OK and no more": (SERVER, rb"(\w+) OK NOOP completed[^\r]*", rewrite(rb"\1 OK")),
    "talks rubbish": (SERVER, rb"\* STATUS [^\r]*", rewrite(rb"* STATUS ((((")),
    "sends numbers that are none": (SERVER, rb"UIDNEXT \d+", rewrite(rb"UIDNEXT veel")),
    "speaks of mail nobody asked for": (SERVER, rb"\* \d+ FETCH", rewrite(rb"* 99 FETCH (UID 999 FLAGS ())\r\n\g<0>")),
    "refuses once for no reason": (SERVER, rb"\* SEARCH[^\r]*\r\n(\w+) OK [^\r]*", rewrite(rb"\1 NO no idea")),
    "is full for once": (SERVER, rb"\* [^\r]*\r\n(\w+) OK Fetch completed", rewrite(rb"\1 NO [LIMIT] wait")),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_server_that(name, mail_user, smtp, tmp_path, proxies, monkeypatch):
    proxy = before(mail_user, proxies)
    settings = behind(mail_user, smtp.port, tmp_path, proxy)
    async with running(settings, monkeypatch, read_timeout=0.5) as watcher:
        await until(lambda: b"+ idling" in proxy.seen[SERVER])
        proxy.when(*FAULTS[name])
        mail_user.deliver(WANTED)
        await until(lambda: proxy.happened)
        await finished(mail_user, smtp, tmp_path)
        turns = watcher.turns()
        await until(lambda: watcher.turns() > turns)  # and the watch goes on
    assert proxy.connections <= 4, "a reconnect or two, no storm"


async def test_the_first_hole_of_idle_a_dead_connection_is_no_reason_to_spin(
    mail_user, smtp, tmp_path, proxies, monkeypatch
):
    proxy = before(mail_user, proxies).when(SERVER, rb"\+ idling\r\n", cut, times=4)
    async with running(behind(mail_user, smtp.port, tmp_path, proxy), monkeypatch) as watcher:
        await until(lambda: proxy.happened == 4 and watcher.turns() > 4)
        assert proxy.connections == 5, "each hang-up costs one connection"
        pauses = [one for one in watcher.said if "trying again" in one]
        assert len(pauses) == 4, "and one pause"
        mail_user.deliver(WANTED)
        await finished(mail_user, smtp, tmp_path)


@pytest.mark.parametrize("over", ["plain", "tls"])
async def test_the_second_hole_of_idle_a_line_in_two_packets_is_not_lost(
    over, mail_user, smtp, tmp_path, proxies, monkeypatch
):
    server = mail_user.server
    certificate = (server.ca_file, str(server.folder / "key.pem")) if over == "tls" else None
    proxy = proxies(server.host, server.imap_port, certificate=certificate)
    security = {"security": "tls"} if over == "tls" else {}
    settings = behind(mail_user, smtp.port, tmp_path, proxy, poll_seconds=240, **security)
    async with running(settings, monkeypatch):
        await until(lambda: b"+ idling" in proxy.seen[SERVER])
        proxy.when(SERVER, rb"\* \d+ EXISTS\r\n", split)
        mail_user.deliver(WANTED)
        await finished(mail_user, smtp, tmp_path)
    assert (proxy.happened, proxy.connections) == (1, 1)


async def test_the_third_hole_of_idle_what_comes_with_the_plus_is_seen_at_once(
    mail_user, smtp, tmp_path, proxies, monkeypatch
):
    proxy = before(mail_user, proxies).when(SERVER, rb"\+ idling\r\n", hold)
    settings = behind(mail_user, smtp.port, tmp_path, proxy, poll_seconds=240)
    async with running(settings, monkeypatch, read_timeout=20):
        await until(lambda: proxy.happened)
        mail_user.deliver(WANTED)  # the + waits in the proxy until EXISTS comes along
        await finished(mail_user, smtp, tmp_path)
    assert proxy.connections == 1


async def test_the_fourth_hole_of_idle_a_half_open_connection_is_left_in_time(
    mail_user, smtp, tmp_path, proxies, monkeypatch
):
    proxy = before(mail_user, proxies).when(SERVER, rb"\+ idling\r\n", go_dead)
    async with running(behind(mail_user, smtp.port, tmp_path, proxy), monkeypatch, read_timeout=0.3):
        await until(lambda: proxy.happened)
        mail_user.deliver(WANTED)
        await finished(mail_user, smtp, tmp_path)
    assert proxy.connections == 2


async def test_what_comes_while_it_is_busy_filing_is_not_left_until_the_next_look(
    mail_user, smtp, tmp_path, proxies, monkeypatch
):
    proxy = before(mail_user, proxies)

    def deliver_another(pipe, match):
        mail_user.deliver(mail("Verwijder al mijn gegevens.", sender="piet@example.org", subject="wissen"))
        pipe.release()

    settings = behind(mail_user, smtp.port, tmp_path, proxy, poll_seconds=240)
    async with running(settings, monkeypatch):
        await until(lambda: b"+ idling" in proxy.seen[SERVER])
        proxy.when(CLIENT, rb"UID MOVE", deliver_another)
        mail_user.deliver(WANTED)
        await until(lambda: smtp.to("piet@example.org"))
    assert proxy.happened == 1


async def test_idle_is_renewed_and_the_mailbox_looked_at_though_nothing_is_said(
    mail_user, smtp, tmp_path, proxies, monkeypatch
):
    proxy = before(mail_user, proxies)
    settings = behind(mail_user, smtp.port, tmp_path, proxy, poll_seconds=0.05)
    async with running(settings, monkeypatch):
        await until(lambda: proxy.seen[CLIENT].count(b"IDLE\r\n") > 3)
    assert proxy.seen[CLIENT].count(b"DONE\r\n") >= 3
    assert proxy.connections == 1


GREETING = rb"^\* OK [^\r\n]*"
LOGGED_IN = rb"(\w+) OK [^\r\n]*Logged in[^\r\n]*"
ENTRANCE = {
    "too many connections": (SERVER, GREETING, rewrite(rb"* BYE too many connections")),
    "LIMIT at login": (SERVER, LOGGED_IN, rewrite(rb"\1 NO [LIMIT] too many connections")),
    "UNAVAILABLE at login": (SERVER, LOGGED_IN, rewrite(rb"\1 NO [UNAVAILABLE] later")),
    "a hang-up at login": (SERVER, LOGGED_IN, cut_before),
    "silence at login": (SERVER, LOGGED_IN, go_dead),
    "a hang-up after SELECT": (CLIENT, rb"SELECT \"?INBOX", cut),
}


@pytest.mark.parametrize("name", ENTRANCE)
async def test_a_door_that_stays_shut_for_now_is_tried_again_and_never_taken_for_a_wrong_password(
    name, mail_user, smtp, tmp_path, proxies, monkeypatch
):
    proxy = before(mail_user, proxies).when(*ENTRANCE[name], times=4)  # more often than a refused login may be tried
    settings = behind(mail_user, smtp.port, tmp_path, proxy)
    async with running(settings, monkeypatch, read_timeout=0.2) as watcher:
        await until(watcher.turns)
        mail_user.deliver(WANTED)
        await finished(mail_user, smtp, tmp_path)
        assert watcher.said[0].startswith("READY=1"), "systemd is told at once, or it would end the start"
    assert proxy.connections == 5


async def test_a_server_that_restarts_is_found_again_with_what_came_meanwhile(smtp, tmp_path, proxies, monkeypatch):
    server = Dovecot()
    try:
        login = server.user()
        proxy = before(login, proxies)
        async with running(behind(login, smtp.port, tmp_path, proxy), monkeypatch) as watcher:
            await until(lambda: b"+ idling" in proxy.seen[SERVER])
            server.stop()
            await until(lambda: watcher.heard("trying again"))
            server.start()
            login.deliver(WANTED)
            await finished(login, smtp, tmp_path)
    finally:
        server.close()


WRAPPED = "from mailbot import app; app.BACKOFF = (0.01,); from mailbot.cli import main; main()"


async def test_a_wrong_password_is_tried_three_times_and_then_the_process_ends_with_3(
    mail_user, smtp, tmp_path, proxies
):
    proxy = before(mail_user, proxies)
    config = tmp_path / "mailbot.toml"
    text = configuration(mail_user, smtp.port, tmp_path / "register").split("[overrides]", maxsplit=1)[0]
    text = text.replace(f"port = {mail_user.server.imap_port}", f"port = {proxy.port}")
    config.write_text(text.replace('password = "geheim"', 'password = "fout"'), encoding="utf-8")
    config.chmod(0o600)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRAPPED, "run", "--config", str(config), stderr=subprocess.PIPE, cwd=ROOT
    )
    _, errors = await asyncio.wait_for(child.communicate(), 30)
    assert child.returncode == 3, errors.decode()
    assert b"refused the user name or password" in errors
    assert b"Traceback" not in errors
    assert proxy.seen[CLIENT].count(b" LOGIN ") == 3
    (notice,) = smtp.to(OWNER)  # mail still works, so the owner hears that nobody watches any more
    assert notice["Subject"] == "De mailbox is niet bereikbaar"


async def test_a_mailbox_that_can_only_be_read_stops_the_start_and_says_so(mail_user, smtp, tmp_path, proxies):
    proxy = before(mail_user, proxies).when(SERVER, rb"READ-WRITE", rewrite(b"READ-ONLY"), times=9)
    with pytest.raises(OwnerMustFix, match="can only be read"):
        await turn(behind(mail_user, smtp.port, tmp_path, proxy))


async def test_a_mailbox_that_becomes_read_only_is_not_left_alone(mail_user, smtp, tmp_path, proxies, monkeypatch):
    proxy = before(mail_user, proxies)
    async with running(behind(mail_user, smtp.port, tmp_path, proxy), monkeypatch) as watcher:
        await until(lambda: b"+ idling" in proxy.seen[SERVER])
        proxy.when(SERVER, rb"READ-WRITE", rewrite(b"READ-ONLY"), times=2)
        proxy.hang_up()
        await until(lambda: watcher.heard("can only be read"))
        mail_user.deliver(WANTED)
        await finished(mail_user, smtp, tmp_path)


async def test_starttls_that_is_not_offered_lets_no_password_out(mail_user, smtp, tmp_path, proxies):
    proxy = before(mail_user, proxies).when(SERVER, rb"STARTTLS ", rewrite(b""), times=9)
    with pytest.raises(OwnerMustFix, match="STARTTLS"):
        await turn(behind(mail_user, smtp.port, tmp_path, proxy, security="starttls"))
    assert b"geheim" not in proxy.seen[CLIENT]
    assert b"LOGIN" not in proxy.seen[CLIENT]


async def test_without_move_a_lost_answer_to_copy_files_nothing_twice(smtp, tmp_path, proxies, monkeypatch):
    login = instance("no_move").user()
    proxy = before(login, proxies).when(SERVER, rb"(\w+) OK \[COPYUID[^\r]*", cut_before)
    async with running(behind(login, smtp.port, tmp_path, proxy), monkeypatch):
        await until(lambda: b"+ idling" in proxy.seen[SERVER])
        login.deliver(WANTED)
        await finished(login, smtp, tmp_path)
    assert proxy.happened == 1


async def test_a_folder_that_is_really_made_anew_is_matched_again_and_letters_wait(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    settings = replace(settings, imap=replace(settings.imap, inbox="Verzoeken"))
    with mail_user.client() as client:
        client.create_folder("Verzoeken")
    await turn(settings)
    doubtful = b"From: piet@example.org\r\nSubject: x\r\nContent-Type: application/pkcs7-mime\r\n\r\nAAAA\r\n"
    mail_user.append(doubtful, folder="Verzoeken")
    await turn(settings)
    with mail_user.client() as client:
        was = client.select_folder("Verzoeken")[b"UIDVALIDITY"]
        client.unselect_folder()
        client.delete_folder("Verzoeken")
        client.create_folder("Verzoeken")
        assert client.select_folder("Verzoeken")[b"UIDVALIDITY"] != was
        client.append("Verzoeken", doubtful)
        client.append("Verzoeken", WANTED)
    await turn(settings)
    await turn(settings)
    assert smtp.to("jan@example.nl") == []
    assert [m["X-Mailbot"] for m in smtp.to(OWNER)].count("notice-stop") == 1
    assert state_of(tmp_path)["cases"] == 2, "the doubtful one was known, the new one is new"
    assert mail_user.folder("Verzoeken") == [doubtful], "what the owner must look at stays in sight"
    register = owner.open_register(settings)
    assert owner.release(register, None) == 1
    register.close()
    await turn(settings)
    assert len(smtp.to("jan@example.nl")) == 1


async def test_a_full_mailbox_is_told_once_and_the_work_goes_on(smtp, tmp_path, monkeypatch):
    login = instance("quota").user()
    settings = settings_for(login, smtp.port, tmp_path)
    async with running(settings, monkeypatch) as watcher:
        await until(watcher.turns)
        login.append(b"From: piet@example.org\r\nSubject: foto\r\n\r\n" + b"x" * 290_000)
        login.deliver(WANTED)
        await until(lambda: smtp.to("jan@example.nl"))
        await until(lambda: any(m["X-Mailbot"] == "notice-trouble" for m in smtp.to(OWNER)))
        await until(lambda: state_of(tmp_path)["filed"] == ["filed"])
        assert state_of(tmp_path)["owed"] == 1, "the copies wait for room"
        with login.client() as client:  # the owner makes room
            client.select_folder("INBOX")
            client.delete_messages(client.search("ALL"))
            client.expunge()
        watcher.app.world.imap.mailbox.wake()
        await finished(login, smtp, tmp_path)
    assert [m["X-Mailbot"] for m in smtp.to(OWNER)] == ["notice-trouble"]


async def test_a_second_daemon_on_the_register_is_refused(mail_user, smtp, tmp_path, monkeypatch):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    async with running(settings, monkeypatch):
        with pytest.raises(Exception, match="another mailbot is at work"):
            await turn(settings)


async def test_two_registers_on_one_mailbox_send_one_letter_and_the_owner_hears_of_it(
    mail_user, smtp, tmp_path, monkeypatch
):
    first = settings_for(mail_user, smtp.port, tmp_path / "first")
    second = settings_for(mail_user, smtp.port, tmp_path / "second")
    async with running(first, monkeypatch):
        for _ in range(2):
            with pytest.raises(OwnerMustFix, match="another register"):
                await turn(second)
        mail_user.deliver(WANTED)
        await finished(mail_user, smtp, tmp_path / "first")
    assert state_of(tmp_path / "second")["cases"] == 0
    assert [m["Subject"] for m in smtp.to(OWNER)] == ["Er zijn twee mailbots voor een mailbox"], "told once"


async def test_the_owner_hands_the_mailbox_over_by_deleting_the_claim(mail_user, smtp, tmp_path):
    await turn(settings_for(mail_user, smtp.port, tmp_path / "first"))
    second = settings_for(mail_user, smtp.port, tmp_path / "second")
    with pytest.raises(OwnerMustFix, match="delete its mail in Klanten"):
        await turn(second)
    with mail_user.client() as client:
        client.select_folder("Klanten")
        client.delete_messages(client.search("ALL"))
        client.expunge()
    await turn(second)
    mail_user.deliver(WANTED)
    await turn(second)
    assert len(smtp.to("jan@example.nl")) == 1


async def test_another_program_that_reads_moves_and_deletes_meanwhile_harms_nothing(
    mail_user, smtp, tmp_path, monkeypatch
):
    people = [f"persoon{place}@example{place}.nl" for place in range(6)]
    async with running(settings_for(mail_user, smtp.port, tmp_path), monkeypatch) as watcher:
        await until(watcher.turns)
        with mail_user.client() as other:
            other.create_folder("Elders")
            for place, person in enumerate(people):
                mail_user.deliver(mail("Ik wil graag inzage in mijn gegevens.", sender=person, subject="inzage"))
                other.select_folder("INBOX")
                uids = other.search(["FROM", person])
                with contextlib.suppress(Exception):  # it may be gone: mailbot is at work too
                    if place % 3 == 0:
                        other.add_flags(uids, [b"\\Seen"])
                    elif place % 3 == 1:
                        other.move(uids, "Elders")
                    else:
                        other.delete_messages(uids)
                        other.expunge()
        mail_user.deliver(WANTED)
        await until(lambda: smtp.to("jan@example.nl"))
        await until(lambda: len(mail_user.folder(FOLDER)) == 2)
    register = Register.open(tmp_path)
    for record in register.clients():
        assert len(record.cases) <= 1
    written_to = [rcpts[0] for _, rcpts in smtp.envelopes if rcpts[0] != OWNER]
    assert len(written_to) == len(set(written_to)), "nobody was written to twice"
    cases = {record.address for record in register.clients() if record.cases}
    assert set(written_to) == cases, "and whoever has a case has a letter"
    read = [person for place, person in enumerate(people) if place % 3 == 0]
    assert set(read) <= cases, "what the other program only read is not lost"


async def test_a_client_folder_the_owner_removed_is_made_again(mail_user, smtp, tmp_path, monkeypatch):
    async with running(settings_for(mail_user, smtp.port, tmp_path), monkeypatch) as watcher:
        await until(watcher.turns)
        mail_user.deliver(WANTED)
        await finished(mail_user, smtp, tmp_path)
        with mail_user.client() as client:
            client.delete_folder(FOLDER)
        mail_user.deliver(mail("Ik maak bezwaar tegen reclame met mijn gegevens.", subject="bezwaar"))
        await until(lambda: len(mail_user.folder(FOLDER)) == 2)


async def test_while_the_mailbox_is_away_terms_are_still_warned_about_and_the_owner_hears_why(
    mail_user, smtp, tmp_path, proxies, monkeypatch
):
    proxy, clock = before(mail_user, proxies), Clock()
    settings = behind(mail_user, smtp.port, tmp_path, proxy)
    async with running(settings, monkeypatch, clock) as watcher:
        await until(watcher.turns)
        mail_user.deliver(WANTED)
        await finished(mail_user, smtp, tmp_path)
        proxy.away = True
        proxy.hang_up()
        await until(lambda: "trouble mailbox" in watcher.app.world.register.office.marks)
        clock.forward(days=29)  # the promise is over
        told = {"notice-warning", "notice-trouble"}
        await until(lambda: told <= {m["X-Mailbot"] for m in smtp.to(OWNER)})
        proxy.away = False
        turns = watcher.turns()
        await until(lambda: watcher.turns() > turns)
    register = Register.open(tmp_path)
    assert not [name for name in register.office.marks if name.startswith("trouble")]


async def test_a_server_whose_clock_is_ahead_gives_no_request_a_date_to_come(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.append(WANTED, datetime.now(UTC) + timedelta(days=3))
    await turn(settings)
    register = Register.open(tmp_path)
    (case,) = [case for record in register.clients() for case in record.cases]
    assert case.received <= datetime.now(UTC)
