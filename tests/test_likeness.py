"""How much a text looks like the lessons: a second opinion beside the rules, made from invented mails kept with it."""

import json
import time

import pytest
from likeness import lessons

from mailbot import data
from mailbot.classify import LIKENESS, classify
from mailbot.errors import OwnerMustFix
from mailbot.likeness import ANY, Likeness, Looks
from mailbot.message import Message
from mailbot.rules import LIKENESS_FILE, parse, sentences

FILES = data.phrases(data.texts("rules"))
RULES = parse(FILES)


def looks(text):
    return RULES.likeness.looks(sentences(text, RULES.classes))


def test_the_weights_were_made_from_the_lessons_that_are_here():
    found, digest = lessons()
    assert json.loads(FILES[LIKENESS_FILE])["lessons"] == digest, "run bench/likeness.py"
    assert {kind for _, kinds in found for kind in kinds} == {kind.name for kind in RULES.kinds}


def test_every_kind_the_rules_know_has_lessons():
    assert {kind.name for kind in RULES.kinds} == set(RULES.likeness.names) - {ANY}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Doe mij maar een afschrift van wat er over mij in die kast ligt.", "access"),
        ("Gooi alles wat over mij gaat maar in de prullenbak.", "erasure"),
        ("Mijn huisnumer klopt niet meer, kunnen jullie dat bijwerken?", "rectification"),
        ("Bel me niet meer met die verkooppraatjes.", "objection"),
    ],
)
def test_a_text_in_other_words_looks_like_its_kind(text, kind):
    found = looks(text)
    assert max(found.kinds, key=found.kinds.get) == kind
    assert found.asks > 0.5


def test_business_looks_like_nothing():
    assert looks("Kunnen jullie morgen de nieuwe printer aansluiten?").asks < 0.5


def test_a_request_in_the_middle_of_a_story_is_not_drowned():
    story = "We waren op vakantie in Drenthe. Het regende elke dag. De kinderen vonden het prachtig. "
    asked = "Verwijder alsjeblieft mijn account en al mijn gegevens. "
    assert looks(story + asked + story).asks > 2 * looks(story).asks


def test_the_opinion_is_shown_with_the_words_that_spoke_most():
    verdict = classify(Message("0" * 64, written="Wis al mijn gegevens uit jullie systeem alsjeblieft."), RULES)
    (shown,) = [one for one in verdict.evidence if one.rule == f"{LIKENESS}-erasure"]
    assert "wis" in shown.text
    assert 0.5 < shown.weight <= 1


def test_without_the_file_the_rules_speak_alone():
    rules = parse({name: text for name, text in FILES.items() if name != LIKENESS_FILE})
    assert rules.likeness.looks(sentences("Wis mijn gegevens.", rules.classes)) == Looks()
    assert classify(Message("0" * 64, written="Ik wil dat u mijn gegevens verwijdert."), rules).kinds == ("erasure",)


def test_a_broken_file_stops_the_start():
    with pytest.raises(OwnerMustFix, match=r"rules/likeness\.json"):
        parse({**FILES, LIKENESS_FILE: FILES[LIKENESS_FILE][:1000]})


def test_an_opinion_costs_no_more_than_its_text_is_long():
    def spent(length):
        said = sentences("mijn gegevens xyzzy wissen " * length, RULES.classes)
        started = time.process_time()
        RULES.likeness.looks(said)
        return time.process_time() - started

    spent(100)
    assert spent(40_000) < max(30 * spent(2_000), 0.2)


def test_nothing_said_is_no_opinion():
    assert RULES.likeness.looks([]) == Looks()
    assert Likeness().looks(sentences("hallo", RULES.classes)) == Looks()


def test_what_asks_too_little_is_not_looked_at_for_its_kinds_and_the_verdict_is_the_same():
    said = sentences("Kunnen jullie morgen de printer aansluiten? Wij zijn om negen uur open.", RULES.classes)
    whole = RULES.likeness.looks(said)
    short = RULES.likeness.looks(said, enough=0.9)
    assert (short.kinds, short.likest) == ({}, 0.0)
    assert short.asks == pytest.approx(whole.asks)
    assert RULES.likeness.looks(said, enough=whole.asks / 2) == whole
