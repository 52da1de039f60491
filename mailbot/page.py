"""The register as one page: figures, open cases and what happened in each, in the owner's language.

Owns the arithmetic of that page and making it from templates/report.html. Must never fetch anything from elsewhere, and
never show a person or a number smaller than five in the anonymous one. Facts in, text out.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from statistics import median
from typing import Any

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mailbot.case import RUNNING
from mailbot.report import Row
from mailbot.wording import in_days, left, long_date

FEW = 5  # a smaller group could be recognised: it is put together with others
MONTHS = 24  # shown, the latest last
SOON = 7  # days
TERMS = ("promise", "statement_term", "law")


@dataclass(frozen=True, slots=True)
class Naming:
    """How things are called on the page: words.toml of the language, and the names of the kinds."""

    words: Mapping[str, Any]
    labels: Mapping[str, str]
    organisation: str = ""

    def kinds(self, row: Row) -> str:
        """The kinds of a case in words."""
        return ", ".join(map(self.kind, row["kinds"])) or str(self.words["not_judged"])

    def kind(self, kind: str) -> str:
        """One kind as the owner calls it."""
        return str(self.words["kinds"].get(kind) or self.labels.get(kind, kind))

    def said(self, name: str, **facts: object) -> str:
        """A text of the [report] words, filled in."""
        return str(self.words["report"][name]).format(**facts)

    def month(self, text: str) -> str:
        """A month such as 2026-11, written out."""
        return f"{self.words['months'][int(text[5:7]) - 1]} {text[:4]}"


def as_html(template: str, rows: Sequence[Row], now: datetime, naming: Naming, *, anonymous: bool) -> str:
    """Return the page. Everything that comes from elsewhere is escaped by the template engine."""
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=True
    )
    return environment.from_string(template).render(facts(rows, now, naming, anonymous=anonymous))


def facts(rows: Sequence[Row], now: datetime, naming: Naming, *, anonymous: bool) -> dict[str, Any]:
    """Return what the page shows."""
    requests = [row for row in rows if row["state"] != "no_request"]
    still = sorted((row for row in requests if row["state"] in RUNNING), key=_aim)
    months = _months(requests, naming, anonymous=anonymous)
    return {
        "organisation": naming.organisation,
        "now": f"{long_date(now.date().isoformat(), naming.words)}, {now:%H:%M}",
        "anonymous": anonymous,
        "tiles": _tiles(requests, still, now, naming, anonymous=anonymous),
        "open": [] if anonymous else [_open(row, now.date(), naming) for row in still],
        "shares": _shares(requests, naming, anonymous=anonymous),
        "months": months,
        "kinds": _kinds(requests, naming, anonymous=anonymous),
        "cases": [] if anonymous else [_told(row, naming) for row in reversed(rows)],
    }


def _aim(row: Row) -> str:
    return str(row["extended_to"] or row["promise"])


def _law(row: Row) -> str:
    return str(row["extended_to"] or row.get("suspended_to") or row["legal_limit"])


def _answered(rows: Iterable[Row]) -> list[Row]:
    """The requests that got an answer; one that was taken back needed none."""
    return [row for row in rows if row["ended"] and row["state"] != "withdrawn"]


def _days(row: Row) -> int:
    return (date.fromisoformat(row["ended"]) - date.fromisoformat(row["received"])).days


def _number(count: int, *, anonymous: bool) -> str:
    return f"< {FEW}" if anonymous and 0 < count < FEW else str(count)


def _tiles(
    requests: Sequence[Row], still: Sequence[Row], now: datetime, naming: Naming, *, anonymous: bool
) -> list[tuple[str, str, bool]]:
    """The figures on top: what, how much, and whether it asks for attention."""
    late = sum(_aim(row) < now.date().isoformat() for row in still)
    year = sum(row["received"][:4] == str(now.year) for row in requests)
    done = _answered(requests)
    few = anonymous and len(done) < FEW
    middle = f"{median(map(_days, done)):g}".replace(".", ",") if done and not few else "-"
    return [
        (naming.said("open"), _number(len(still), anonymous=anonymous), False),
        (naming.said("late"), _number(late, anonymous=anonymous), late > 0 and not anonymous),
        (naming.said("year", year=now.year), _number(year, anonymous=anonymous), False),
        (naming.said("median"), middle, False),
    ]


def _open(row: Row, today: date, naming: Naming) -> dict[str, Any]:
    received, aim = date.fromisoformat(row["received"]), date.fromisoformat(_aim(row))
    days = (aim - today).days
    share = round(100 * (today - received).days / max((aim - received).days, 1))
    return {
        "number": row["number"],
        "kinds": naming.kinds(row),
        "client": row["client"],
        "percent": max(2, min(100, share)),
        "look": "late" if days < 0 else "soon" if days <= SOON else "calm",
        "left": left(days, naming.words),
        "until": long_date(aim.isoformat(), naming.words),
        "law": long_date(_law(row), naming.words),
        "state": naming.words["states"].get(row["state"], row["state"]),
    }


def _shares(requests: Sequence[Row], naming: Naming, *, anonymous: bool) -> list[dict[str, Any]]:
    """How much was answered within each term, per cent, rounded down: 99 of 100 is not all."""
    done = _answered(requests)
    if not done or (anonymous and len(done) < FEW):
        return []
    kept = {
        name: sum(row["ended"] <= (_law(row) if name == "law" else str(row[name])) for row in done) for name in TERMS
    }
    return [
        {
            "name": naming.said(name),
            "percent": 100 * kept[name] // len(done),
            "count": "" if anonymous else naming.said("of_all", count=kept[name], all=len(done)),
        }
        for name in TERMS
    ]


Bars = list[dict[str, Any]]


def _bars(counts: Sequence[tuple[str, int]], *, anonymous: bool) -> Bars:
    most = max((count for _, count in counts), default=0) or 1
    return [
        {"name": name, "count": _number(count, anonymous=anonymous), "percent": round(100 * count / most)}
        for name, count in counts
    ]


def _kinds(requests: Sequence[Row], naming: Naming, *, anonymous: bool) -> Bars:
    found = Counter(kind for row in requests for kind in row["kinds"])
    counts = [(naming.kind(kind), count) for kind, count in found.most_common()]
    return _bars(_grouped(counts, naming) if anonymous else counts, anonymous=anonymous)


def _grouped(counts: list[tuple[str, int]], naming: Naming) -> list[tuple[str, int]]:
    """Put kinds of which there are few together; the rest never gets so small that it can be told from the sum."""
    kept = [pair for pair in counts if pair[1] >= FEW]
    rest = sum(count for _, count in counts if count < FEW)
    while kept and 0 < rest < FEW:
        rest += kept.pop()[1]
    return [*kept, (naming.said("other_kinds"), rest)] if rest else kept


def _months(requests: Sequence[Row], naming: Naming, *, anonymous: bool) -> Bars:
    """Requests a month, months without any in between as well."""
    found = Counter(row["received"][:7] for row in requests)
    if not found:
        return []
    months = _between(min(found), max(found))[-MONTHS:]
    if not anonymous:
        return _bars([(naming.month(month), found[month]) for month in months], anonymous=False)
    return _bars(_joined([(naming.month(month), found[month]) for month in months], naming), anonymous=True)


def _joined(counts: list[tuple[str, int]], naming: Naming) -> list[tuple[str, int]]:
    """Join months that follow each other until there are enough requests in each group."""
    groups: list[tuple[str, str, int]] = []
    for name, count in counts:
        if groups and groups[-1][2] < FEW:
            groups[-1] = (groups[-1][0], name, groups[-1][2] + count)
        else:
            groups.append((name, name, count))
    if len(groups) > 1 and groups[-1][2] < FEW:
        last = groups.pop()
        groups[-1] = (groups[-1][0], last[1], groups[-1][2] + last[2])
    return [
        (first if first == last else naming.said("months", first=first, last=last), count)
        for first, last, count in groups
    ]


def _between(first: str, last: str) -> list[str]:
    year, month, months = int(first[:4]), int(first[5:7]), []
    while (text := f"{year:04d}-{month:02d}") <= last:
        months.append(text)
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)  # noqa: PLR2004 - December
    return months


def _told(row: Row, naming: Naming) -> dict[str, Any]:
    """One case as a line of time."""
    start = date.fromisoformat(row["received"])
    events = [
        {
            "when": _when(event["at"], naming),
            "day": (date.fromisoformat(event["at"][:10]) - start).days,
            "what": naming.words["events"].get(event["event"], event["event"]),
        }
        for event in row["events"]
    ]
    return {
        "number": row["number"],
        "kinds": naming.kinds(row),
        "client": row["client"],
        "state": naming.words["states"].get(row["state"], row["state"]),
        "open": row["state"] in RUNNING,
        "took": in_days(_days(row), naming.words) if row["ended"] else "",
        "promise": long_date(row["promise"], naming.words),
        "law": long_date(_law(row), naming.words),
        "events": events,
    }


def _when(at: str, naming: Naming) -> str:
    day = date.fromisoformat(at[:10])
    return f"{day.day} {naming.words['months'][day.month - 1][:3]} {day.year}, {at[11:16]}"


def as_statistics(rows: Sequence[Row], now: datetime, naming: Naming) -> list[dict[str, object]]:
    """Return the anonymous figures as rows of a table: about, what, how many or per cent."""
    told, columns = facts(rows, now, naming, anonymous=True), naming.words["report"]["columns"]
    out = [("about_state", name, count) for name, count, _ in told["tiles"]]
    out += [("about_kind", bar["name"], bar["count"]) for bar in told["kinds"]]
    out += [("about_month", bar["name"], bar["count"]) for bar in told["months"]]
    out += [("about_answered", bar["name"], f"{bar['percent']}%") for bar in told["shares"]]
    return [dict(zip(columns, (naming.said(about), *rest), strict=True)) for about, *rest in out]
