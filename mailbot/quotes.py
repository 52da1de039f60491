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

LINE = 400  # characters of a line that patterns look at: longer lines are no quote headers
WRAPPED = 3  # lines over which a mail program spreads "Op ... schreef ...:"
HEADER_BLOCK = 3  # so many header lines (Van:, Verzonden:, Aan: ...) near each other are the head of a quoted mail
BLOCK_LINES = 6  # written lines among which they stand
OPENING = 8  # words: with fewer above it, a line about confidentiality may be the person's own
SIGNATURE_LINES = 12  # written lines: what is longer is no signature but a person who draws lines


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern for one line, and its name."""

    id: str
    regex: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Patterns:
    """What each group of rules/quotes.toml starts or is."""

    quote: tuple[Pattern, ...]  # the line above a quote
    sender: tuple[Pattern, ...]  # the first header line of a quoted mail
    header: tuple[Pattern, ...]  # any of its header lines
    forward: tuple[Pattern, ...]  # the line above a mail that was passed on
    signature: tuple[Pattern, ...]  # the line above a signature
    sent_from: tuple[Pattern, ...]  # what a mail program adds as a line of its own
    disclaimer: tuple[Pattern, ...]  # a line of a legal text or newsletter footer: its paragraph goes
    below: tuple[Pattern, ...]  # own words that make the quote part of what is asked
    reply_subject: tuple[Pattern, ...]
    forward_subject: tuple[Pattern, ...]

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
        groups = {group: tuple(_patterns(group, table, (name, text), problems)) for group in cls.__dataclass_fields__}
        if problems:
            raise OwnerMustFix(problems)
        return cls(**groups)


def _patterns(
    group: str, table: Mapping[str, object], source: tuple[str, str], problems: list[str]
) -> Iterable[Pattern]:
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
        yield Pattern(str(row.get("id", "?")), regex)


@dataclass(frozen=True, slots=True)
class Stripped:
    """The two parts of a text."""

    written: str
    quoted: str


def answers(subject: str, patterns: Patterns, *, refers: bool) -> bool:
    """Tell whether a mail answers another one: its subject says so, or its headers do and it was not passed on."""
    if _matches(patterns.forward_subject, subject):
        return False
    return refers or _matches(patterns.reply_subject, subject)


def speaks_of_another(subject: str, patterns: Patterns) -> bool:
    """Tell whether the subject says that another mail is answered or passed on."""
    return _matches(patterns.forward_subject, subject) or _matches(patterns.reply_subject, subject)


def strip(text: str, patterns: Patterns, *, is_reply: bool = False) -> Stripped:
    """Return what was written now and what was quoted. `is_reply`: see `answers`.

    Where nothing is left, everything counts as written: better a quote read twice than a request not at all.
    """
    lines = _without_signatures(text.split("\n"), patterns)
    kept, quoted = _answer(lines, patterns) if is_reply else (_unmarked(lines), [])
    own = _without_disclaimers(kept, patterns)
    if quoted and any(_matches(patterns.below, line) for line in own):
        own, quoted = [*own, "", *_without_disclaimers(_unmarked(quoted), patterns)], []
    written = "\n".join(own).strip()
    if not written:
        return Stripped("\n".join(_unmarked(text.split("\n"))).strip(), "")
    return Stripped(written, "\n".join(quoted).strip())


def _unmarked(lines: Iterable[str]) -> list[str]:
    return [line.lstrip("> ") if line.lstrip().startswith(">") else line for line in lines]


def _matches(group: Iterable[Pattern], line: str) -> bool:
    cut = line[:LINE]
    return any(pattern.regex.search(cut) for pattern in group)


def _is_marked(line: str) -> bool:
    return line.lstrip().startswith(">")


def _without_signatures(lines: Sequence[str], patterns: Patterns) -> list[str]:
    """Leave out signatures: up to the next quote or the end, and never what is too long to be one."""
    out: list[str] = []
    place, begun = 0, False
    while place < len(lines):
        line = lines[place]
        if begun and _matches(patterns.signature, line):
            end = _end_of_signature(lines, place + 1, patterns)
            if end is not None:
                place = end
                continue
        if not _matches(patterns.sent_from, line):
            out.append(line)
            begun = begun or bool(line.strip())
        place += 1
    return out


def _end_of_signature(lines: Sequence[str], start: int, patterns: Patterns) -> int | None:
    """Return where the signature that starts here ends, or None when it is too long to be one."""
    written = 0
    for place in range(start, len(lines)):
        line = lines[place]
        if _is_marked(line) or _matches(patterns.forward, line) or _head_of_quote(lines, place, patterns):
            return place
        written += bool(line.strip()) and not _matches(patterns.disclaimer, line)
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
        if not _is_marked(line) and _matches(patterns.forward, line):
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
        if _matches(patterns.quote, joined):
            return count
    if not _matches(patterns.sender, line):
        return 0
    block = [one for one in lines[place : place + BLOCK_LINES * 2] if one.strip()][:BLOCK_LINES]
    return 1 if sum(_matches(patterns.header, one) for one in block) >= HEADER_BLOCK else 0


def _without_disclaimers(lines: Sequence[str], patterns: Patterns) -> list[str]:
    """Leave out the rest of each paragraph in which a disclaimer starts; what a person wrote below it stays.

    One that starts amid the first words of a mail is left out alone: "this mail is confidential" may be their own.
    """
    out: list[str] = []
    words, above, inside = 0, "", False
    for place, line in enumerate(lines):
        following = lines[place + 1] if place + 1 < len(lines) else ""
        inside = inside and bool(line.strip())
        if not inside and _starts_in(patterns.disclaimer, line, following):
            inside = words >= OPENING or not above.strip()
        elif not inside:
            out.append(line)
            words += len(line.split()) if words < OPENING else 0
        above = line
    return out


def _starts_in(group: Iterable[Pattern], line: str, following: str) -> bool:
    """Tell whether a pattern matches from a place in this line on; its end may have been wrapped to the next."""
    if not line.strip():
        return False
    cut = f"{line[:LINE]} {following[:LINE]}"
    found = (pattern.regex.search(cut) for pattern in group)
    return any(match is not None and match.start() < len(line) for match in found)
