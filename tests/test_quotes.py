"""What a person wrote now: mail programs, languages and places of an answer, each with what stays and what goes."""

import re
import tomllib
from email.message import EmailMessage
from pathlib import Path

import pytest

from mailbot import data
from mailbot.errors import OwnerMustFix
from mailbot.message import Reading, read
from mailbot.quotes import Patterns

FOLDER = Path(__file__).with_name("quotes")
FILES = data.texts("rules")
READING = Reading.parse(FILES)
HEADS = tomllib.loads((FOLDER / "heads.toml").read_text(encoding="utf-8"))["head"]
WHOLE = tomllib.loads((FOLDER / "whole.toml").read_text(encoding="utf-8"))["sample"]
PREFIX = {"nl": "RE: ", "en": "Re: ", "de": "AW: ", "fr": "Re : "}
QUOTED = ("Wilt u uw gegevens verwijderen?", "Do you want erasure?", "Inzage, wissen, löschen, effacer")
LANGUAGES = [(head, language) for head in HEADS for language in PREFIX if language in head]


def written(text, subject="", *, html=False, headers=""):
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Jan <jan@example.nl>", "info@kosternet.nl", subject
    mail.set_content(text, subtype="html" if html else "plain", cte="8bit")
    return read(headers.encode() + mail.as_bytes(), READING).written


def quoted(head, *, between=""):
    mark = "> " if head.get("marked") else ""
    return f"\n{between}\n".join(f"{mark}{line}" for line in QUOTED)


@pytest.mark.parametrize(
    ("head", "language"), LANGUAGES, ids=lambda one: one if isinstance(one, str) else one["client"]
)
def test_an_answer_above_the_quote_is_all_that_was_written(head, language):
    text = f"Graag, dank u.\nEn tot ziens.\n\n{head[language]}\n{quoted(head)}\n"
    assert written(text, f"{PREFIX[language]}vraag").split("\n") == ["Graag, dank u.", "En tot ziens."]


MARKED = [(head, language) for head, language in LANGUAGES if head.get("marked")]


@pytest.mark.parametrize(("head", "language"), MARKED, ids=lambda one: one if isinstance(one, str) else one["client"])
def test_answers_below_and_between_marked_quotes_are_kept(head, language):
    below = written(f"{head[language]}\n{quoted(head)}\n\nGraag, dank u.\n", f"{PREFIX[language]}vraag")
    between = written(f"{head[language]}\n{quoted(head, between='ja')}\nGraag, dank u.", f"{PREFIX[language]}vraag")
    assert below.split() == "Graag, dank u.".split()
    assert between.split() == "ja ja Graag, dank u.".split()


@pytest.mark.parametrize(
    ("head", "language"), LANGUAGES, ids=lambda one: one if isinstance(one, str) else one["client"]
)
def test_a_mail_that_answers_nothing_is_read_whole(head, language):
    text = f"Zie wat ik al vroeg.\n\n{head[language]}\n{quoted(head)}\n"
    for subject in ("verzoek", "Fwd: vraag", "WG: Frage"):
        assert all(line in written(text, subject) for line in (*QUOTED, "Zie wat ik al vroeg."))


@pytest.mark.parametrize("sample", WHOLE, ids=lambda sample: sample["name"])
def test_what_must_stay_stays_and_what_must_go_goes(sample):
    subject, html = sample.get("subject", "bericht"), sample.get("html", False)
    found = " ".join(written(sample["text"], subject, html=html, headers=sample.get("headers", "")).split())
    assert [one for one in sample["stays"] if one not in found] == []
    assert [one for one in sample.get("goes", ()) if one in found] == []


def test_a_pattern_that_contradicts_its_examples_stops_the_start_with_its_file_and_line():
    more = '\n[[quote]]\nid = "eigen"\nregex = "^x"\nmatches = ["y"]\nignores = ["x"]\n'
    text = FILES["quotes.toml"] + more
    line = text.split("\n").index('id = "eigen"') + 1
    with pytest.raises(OwnerMustFix) as caught:
        Patterns.parse(text)
    assert [re.match(rf"rules/quotes.toml:{line}: quote eigen", one) is not None for one in caught.value.problems] == [
        True,
        True,
    ]
    with pytest.raises(OwnerMustFix, match="no group `qoute`"):
        Patterns.parse(FILES["quotes.toml"] + '\n[[qoute]]\nid = "x"\n')


def test_the_words_of_an_attached_mail_are_read_and_those_of_a_report_are_not():
    inner = EmailMessage()
    inner["From"], inner["Subject"] = "Piet <piet@example.nl>", "verzoek"
    inner.set_content("Graag mijn hele dossier wissen.")
    mail = EmailMessage()
    mail["From"], mail["Subject"] = "jan@example.nl", "ter behandeling"
    mail.set_content("Zie de bijgevoegde mail.")
    mail.add_attachment(inner)
    found = read(mail.as_bytes(), READING)
    assert "bijgevoegde" in found.written
    assert "dossier wissen" in found.written
    report = mail.as_bytes().replace(b"multipart/mixed", b"multipart/report")
    assert "dossier wissen" not in read(report, READING).written


def test_a_footer_of_plain_text_does_not_hide_the_page_above_it():
    mail = EmailMessage()
    mail["From"] = "jan@example.nl"
    mail.set_content("<p>Graag mijn hele dossier wissen.</p>", subtype="html")
    mail.make_mixed()
    footer = EmailMessage()
    footer.set_content("Virusvrij.")
    mail.attach(footer)
    assert "dossier wissen" in read(mail.as_bytes(), READING).written
