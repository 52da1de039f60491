"""Mails made to break parsers: those of CPython's own tests where they are, the same tricks where they are not."""

import random
from importlib.util import find_spec
from pathlib import Path
from time import process_time

import pytest

from mailbot.config import Organisation, Settings
from mailbot.house import furnish

HOUSE = furnish(Settings(organisation=Organisation("KosterNET", "info@kosternet.nl", (), "geert@kosternet.example")))
HEAD = b"From: Jan <jan@example.nl>\r\nTo: info@kosternet.nl\r\nMIME-Version: 1.0\r\n"
TYPE = HEAD + b"Content-Type: "
QP = b"Content-Transfer-Encoding: quoted-printable\r\n"


def of_python():
    """The messages that come with the interpreter's own tests, by name; none where a system leaves them out."""
    found = find_spec("test")
    for place in (found.submodule_search_locations or ()) if found else ():
        for path in sorted((Path(place) / "test_email" / "data").glob("*.txt")):
            yield f"python-{path.name}", path.read_bytes()


def texted(charset, body, more=b""):
    return TYPE + b"text/plain; charset=" + charset + b"\r\n" + more + b"\r\n" + body


B64 = b"Content-Transfer-Encoding: base64\r\n"
OWN = {
    "a boundary that is never closed": TYPE + b"multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhoi",
    "a boundary that is never opened": TYPE + b"multipart/mixed; boundary=b\r\n\r\nhoi",
    "no boundary": TYPE + b"multipart/mixed\r\n\r\n--b\r\n\r\nhoi",
    "an empty boundary": HEAD + b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n\r\nhoi\r\n----',
    "one boundary for inside and outside": TYPE + b"multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nhoi\r\n--b--\r\n--b--",
    "a message in a message in a digest": TYPE + b"multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n"
    b"Subject: een\r\n\r\nhoi\r\n--b\r\n\r\nContent-Type: message/rfc822\r\n\r\nSubject: twee\r\n\r\nhoi\r\n--b--",
    "headers without a body": HEAD[:-2],
    "a body without headers": b"\r\nhoi",
    "a first line that continues nothing": b" hoi\r\nFrom: a@example.nl\r\n\r\nhoi",
    "a header without a name": b": x\r\n" + HEAD + b"\r\nhoi",
    "spaces before the colon": b"From : a@example.nl\r\nSubject : hoi\r\n\r\nhoi",
    "lines that end in CR alone": HEAD.replace(b"\r\n", b"\r") + b"\rhoi",
    "lines that end in LF CR": HEAD.replace(b"\r\n", b"\n\r") + b"\n\rhoi",
    "NULs everywhere": b"\0".join(HEAD[i : i + 1] for i in range(len(HEAD))) + b"\0\r\n\0hoi",
    "raw letters in each header": HEAD.replace(b"Jan", b"J\xe4\xff") + b"Subject: \xe9 \xf0\x9f\x98\x80\r\n\r\nh\xf6i",
    "base64 that is none": texted(b"utf-8", b"!!! hoi ===\r\nAAA", B64),
    "base64 cut short": texted(b"utf-8", b"aG9", B64),
    "quoted-printable that is none": texted(b"utf-8", b"=ZZ =\r\n=E =", QP),
    "uuencode": texted(b"utf-8", b"begin 644 x\r\n#:&]I\r\n`\r\nend", b"Content-Transfer-Encoding: x-uuencode\r\n"),
    "an encoding nobody knows": texted(b"utf-8", b"hoi", b"Content-Transfer-Encoding: x-geheim\r\n"),
    "encoded twice": texted(b"utf-8", b"aG9p", B64 + B64),
    "UTF-7": texted(b"utf-7", b"hoi +AGEAYg- +ADw-script+AD4-"),
    "UTF-7 that is none": texted(b"utf-7", b"hoi +////8 +2AA-"),
    "UTF-16 without its mark": texted(b"utf-16", "hoi".encode("utf-16-le")),
    "ISO-2022-JP": texted(b"iso-2022-jp", b"\x1b$B$3$s\x1b(B hoi"),
    "ISO-2022-JP that is none": texted(b"iso-2022-jp", b"\x1b$B\xff\xff\x1b hoi"),
    "a charset that is a codec of another sort": texted(b"rot13", b"hoi"),
    "a charset that opens archives": texted(b"zlib", b"x\x9chi"),
    "a charset of hexadecimals": texted(b"hex_codec", b"686f69"),
    "a charset with a path": texted(b"../../etc/passwd", b"hoi"),
    "a charset that lies": texted(b"us-ascii", "één".encode()),
    "a charset of NULs": texted(b"ut\0f-8", b"hoi"),
    "charset by RFC 2231": texted(b"x", b"hoi").replace(b"charset=x", b"charset*=utf-8'nl'%FF%FE"),
    "a name by RFC 2231 without an end": TYPE + b"application/pdf; name*0*=utf-8''%41; name*2=b; name*1*\r\n\r\nx",
    "a name that climbs": HEAD + b'Content-Type: application/pdf; name="../../\\..\\x\r\n y"\r\n\r\nx',
    "an encoded word in an encoded word": HEAD + b"Subject: =?utf-8?q?=3D=3Futf-8=3Fq=3Fhoi=3F=3D?=\r\n\r\nhoi",
    "an encoded word without an end": HEAD + b"Subject: =?utf-8?b?aG9p\r\n\r\nhoi",
    "an encoded word in no charset": HEAD + b"Subject: =??q?hoi?= =?x-onzin?q?hoi=FF?= =?zlib?b?eJw=?=\r\n\r\nhoi",
    "an address that goes on for ever": HEAD + b"Cc: " + b"a@" * 5_000 + b"\r\n\r\nhoi",
    "a comment that is never closed": b"From: a@example.nl (((((\r\nTo: (\\\r\n\r\nhoi",
    "a group without members": b"From: niemand:;\r\nReply-To: a:b:c:;;;\r\n\r\nhoi",
    "a date of nowhere": HEAD + b"Date: Mon, 99 Foo 99999999999999 99:99:99 +9999999\r\n\r\nhoi",
    "a date before all": HEAD + b"Date: Thu, 01 Jan 0000 00:00:00 -0000\r\n\r\nhoi",
    "a delivery report without its parts": TYPE + b"multipart/report; report-type=delivery-status\r\n\r\nx",
    "a delivery report of text": TYPE + b"multipart/report; boundary=b\r\n\r\n--b\r\n"
    b"Content-Type: message/delivery-status\r\n\r\nAction\r\n--b\r\n"
    b"Content-Type: text/rfc822-headers\r\n\r\n\xff\r\n--b--",
    "a message type that holds nothing": TYPE + b"message/partial; id=x; number=1\r\n\r\nhoi",
    "a type without a subtype": TYPE + b"text\r\n\r\nhoi",
    "a type of controls": TYPE + b"\x00\x01/\x02; charset=\x03\r\n\r\nhoi",
    "HTML in UTF-16": TYPE + b"text/html; charset=utf-16\r\n\r\n" + "<p>hoi".encode("utf-16"),
    "HTML of half tags": TYPE + b"text/html\r\n\r\n<p <b <!-- <![CDATA[ <style>.a{ </p hoi <svg><style><p>",
    "a form without fields": HEAD + b"Subject: New submission from x\r\n\r\n:\r\n: :\r\n--- ---\r\n",
}  # fmt: skip
MAILS = {**OWN, **dict(of_python())}


def test_there_is_something_to_be_tortured_with():
    assert len(MAILS) >= len(OWN) > 50


@pytest.mark.parametrize("name", MAILS)
def test_whatever_is_sent_gives_a_message_and_a_verdict_in_clean_text(name):
    found = HOUSE.reader.read(MAILS[name])
    verdict = HOUSE.reader.classify(found)
    assert verdict.reason
    assert not any("could not be read (" in one and "Error" in one and "From" not in one for one in found.defects)
    lines = [found.subject, *(a.filename for a in found.attachments), *(v for vs in found.headers.values() for v in vs)]
    lines += [one.name for one in (found.sender, *found.recipients, *found.reply_to) if one]
    assert not any(ord(letter) < ord(" ") for line in lines for letter in line)
    for text in (found.text, found.written, *lines):
        text.encode()  # no lone surrogate, so it can be written and logged
        assert not {"\0", "\x1b", "\u2028"} & set(text)
    assert not any("/" in one.filename or "\\" in one.filename for one in found.attachments)


CHARSETS = "utf-8 utf-7 utf-16 iso-2022-jp gb18030 hz idna punycode unicode_escape undefined mbcs zlib x".split()


@pytest.mark.parametrize("charset", CHARSETS)
def test_no_charset_makes_text_an_error(charset):
    dice = random.Random(3)
    started = process_time()
    HOUSE.reader.read(texted(charset.encode(), b"a-b" * 60_000))
    assert process_time() - started < 1.0
    for _ in range(20):
        found = HOUSE.reader.read(texted(charset.encode(), dice.randbytes(200)))
        assert found.unreadable != "damaged", found.defects
        found.text.encode()
