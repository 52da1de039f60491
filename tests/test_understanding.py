"""What each test mail asks for, and the plan it must lead to; rules that mend themselves or stop the start."""

import json
import tomllib
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import process_time

import pytest

from mailbot import data, message
from mailbot.classify import classify
from mailbot.config import Organisation, Settings
from mailbot.decide import Delivery, Known, decide
from mailbot.errors import OwnerMustFix
from mailbot.house import furnish
from mailbot.plan import FileUnder, NotifyOwner, OpenCase, SendLetter
from mailbot.rules import parse, sentences

MAILS = Path(__file__).with_name("mails")
PLANS = [json.loads(line) for line in (MAILS / "plans.jsonl").read_text(encoding="utf-8").splitlines()]
SETTINGS = Settings(organisation=Organisation("KosterNET", "info@kosternet.nl", (), "geert@kosternet.example"))
HOUSE = furnish(SETTINGS)
NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)


def judged(text, subject="", **parts):
    found = message.Message(
        "d" * 64, sender=message.Address("a@example.nl"), subject=subject, text=text, written=text, **parts
    )
    return classify(found, HOUSE.rules)


@pytest.mark.parametrize("row", PLANS, ids=lambda row: row["file"])
def test_a_test_mail_leads_to_its_plan(row):
    found = HOUSE.reader.read((MAILS / row["file"]).read_bytes())
    verdict = HOUSE.reader.classify(found)
    assert (verdict.decision, list(verdict.kinds)) == (row["decision"], row["kinds"]), verdict.evidence
    assert verdict.language == row["language"]
    plan = decide(found, verdict, Delivery(1, 1, NOW), Known("KN-2026-0001"), HOUSE.reader.policy)
    assert [one.letter for one in plan.actions if isinstance(one, SendLetter)] == (
        [row["letter"]] if row["letter"] else []
    )
    assert [one.notice for one in plan.actions if isinstance(one, NotifyOwner)] == (
        [row["notice"]] if row["notice"] else []
    )
    assert any(isinstance(one, OpenCase) for one in plan.actions) is row["opened"]
    assert any(isinstance(one, FileUnder) for one in plan.actions) is row["filed"]
    if row["opened"]:
        assert plan.client == row["sender"]


@pytest.mark.parametrize("kind", [kind.name for kind in HOUSE.rules.kinds])
def test_every_kind_has_a_name_in_both_languages_and_a_test_mail(kind):
    labels = next(one.labels for one in HOUSE.rules.kinds if one.name == kind)
    assert set(labels) >= {"nl", "en"}
    assert any(kind in row["kinds"] for row in PLANS)


def test_ending_the_service_is_erasure_by_termination():
    verdict = classify(HOUSE.reader.read((MAILS / "termination.eml").read_bytes()), HOUSE.rules)
    assert verdict.sub_kinds == ("termination",)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Op grond van artikel 15 AVG vraag ik u mijn gegevens te tonen.", "access"),
        ("Pursuant to Art. 17 GDPR, act now.", "erasure"),
        ("Gemäß Art. 20 DSGVO bitte ich darum.", "portability"),
        ("Conformément à l'article 21 du RGPD, je vous écris.", "objection"),
        ("AVG art 16", "rectification"),
    ],
)
def test_an_article_stands_for_its_right(text, kind):
    assert any(one.kind == kind and one.rule.startswith("article") for one in judged(text).evidence)


def test_a_request_that_is_taken_back_is_put_to_the_owner():
    verdict = judged("Laat maar zitten, mijn verzoek van vorige week hoeft niet meer.")
    assert (verdict.decision, verdict.withdrawn, verdict.kinds) == ("review", True, ())


def test_evidence_shows_the_words_and_the_reason_the_threshold():
    verdict = judged("Ik wil graag inzage in mijn gegevens.")
    assert "inzage" in verdict.evidence[0].text
    assert str(HOUSE.rules.thresholds.request) in verdict.reason


RULES = dict(data.phrases(data.texts("rules")).items())
EXTRA = '[[rule]]\nid = "x"\nkind = "access"\nall = ["erase"]\n{more}\n'


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('matches = ["Goedemorgen."]', "does not match its own example"),
        ('ignores = ["Graag wissen."]', "matches what it must ignore"),
        ("weigth = 0.3", "no key `weigth`"),
        ('none = ["kabouters"]', "no word class `kabouters`"),
        ("weight = 'veel'", "Expected `float`"),
    ],
)
def test_a_bad_rule_stops_the_start_with_its_file_and_line(more, why):
    with pytest.raises(OwnerMustFix, match=why) as caught:
        parse({**RULES, "eigen.toml": "\n\n" + EXTRA.format(more=more)})
    assert "rules/eigen.toml:4" in str(caught.value)


def test_a_rule_on_watch_reports_and_counts_nothing():
    rules = parse({**RULES, "eigen.toml": EXTRA.format(more="watch = true\nweight = 0.99")})
    found = message.Message("d", text="Wissen.", written="Wissen.", subject="")
    verdict = classify(found, rules)
    assert any(one.rule == "x" and one.watch for one in verdict.evidence)
    assert "access" not in verdict.kinds


def test_a_new_kind_needs_no_python():
    kind = 'order = 99\nidentity = "never"\n[label]\nnl = "een nieuw recht"\nen = "a new right"\n' + EXTRA.format(
        more="weight = 0.9"
    ).replace('kind = "access"\n', "").replace('"erase"', '"fish"').replace('id = "x"', 'id = "fish"')
    rules = parse({**RULES, "kinds/fish.toml": kind, "fish.toml": '[class.fish]\nnl = "haring"\n'})
    verdict = classify(message.Message("d", text="Haring graag.", written="Haring graag."), rules)
    assert verdict.kinds == ("fish",)


def test_words_are_folded_and_sentences_cut():
    said = sentences("Café, één!  Twee?", HOUSE.rules.classes)
    assert [one.words for one in said] == [("cafe", ",", "een"), ("twee",)]
    assert [one.question for one in said] == [False, True]


def test_reading_and_judging_grow_no_faster_than_the_text():
    def spent(times):
        raw = b"From: a@example.nl\r\n\r\n" + b"Ik wil graag een kopie van mijn gegevens, want u bewaart die. " * times
        found = partial(HOUSE.reader.read, raw)
        started = process_time()
        for _ in range(3):
            HOUSE.reader.classify(found())
        return process_time() - started

    spent(50)
    assert spent(400) < 8 * spent(100) + 0.05


SAID = MAILS.with_name("understanding")
KINDS = tomllib.loads((SAID / "kinds.toml").read_text(encoding="utf-8"))
SEVERAL = tomllib.loads((SAID / "several.toml").read_text(encoding="utf-8"))["mail"]
ORDINARY = tomllib.loads((SAID / "ordinary.toml").read_text(encoding="utf-8"))
PEOPLE = [
    [part.strip() for part in line.split("|", 2)]
    for line in (SAID / "people.txt").read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]


def said_by(text):
    subject, _, body = text.rpartition(" | ")
    return judged(body, subject)


@pytest.mark.parametrize(
    ("kind", "language"), [(kind, language) for kind, texts in KINDS.items() for language in texts]
)
def test_each_kind_is_understood_in_each_language(kind, language):
    verdicts = {text: said_by(text) for text in KINDS[kind][language]}
    assert {text: one.kinds for text, one in verdicts.items() if kind not in one.kinds} == {}


def test_what_is_asked_clearly_is_acknowledged_and_nothing_else_is_heard():
    verdicts = [(kind, said_by(text)) for kind, texts in KINDS.items() for said in texts.values() for text in said]
    clear = sum(one.decision == "request" for _, one in verdicts)
    alone = sum(one.kinds == (kind,) for kind, one in verdicts)
    assert clear >= 0.9 * len(verdicts)
    assert alone >= 0.95 * len(verdicts)


@pytest.mark.parametrize("mail", SEVERAL, ids=lambda mail: mail["text"][:50])
def test_several_things_denials_reminders_and_mails_for_somebody_else(mail):
    verdict = judged(mail["text"])
    assert set(verdict.kinds) == set(filter(None, mail["kinds"].split("+"))), verdict.evidence
    assert verdict.reminder is mail.get("reminder", False)
    assert verdict.withdrawn is mail.get("withdrawn", False)
    assert verdict.behalf == mail.get("behalf")


@pytest.mark.parametrize("language", ORDINARY)
def test_ordinary_mail_with_the_words_of_requests_is_never_acknowledged(language):
    verdicts = {text: said_by(text) for text in ORDINARY[language]}
    assert {text: one.kinds for text, one in verdicts.items() if one.decision == "request"} == {}


def test_people_are_understood_in_their_own_words():
    verdicts = [(set(filter(None, kinds.split("+"))), judged(text, subject)) for kinds, subject, text in PEOPLE]
    right = sum(set(one.kinds) == wanted for wanted, one in verdicts)
    lost = [one for wanted, one in verdicts if wanted and one.decision == "other"]
    fooled = [one for wanted, one in verdicts if not wanted and one.decision == "request"]
    assert right >= 0.95 * len(verdicts)
    assert len(lost) <= 0.01 * sum(bool(wanted) for wanted, _ in verdicts), "the aim: 99 of 100 are not left alone"
    assert fooled == []


@pytest.mark.parametrize(
    "text",
    [
        "VERWEIDER MIJN GEGEVENS UIT UW SYSTEEM",
        "graag mijn gegvens verwijdern",
        "Graag mijn persoonsgegevns wissen",
    ],
)
def test_a_typing_error_is_forgiven(text):
    assert judged(text).kinds == ("erasure",)


@pytest.mark.parametrize(
    "hostile",
    [
        "niet " * 200_000,
        "mijn gegevens verwijder " * 42_000,
        "a@" * 500_000,
        "a." * 500_000,
        "artikel " * 125_000 + "AVG",
        "AVG art. " * 110_000,
        "https://" * 125_000,
        "verwijderrrr" * 80_000,
        "? ! . ; \n\n" * 120_000,
        "\n - x" * 200_000,
    ],
    ids=lambda text: text[:12],
)
def test_a_megabyte_of_hostile_text_is_judged_in_a_second(hostile):
    started = process_time()
    judged(hostile, hostile[:2_000])
    assert process_time() - started < 1


def test_every_kind_shows_what_it_added_up_to():
    verdict = judged("Verwijder mijn gegevens en stuur eerst een kopie van mijn gegevens.")
    assert {kind for kind, _ in verdict.sums} >= {"access", "erasure"}
    assert len({one.rule for one in verdict.evidence}) == len(verdict.evidence)
    assert str(HOUSE.rules.thresholds.kind) in verdict.reason


def test_every_word_class_is_used_by_a_rule():
    rules = HOUSE.rules
    named = {one for rule in rules.rules for part in (*rule.all, *rule.none, *rule.yields) for one in part.split("|")}
    assert rules.classes.names - named - {"not", "not_that", "tell"} == set()
