"""What this person wrote now: without quotes, signature, disclaimer and newsletter footer.

Owns cutting a text into written and quoted, by lines. Must never cut what was passed on: only a reply has quotes to
leave out, and whatever any other mail carries along is part of what it asks ("see below" is a request too). Must never
look at more than a line or three with a pattern: that keeps it linear.

The patterns are rules/quotes.toml, each with example lines it must and must not match.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mailbot.errors import OwnerMustFix
from mailbot.lines import LINE, Group

WRAPPED = 3  # lines over which a mail program spreads "Op ... schreef ...:"
HEADER_BLOCK = 3  # so many header lines (Van:, Verzonden:, Aan: ...) near each other are the head of a quoted mail
BLOCK_LINES = 6  # written lines among which they stand
OPENING = 8  # words: with fewer above it, a line about confidentiality may be the person's own
SIGNATURES = 10  # of one mail; each is looked at for a dozen lines
SIGNATURE_LINES = 12  # written lines: what is longer is no signature but a person who draws lines


@dataclass(frozen=True, slots=True)
class Patterns:
    """What each group of rules/quotes.toml starts or is."""

    quote: Group  # the line above a quote
    sender: Group  # the first header line of a quoted mail
    header: Group  # any of its header lines
    forward: Group  # the line above a mail that was passed on
    signature: Group  # the line above a signature
    sent_from: Group  # what a mail program adds as a line of its own
    disclaimer: Group  # a line of a legal text or newsletter footer: its paragraph goes
    below: Group  # own words that make the quote part of what is asked
    reply_subject: Group
    forward_subject: Group

    @classmethod
    def parse(cls, text: str, name: str = "rules/quotes.toml") -> "Patterns":
        """Return the patterns in this TOML text. OwnerMustFix lists every pattern that fails, with file and line."""
        problems: list[str] = []
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise OwnerMustFix(f"{name}: is not valid TOML ({error})") from error
        strange = set(table) - set(cls.__dataclass_fields__)
        problems += [f"{name}: there is no group `{group}`" for group in sorted(strange)]
        groups = {
            group: Group.of(_patterns(group, table, (name, text), problems)) for group in cls.__dataclass_fields__
        }
        if problems:
            raise OwnerMustFix(problems)
        return cls(**groups)


def _patterns(group: str, table: Mapping[str, object], source: tuple[str, str], problems: list[str]) -> Iterable[str]:
    rows = table.get(group, ())
    for row in rows if isinstance(rows, list) else ():
        name, text = source
        line = text.count("\n", 0, max(text.find(f'id = "{row.get("id")}"'), 0)) + 1
        where = f"{name}:{line}: {group} {row.get('id', '?')}"
        try:
            regex = re.compile(row["regex"], re.IGNORECASE)
        except (KeyError, re.error) as error:
            problems.append(f"{where}: {error}")
            continue
        problems += [
            f"{where} does not match its own example: {said!r}"
            for said in row.get("matches", ())
            if not regex.search(said)
        ]
        problems += [
            f"{where} matches what it must ignore: {said!r}" for said in row.get("ignores", ()) if regex.search(said)
        ]
        yield regex.pattern


@dataclass(frozen=True, slots=True)
class Stripped:
    """The two parts of a text."""

    written: str
    quoted: str


def answers(subject: str, patterns: Patterns, *, refers: bool) -> bool:
    """Tell whether a mail answers another one: its subject says so, or its headers do and it was not passed on."""
    if patterns.forward_subject.matches(subject):
        return False
    return refers or patterns.reply_subject.matches(subject)


def speaks_of_another(subject: str, patterns: Patterns) -> bool:
    """Tell whether the subject says that another mail is answered or passed on."""
    return patterns.forward_subject.matches(subject) or patterns.reply_subject.matches(subject)


def strip(text: str, patterns: Patterns, *, is_reply: bool = False) -> Stripped:
    """Return what was written now and what was quoted. `is_reply`: see `answers`.

    Where nothing is left, everything counts as written: better a quote read twice than a request not at all.
    """
    lines = _without_signatures(text.split("\n"), patterns)
    kept, quoted = _answer(lines, patterns) if is_reply else (_unmarked(lines), [])
    own = _without_disclaimers(kept, patterns)
    if quoted and any(patterns.below.matches(line) for line in own):
        own, quoted = [*own, "", *_without_disclaimers(_unmarked(quoted), patterns)], []
    written = "\n".join(own).strip()
    if not written:
        return Stripped("\n".join(_unmarked(text.split("\n"))).strip(), "")
    return Stripped(written, "\n".join(quoted).strip())


def _unmarked(lines: Iterable[str]) -> list[str]:
    return [line.lstrip("> ") if line.lstrip().startswith(">") else line for line in lines]


def _is_marked(line: str) -> bool:
    return line.lstrip().startswith(">")


def _without_signatures(lines: Sequence[str], patterns: Patterns) -> list[str]:
    """Leave out signatures: up to the next quote or the end, and never what is too long to be one."""
    out: list[str] = []
    place, begun, found = 0, False, 0
    while place < len(lines):
        line = lines[place]
        if begun and found < SIGNATURES and patterns.signature.matches(line):
            found += 1
            end = _end_of_signature(lines, place + 1, patterns)
            if end is not None:
                place = end
                continue
        if not patterns.sent_from.matches(line):
            out.append(line)
            begun = begun or bool(line.strip())
        place += 1
    return out


def _end_of_signature(lines: Sequence[str], start: int, patterns: Patterns) -> int | None:
    """Return where the signature that starts here ends, or None when it is too long to be one."""
    written = 0
    for place in range(start, len(lines)):
        line = lines[place]
        if _is_marked(line) or patterns.forward.matches(line) or _head_of_quote(lines, place, patterns):
            return place
        written += bool(line.strip()) and not patterns.disclaimer.matches(line)
        if written > SIGNATURE_LINES:
            return None
    return len(lines)


def _answer(lines: Sequence[str], patterns: Patterns) -> tuple[list[str], list[str]]:
    """Cut a reply into its own lines and the quoted ones. A mail pasted into it without marks is its own."""
    kept: list[str] = []
    quoted: list[str] = []
    place = 0
    while place < len(lines):
        line = lines[place]
        if not _is_marked(line) and patterns.forward.matches(line):
            kept += _unmarked(lines[place:])
            break
        head = 0 if _is_marked(line) else _head_of_quote(lines, place, patterns)
        if head or _is_marked(line):
            end = place + 1 if not head else _end_of_quote_head(lines, place + head)
            quoted += lines[place:end]
            kept.append("")
            place = end
        else:
            kept.append(line)
            place += 1
    return kept, quoted


def _end_of_quote_head(lines: Sequence[str], place: int) -> int:
    """Below a quote of `>` lines a person may go on; below one without marks nothing can be told apart."""
    following = next((lines[one] for one in range(place, len(lines)) if lines[one].strip()), "")
    return place if _is_marked(following) else len(lines)


def _head_of_quote(lines: Sequence[str], place: int, patterns: Patterns) -> int:
    """Return how many lines from here are the head of a quote: 0 when none is."""
    line = lines[place].strip()
    if not line:
        return 0
    joined = ""
    for count in range(1, WRAPPED + 1):
        part = lines[place + count - 1].strip() if place + count <= len(lines) else ""
        joined = f"{joined} {part}".strip()
        if not part or len(joined) > LINE:
            break
        if patterns.quote.matches(joined):
            return count
    if not patterns.sender.matches(line):
        return 0
    block = [one for one in lines[place : place + BLOCK_LINES * 2] if one.strip()][:BLOCK_LINES]
    return 1 if sum(patterns.header.matches(one) for one in block) >= HEADER_BLOCK else 0


def _without_disclaimers(lines: Sequence[str], patterns: Patterns) -> list[str]:
    """Leave out the rest of each paragraph in which a disclaimer starts; what a person wrote below it stays.

    One that starts amid the first words of a mail is left out alone: "this mail is confidential" may be their own.
    """
    out: list[str] = []
    words, above, inside = 0, "", False
    for place, line in enumerate(lines):
        following = lines[place + 1] if place + 1 < len(lines) else ""
        inside = inside and bool(line.strip())
        if not inside and patterns.disclaimer.begins_in(line, following):
            inside = words >= OPENING or not above.strip()
        elif not inside:
            out.append(line)
            words += len(line.split()) if words < OPENING else 0
        above = line
    return out
