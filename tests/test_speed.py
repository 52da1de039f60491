"""What keeps it quick, by counting rather than by the clock: short cuts that change no verdict, and work done once."""

import pytest

from mailbot import data, forms

RULES = forms.FormRules.parse(data.texts("rules")["forms.toml"])
LABELS = sorted(RULES.address_labels)


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
