"""A mailbox as a small company has it, made up: `python bench/mails.py [--mails 5000]` prints its shape.

5,000 mails come to about 175 MB: median 9 KB, 90th percentile 77 KB, longest 7 MB. 45 % are plain, 30 % alternative,
10 % HTML, 15 % carry 50 KB and ten of 5,000 carry 5 MB. Four in five are Dutch, 13 % English, 7 % German. The same
seed gives the same mails.
"""

import argparse
import base64
import random
import statistics
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

SAID = tomllib.loads(Path(__file__).with_name("sentences.toml").read_text(encoding="utf-8"))
SENTENCES, REQUESTS, WORDS = SAID["ordinary"], SAID["request"], SAID["word"]
GREETING = {"nl": ("Beste collega,", "Met vriendelijke groet,"), "en": ("Hello,", "Kind regards,"),
            "de": ("Guten Tag,", "Mit freundlichen Grüßen,")}  # fmt: skip
QUOTE = {"nl": "Op {day} {n} november schreef {name} <info@kosternet.nl>:",
         "en": "On {day}, {name} <info@kosternet.nl> wrote:",
         "de": "Am {day} schrieb {name} <info@kosternet.nl>:"}  # fmt: skip
DISCLAIMER = (
    "De informatie in dit bericht is uitsluitend bestemd voor de geadresseerde. Aan dit bericht en de bijlagen kunnen"
    " geen rechten worden ontleend. Denk aan het milieu voordat u dit bericht afdrukt."
)
STYLE = "font-family:Calibri,Arial,sans-serif;font-size:11pt;color:#1f3864;margin:0 0 8px 0;line-height:1.4"


@dataclass(frozen=True, slots=True)
class Made:
    """One mail, and whether it is a request."""

    raw: bytes
    request: bool


def mails(count: int, share: float, seed: int = 1) -> Iterator[Made]:
    """Yield `count` mails of which a `share` are requests, each from a person of its own."""
    dice = random.Random(seed)
    for place in range(count):
        request = dice.random() < share
        yield Made(_mail(place, dice, request=request), request)


def _said(dice: random.Random, pool: list[str]) -> str:
    sentence = dice.choice(pool)
    some = {name: dice.choice(words) for name, words in WORDS.items()}
    return sentence.format(n=dice.randint(2, 900), code=f"KN{dice.randint(10**5, 10**6)}", **some)


def _paragraphs(dice: random.Random, language: str, length: int) -> list[str]:
    out, size = [], 0
    while size < length:
        out.append(" ".join(_said(dice, SENTENCES[language]) for _ in range(dice.randint(1, 4))))
        size += len(out[-1])
    return out


def _mail(place: int, dice: random.Random, *, request: bool) -> bytes:
    language = dice.choices(("nl", "en", "de"), (80, 13, 7))[0]
    name = f"{dice.choice(WORDS['name'])} {place}"
    shape = dice.choices(("plain", "alternative", "html", "attached"), (45, 30, 10, 15))[0]
    shape = "large" if place % 500 == 250 else shape
    own = _paragraphs(dice, language, 150 + int(min(dice.paretovariate(1.2) * 250, 4_000)))
    if request:
        own.insert(0, _said(dice, REQUESTS[language]))
    quoted = [] if request else _paragraphs(dice, language, int(min(dice.paretovariate(0.8) * 900, 16_000)))
    start, end = GREETING[language]
    tail = ["", "-- ", name, "Dorpsstraat 12, 9711 AB Groningen", "050 123 45 67", "", DISCLAIMER]
    above = QUOTE[language].format(day=dice.choice(WORDS["day"]), n=dice.randint(1, 28), name="KosterNET")
    lines = [start, "", *own, "", end, name, "", *([above, *(f"> {one}" for one in quoted)] if quoted else []), *tail]
    mail = _headed(place, name, dice, reply=bool(quoted))
    text = "\r\n".join(lines) + "\r\n"
    if shape != "html":
        mail.set_content(text, cte="quoted-printable" if dice.random() < 0.5 else "8bit")
    if shape in {"alternative", "html"}:
        page = _page(start, own, end, name, above, quoted)
        (mail.set_content if shape == "html" else mail.add_alternative)(page, subtype="html", cte="quoted-printable")
    if shape in {"attached", "large"}:
        size = 50_000 if shape == "attached" else 5_000_000
        mail.add_attachment(dice.randbytes(size), maintype="application", subtype="pdf", filename=f"scan {place}.pdf")
    return mail.as_bytes(policy=SMTP)


def _page(start: str, own: list[str], end: str, name: str, above: str, quoted: list[str]) -> str:
    def paragraphs(some: list[str]) -> str:
        return "".join(f'<p class="MsoNormal" style="{STYLE}"><span lang="NL">{one}</span></p>\n' for one in some)

    quote = (
        f'<div class="gmail_quote"><div>{above}</div><blockquote type="cite">{paragraphs(quoted)}</blockquote></div>'
    )
    return (
        f"<html><head><style>p.MsoNormal{{{STYLE}}}</style></head><body lang=NL>{paragraphs([start, *own, end, name])}"
        f'<table border=0 cellpadding=0><tr><td style="{STYLE}"><a href="https://www.example.nl/">{name}</a></td></tr>'
        f"</table>{quote if quoted else ''}</body></html>"
    )


def _headed(place: int, name: str, dice: random.Random, *, reply: bool) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    for hop in range(3):
        mail["Received"] = (
            f"from mx{hop}.example.net (mx{hop}.example.net [192.0.2.{hop + 1}]) by mail{hop}.kosternet.nl with ESMTPS"
            f" id {dice.randbytes(8).hex()} for <info@kosternet.nl>; Mon, 23 Nov 2026 10:{hop:02}:00 +0100"
        )
    signature = base64.b64encode(dice.randbytes(256)).decode()
    folded = " ".join(signature[start : start + 70] for start in range(0, len(signature), 70))
    mail["DKIM-Signature"] = f"v=1; a=rsa-sha256; d=example.nl; s=k1; b={folded}"
    mail["From"] = f'"{name}" <persoon{place}@example.nl>'
    mail["To"] = "info@kosternet.nl"
    mail["Subject"] = f"{'Re: ' if reply else ''}bericht {dice.choice(WORDS['thing'])} {place}"
    mail["Date"] = "Mon, 23 Nov 2026 10:03:00 +0100"
    mail["Message-ID"] = f"<{place}.{dice.randbytes(6).hex()}@example.nl>"
    if reply:
        mail["In-Reply-To"] = f"<{dice.randbytes(12).hex()}@elsewhere.example>"
    mail["X-Mailer"] = "Microsoft Outlook 16.0"
    return mail


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=5_000)
    parser.add_argument("--requests", type=float, default=0.1)
    options = parser.parse_args()
    sizes = sorted(len(one.raw) for one in mails(options.mails, options.requests))
    print(f"{len(sizes)} mails, {sum(sizes) / 1e6:.0f} MB, median {statistics.median(sizes) / 1e3:.1f} KB, "
          f"90th percentile {sizes[len(sizes) * 9 // 10] / 1e3:.0f} KB, longest {sizes[-1] / 1e6:.1f} MB")  # fmt: skip


if __name__ == "__main__":
    main()
