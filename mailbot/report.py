"""The register as files for other programs: a table and a calendar.

Owns these shapes, as text, and the rows that `page.py` makes its page of. Must never name anybody in the calendar, or
let a spreadsheet take a cell for a formula. Facts in, text out.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from mailbot.case import ENDS, RUNNING
from mailbot.deadlines import terms
from mailbot.ending import Closed

COLUMNS = tuple(
    "number state kinds client channel received promise statement_term legal_limit extended_to identity ended".split()
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
ICS_LINE = 75  # octets without the line break: RFC 5545, 3.1

Row = Mapping[str, Any]


def rows_for(cases: Iterable[Row], erased: Iterable[Closed] = ()) -> list[dict[str, Any]]:
    """Return the cases as report rows, with the day each ended; of erased cases what is left of them."""
    rows = []
    for case in cases:
        ends = [event["at"] for event in case["events"] if event["event"] in ENDS]
        ended = ends[-1][:10] if ends and case["state"] not in RUNNING else ""
        rows.append({**case, "ended": ended, "received": case["received"][:10]})
    return sorted([*rows, *map(_erased, erased)], key=lambda row: str(row["number"]))


def _erased(line: Closed) -> dict[str, Any]:
    dates = terms(date.fromisoformat(line.received))
    return {
        "number": line.number,
        "state": "erased",
        "kinds": list(line.kinds),
        "client": "",
        "channel": "",
        **dates.as_facts(),
        "identity": "",
        "ended": line.ended,
        "events": [{"at": at, "event": event, "reason": ""} for at, event in line.steps],
    }


def as_csv(rows: Iterable[Row]) -> str:
    """Return the register as a table."""
    return as_table(COLUMNS, rows)


def as_table(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """Return a table for a Dutch spreadsheet: semicolons, a byte order mark, and no cell that is a formula."""
    out = io.StringIO()
    out.write("\ufeff")
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in columns])
    return out.getvalue()


def _cell(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    return "'" + text if text.startswith(FORMULA) else text


def as_ics(rows: Iterable[Row], now: datetime, words: Mapping[str, str]) -> str:
    """Return a calendar (RFC 5545): a whole-day event for each date an open case has ahead of it; no names.

    A UID stays the same for the life of its case, and SEQUENCE grows with every event of it, so that a calendar that
    is read again moves what moved. What is not in the file any more was answered.
    """
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//mailbot//register//NL", "CALSCALE:GREGORIAN"]
    lines.append(f"X-WR-CALNAME:{_text(words['calendar'])}")
    for row in rows:
        if row["state"] in RUNNING:
            law = row["extended_to"] or row.get("suspended_to") or row["legal_limit"]
            lines += _event(row, "promise", row["promise"], words["due_promise"], now)
            lines += _event(row, "law", law, words["due_law"], now)
    lines.append("END:VCALENDAR")
    return "".join(f"{folded}\r\n" for line in lines for folded in _folded(line))


def _event(row: Row, name: str, iso: str, words: str, now: datetime) -> list[str]:
    day, summary = date.fromisoformat(iso), _text(f"{row['number']}: {words}")
    return [
        "BEGIN:VEVENT",
        f"UID:{row['number']}-{name}@mailbot",
        f"SEQUENCE:{len(row['events'])}",
        f"DTSTAMP:{now.astimezone(UTC):%Y%m%dT%H%M%SZ}",
        f"DTSTART;VALUE=DATE:{day:%Y%m%d}",
        f"DTEND;VALUE=DATE:{day + timedelta(days=1):%Y%m%d}",
        f"SUMMARY:{summary}",
        "TRANSP:TRANSPARENT",
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        f"DESCRIPTION:{summary}",
        "TRIGGER:-PT15H",  # nine in the morning of the day before
        "END:VALARM",
        "END:VEVENT",
    ]


def _text(text: str) -> str:
    """Escape a TEXT value (RFC 5545, 3.3.11)."""
    for mark, written in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\r", ""), ("\n", "\\n")):
        text = text.replace(mark, written)
    return text


def _folded(line: str) -> Iterator[str]:
    """Fold after 75 octets, never within a character (RFC 5545, 3.1)."""
    part, size = "", 0
    for letter in line:
        width = len(letter.encode())
        if size + width > ICS_LINE:
            yield part
            part, size = " ", 1
        part, size = part + letter, size + width
    yield part
