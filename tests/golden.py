"""Write the golden letters anew: `make golden`. Read the difference before you commit it."""

from pathlib import Path

from mailbot import data
from mailbot.letters import Sender, Templates, compose, sample_letter
from mailbot.rules import parse

GOLDEN = Path(__file__).with_name("golden")
SENDER = Sender("KosterNET", "info@kosternet.nl", "https://autoriteitpersoonsgegevens.nl/", "geert@kosternet.example")


def templates() -> Templates:
    """Return the shipped letters."""
    rules = parse(data.phrases(data.texts("rules")))
    return Templates.parse(data.files("templates"), {kind.name: kind.labels for kind in rules.kinds})


def letters():
    """Yield each shipped letter with its sample facts: file name and the mail."""
    found = templates()
    for (letter, language), template in sorted(found.letters.items()):
        yield f"{language}-{letter}", compose(sample_letter(letter, language, template), SENDER, found)


def shown(mail) -> str:
    """The mail as a golden copy: its headers and both texts, without the encoding."""
    headers = "\n".join(f"{name}: {value}" for name, value in mail.items())
    text, page = (mail.get_body((kind,)).get_content() for kind in ("plain", "html"))
    return f"{headers}\n\n{text}\n{'=' * 72}\n{page}"


if __name__ == "__main__":
    for name, mail in letters():
        (GOLDEN / f"{name}.txt").write_text(shown(mail), encoding="utf-8")
