"""The end of a case: who asked to be erased is in no byte of the register or the mailbox, and stays out of both."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import golden
import pytest
from fixtures.dovecot import instance
from fixtures.house import Clock, cases, mail, settings_for, turn
from test_owner_mail import OWNER, buttons, clicked

from mailbot import ending, owner, purge, trial
from mailbot.app import open_app
from mailbot.backup import backup, restore, verify
from mailbot.casework import Word
from mailbot.client import ClientRecord, Filing, LetterState, QueuedLetter, SeenMessage
from mailbot.errors import Refused
from mailbot.header import Address
from mailbot.house import desk_of
from mailbot.links import href
from mailbot.mailbox import Mailbox
from mailbot.message import Message
from mailbot.outbox import Outbox
from mailbot.register import Register
from mailbot.storage import DurableStorage
from mailbot.ticks import queue_digest

JAN = "jan.kwartel@example.nl"
FROM = f"Jan Kwartel <{JAN}>"
WISH = "Verwijder al mijn gegevens. Het gaat om het zolderkamertje in Appelscha."
WORDS = ("jan.kwartel", "Kwartel", "zolderkamertje", "Appelscha", "vergeet mij alstublieft")
SUBJECT = "vergeet mij alstublieft"
NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)


def say(settings, number, *words):
    register = Register.open(settings_directory(settings))
    try:
        for word in words:
            owner.say(register, number, word, desk_of(settings), datetime.now(settings.zone))
        owner.release(register, number)
    finally:
        register.close()


def settings_directory(settings):
    return owner.Path(settings.register.directory)


def everything(folder):
    """Every byte below a folder, by file, but the server's own log of the folders that were, which it rotates."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "dovecot.list.index.log"}


def found(folder, words=WORDS):
    return {
        (path.name, word)
        for path, raw in everything(folder).items()
        for word in words
        if word.lower().encode() in raw.lower() or word.lower() in path.as_posix().lower()
    }


def maildir(login):
    """The mailbox on the disk, after the server has dropped what its cache still knew of expunged mail."""
    with login.client() as client:
        folders = [name for flags, _, name in client.list_folders() if b"\\Noselect" not in flags]
    for name in folders:
        login.server.doveadm("mailbox", "cache", "purge", "-u", login.user, name)
    return login.server.folder / "mail" / login.user


@pytest.fixture
async def asked(mail_user, smtp, tmp_path):
    """Jan asked to be erased, another client is there too, and the owner wrote to both."""
    settings = settings_for(mail_user, smtp.port, tmp_path / "register")
    await turn(settings)
    mail_user.deliver(mail("Hoe laat zijn jullie open?", sender="Piet <piet@example.org>"))
    mail_user.deliver(mail("Mijn factuur klopt niet, Appelscha.", sender=FROM, subject="factuur"))
    mail_user.deliver(mail(WISH, sender=FROM, subject=SUBJECT))
    await turn(settings)
    mail_user.append(mail("Beste Jan Kwartel, wij gaan het doen.", sender="info@kosternet.nl").replace(
        b"To: info@kosternet.nl", f"To: {FROM}".encode()), folder="Sent")  # fmt: skip
    (number,) = {case["number"] for case in cases(settings)}
    app = open_app(settings, daemon=False)
    queue_digest(app.world, app.world.now(), app.world.now(), anyway=True)  # the owner's record names him as well
    office = app.world.register.office
    with app.world.register.transaction():  # as the night's count tells of an empty folder
        gap = f"de klantmap Klanten/{JAN} van {number} is leeg of weg"
        app.world.register.commit_office(replace(office, marks={**office.marks, "gaps": f"iets anders\n{gap}"}))
    app.world.register.close()
    return mail_user, smtp, settings, number


ANSWERED = (Word("identity"), Word("answer"))


async def test_a_whole_erasure_leaves_no_byte_of_the_person(asked, tmp_path):
    login, smtp, settings, number = asked
    register = settings_directory(settings)
    assert found(register)
    assert found(maildir(login))
    (boss,) = [one for one in Register.open(register).clients() if one.address == OWNER]
    assert JAN in str(boss.letters)
    say(settings, number, *ANSWERED)
    await turn(settings)
    assert [m["X-Mailbot"] for m in smtp.to(JAN)] == ["identity", "outcome-done"]
    say(settings, number, Word("close", erase=True))
    summary = await turn(settings)
    assert summary.erased == 1
    assert found(register) == set()
    assert found(maildir(login)) == set()
    assert f"Klanten/{JAN}" not in login.folders()
    assert [b"Hoe laat" in raw for raw in login.folder("INBOX")] == [True]
    (told,) = [m for m in smtp.to(OWNER) if m["X-Mailbot"] == "notice-erased"]
    text = told.get_body(("plain",)).get_content()
    assert "Verwijderde berichten: 7" in text
    assert "Kwartel" not in told.as_string()
    (line,) = Register.open(register).closed()
    assert (line.number, line.kinds, line.outcome) == (number, ("erasure",), "erasure done")
    assert [step for _, step in line.steps][-2:] == ["closed", "erasure_ordered"]
    assert list(verify(register)) == []
    assert Register.open(register).office.marks["gaps"] == "iets anders"


async def test_erased_mail_that_comes_back_is_no_new_request_and_the_owner_is_told(asked):
    login, smtp, settings, number = asked
    wish = next(raw for raw in login.folder(f"Klanten/{JAN}") if b"Appelscha" in raw)
    say(settings, number, *ANSWERED)
    await turn(settings)
    say(settings, number, Word("close", erase=True))
    await turn(settings)
    login.append(wish)
    login.deliver(wish)  # once more with other headers, as a server that delivers anew
    summary = await turn(settings)
    assert (summary.requests, summary.reviews) == (0, 0)
    assert [m["X-Mailbot"] for m in smtp.to(OWNER)][-1:] == ["notice-returned"]
    assert len([m for m in smtp.to(OWNER) if m["X-Mailbot"] == "notice-returned"]) == 1
    assert found(settings_directory(settings)) == set()
    login.deliver(mail("Mag ik een kopie van mijn gegevens?", sender=FROM, subject="inzage"))
    assert (await turn(settings)).requests == 1  # a new request of the same person is a request like any other
    assert list(verify(settings_directory(settings))) == []


async def test_what_the_owner_flagged_or_others_share_stays_and_he_is_told(asked):
    login, smtp, settings, number = asked
    login.append(mail("Offerte voor u beiden", sender="info@kosternet.nl", subject="offerte").replace(
        b"To: info@kosternet.nl", f"To: {FROM}, Piet <piet@example.org>".encode()), folder="Sent")  # fmt: skip
    with login.client() as client:
        client.select_folder("INBOX")
        client.add_flags(client.search(["SUBJECT", "factuur"]), [b"\\Flagged"])
    say(settings, number, *ANSWERED)
    await turn(settings)
    say(settings, number, Word("close", erase=True))
    await turn(settings)
    (invoice,) = [raw for raw in login.folder("INBOX") if b"factuur" in raw]
    register = Register.open(settings_directory(settings))
    assert register.purged(hashlib.sha256(invoice).hexdigest()) == number  # and never taken for a new request
    register.close()
    assert any(b"offerte" in raw for raw in login.folder("Sent"))
    text = smtp.to(OWNER)[-1].get_body(("plain",)).get_content()
    assert "1 bericht bleef staan, omdat er een vlag bij stond" in text
    assert "ook aan of van anderen" in text
    assert found(settings_directory(settings)) == set()


async def test_without_uidplus_nothing_is_expunged_and_the_owner_is_told_what_to_delete(smtp, tmp_path):
    login = instance("no_uidplus").user()
    settings = settings_for(login, smtp.port, tmp_path / "register")
    await turn(settings)
    login.deliver(mail(WISH, sender=FROM, subject=SUBJECT))
    await turn(settings)
    (number,) = {case["number"] for case in cases(settings)}
    say(settings, number, *ANSWERED)
    await turn(settings)
    say(settings, number, Word("close", erase=True))
    assert (await turn(settings)).erased == 1
    text = " ".join(smtp.to(OWNER)[-1].get_body(("plain",)).get_content().split())
    assert "Verwijder zelf 3 berichten van deze persoon uit de klantmap" in text
    with login.client() as client:
        client.select_folder(f"Klanten/{JAN}", readonly=True)
        assert len(client.search(["DELETED"])) == 3
    assert found(settings_directory(settings)) == set()


class Killed(BaseException):
    """The end of the program at this very place."""


def killed_after(patch, effects):
    """Let so many effects on disk, mailbox and mail server happen, then end the program."""
    left = [effects]

    def counted(real, name):
        def effect(*args, **parts):
            if name == "purge" and not args[2]:
                return real(*args, **parts)  # nothing to remove
            if not left[0]:
                raise Killed
            left[0] -= 1
            return real(*args, **parts)

        return effect

    for owner_of, name in ((DurableStorage, "write"), (Mailbox, "purge"), (Mailbox, "remove_folder"), (Outbox, "send")):
        patch.setattr(owner_of, name, counted(getattr(owner_of, name), name))


async def test_an_erasure_that_is_killed_after_any_effect_is_finished_by_the_next_look(asked, monkeypatch):
    login, smtp, settings, number = asked
    say(settings, number, *ANSWERED)
    await turn(settings)
    say(settings, number, Word("close", erase=True))
    (invoice,) = [raw for raw in login.folder("INBOX") if b"factuur" in raw]
    looks = iter(range(40))
    for _ in looks:
        sent = any(m["X-Mailbot"] == "notice-erased" for m in smtp.to(OWNER))
        with monkeypatch.context() as patch:
            killed_after(patch, 2 if sent else 1)  # a letter that left and was not recorded leaves again
            try:
                done = await turn(settings)
            except Killed:
                continue
        break
    assert next(looks) > 6
    assert done.erased + (await turn(settings)).erased <= 1
    assert found(settings_directory(settings)) == set()
    assert found(maildir(login)) == set()
    told = {m["Message-ID"] for m in smtp.to(OWNER) if m["X-Mailbot"] == "notice-erased"}
    assert len(told) == 1
    assert Register.open(settings_directory(settings)).purged(hashlib.sha256(invoice).hexdigest()) == number
    assert list(verify(settings_directory(settings))) == []


async def test_the_owner_erases_by_mail_and_is_asked_twice(asked):
    login, smtp, settings, number = asked

    async def click(name):
        link = next(found[name] for found in map(buttons, reversed(smtp.to(OWNER))) if name in found)
        login.deliver(clicked(link))
        await turn(settings)

    say(settings, number, *ANSWERED)
    await turn(settings)
    app = open_app(settings, daemon=False)
    login.deliver(clicked(href(number, "close", app.world.desk.occasion("digest", "x", app.world.now()))))
    app.world.register.close()
    await turn(settings)
    asked_again = " ".join(smtp.to(OWNER)[-1].get_body(("plain",)).get_content().split())
    assert "wist mailbot deze persoon" in asked_again
    assert found(settings_directory(settings))
    await click("close!")
    assert found(settings_directory(settings)) == set()


async def test_an_erasure_can_be_looked_at_before_it_is_ordered(asked, monkeypatch):
    login, _, settings, number = asked
    monkeypatch.setattr("mailbot.config.load", lambda *_args, **_parts: settings)
    before = {name: login.folder(name) for name in login.folders() if name != "Klanten"}
    lines = await trial.preview_erasure(number, None)
    assert [line.partition(" ")[0] for line in lines] == [f"Klanten/{JAN}:", "INBOX:", "Sent:"]
    assert [int(line.split()[1]) for line in lines] == [2, 1, 2]
    assert before == {name: login.folder(name) for name in login.folders() if name != "Klanten"}


async def test_closing_an_erasure_needs_the_second_word_and_nothing_may_be_owed(asked):
    _, _, settings, number = asked
    say(settings, number, *ANSWERED)
    with pytest.raises(Refused, match="cannot be taken back"):
        say(settings, number, Word("close"))
    register = Register.open(settings_directory(settings))
    record, _ = owner.find(register, number)
    held = tuple(
        replace(one, state=LetterState.HELD) if one.letter == "outcome_done" else one for one in record.letters
    )
    with register.transaction():
        register.commit(replace(record, letters=held))
    with pytest.raises(Refused, match="still waits"):
        owner.say(register, number, Word("close", erase=True), desk_of(settings), NOW)


def with_passport(subject, reply_to=""):
    found = EmailMessage()
    found["From"], found["To"], found["Subject"], found["Message-ID"] = FROM, "info@kosternet.nl", subject, "<k@x.nl>"
    if reply_to:
        found["In-Reply-To"] = reply_to
    found.set_content("Mag ik een kopie van mijn gegevens zien? Hierbij mijn paspoort.")
    found.add_attachment(b"%PDF-1.4 paspoort", maintype="application", subtype="pdf", filename="paspoort.pdf")
    return found.as_bytes()


async def test_a_copy_nobody_checked_goes_when_the_case_closes(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail("Mag ik een kopie van mijn gegevens zien?", sender=FROM, subject="inzage"))
    await turn(settings)
    (letter,) = smtp.to(JAN)
    mail_user.deliver(with_passport("Re: " + letter["Subject"], letter["Message-ID"]))
    await turn(settings)
    (case,) = cases(settings)
    say(settings, case["number"], Word("withdraw"))
    await turn(settings)
    assert any(b"paspoort.pdf" in raw for raw in mail_user.folder(f"Klanten/{JAN}"))
    say(settings, case["number"], Word("close"))
    await turn(settings)
    assert not any(b"paspoort.pdf" in raw for raw in mail_user.folder(f"Klanten/{JAN}"))


async def test_a_request_with_a_copy_in_it_is_the_owners_to_look_at(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(with_passport("inzage"))
    await turn(settings)
    (case,) = cases(settings)
    say(settings, case["number"], Word("identity"))
    for _ in range(3):
        await turn(settings)
    assert any(b"paspoort.pdf" in raw for raw in mail_user.folder(f"Klanten/{JAN}"))
    (told,) = [m for m in smtp.to(OWNER) if m["X-Mailbot"] == "notice-copy"]
    assert "Bij het verzoek zelf" in told.get_body(("plain",)).get_content()
    (case,) = cases(settings)
    assert [seen["filing"] for seen in case["messages"]] == ["filed"]


async def test_a_checked_identity_copy_goes_and_the_check_stays(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail("Mag ik een kopie van mijn gegevens zien?", sender=FROM, subject="inzage"))
    await turn(settings)
    (letter,) = smtp.to(JAN)
    reply = with_passport("Re: " + letter["Subject"], letter["Message-ID"])
    mail_user.deliver(reply)
    await turn(settings)
    assert any(b"paspoort.pdf" in raw for raw in mail_user.folder(f"Klanten/{JAN}"))
    (case,) = cases(settings)
    say(settings, case["number"], Word("identity", reason="gezien door Geert, op kantoor"))
    await turn(settings)
    assert not any(b"paspoort.pdf" in raw for raw in mail_user.folder(f"Klanten/{JAN}"))
    assert len(mail_user.folder(f"Klanten/{JAN}")) == 2
    (case,) = cases(settings)
    events = [(event["event"], event["reason"]) for event in case["events"]][-2:]
    assert events[0] == ("identity_confirmed", "gezien door Geert, op kantoor")
    assert events[1][0] == "identity_deleted"


async def test_a_restored_backup_from_before_an_erasure_is_noticed(asked, tmp_path):
    _, _, settings, number = asked
    say(settings, number, *ANSWERED)
    await turn(settings)
    register = Register.open(settings_directory(settings))
    backup(register, tmp_path / "backup.tar.gz")
    register.close()
    say(settings, number, Word("close", erase=True))
    await turn(settings)
    old = settings_directory(settings).rename(tmp_path / "moved-away")
    restore(tmp_path / "backup.tar.gz", settings_directory(settings), NOW, old / "closed")
    problems = "\n".join(verify(settings_directory(settings)))
    assert f"{number} was erased on" in problems
    assert f"mailbot close {number} --erase" in problems
    assert "still holds the address" in problems
    say(settings, number, Word("close", erase=True))
    register = Register.open(settings_directory(settings))
    owner.release(register, None)
    register.close()
    await turn(settings)
    assert list(verify(settings_directory(settings))) == []
    assert found(settings_directory(settings)) == set()


async def test_clients_whose_five_years_are_over_are_shown_once_a_month(mail_user, smtp, tmp_path):
    clock = Clock()
    settings = settings_for(mail_user, smtp.port, tmp_path)
    settings = replace(settings, owner=replace(settings.owner, digest="00:00"))
    await turn(settings, clock)
    register = Register.open(tmp_path)
    old = SeenMessage("ab", 1, 1, None, clock() - timedelta(days=6 * 366), "ordinary", filing=Filing.FILED)
    with register.transaction():
        register.commit(replace(register.new_client("oud@example.nl"), messages=(old,)))
        fresh = replace(
            register.new_client("nieuw@example.nl"), messages=(replace(old, digest="cd", received=clock()),)
        )
        register.commit(fresh)
    register.close()
    clock.forward(days=32)
    for _ in range(3):
        await turn(settings, clock)
    told = [m.get_body(("plain",)).get_content() for m in smtp.to(OWNER) if m["X-Mailbot"] == "notice-retention"]
    assert len(told) == 1
    assert "oud@example.nl" in told[0]
    assert "nieuw@example.nl" not in told[0]


def test_every_place_has_its_name():
    assert set(purge.PLACES) <= set(golden.templates().words["nl"]["places"])


# Whose a message is


TRACES = ending.Traces(
    "an@example.nl", frozenset({"an@example.nl"}), frozenset(), frozenset({"<1@x>"}), ("KN-2026-0001",)
)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"sender": "an@example.nl", "to": ["info@k.nl"]}, "theirs"),
        ({"sender": "info@k.nl", "to": ["an@example.nl"]}, "theirs"),
        ({"sender": "info@k.nl", "to": ["an@example.nl", "piet@example.nl"]}, "shared"),
        ({"sender": "jan@example.nl", "to": ["info@k.nl"]}, "other"),
        ({"sender": "x@example.nl", "to": ["info@k.nl"], "references": ("<1@x>",)}, "theirs"),
        ({"sender": "x@example.nl", "to": ["info@k.nl"], "subject": "[KN-2026-00011] anders"}, "other"),
        ({"sender": "geert@k.nl", "to": ["info@k.nl"], "subject": "Re: [KN-2026-0001] gedaan"}, "theirs"),
    ],
)
def test_whose_a_message_is(parts, expected):
    to = tuple(Address(one) for one in parts.pop("to"))
    message = Message("d", sender=Address(parts.pop("sender")), recipients=to, **parts)
    assert ending.whose(message, NOW, TRACES, NOW, {"info@k.nl"}).value == expected


def test_mail_that_came_after_the_order_is_new():
    message = Message("d", sender=Address("an@example.nl"))
    assert ending.whose(message, NOW + timedelta(seconds=1), TRACES, NOW, ()).value == "other"


def test_a_longer_address_is_somebody_else():
    assert TRACES.within("aan: an@example.nl.")
    assert not TRACES.within("jan@example.nl an@example.nlx")
    assert TRACES.within(r'"x\nan@example.nl"')


def test_what_others_records_say_is_taken_out_of_their_letters():
    facts = {"cases": [{"address": "an@example.nl", "number": "KN-2026-0001"}]}
    digest = QueuedLetter("<d@k.nl>", "digest", "owner", OWNER, "nl", None, facts, NOW)
    clean = ending.scrubbed(ClientRecord("id", OWNER, letters=(digest,)), TRACES, subjects=False)
    assert clean.letters[0].facts["cases"] == [{"address": "(gewist)", "number": "KN-2026-0001"}]


async def test_a_person_in_what_the_owner_wrote_about_somebody_else_is_told(asked):
    login, smtp, settings, number = asked
    login.deliver(mail("Ik maak bezwaar tegen het gebruik van mijn gegevens.", sender="Piet <piet@example.org>"))
    await turn(settings)
    numbers = {case["number"] for case in cases(settings)}
    (other,) = numbers - {number}
    say(settings, other, Word("refuse", reason=f"dit gaat over {JAN}", letter=False))
    say(settings, number, *ANSWERED)
    await turn(settings)
    say(settings, number, Word("close", erase=True))
    await turn(settings)
    text = " ".join(smtp.to(OWNER)[-1].get_body(("plain",)).get_content().split())
    assert f"In wat u bij {other} opschreef staat deze persoon nog" in text
    assert any("still holds the address" in problem for problem in verify(settings_directory(settings)))


async def test_a_request_that_comes_after_the_order_is_kept_and_stops_the_erasure(asked):
    login, _, settings, number = asked
    say(settings, number, *ANSWERED)
    await turn(settings)
    say(settings, number, Word("close", erase=True))
    login.deliver(mail("Ik maak bezwaar tegen het gebruik van mijn gegevens.", sender=FROM, subject="bezwaar"))
    summary = await turn(settings)
    assert (summary.requests, summary.erased) == (1, 0)
    assert any(b"bezwaar" in raw for raw in login.folder(f"Klanten/{JAN}"))


async def test_a_moved_client_folder_is_told(asked):
    login, smtp, settings, number = asked
    with login.client() as client:
        client.rename_folder(f"Klanten/{JAN}", "Klanten/Jan-oud")
    say(settings, number, Word("identity"), Word("answer", letter=False), Word("close", erase=True))
    await turn(settings)
    assert "staat niet meer waar mailbot haar liet" in " ".join(
        smtp.to(OWNER)[-1].get_body(("plain",)).get_content().split()
    )


async def test_a_late_bounce_of_an_erased_case_is_no_request(asked):
    login, smtp, settings, number = asked
    say(settings, number, *ANSWERED)
    await turn(settings)
    (_, last) = smtp.to(JAN)
    say(settings, number, Word("close", erase=True))
    await turn(settings)
    bounce = (
        "From: MAILER-DAEMON@example.nl\r\nTo: info@kosternet.nl\r\nSubject: Undelivered\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nno such user\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822; x\r\nAction: failed\r\n\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {last['Message-ID']}\r\n\r\n--b--\r\n"
    ).encode()
    login.server.deliver(login.user, bounce, "")
    summary = await turn(settings)
    assert (summary.requests, summary.reviews) == (0, 0)
    assert smtp.to(OWNER)[-1]["X-Mailbot"] == "notice-returned"


async def test_an_erasure_that_goes_wrong_does_not_stop_the_watch_and_the_owner_is_told(asked, monkeypatch):
    _, smtp, settings, number = asked
    say(settings, number, *ANSWERED)
    await turn(settings)
    say(settings, number, Word("close", erase=True))

    def broken(*_args, **_parts):
        raise ValueError(JAN)

    with monkeypatch.context() as patch:
        patch.setattr(purge, "_scrub", broken)
        for _ in range(2):
            assert (await turn(settings)).erased == 0
    assert [m["X-Mailbot"] for m in smtp.to(OWNER)].count("notice-stuck") == 1
    assert (await turn(settings)).erased == 1
    assert found(settings_directory(settings)) == set()
