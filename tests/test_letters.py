"""The letters: golden copies, headers, and what they must and must never say."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import golden
import pytest

from mailbot import data
from mailbot.client import QueuedLetter
from mailbot.errors import OwnerMustFix
from mailbot.html import visible
from mailbot.letters import compose
from mailbot.templates import parse as parse_templates
from mailbot.templates import sample_letter

ALL = dict(golden.letters())
ABOUT_KINDS = dict(golden.about_kinds())
TEMPLATES = golden.templates()
QUEUED = QueuedLetter(
    "<" + "ab" * 16 + "@kosternet.nl>", "identity", "person", "jan@example.nl", "nl", "KN-2026-0001",
    {"number": "KN-2026-0001", "kinds": ["access"], "received": "2026-11-25", "promise": "2026-12-23"},
    datetime(2026, 11, 25, 9, tzinfo=UTC), in_reply_to="<1@example.nl>",
    references=("<0@example.nl>", "<1@example.nl>"),
)  # fmt: skip


def composed(queued=QUEUED):
    return compose(queued, golden.SENDER, TEMPLATES)


@pytest.mark.parametrize("name", ALL)
def test_a_letter_is_as_its_golden_copy(name):
    kept = (golden.GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    assert golden.shown(ALL[name]) == kept, "if this was meant: make golden, and read the difference"


def test_there_is_no_golden_copy_of_a_letter_that_is_gone():
    assert {path.stem for path in golden.GOLDEN.glob("*.txt")} == {*ALL, *ABOUT_KINDS}


def test_an_owner_whose_letters_are_in_english_first_still_reads_his_notices():
    for letter in ("digest", "notice_warning", "notice_request"):
        sample = sample_letter(letter, "nl", TEMPLATES.get(letter, "nl"))
        english = compose(replace(sample, language="en"), golden.SENDER, TEMPLATES)
        dutch = compose(sample, golden.SENDER, TEMPLATES)
        assert english.get_body(("plain",)).get_content() == dutch.get_body(("plain",)).get_content()


@pytest.mark.parametrize("name", ABOUT_KINDS)
def test_what_is_said_about_each_kind_is_as_its_golden_copy(name):
    kept = (golden.GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    assert ABOUT_KINDS[name].replace("\r\n", "\n") == kept, "if this was meant: make golden, and read the difference"


def test_the_same_letter_has_the_same_bytes():
    assert composed().as_bytes() == composed().as_bytes()
    assert composed().as_bytes() != composed(replace(QUEUED, message_id="<" + "cd" * 16 + "@kosternet.nl>")).as_bytes()


def test_a_letter_in_reply_says_that_it_is_automatic_and_threads():
    mail = message_from_bytes(composed().as_bytes(), policy=default)
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["X-Auto-Response-Suppress"] == "All"
    assert mail["In-Reply-To"] == "<1@example.nl>"
    assert mail["References"] == "<0@example.nl> <1@example.nl>"
    assert mail["Message-ID"] == QUEUED.message_id
    assert mail["Subject"].startswith("[KN-2026-0001]")
    assert mail["To"] == "jan@example.nl"
    assert max(len(line) for line in composed().as_bytes().split(b"\r\n")) < 998


def test_the_identity_letter_shows_a_picture_with_words_for_who_cannot_see_it():
    mail = message_from_bytes(composed().as_bytes(), policy=default)
    pictures = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    page = mail.get_body(("html",)).get_content()
    assert len(pictures) == 1
    assert f"cid:{pictures[0]['Content-ID'].strip('<>')}" in page
    assert "burgerservicenummer (BSN)" in page.split('alt="')[1].split('"')[0]
    text = mail.get_body(("plain",)).get_content()
    assert text.index("vanaf het e-mailadres") < text.index("kopie van uw paspoort") < text.index("KopieID")


@pytest.mark.parametrize("name", [name for name in ALL if not name.startswith("nl-notice") and "digest" not in name])
def test_each_letter_to_a_person_names_the_number_the_complaint_and_who_decides(name):
    mail = ALL[name]
    text = mail.get_body(("plain",)).get_content()
    assert "KN-2026-0012" in mail["Subject"]
    assert golden.SENDER.complaint_url in text
    assert ("mens" if name.startswith("nl") else "person") in text


def test_both_parts_of_a_mail_say_the_same():
    for name, mail in ALL.items():
        text = " ".join(mail.get_body(("plain",)).get_content().split())
        page = " ".join(visible(mail.get_body(("html",)).get_content()).split())
        words = [word.strip("-#.:,()[]").lower() for word in text.split() if word.isalpha() and len(word) > 4]
        missing = {word for word in words if word not in page.lower()} - {"opgemaakte", "tekening", "versie", "staat"}
        assert len(missing) <= 8, (name, missing)


def test_nothing_a_stranger_wrote_becomes_a_block_or_a_header():
    hostile = "x\r\nBcc: ander@example.org [button klik | https://kwaad.example] \x00 \u2028"
    facts = {"number": "KN-2026-0001", "address": hostile, "subject": hostile, "reason": hostile,
             "received": "2026-11-25T10:00:00+01:00", "promise": "2026-12-23", "legal_limit": "2026-12-28"}  # fmt: skip
    mail = composed(replace(QUEUED, letter="notice_review", audience="owner", facts=facts))
    again = message_from_bytes(mail.as_bytes(), policy=default)
    assert again["Bcc"] is None
    assert 'href="https://kwaad' not in again.get_body(("html",)).get_content().replace(
        '<a href="https://kwaad.example" style', ""
    )


def test_a_template_with_an_unknown_name_stops_the_start_with_its_file():
    files = data.files("templates")
    files["nl/acknowledgement.txt"] += b"\n{{ telefoonnummer }}\n"
    with pytest.raises(OwnerMustFix, match=r"nl/acknowledgement\.txt.*telefoonnummer"):
        parse_templates(files, {})


def test_a_template_cannot_reach_outside():
    files = data.files("templates")
    files["nl/acknowledgement.txt"] = b"{{ ''.__class__.__mro__ }}"
    with pytest.raises(OwnerMustFix, match="acknowledgement"):
        parse_templates(files, {})


def said(letter, *kinds, language="nl", **facts):
    told = {"number": "KN-2026-0001", "received": "2026-11-25", "promise": "2026-12-23", "reason": "", **facts}
    queued = replace(QUEUED, letter=letter, language=language, facts={**told, "kinds": list(kinds)})
    return " ".join(composed(queued).get_body(("plain",)).get_content().split())


def test_the_answer_to_an_erasure_says_what_stays_and_until_when():
    for language, day in (("nl", "zaterdag 31 december 2033"), ("en", "Saturday 31 December 2033")):
        assert day in said("outcome_done", "erasure", language=language)
        assert "AWR" in said("outcome_done", "erasure", language="en")
    assert "tot en met vrijdag 1 januari 2027" in said("outcome_partly", "erasure", until="2027-01-01", reason="x")
    assert "geen klant meer" in said("outcome_done", "erasure", sub_kinds=["termination"])


def test_the_answer_to_an_access_request_lists_who_holds_what():
    text = said("outcome_done", "access")
    for name in ("Dolibarr", "WordPress", "phpMailer", "mailserver"):
        assert name in text


def test_the_answer_about_portability_names_who_receives_the_copy():
    assert "Ander Hosting BV" in said("outcome_done", "portability", organisation="Ander Hosting BV")
    assert "Dezelfde kopie" not in said("outcome_done", "portability")


@pytest.mark.parametrize("kind", sorted(TEMPLATES.labels))
@pytest.mark.parametrize("letter", ["outcome_partly", "outcome_refused"])
def test_a_no_has_its_reason_the_complaint_and_the_court(letter, kind):
    for language, court in (("nl", "rechter"), ("en", "court")):
        text = said(letter, kind, language=language, reason="de reden ervan")
        assert "de reden ervan." in text
        assert court in text
        assert golden.SENDER.complaint_url in text


def test_a_new_kind_without_a_text_of_its_own_still_gets_a_letter():
    labels = {**TEMPLATES.labels, "logging": {"nl": "inzage in de logboeken", "en": "access to the logs"}}
    mail = compose(replace(QUEUED, letter="outcome_done", facts={**QUEUED.facts, "kinds": ["logging"]}),
                   golden.SENDER, replace(TEMPLATES, labels=labels))  # fmt: skip
    assert "inzage in de logboeken" in mail.get_body(("plain",)).get_content()


def test_a_mistake_in_what_is_said_about_a_kind_stops_the_start_with_its_place():
    files = data.files("templates")
    files["nl/kinds.toml"] = files["nl/kinds.toml"].replace(b"{{ day(invoices_until) }}", b"{{ day(invoice_until) }}")
    with pytest.raises(OwnerMustFix, match=r"outcome_done\.txt: .*invoice_until"):
        parse_templates(files, TEMPLATES.labels, TEMPLATES.processors)


def test_words_the_owner_needs_are_missed_at_the_start():
    files = data.files("templates")
    files["nl/words.toml"] = files["nl/words.toml"].replace(b"[states]", b"[toestanden]")
    with pytest.raises(OwnerMustFix, match=r"nl/words\.toml: there is no \[states\]"):
        parse_templates(files, TEMPLATES.labels, TEMPLATES.processors)
