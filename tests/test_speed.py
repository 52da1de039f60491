"""What keeps it quick, by counting rather than by the clock: short cuts that change no verdict, and work done once."""

import re
import tomllib
from pathlib import Path

import pytest

from mailbot import data, forms
from mailbot.lines import Group, alternatives, needs

MAILS = Path(__file__).with_name("mails")
QUOTES = tomllib.loads(data.texts("rules")["quotes.toml"])
SAID = sorted({
    *(line for path in MAILS.glob("*.eml") for line in path.read_text(encoding="utf-8", errors="replace").split("\n")),
    *(line for rows in QUOTES.values() for row in rows for line in (*row["matches"], *row["ignores"])),
})  # fmt: skip
RULES = forms.FormRules.parse(data.texts("rules")["forms.toml"])
LABELS = sorted(RULES.address_labels - RULES.name_labels)  # From: and Van: stand above quotes too


@pytest.mark.parametrize("shown", ["{}: jan@example.nl", "  **{}** :\njan@example.nl", "\t{}:   jan@example.nl"])
@pytest.mark.parametrize("label", LABELS)
def test_the_short_look_for_a_form_misses_no_way_to_label_an_address(label, shown):
    text = f"Naam: Jan\n{shown.format(label.title().replace(' ', '  '))}\nBericht: wis mijn gegevens"
    found = forms.find("nieuw", text, {}, RULES)
    assert found is not None
    assert found.address == "jan@example.nl"


def test_a_loose_alternative_in_a_sign_stops_the_start():
    with pytest.raises(ValueError, match="parentheses"):
        forms.Signs.of(["^a|b"])


@pytest.mark.parametrize("name", sorted(QUOTES))
def test_a_group_of_patterns_finds_what_each_of_them_finds(name):
    regexes = [row["regex"] for row in QUOTES[name]]
    group = Group.of(regexes)
    plain = [re.compile(regex, re.IGNORECASE) for regex in regexes]
    for line in (shown for said in SAID for shown in (said, said.upper(), f"> {said}", f"Hoi. {said} Jan")):
        assert group.matches(line) == any(regex.search(line[:400]) for regex in plain), line
        found = [match for regex in plain if (match := regex.search(f"{line[:400]} {line[:400]}"))]
        assert group.begins_in(line, line) == any(match.start() < len(line) and bool(line.strip()) for match in found)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("zie (ook |hier )?hieronder", {"hieronder"}),
        ("(van|namens) (mijn )?bericht", {"bericht"}),
        ("(below|onder) [a-z]+", {"below", "onder"}),
        ("(below|a.b) x", set()),
        (r"klik\?s? hier|daar", {" hier", "daar"}),
        ("nieuwsbrieven?", {"nieuwsbrieve"}),
        ("[abc]{3}", set()),
    ],
)
def test_the_words_a_pattern_needs_are_in_all_it_matches(pattern, words):
    needed = [needs(part) for part in alternatives(pattern)]
    assert (set().union(*needed) if all(needed) else set()) == words
