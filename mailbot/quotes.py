"""What this person wrote now: without quotes, signature, disclaimer and legal footer.

Owns cutting text into written and quoted, by lines. Must never cut a forwarded mail out of a new request ("see below"
is a request too), and never look at more than one line at a time with a pattern: that keeps it linear.

The patterns are rules/quotes.toml, each with example lines it must and must not match.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

LINE = 400  # characters of a line that patterns look at: longer lines are no quote headers
HEADER_BLOCK = 2  # so many header lines (Van:, Verzonden:, Aan: ...) right below each other start an Outlook quote


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern for one line, and where it stands."""

    id: str
    regex: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Patterns:
    """What starts a quote, a header block, a forwarded mail, a signature or a disclaimer."""

    quote: tuple[Pattern, ...]
    header: tuple[Pattern, ...]
    forward: tuple[Pattern, ...]
    signature: tuple[Pattern, ...]
    disclaimer: tuple[Pattern, ...]

    @classmethod
    def parse(cls, table: Mapping[str, object]) -> "Patterns":
        """Return the patterns of rules/quotes.toml. ValueError lists every pattern that fails its own examples."""
        problems: list[str] = []
        groups = {name: tuple(_patterns(name, table, problems)) for name in cls.__dataclass_fields__}
        if problems:
            raise ValueError("; ".join(problems))
        return cls(**groups)


def _patterns(group: str, table: Mapping[str, object], problems: list[str]) -> Iterable[Pattern]:
    rows = table.get(group, ())
    for row in rows if isinstance(rows, list) else ():
        where = f"quotes.toml: {group} {row.get('id', '?')}"
        try:
            regex = re.compile(row["regex"], re.IGNORECASE)
        except (KeyError, re.error) as error:
            problems.append(f"{where}: {error}")
            continue
        problems += [
            f"{where} does not match its example {text!r}" for text in row.get("matches", ()) if not regex.search(text)
        ]
        problems += [
            f"{where} matches what it must ignore: {text!r}" for text in row.get("ignores", ()) if regex.search(text)
        ]
        yield Pattern(row["id"], regex)


@dataclass(frozen=True, slots=True)
class Stripped:
    """The two parts of a text. `forwarded`: what follows was passed on, and counts as written."""

    written: str
    quoted: str
    forwarded: bool = False


def strip(text: str, patterns: Patterns, *, is_reply: bool = False) -> Stripped:
    """Return what was written now and what was quoted. `is_reply`: the mail answers another one (In-Reply-To).

    A text in which nothing is left counts as written whole, unless it is a reply: then only the quote came back.
    """
    lines = text.split("\n")
    written: list[str] = []
    quoted: list[str] = []
    forwarded = False
    place = 0
    while place < len(lines):
        line = lines[place]
        if _matches(patterns.forward, line):
            forwarded = True
            written += _unmarked(lines[place + 1 :])
            break
        if line.lstrip().startswith(">"):
            quoted.append(line)
        elif _starts_quote(lines, place, patterns):
            if not is_reply and not any(part.strip() for part in written):
                written.append(line)  # nothing above it: a mail that was passed on by hand
                forwarded = True
            else:
                place = _after_quote(lines, place, quoted)
                continue
        elif _matches(patterns.signature, line):
            quoted += lines[place:]
            break
        else:
            written.append(line)
        place += 1
    body = "\n".join(_without_disclaimer(written, patterns)).strip()
    if not body and not is_reply and not forwarded:
        return Stripped(_plain(text), "", forwarded=False)
    return Stripped(body, "\n".join(quoted).strip(), forwarded)


def _plain(text: str) -> str:
    return "\n".join(line.lstrip("> ") for line in text.split("\n")).strip()


def _unmarked(lines: Iterable[str]) -> list[str]:
    return [line.lstrip("> ") for line in lines]


def _matches(group: Iterable[Pattern], line: str) -> bool:
    cut = line[:LINE]
    return any(pattern.regex.search(cut) for pattern in group)


def _starts_quote(lines: list[str], place: int, patterns: Patterns) -> bool:
    line = lines[place].strip()
    if not line:
        return False
    if _matches(patterns.quote, line):
        return True
    # Mail programs wrap the line "Op ... schreef ...:" when it is long.
    following = lines[place + 1].strip() if place + 1 < len(lines) else ""
    if (
        following
        and len(line) + len(following) < LINE
        and following.endswith(":")
        and _matches(patterns.quote, f"{line} {following}")
    ):
        return True
    block = [one for one in lines[place : place + 6] if one.strip()][: HEADER_BLOCK + 1]
    return len(block) >= HEADER_BLOCK and all(_matches(patterns.header, one) for one in block[:HEADER_BLOCK])


def _after_quote(lines: list[str], place: int, quoted: list[str]) -> int:
    """Take the quote header and what follows. Below `>` lines a person may go on; below other quotes nothing does."""
    rest = lines[place + 1 :]
    first = next((line for line in rest if line.strip()), "")
    second = next((line for line in rest[1:] if line.strip()), "") if first and not first.startswith(">") else ""
    if not first.lstrip().startswith(">") and not second.lstrip().startswith(">"):
        quoted += lines[place:]
        return len(lines)
    quoted.append(lines[place])
    place += 1
    while place < len(lines) and (
        not lines[place].strip() or (lines[place].rstrip().endswith(":") and not lines[place].lstrip().startswith(">"))
    ):
        quoted.append(lines[place])
        place += 1
    return place


def _without_disclaimer(lines: list[str], patterns: Patterns) -> list[str]:
    """Cut from the first line that starts a disclaimer, when it stands at the end of the text."""
    for place, line in enumerate(lines):
        if _matches(patterns.disclaimer, line) and any(part.strip() for part in lines[:place]):
            return lines[:place]
    return lines
