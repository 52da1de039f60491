"""Dates and numbers of days in the words of a language: `woensdag 23 december 2026`, `nog 3 dagen`.

Owns putting words.toml of a language around them. Must never hold a word itself.
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

Words = Mapping[str, Any]


def long_date(text: str, words: Words) -> str:
    """Return an ISO date (or moment) written out: `woensdag 23 december 2026`; empty for nothing."""
    if not text:
        return ""
    day = date.fromisoformat(text[:10])
    return f"{words['days'][day.weekday()]} {day.day} {words['months'][day.month - 1]} {day.year}"


def moment(text: str, words: Words, timezone: str) -> str:
    """Return an aware RFC 3339 moment written out, in `timezone`; empty for nothing."""
    if not text:
        return ""
    at = datetime.fromisoformat(text).astimezone(ZoneInfo(timezone))
    return f"{long_date(at.date().isoformat(), words)}, {at:%H:%M}"


def in_days(number: int, words: Words) -> str:
    """Return a number of days: `1 dag`, `3 dagen`."""
    return counted("days", number, words)


def counted(what: str, number: int, words: Words) -> str:
    """Return a number of things by the name of their [count] line: one, or more."""
    one, more = words["count"][what]
    return str(one if number == 1 else more).format(count=number)


def left(days: int, words: Words) -> str:
    """Return how long there still is: `nog 3 dagen`, `vandaag`, `2 dagen te laat`."""
    said = "ahead" if days > 0 else "over" if days < 0 else "today"
    return str(words["left"][said]).format(days=in_days(abs(days), words))


def warned(row: Mapping[str, Any], words: Words) -> str:
    """Return what a warning says: which term, and how long there still is. `row` is one of due.py's."""
    said = "breach" if row["of"] == "breach" else _said(row["days_left"], last=bool(row["last"]))
    term = words["terms"].get(row["of"], row["of"])
    text = str(words["warned"][said])
    return text.format(term=term, days=in_days(abs(row["days_left"]), words), hours=row["hours"])


def _said(days: int, *, last: bool) -> str:
    return "over" if days < 0 else "today" if days == 0 else "last" if last else "ahead"


def gap(row: Mapping[str, Any], words: Words) -> str:
    """Return what does not agree between mailbox and register. `row` has `gap`, and what its text names."""
    messages = counted("messages", row.get("count", 0), words)
    text = str(words["gaps"][row["gap"]])
    return text.format(messages=messages, folder=row.get("folder", ""), number=row.get("number", ""))


FORMS = {  # the sections whose texts are filled in, and with what
    "left": "days",
    "warned": "term days hours",
    "gaps": "messages folder number",
    "report": "year count all first last",
    "replies": "number what",
    "evidence": "number when kinds state identity day took reason answer place outcome name at version",
}
NAMES = {  # what must be named in a section, because a text of this program asks for it
    "count": "days messages",
    "left": "ahead today over",
    "warned": "ahead last today over breach",
    "gaps": "unseen folder backup",
    "report": "promise statement_term law open late year median of_all other_kinds months columns calendar due_promise"
    " due_law about_state about_kind about_month about_answered",
    "evidence": "title without came promised letters kept done chain received about state no_id promise statement "
    "limit extended ended in_law past_law in_promise past_promise reason server check event text hash "
    "erased_all handled outcome erased not_known sealed made ",
}


def wrong(words: Words) -> Iterator[str]:
    """Yield what is wrong with the owner's words: a text that is missing, or names what it cannot have."""
    for section, names in NAMES.items():
        missing = set(names.split()) - set(words.get(section, {}))
        yield from (f"[{section}] there is no `{name}`" for name in sorted(missing))
    for section, allowed in FORMS.items():
        facts = dict.fromkeys(allowed.split(), "")
        for name, text in words.get(section, {}).items():
            try:
                str(text).format(**facts)
            except (KeyError, IndexError, ValueError):
                yield f"[{section}] {name}: between braces only {allowed.replace(' ', ', ')} may stand"
