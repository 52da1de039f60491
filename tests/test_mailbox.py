"""The mailbox against real servers: every variant of Dovecot, no mocks."""

import hashlib
import threading
from datetime import UTC, datetime

import pytest
from fixtures.dovecot import VARIANTS, instance

from mailbot import looking as looking_module
from mailbot.connection import ImapSettings
from mailbot.errors import LoginRefused, OwnerMustFix, Refused, TryLater
from mailbot.folders import Namespace, find_sent
from mailbot.mailbox import Mailbox, Move

MAIL = (
    b"From: jan@example.nl\r\nTo: info@kosternet.nl\r\nSubject: hallo\r\nMessage-ID: <1@example.nl>\r\n\r\nTekst %d\r\n"
)


def settings(login, **changes):
    security = "starttls" if login.server.variant == "starttls_only" else "none"
    values = {
        "host": login.server.host,
        "port": login.server.imap_port,
        "security": security,
        "username": login.user,
        "password": "geheim",
        "ca_file": login.server.ca_file,
        "read_timeout": 10.0,
    }
    return ImapSettings(**{**values, **changes})


def opened(login, **changes):
    mailbox = Mailbox(settings(login, **changes))
    mailbox.connect()
    return mailbox


def moves_of(mailbox, fetched):
    validity = mailbox.status().uidvalidity
    return [Move(one.uid, hashlib.sha256(one.raw).hexdigest(), validity) for one in fetched]


def all_of(mailbox, uids, folder=None):
    return [one for batch in mailbox.fetch(uids, folder) for one in batch]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_message_is_found_fetched_whole_and_filed_on_every_server(variant):
    login = instance(variant).user()
    login.deliver(MAIL % 1)
    login.deliver(MAIL % 2)
    mailbox = opened(login)
    fetched = all_of(mailbox, mailbox.uids_from(1))
    assert [b"Tekst 1" in fetched[0].raw, b"Tekst 2" in fetched[1].raw] == [True, True]
    assert fetched[0].internaldate.tzinfo is not None
    folder = mailbox.client_folder("jan.jansen@example.nl", ())
    outcome = mailbox.move({folder: moves_of(mailbox, fetched[:1])})
    assert [one.state for one in outcome] == ["filed"]
    assert [b"Tekst 1" in raw for raw in login.folder(folder)] == [True]
    left = login.folder("INBOX")
    if variant == "no_uidplus":
        assert len(left) == 2  # marked as deleted and left standing: a bare EXPUNGE is not ours to give
    else:
        assert [b"Tekst 2" in raw for raw in left] == [True]
    mailbox.close()


@pytest.mark.parametrize("variant", ["plain", "no_move", "inbox_dot"])
def test_a_move_that_is_repeated_after_a_crash_files_nothing_twice(variant):
    login = instance(variant).user()
    login.deliver(MAIL % 1)
    mailbox = opened(login)
    fetched = all_of(mailbox, mailbox.uids_from(1))
    folder = mailbox.client_folder("a@example.nl", ())
    with login.client() as client:  # the crash came after COPY: the copy is there and the original too
        client.select_folder("INBOX")
        client.create_folder(folder)
        if variant == "no_move":
            client.copy([fetched[0].uid], folder)
    outcome = mailbox.move({folder: moves_of(mailbox, fetched)})
    again = mailbox.move({folder: moves_of(mailbox, fetched)})
    assert [outcome[0].state, again[0].state] == ["filed", "filed"], "the second one finds what the first one did"
    assert len(login.folder(folder)) == 1
    assert login.folder("INBOX") == []


def test_moving_a_message_that_somebody_else_took_is_gone_not_filed(mail_user):
    mail_user.deliver(MAIL % 1)
    mailbox = opened(mail_user)
    fetched = all_of(mailbox, mailbox.uids_from(1))
    with mail_user.client() as other:
        other.select_folder("INBOX")
        other.delete_messages([fetched[0].uid])
        other.expunge()
    assert mailbox.move({"Klanten/x": moves_of(mailbox, fetched)})[0].state == "gone"


def test_a_hostile_message_id_cannot_delete_a_folder(mail_user):
    with mail_user.client() as client:
        client.create_folder("Done")
    hostile = b"=?utf-8?q?<1=40evil>=22=0D=0AX1_DELETE_Done=0D=0AX2_NOOP_=22?="
    mail_user.deliver(b"From: a@example.nl\r\nMessage-ID: " + hostile + b"\r\n\r\nx\r\n")
    mailbox = opened(mail_user)
    fetched = all_of(mailbox, mailbox.uids_from(1))
    mailbox.move({"Klanten/a": moves_of(mailbox, fetched)})
    decoded = '<1@evil>"\r\nX1 DELETE Done\r\nX2 NOOP "'
    with pytest.raises(ValueError, match="own making"):
        mailbox.append("Klanten/a", fetched[0].raw, decoded, datetime.now(UTC))
    assert "Done" in mail_user.folders()


def test_our_own_copy_is_put_away_once_even_when_asked_twice(mail_user):
    mailbox = opened(mail_user)
    ours = f"<{'ab' * 16}@kosternet.nl>"
    raw = b"From: info@kosternet.nl\r\nMessage-ID: " + ours.encode() + b"\r\n\r\nbrief\r\n"
    for _ in range(2):
        mailbox.append("Klanten/jan", raw, ours, datetime.now(UTC))
        mailbox.append(mailbox.sent_folder, raw, ours, datetime.now(UTC))
    assert len(mail_user.folder("Klanten/jan")) == 1
    assert len(mail_user.folder("Sent")) == 1


@pytest.mark.parametrize("variant", ["plain", "starttls_only"])
def test_a_message_that_arrives_while_waiting_ends_the_wait(variant):
    login = instance(variant).user()
    mailbox = opened(login)
    timer = threading.Timer(0.3, login.deliver, (MAIL % 1,))
    timer.start()
    assert mailbox.wait(20) is True
    timer.join()
    assert len(mailbox.uids_from(1)) == 1


def test_a_message_that_came_just_before_the_wait_is_noticed_at_once(mail_user):
    mailbox = opened(mail_user)
    mailbox.uids_from(1)
    mail_user.deliver(MAIL % 1)  # between the scan and IDLE: it comes in one packet with the `+ idling`
    started = datetime.now(UTC)
    assert mailbox.wait(20) is True
    assert (datetime.now(UTC) - started).total_seconds() < 5


def test_a_quiet_wait_ends_in_time_and_without_a_hint(mail_user):
    mailbox = opened(mail_user)
    assert mailbox.wait(0.3) is False
    assert mailbox.status().messages == 0


def test_another_thread_can_end_the_wait(mail_user):
    mailbox = opened(mail_user)
    threading.Timer(0.2, mailbox.wake).start()
    started = datetime.now(UTC)
    mailbox.wait(30)
    assert (datetime.now(UTC) - started).total_seconds() < 10
    assert mailbox.wait(0.1) is False


def test_without_idle_the_wait_still_ends_when_woken():
    mailbox = opened(instance("no_idle").user())
    threading.Timer(0.1, mailbox.wake).start()
    assert mailbox.wait(30) is True


def test_a_wrong_password_is_refused_and_a_closed_port_is_for_later(mail_user):
    with pytest.raises(LoginRefused):
        opened(mail_user, password="fout")
    with pytest.raises(TryLater):
        opened(mail_user, port=1)


def test_a_certificate_nobody_vouches_for_stops_the_start(mail_user):
    with pytest.raises(OwnerMustFix, match="certificate"):
        opened(mail_user, security="tls", port=mail_user.server.imaps_port, ca_file="")


def test_a_large_message_is_taken_by_its_texts_only(mail_user):
    attachment = b"QUJD" * 19 + b"\r\n"
    big = (
        b"From: jan@example.nl\r\nTo: info@kosternet.nl\r\nSubject: groot\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=b1\r\n\r\n--b1\r\nContent-Type: application/pdf; name=a.pdf\r\n"
        b"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=a.pdf\r\n\r\n"
        + attachment * 20000
        + b"\r\n--b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nik wil inzage\r\n--b1--\r\n"
    )
    mail_user.append(big)
    mailbox = opened(mail_user)
    (fetched,) = all_of(mailbox, mailbox.uids_from(1))
    assert fetched.size > 1_500_000
    assert len(fetched.raw) < 5_000
    assert b"ik wil inzage" in fetched.raw
    assert b"a.pdf" in fetched.raw
    assert fetched.complete is False


def test_mail_stays_unread_for_the_owner(mail_user):
    mail_user.deliver(MAIL % 1)
    mailbox = opened(mail_user)
    all_of(mailbox, mailbox.uids_from(1))
    with mail_user.client() as client:
        client.select_folder("INBOX")
        assert client.search("UNSEEN") == [1]


def test_a_full_mailbox_is_told_and_loses_nothing():
    login = instance("quota").user()
    login.deliver(MAIL % 1)
    mailbox = opened(login)
    raw = b"From: a@example.nl\r\n\r\n" + b"x" * 400_000
    with pytest.raises(Refused, match="full"):
        mailbox.append("Klanten/a", raw, f"<{'ab' * 16}@kosternet.nl>", datetime.now(UTC))
    assert mailbox.status().messages == 1


ODD = [
    "a/b@example.nl", "a.b.c@example.nl", "a*b@example.nl", "a%b@example.nl", "a&b-@example.nl", "jàn@example.nl",
    "a\\b@example.nl", "../../etc@example.nl", "~root@example.nl", '"@example.nl', "INBOX@example.nl",
    "漢字@example.nl", "x" * 64 + "@" + "y" * 180 + ".nl",
]  # fmt: skip


@pytest.mark.parametrize("variant", ["plain", "inbox_dot"])
def test_whatever_a_client_is_called_his_folder_is_one_of_its_own_and_on_one_level(variant):
    login = instance(variant).user()
    mailbox = opened(login)
    login.deliver(MAIL % 1)
    taken = set()
    for address in ODD:
        taken.add(mailbox.client_folder(address, taken))
    assert len(taken) == len(ODD)
    (fetched,) = all_of(mailbox, mailbox.uids_from(1))
    parent = mailbox.clients_parent
    for folder in sorted(taken):
        mailbox.append(folder, fetched.raw, f"<{'ab' * 16}@kosternet.nl>", datetime.now(UTC))
        assert parent == folder.rpartition(mailbox.namespace.delimiter)[0]
    assert taken <= set(login.folders())
    names = {folder.rpartition(mailbox.namespace.delimiter)[2] for folder in taken}
    assert all(name.isascii() and not set(name) & set('*%&/\\~"') for name in names)


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ([((b"\\HasNoChildren", b"\\Sent"), "Uit"), ((), "Sent")], "Uit"),
        ([((), "INBOX"), ((), "Verzonden items")], "Verzonden items"),
        ([((), "INBOX"), ((), "INBOX.Sent Messages")], "INBOX.Sent Messages"),
        ([((), "INBOX"), ((), "Gesendet")], None),
    ],
)
def test_the_folder_for_sent_mail_is_found_by_its_use_or_by_a_name_people_give_it(listed, found):
    assert find_sent(listed, Namespace("INBOX.", ".")) == found


def test_a_folder_for_sent_mail_the_owner_named_is_made(mail_user):
    mailbox = opened(mail_user, sent="Post/Uit")
    mailbox.append(mailbox.sent_folder, MAIL % 1, f"<{'ab' * 16}@kosternet.nl>", datetime.now(UTC))
    assert len(mail_user.folder("Post/Uit")) == 1


def test_uids_are_asked_in_ranges_and_none_below_the_first_comes_back(mail_user, monkeypatch):
    monkeypatch.setattr(looking_module, "SEARCH_RANGE", 2)
    for place in range(5):
        mail_user.deliver(MAIL % place)
    mailbox = opened(mail_user)
    assert mailbox.uids_from(1) == [1, 2, 3, 4, 5]
    assert mailbox.uids_from(4) == [4, 5]
    assert mailbox.uids_from(6) == [], "the server's answer to 6:* is the last one, which is older"


def test_a_message_that_went_between_the_search_and_the_fetch_is_left_out(mail_user):
    mail_user.deliver(MAIL % 1)
    mail_user.deliver(MAIL % 2)
    mailbox = opened(mail_user)
    uids = mailbox.uids_from(1)
    with mail_user.client() as other:
        other.select_folder("INBOX")
        other.delete_messages([1])
        other.expunge()
    assert [one.uid for one in all_of(mailbox, uids)] == [2]


def test_nothing_to_do_sends_nothing_to_the_server(mail_user):
    mailbox = opened(mail_user)
    assert [mailbox.move({}), mailbox.move({"Klanten/a": []}), all_of(mailbox, [])] == [[], [], []]
    assert mailbox.purge("INBOX", []) == 0
    assert mailbox.status().messages == 0, "and the connection lives"


def test_each_connection_gets_a_fresh_token(mail_user):
    given = []

    def token():
        given.append(f"token {len(given)}")
        return given[-1]

    for _ in range(2):  # this Dovecot knows no tokens, so it refuses them
        with pytest.raises(LoginRefused):
            opened(mail_user, token=token)
    assert given == ["token 0", "token 1"]


def test_a_name_that_does_not_resolve_is_for_later(mail_user):
    with pytest.raises(TryLater):
        opened(mail_user, host="nergens.invalid")
