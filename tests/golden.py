"""Write the golden letters anew: `make golden`. Read the difference before you commit it."""

from dataclasses import replace
from pathlib import Path

from mailbot import data
from mailbot.letters import Sender, Templates, compose
from mailbot.rules import parse
from mailbot.templates import parse as parse_templates
from mailbot.templates import processors, sample_letter

GOLDEN = Path(__file__).with_name("golden")
SENDER = Sender("KosterNET", "info@kosternet.nl", "https://autoriteitpersoonsgegevens.nl/", "geert@kosternet.example")


def templates() -> Templates:
    """Return the shipped letters."""
    texts = data.texts("rules")
    rules = parse(data.phrases(texts))
    labels = {kind.name: kind.labels for kind in rules.kinds}
    return parse_templates(data.files("templates"), labels, processors(texts["processors.toml"]))


def letters():
    """Yield each shipped letter with its sample facts: file name and the mail."""
    found = templates()
    for (letter, language), template in sorted(found.letters.items()):
        sample = sample_letter(letter, language, template)
        yield f"{language}-{letter}", compose(sample, SENDER, found)
        for place, facts in enumerate(template.again, start=2):
            yield f"{language}-{letter}-{place}", compose(replace(sample, facts=dict(facts)), SENDER, found)


def about_kinds():
    """Yield what each outcome letter says about each kind: file name and the texts, one under the other."""
    found = templates()
    for (letter, language), template in sorted(found.letters.items()):
        if letter.startswith("outcome_"):
            told = []
            for kind in sorted(found.labels):
                facts = {**template.sample, "kinds": [kind], "reason": template.sample["reason"]}
                queued = replace(sample_letter(letter, language, template), facts=facts)
                text = compose(queued, SENDER, found).get_body(("plain",)).get_content()
                told.append(f"== {kind}\n\n{text}")
            yield f"kinds-{language}-{letter}", "\n".join(told)


def shown(mail) -> str:
    """The mail as a golden copy: its headers and both texts, without the encoding."""
    headers = "\n".join(f"{name}: {value}" for name, value in mail.items())
    text, page = (mail.get_body((kind,)).get_content() for kind in ("plain", "html"))
    return f"{headers}\n\n{text}\n{'=' * 72}\n{page}"


if __name__ == "__main__":
    for name, mail in letters():
        (GOLDEN / f"{name}.txt").write_text(shown(mail), encoding="utf-8")
    for name, text in about_kinds():
        (GOLDEN / f"{name}.txt").write_text(text, encoding="utf-8")
