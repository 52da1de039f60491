"""Headers that lie or attack: what is used later is safe, and letters go to the one address that may get them."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import pytest
from fixtures.daemon import state_of
from fixtures.house import mail, settings_for, turn

from mailbot.authentic import contradicted
from mailbot.client import ClientRecord
from mailbot.config import Imap, Organisation, Settings
from mailbot.decide import Delivery, Known, decide
from mailbot.house import desk_of, furnish
from mailbot.plan import OpenCase
from mailbot.record import written

OWNER, US = "geert@kosternet.example", "info@kosternet.nl"
MX = "mx.kosternet.nl"
SETTINGS = Settings(
    Organisation("KosterNET", US, ("privacy@kosternet.nl",), OWNER), Imap(authserv_id="mx.kosternet.nl")
)
HOUSE = furnish(SETTINGS)
NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
ASKS = "Ik maak bezwaar tegen het gebruik van mijn gegevens voor reclame."  # told to the owner at once: two letters
OURS = {
    "from", "to", "subject", "date", "message-id", "in-reply-to", "references", "auto-submitted", "mime-version",
    "x-auto-response-suppress", "x-mailbot", "content-language", "content-type", "precedence",
}  # fmt: skip


def raw(text=ASKS, **headers):
    """A request whose headers are exactly these; a value may be bytes or several of them."""
    values = {"From": "Jan <jan@example.nl>", "To": US, "Subject": "bezwaar", "Message-ID": "<1@example.nl>", **headers}
    lines = []
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            line = one if isinstance(one, bytes) else str(one).encode()
            lines.append(name.replace("_", "-").encode() + b": " + line)
    return b"\r\n".join(lines) + b"\r\n\r\n" + text.encode() + b"\r\n"


def answered(octets, known=None):
    """What mailbot would do, and every mail it would write about it."""
    message = HOUSE.reader.read(octets)
    verdict, delivery = HOUSE.reader.classify(message), Delivery(1, 5, NOW)
    plan = decide(message, verdict, delivery, known or Known("KN-2026-0001"), HOUSE.reader.policy)
    record = ClientRecord("x", plan.client or "nobody@x.invalid")
    after = written(record, plan, desk_of(SETTINGS), NOW, (message, delivery))
    mails = [message_from_bytes(HOUSE.composed(one).as_bytes(), policy=default) for one in after.letters]
    return plan, [m for m in mails if m["To"] != OWNER], [m for m in mails if m["To"] == OWNER]


def opened(plan):
    return [action for action in plan.actions if isinstance(action, OpenCase)]


BREAKS = {"CRLF": "=0D=0A", "LF": "=0A", "CR": "=0D", "NUL": "=00", "NEL": "=C2=85", "LS": "=E2=80=A8", "VT": "=0B"}
VALUES = {
    "Message-ID": "=?utf-8?q?<1=40x.nl>{0}Bcc:_evil=40example.org?=",
    "References": "<a@example.nl> =?utf-8?q?<1=40x.nl>{0}Bcc:_evil=40example.org?=",
    "In-Reply-To": "=?utf-8?q?<1=40x.nl>{0}Bcc:_evil=40example.org?=",
    "Subject": "=?utf-8?q?bezwaar{0}Bcc:_evil=40example.org?=",
    "From": "=?utf-8?q?Jan{0}Bcc:_evil=40example.org?= <jan@example.nl>",
    "Reply-To": "=?utf-8?q?Jan{0}Bcc:_evil=40example.org?= <jan@example.nl>",
    "To": "=?utf-8?q?Wij{0}Bcc:_evil=40example.org?= <info@kosternet.nl>",
    "Sender": "=?utf-8?q?Jan{0}Bcc:_evil=40example.org?= <jan@example.nl>",
    "Return-Path": "=?utf-8?q?<jan=40example.nl>{0}Bcc:_evil=40example.org?=",
}


@pytest.mark.parametrize("break_", BREAKS)
@pytest.mark.parametrize("name", VALUES)
def test_an_encoded_line_break_reaches_no_header_of_ours(name, break_):
    plan, letters, notices = answered(raw(**{name: VALUES[name].format(BREAKS[break_])}))
    assert len(opened(plan)) == 1
    assert len(letters) + len(notices) >= 1
    for made in (*letters, *notices):
        names = [key.lower() for key in made]
        assert set(names) <= OURS
        assert len(names) == len(set(names))
        assert made["To"] in {"jan@example.nl", OWNER}
        for identity in ("In-Reply-To", "References"):
            assert "evil" not in str(made[identity] or "")


@pytest.mark.parametrize(
    "sender",
    [
        '"boss@bank.example" <jan@example.nl>',
        "=?utf-8?q?boss=40bank.example?= <jan@example.nl>",
        '"KosterNET klantenservice" <jan@example.nl>',
        '"\u202elx.knab@ssob" <jan@example.nl>',
        "boss@bank.example (jan) <jan@example.nl>",
        f"{'x' * 3000} <jan@example.nl>",
    ],
)
def test_the_name_somebody_gives_himself_is_never_written_to_nor_repeated(sender):
    _, letters, notices = answered(raw(From=sender))
    assert [m["To"] for m in letters] in (["jan@example.nl"], [])
    for made in (*letters, *notices):
        text = made.get_body(("plain",)).get_content()
        assert not any(word in text for word in ("bank.example", "klantenservice", "ssob", "xxxx"))
    assert "jan@example.nl" in notices[0].get_body(("plain",)).get_content() or not letters


NO_LETTER = {
    "two From fields": {"From": ["jan@example.nl", "piet@example.nl"]},
    "two addresses in From": {"From": "jan@example.nl, piet@example.nl"},
    "a group as From": {"From": "groep: jan@example.nl;,piet@example.nl"},
    "no From": {"From": []},
    "Reply-To elsewhere": {"Reply-To": "slachtoffer@example.org"},
    "Reply-To at two addresses": {"Reply-To": "jan@example.nl, slachtoffer@example.org"},
    "two Reply-To fields": {"Reply-To": ["jan@example.nl", "slachtoffer@example.org"]},
    "Reply-To at ourselves": {"Reply-To": US},
    "handed in under our address": {"Sender": f"KosterNET <{US}>"},
    "a bounce's envelope": {"Return-Path": "<>"},
    "not to us": {"To": "iemand@example.org"},
    "to us only by the envelope": {"To": "undisclosed-recipients:;", "Delivered-To": US, "X-Original-To": US},
}


@pytest.mark.parametrize("name", NO_LETTER)
def test_a_doubtful_sender_has_a_case_and_gets_no_letter(name):
    plan, letters, notices = answered(raw(**NO_LETTER[name]))
    assert letters == []
    assert len(opened(plan)) == 1
    assert len(notices) == 1
    assert not opened(plan)[0].review


def test_sender_that_differs_is_no_more_than_a_secretary():
    _, letters, _ = answered(raw(Sender="secretaresse@example.nl"))
    assert [m["To"] for m in letters] == ["jan@example.nl"]


@pytest.mark.parametrize(
    "sender",
    [
        OWNER,
        f"Geert <{OWNER.upper()}>",
        US,
        "KosterNET <Info@KosterNET.nl>",
        "privacy@kosternet.nl",
        "info+x@kosternet.nl",
    ],
)
def test_who_pretends_to_be_us_gets_nothing_and_opens_nothing(sender):
    plan, letters, notices = answered(raw(From=sender))
    assert letters == []
    assert opened(plan) == []
    assert [m["X-Mailbot"] for m in notices] == ["notice-review"], "the owner is asked: he may have passed it on"


def test_what_the_owner_passes_on_as_an_attachment_is_asked_about_and_not_answered():
    inside = raw("Verwijder al mijn gegevens.", From="piet@example.org", Subject="wissen").decode()
    octets = (
        f"From: {OWNER}\r\nTo: {US}\r\nSubject: Fwd: wissen\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n{inside}--b--\r\n"
    ).encode()
    plan, letters, notices = answered(octets)
    assert (letters, opened(plan)) == ([], [])
    assert [m["X-Mailbot"] for m in notices] == ["notice-review"]


FORGED = "mx.kosternet.nl; dmarc=pass header.from=example.nl"
REAL = "mx.kosternet.nl; spf=pass; dmarc=fail header.from=example.nl"


@pytest.mark.parametrize(
    ("fields", "no"),
    [
        ([REAL, FORGED], True),
        ([FORGED, REAL], False),
        (["mx.other.example; dmarc=fail"], False),
        (["MX.KosterNET.nl 1 ; dmarc = fail"], True),
        (["mx.kosternet.nl (dmarc=fail); dmarc=pass (was dmarc=fail)"], False),
        (["evil.mx.kosternet.nl; dmarc=fail"], False),
        ([], False),
    ],
    ids=["ours on top", "what stands on top counts", "another server", "upper case", "comment", "lookalike", "none"],
)
def test_only_the_topmost_word_of_our_own_server_counts(fields, no):
    message = HOUSE.reader.read(raw(Authentication_Results=fields))
    assert contradicted(message, MX) is no
    assert contradicted(message, "") is False
    plan, _, _ = answered(raw(Authentication_Results=fields))
    assert len(opened(plan)) == 1, "it is never a reason to drop a request"


SECRET = "Zwaluwstaart"


@pytest.mark.parametrize("place", ["Subject", "From", "Message-ID", "text"])
def test_a_letter_repeats_no_word_of_the_mail_it_answers(place):
    values = {
        "Subject": {"Subject": f"bezwaar {SECRET}"},
        "From": {"From": f"{SECRET} <jan@example.nl>"},
        "Message-ID": {"Message-ID": f"<{SECRET}@example.nl>"},
        "text": {"text": f"{ASKS} Dit gaat over {SECRET}. http://{SECRET}.example/"},
    }
    _, (letter,), _ = answered(raw(**values[place]))
    del letter["In-Reply-To"]
    del letter["References"]
    assert SECRET.lower() not in letter.as_string().lower()
    assert [part.get_content_disposition() for part in letter.walk() if part.get_filename()] == []


@pytest.mark.parametrize("kind", ["multipart/signed; protocol=application/pgp-signature", "multipart/signed"])
def test_a_signed_mail_is_read_and_its_signature_counts_for_nothing(kind):
    octets = raw(
        f"--b\r\n\r\n{ASKS}\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--",
        MIME_Version="1.0",
        Content_Type=f"{kind}; boundary=b",
    )
    plan, letters, _ = answered(octets)
    assert len(opened(plan)) == len(letters) == 1


QUIET = {
    "invitation": {"Content_Type": "text/calendar; method=REQUEST"},
    "receipt": {"Content_Type": "multipart/report; report-type=disposition-notification; boundary=b"},
    "receipt by subject": {"Subject": "Gelezen: bezwaar"},
}


@pytest.mark.parametrize("name", QUIET)
def test_invitations_and_receipts_are_not_answered(name):
    plan, letters, _ = answered(raw(**QUIET[name]))
    assert letters == []
    assert not any(not one.review for one in opened(plan))


def test_no_receipt_is_ever_sent():
    _, letters, _ = answered(raw(Disposition_Notification_To="jan@example.nl", Return_Receipt_To="jan@example.nl"))
    (letter,) = letters
    assert letter["X-Mailbot"] == "acknowledgement"
    assert letter.get_content_type() != "multipart/report"


async def test_a_case_number_in_a_quote_counts_for_the_person_it_was_written_to_and_nobody_else(
    mail_user, smtp, tmp_path
):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail("Ik wil graag inzage in mijn gegevens.", subject="inzage"))
    await turn(settings)
    quote = f"\n\n> Uw nummer is {smtp.mails[0]['Subject'][1:13]}.\n"
    mail_user.deliver(mail("Verwijder al mijn gegevens." + quote, subject="Re: nog iets"))
    mail_user.deliver(mail("Verwijder al mijn gegevens." + quote, sender="piet@example.org", subject="Re: u"))
    await turn(settings)
    assert state_of(tmp_path)["cases"] == 2
    assert [to for _, (to,) in smtp.envelopes if to != OWNER] == ["jan@example.nl", "piet@example.org"]


async def test_the_same_message_id_with_other_contents_is_another_message(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    text = "Ik wil graag inzage in mijn gegevens."
    for sender, more in (("jan@example.nl", ""), ("piet@example.org", ""), ("jan@example.nl", " En verwijder ze.")):
        mail_user.deliver(mail(text + more, sender=sender, subject="inzage", mid="<een@example.nl>"))
    await turn(settings)
    assert state_of(tmp_path)["cases"] == 3, "each asks for something of its own"
    assert len(mail_user.folder("Klanten/jan@example.nl")) == 4
    assert len(mail_user.folder("Klanten/piet@example.org")) == 2


async def test_our_own_letters_in_sent_and_in_the_inbox_are_no_input(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail("Ik wil graag inzage in mijn gegevens.", subject="inzage"))
    await turn(settings)
    (ours,) = mail_user.folder("Sent")
    mail_user.append(ours)  # a copy of our letter in the inbox, as an alias or a rule may put it there
    await turn(settings)
    assert state_of(tmp_path)["cases"] == 1
    assert len(smtp.raw) == 1
