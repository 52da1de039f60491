"""Any bytes give a Message: what people send, and what nobody should."""

import os
import random
import time
from functools import partial
from pathlib import Path

import pytest

from mailbot import data, header, message
from mailbot.classify import classify
from mailbot.quotes import strip
from mailbot.rules import parse

FILES = data.texts("rules")
READING = message.Reading.parse(FILES)
RULES = parse(data.phrases(FILES))
read = partial(message.read, reading=READING)
MUTATIONS = 10_000 if os.environ.get("CI") else 1_500
PLAIN = b"From: Jan <jan@example.nl>\r\nTo: info@kosternet.nl\r\nSubject: hallo\r\n\r\n%s\r\n"


def headers(*lines, body=b"tekst"):
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (b"Jan <jan@example.nl>", "jan@example.nl"),
        (b"jan@example.nl", "jan@example.nl"),
        (b'"boss@bank.example" <evil@example.org>', "evil@example.org"),
        (b"alice@example.com <bob@example.com>", "bob@example.com"),
        ("Jan <jan@münchen.example>".encode(), "jan@xn--mnchen-3ya.example"),
        (b"a@example.nl, b@example.nl", None),
        (b"groep: a@example.nl, b@example.nl;", None),
        (b"Jan", None),
        (b"", None),
        (b"Jan <jan@example.nl\r\nX: y>", None),
    ],
)
def test_there_is_one_safe_sender_or_none(value, address):
    found = read(headers(b"From: " + value)).sender
    assert (found.address if found else None) == address


def test_two_from_fields_leave_nobody_to_write_to():
    assert read(headers(b"From: a@example.nl", b"From: b@example.nl")).sender is None


@pytest.mark.parametrize(
    "name", [b"Message-ID", b"In-Reply-To", b"References", b"Subject", b"From", b"Reply-To", b"To"]
)
@pytest.mark.parametrize("break_", [b"=0D=0A", b"=0A", b"=00", b"=C2=85", b"=E2=80=A8"])
def test_an_encoded_line_break_never_comes_out_of_a_header(name, break_):
    raw = headers(name + b": =?utf-8?q?<1=40x.nl>" + break_ + b"Bcc:_evil=40example.org?= <a@example.nl>")
    found = read(raw)
    said = [found.subject, found.message_id or "", *found.in_reply_to, *found.references]
    said += [one.name + one.address for one in (found.sender, *found.reply_to, *found.recipients) if one]
    said += [value for values in found.headers.values() for value in values]
    assert not any(letter in text for text in said for letter in "\r\n\x00\x85\u2028\u2029")


def test_a_message_id_that_breaks_the_syntax_is_none_at_all():
    assert read(headers(b"Message-ID: <1@example.nl>")).message_id == "<1@example.nl>"
    assert read(headers(b'Message-ID: <1@x>"\r\n DELETE x')).message_id in {None, "<1@x>"}
    assert read(headers(b"Message-ID: <1@example.nl>", b"Message-ID: <2@example.nl>")).message_id is None


def test_a_library_that_fails_on_a_header_costs_that_header_and_no_more(monkeypatch):
    def fails(_text):
        raise AttributeError(
            "'NoneType' object has no attribute 'index'"
        )  # what it does on bounces without an epilogue

    monkeypatch.setattr(header, "get_addresses", fails)
    found = read(headers(b"From: a@example.nl", b"To: info@kosternet.nl", body=b"ik wil inzage in mijn gegevens"))
    assert found.sender is None
    assert "From could not be read (AttributeError)" in found.defects
    assert "inzage" in found.text


@pytest.mark.parametrize("name", [b"Auto-Submitted", b"AUTO-SUBMITTED", b"auto-submitted"])
def test_the_name_of_a_header_counts_in_any_case(name):
    found = read(headers(b"FROM: a@example.nl", name + b": auto-replied"))
    assert found.headers["auto-submitted"] == ("auto-replied",)
    assert classify(found, RULES).automatic


def test_controls_in_a_body_do_not_get_through():
    text = read(headers(b"From: a@example.nl", body=b"ik wil\rinzage\0in alles\x1b[31m\x07\x85\r\n")).text
    assert "inzage" in text
    assert not set(text) & set("\r\0\x1b\x07\x85")


def test_raw_letters_from_windows_and_utf8_are_read():
    assert read(headers("Subject: Café één".encode())).subject == "Café één"
    assert read(headers("Subject: Café één".encode("cp1252"))).subject == "Café één"


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "windows-1252", "onzin-99", "iso-2022-jp"])
def test_an_unknown_charset_is_no_reason_to_lose_the_text(charset):
    body = f"Content-Type: text/plain; charset={charset}\r\n\r\n".encode() + b"ik wil inzage"
    assert "ik wil inzage" in read(b"From: a@example.nl\r\n" + body).text


def test_hidden_words_do_not_count():
    page = b"<p>Zichtbaar</p><div style='display: none'>verborgen</div><span style='font-size:0'>klein</span><!-- x -->"
    found = read(b"From: a@example.nl\r\nContent-Type: text/html\r\n\r\n" + page)
    assert found.text == "Zichtbaar"


ALTERNATIVE = (
    b"From: a@example.nl\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n"
    b"Content-Type: text/plain\r\n\r\n%s\r\n--b\r\n"
    b"Content-Type: text/html\r\n\r\n<p>de opgemaakte tekst</p>\r\n--b--\r\n"
)


def test_plain_text_is_preferred_unless_it_is_empty_or_a_stub():
    assert read(ALTERNATIVE % b"de kale tekst").text.strip() == "de kale tekst"
    assert read(ALTERNATIVE % b"").text == "de opgemaakte tekst"
    assert read(ALTERNATIVE % b"Your mail program does not support HTML").text == "de opgemaakte tekst"


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (b"application/pkcs7-mime; name=smime.p7m", "encrypted"),
        (b"multipart/encrypted; boundary=b", "encrypted"),
        (b"application/ms-tnef; name=winmail.dat", "winmail.dat only"),
    ],
)
def test_what_cannot_be_read_is_for_the_owner(kind, why):
    found = read(b"From: a@example.nl\r\nContent-Type: " + kind + b"\r\n\r\nAAAA\r\n")
    assert found.unreadable == why
    assert classify(found, RULES).decision == "review"


def test_an_empty_mail_is_for_the_owner():
    assert read(b"From: a@example.nl\r\n\r\n\r\n").unreadable == "empty"


BOUNCE = (
    b"From: MAILER-DAEMON@mx.example\r\nReturn-Path: <>\r\n"
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nkon niet\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Message-ID: <abc@kosternet.nl>\r\nSubject: inzage\r\n\r\nIk wil inzage in mijn gegevens.\r\n--b--\r\n"
)


def test_a_bounce_names_our_letter_and_its_words_are_not_read_as_a_request():
    found = read(BOUNCE)
    verdict = classify(found, RULES)
    assert found.bounced_id == "<abc@kosternet.nl>"
    assert "inzage" not in found.text
    assert (verdict.decision, verdict.automatic) == ("other", "bounce")


def test_a_mail_passed_on_as_an_attachment_is_read():
    raw = (
        b"From: a@example.nl\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: message/rfc822\r\n\r\nSubject: verzoek\r\n\r\nVerwijder al mijn gegevens.\r\n--b--\r\n"
    )
    assert "Verwijder al mijn gegevens" in read(raw).text


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("Op ma 3 aug 2026 om 10:12 schreef KosterNET <info@kosternet.nl>:", True),
        ("KosterNET <info@kosternet.nl> schreef op 3 augustus 2026 om 10:12:", True),
        ("Op 3 aug 2026 om 10:12 heeft KosterNET <info@kosternet.nl> het volgende geschreven:", True),
        ("On Mon, 3 Aug 2026 at 10:12, KosterNET <info@kosternet.nl> wrote:", True),
        ("Am 03.08.2026 um 10:12 schrieb KosterNET:", True),
        ("Le lun. 3 août 2026 à 10:12, KosterNET <info@kosternet.nl> a écrit :", True),
        ("-----Oorspronkelijk bericht-----", True),
        ("Van: KosterNET <info@kosternet.nl>\nVerzonden: maandag 3 augustus 2026\nAan: Jan", True),
        ("From: KosterNET\nSent: Monday\nTo: Jan", True),
    ],
)
def test_a_quote_is_cut_whatever_program_made_it(line, kept):
    for mark in ("", "> "):
        text = f"Graag, dank u.\n\n{line}\n\n{mark}Wilt u uw gegevens verwijderen?"
        stripped = strip(text, READING.quotes, is_reply=True)
        assert "verwijderen" not in stripped.written
        assert ("Graag, dank u." in stripped.written) is kept


def test_an_answer_between_and_below_the_quotes_is_kept():
    text = "> vraag een\nantwoord een\n> vraag twee\nantwoord twee"
    assert strip(text, READING.quotes, is_reply=True).written.split("\n\n") == ["antwoord een", "antwoord twee"]


def test_a_forwarded_mail_is_part_of_a_new_request():
    text = "Zie hieronder.\n\n---------- Doorgestuurd bericht ---------\nVan: Piet\n\nGraag mijn gegevens wissen."
    assert "wissen" in strip(text, READING.quotes).written


def test_a_disclaimer_is_no_request():
    text = "Tot morgen.\n\nIndien u dit bericht ten onrechte ontvangt, verzoeken wij u dit bericht te verwijderen."
    assert "verwijderen" not in strip(text, READING.quotes).written


FORM = (
    "Van: Mirjam de Jong m.dejong@example.org\nOnderwerp: vraag\n\nBerichtinhoud:\nGraag mijn gegevens wissen.\n\n-- \n"
    "Dit is een bericht dat er een contactformulier is ingediend op je site (KosterNET https://kosternet.nl)."
)


def test_the_visitor_of_a_form_is_the_person_and_never_the_site():
    raw = f"From: KosterNET <wordpress@kosternet.nl>\r\nSubject: x\r\n\r\n{FORM}".encode()
    found = read(raw)
    verdict = classify(found, RULES)
    assert found.form.address == "m.dejong@example.org"
    assert verdict.sender.address == "m.dejong@example.org"
    assert verdict.from_form
    assert verdict.kinds == ("erasure",)


HOSTILE = {
    "a million newlines": PLAIN % (b"\n" * 1_000_000),
    "one endless word": PLAIN % (b"a" * 1_000_000),
    "one endless line": PLAIN % (b"ik wil niet " * 80_000),
    "Op Op Op": PLAIN % (b"Op " * 300_000),
    "quotes": PLAIN % (b"> " * 300_000),
    "commas": PLAIN % (b"," * 1_000_000),
    "art. art.": PLAIN % (b"AVG art. 1" * 90_000),
    "spaces": PLAIN % (b" " * 1_000_000),
    "encoded subject": headers(b"Subject: " + b" ".join([b"=?utf-8?q?x?="] * 40_000)),
    "headers": headers(*[b"X-%d: y" % n for n in range(40_000)]),
    "parameters": headers(b"Content-Type: text/plain; " + b"; ".join(b"a%d=b" % n for n in range(40_000))),
    "addresses": headers(b"To: " + b", ".join(b"a%d@example.nl" % n for n in range(60_000))),
    "parens": headers(b"From: " + b"(" * 50_000 + b"a@example.nl"),
    "parts": headers(b"Content-Type: multipart/mixed; boundary=b", body=b"--b\r\n\r\nx\r\n" * 60_000),
    "depth": b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(3_000)),
    "nested messages": b"Content-Type: message/rfc822\r\n\r\n" * 3_000,
    "deep html": b"Content-Type: text/html\r\n\r\n" + b"<div>" * 50_000,
    "nothing": b"",
    "zeros": b"\0" * 100_000,
    "noise": random.Random(1).randbytes(300_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_give_a_message_in_time(name):
    started = time.process_time()
    found = read(HOSTILE[name])
    classify(found, RULES)
    assert time.process_time() - started < 2.0, "the bound is one second; a busy machine gets two"


def test_random_mutations_of_real_mails_give_a_message():
    dice = random.Random(11)
    mails = [path.read_bytes() for path in sorted(Path(__file__).with_name("mails").glob("*.eml"))]
    mails += [BOUNCE, ALTERNATIVE % b"tekst", FORM.encode(), HOSTILE["encoded subject"][:5_000]]
    for _ in range(MUTATIONS):
        raw = bytearray(dice.choice(mails))
        for _ in range(dice.randint(1, 8)):
            place = dice.randrange(len(raw))
            match dice.randrange(4):
                case 0:
                    raw[place] = dice.randrange(256)
                case 1:
                    del raw[place : place + dice.randint(1, 60)]
                case 2:
                    raw[place:place] = dice.randbytes(dice.randint(1, 20))
                case _:
                    raw[place:place] = raw[: dice.randint(1, 200)]
            raw = raw or bytearray(b"x")
        found = read(bytes(raw))
        assert found.digest
        assert classify(found, RULES).reason
