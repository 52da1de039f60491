"""The register as files to look at: a table, a calendar and one page.

Owns these three shapes, as text. Must never name anybody in the calendar, fetch anything from elsewhere, or let a
spreadsheet take a cell for a formula. Facts in, text out.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from html import escape
from statistics import median
from typing import Any

COLUMNS = tuple(
    "number state kinds client channel received promise statement_term legal_limit extended_to identity ended".split()
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
ICS_LINE = 74  # octets: RFC 5545, 3.1
ENDS = {"answered", "partly_answered", "refused", "withdrawn", "not_a_request"}

Row = Mapping[str, Any]


def rows_for(cases: Iterable[Row], *, anonymous: bool) -> list[dict[str, Any]]:
    """Return the cases as report rows, with the day each ended; `anonymous` leaves out whose they are."""
    out = []
    for case in cases:
        ends = [event["at"] for event in case["events"] if event["event"] in ENDS]
        row = {**case, "ended": ends[-1][:10] if ends else "", "received": case["received"][:10]}
        out.append({**row, "client": "", "events": []} if anonymous else row)
    return out


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


def as_ics(rows: Iterable[Row], now: datetime) -> str:
    """Return a calendar (RFC 5545): a whole-day event for each date that is still ahead of an open case; no names."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//mailbot//register//NL", "CALSCALE:GREGORIAN"]
    for row in rows:
        if not row["ended"] and row["state"] != "closed":
            lines += _event(row, "promise", "beloofd antwoord", now)
            lines += _event(row, "extended_to" if row["extended_to"] else "legal_limit", "wettelijke termijn", now)
    lines.append("END:VCALENDAR")
    return "".join(f"{folded}\r\n" for line in lines for folded in _folded(line))


def _event(row: Row, name: str, words: str, now: datetime) -> list[str]:
    day = date.fromisoformat(row[name])
    return [
        "BEGIN:VEVENT",
        f"UID:{row['number']}-{name.replace('_', '-')}@mailbot",
        f"DTSTAMP:{now.astimezone(UTC):%Y%m%dT%H%M%SZ}",
        f"DTSTART;VALUE=DATE:{day:%Y%m%d}",
        f"DTEND;VALUE=DATE:{day + timedelta(days=1):%Y%m%d}",
        f"SUMMARY:{row['number']}: {words}",
        "TRANSP:TRANSPARENT",
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        f"DESCRIPTION:{row['number']}: {words}",
        "TRIGGER:-P1D",
        "END:VALARM",
        "END:VEVENT",
    ]


def _folded(line: str) -> Iterator[str]:
    yield line[:ICS_LINE]
    for start in range(ICS_LINE, len(line), ICS_LINE - 1):
        yield " " + line[start : start + ICS_LINE - 1]


STYLE = """
:root{color-scheme:light dark;--ink:#1d2329;--paper:#fff;--quiet:#55616d;--line:#d9dee3;--bar:#2e6da4;--late:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#eceff1;--paper:#171b20;--quiet:#b0bac3;--line:#39424c}}
@media(prefers-color-scheme:dark){:root{--bar:#6aa6dc;--late:#ff8a80}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}.quiet{color:var(--quiet)}
.bar{background:var(--line);height:.7rem;border-radius:.35rem;overflow:hidden}
.bar i{display:block;height:100%;background:var(--bar)}.late .bar i{background:var(--late)}
.case{margin:1rem 0}ol{padding-left:1.2rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line)}.scroll{overflow-x:auto}
@media print{body{margin:0;max-width:none}details{break-inside:avoid}}@page{size:A4;margin:18mm}
"""


def as_html(rows: Sequence[Row], now: datetime) -> str:
    """Return one page that needs nothing else: open cases with bars, figures, and each case's timeline."""
    still = [row for row in rows if row["state"] in {"review", "open", "acknowledged"}]
    body = [
        "<h1>Privacyverzoeken</h1>",
        f"<p class='quiet'>Stand van {now:%d-%m-%Y %H:%M}</p>",
        f"<h2>Open ({len(still)})</h2>",
        *(_open_case(row, now.date()) for row in sorted(still, key=lambda row: str(row["promise"]))),
        "<h2>Cijfers</h2>",
        _figures(rows),
        _counted("Per soort", Counter(kind for row in rows for kind in row["kinds"])),
        _counted("Per maand", Counter(row["received"][:7] for row in rows)),
        "<h2>Alle zaken</h2>",
        *(_timeline(row) for row in rows),
    ]
    head = "<!DOCTYPE html><html lang='nl'><head><meta charset='utf-8'><title>Privacyverzoeken</title>"
    view = "<meta name='viewport' content='width=device-width,initial-scale=1'>"
    return f"{head}{view}<style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"


def _open_case(row: Row, today: date) -> str:
    received, aim = date.fromisoformat(row["received"]), date.fromisoformat(row["extended_to"] or row["promise"])
    left = (aim - today).days
    share = max(0, min(100, round(100 * (today - received).days / max((aim - received).days, 1))))
    words = f"nog {left} dagen" if left > 0 else "vandaag" if left == 0 else f"{-left} dagen te laat"
    number, kinds, client = (escape(text) for text in (row["number"], ", ".join(row["kinds"]), row["client"]))
    title = f"<b>{number}</b> {kinds} <span class='quiet'>{client}</span>"
    late = " late" if left < 0 else ""
    return (
        f"<div class='case{late}'>{title}<div class='bar'><i style='width:{share}%'></i></div>{words}, tot {aim}</div>"
    )


def _figures(rows: Sequence[Row]) -> str:
    done = [row for row in rows if row["ended"]]
    if not done:
        return "<p>Er is nog geen zaak beantwoord.</p>"
    days = [(date.fromisoformat(row["ended"]) - date.fromisoformat(row["received"])).days for row in done]
    kept = [
        sum(row["ended"] <= str(row[name]) for row in done) for name in ("promise", "statement_term", "legal_limit")
    ]
    names = ("binnen vier weken", "binnen 30 dagen", "binnen de wettelijke termijn")
    said = ", ".join(f"{100 * count // len(done)}% {name}" for name, count in zip(names, kept, strict=True))
    return f"<p>{len(done)} beantwoord: {said}; mediaan {median(days):g} dagen.</p>"


def _counted(title: str, counts: Counter[str]) -> str:
    most = max(counts.values(), default=1)
    lines = "".join(
        f"<tr><td>{escape(name)}</td><td>{count}</td>"
        f"<td style='width:60%'><div class='bar'><i style='width:{100 * count // most}%'></i></div></td></tr>"
        for name, count in sorted(counts.items())
    )
    head = f"<thead><tr><th scope='col'>{title}</th><th scope='col'>Aantal</th><th></th></tr></thead>"
    return f"<div class='scroll'><table>{head}{lines}</table></div>"


def _timeline(row: Row) -> str:
    items = "".join(f"<li>{escape(e['at'][:16].replace('T', ' '))} {escape(e['event'])}</li>" for e in row["events"])
    title = f"{escape(row['number'])} - {escape(row['state'])} - {escape(', '.join(row['kinds']))}"
    return f"<details><summary>{title}</summary><ol>{items}</ol></details>"
