"""What the overview says: what is open and how long, what happened, what waits for the owner, and how mailbot is.

Owns these facts and whether they are worth a mail. Must never hold a text (templates/nl/digest.txt) or decide anything:
the same facts are previewed, sent and tested.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mailbot.case import Case, Event, State
from mailbot.client import ClientRecord, LetterState, QueuedLetter
from mailbot.due import share, shown
from mailbot.warnings import terms_of

TOLD_ELSEWHERE = {
    "warned",
    "owner_told",
    "letter_sent",
    "acknowledged",
    "identity_asked",
}  # as a notice, or as a letter

Row = dict[str, object]
Offer = Callable[[ClientRecord, Case], list[Row]]
Send = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Health:
    """How mailbot is: since when it watches, since when without a break, and what is wrong now. Moments are aware."""

    since: datetime
    healthy: datetime
    reconnects: int = 0  # since the last overview
    seen: int = 0
    aside: int = 0  # messages that could not be handled
    stops: tuple[str, ...] = ()
    troubles: Mapping[str, str] = field(default_factory=dict)  # what gives trouble -> since when

    def row(self, now: datetime) -> Row:
        """Return it as facts."""
        return {
            "since": self.since.isoformat(),
            "healthy": self.healthy.isoformat(),
            "reconnects": self.reconnects,
            "seen": self.seen,
            "aside": self.aside,
            "stops": list(self.stops),
            "troubles": [{"what": what, "since": since} for what, since in self.troubles.items()],
            "now": now.isoformat(),
        }


def facts(
    records: Iterable[ClientRecord], health: Health, now: datetime, last: datetime, offer: Offer, send: Send
) -> dict[str, object]:
    """Return the facts of an overview. `offer` gives the links of a case, `send` the link that lets a letter go."""
    found: dict[str, list[Row]] = {name: [] for name in ("cases", "reviews", "fresh", "done", "sent", "waiting")}
    for record in records:
        for case in record.cases:
            if case.is_open:
                place = "reviews" if case.state is State.REVIEW else "cases"
                found[place].append(_row(record, case, now) | {"links": offer(record, case)})
            for event in case.events:
                _happened(found, case, event, last)
        for letter in record.letters:
            _letter(found, letter, last, send)
    for name in ("cases", "reviews"):
        found[name].sort(key=lambda row: (row["left_days"], row["number"]))
    for name in ("fresh", "done", "sent", "waiting"):
        found[name].sort(key=lambda row: (str(row["at"]), str(row["number"])))
    late = sum(_late(row) for row in found["cases"])
    return {**found, "late": late, **health.row(now)}


def _row(record: ClientRecord, case: Case, now: datetime) -> Row:
    """One open case: how long there is left, and the law's date beside the promise. Nothing hides an earlier date."""
    dates = terms_of(case)
    aim = dates.limit if case.extended else dates.promise
    left = (aim - now.date()).days
    return {
        "number": case.number,
        "kinds": list(case.open_kinds),
        "address": shown(record.address),
        "percent": share((now.date() - case.received.date()).days, left),
        "left_days": left,
        "until": aim.isoformat(),
        "extended": case.extended,
        "legal_limit": dates.limit.isoformat(),
        "suspended_to": dates.suspended_to.isoformat() if dates.suspended_to else "",
        "suspended_since": dates.suspended_since.isoformat() if dates.suspended_since else "",
        "identity": case.identity,
    }


def _happened(found: dict[str, list[Row]], case: Case, event: Event, last: datetime) -> None:
    if event.at > last and event.event not in TOLD_ELSEWHERE:
        row: Row = {"number": case.number, "event": event.event, "kinds": list(case.kinds), "at": event.at.isoformat()}
        found["fresh" if event.event == "received" else "done"].append(row)


def _letter(found: dict[str, list[Row]], letter: QueuedLetter, last: datetime, send: Send) -> None:
    if letter.audience != "person":
        return
    row: Row = {"number": letter.case or "", "letter": letter.letter, "address": shown(letter.to)}
    if letter.state is LetterState.HELD:
        waits = {"at": letter.queued.isoformat(), "href": send(letter.case, letter.letter) if letter.case else ""}
        found["waiting"].append(row | waits)
    elif letter.state is LetterState.SENT and letter.settled and letter.settled > last:
        found["sent"].append(row | {"at": letter.settled.isoformat()})


def _late(row: Row) -> bool:
    left = row["left_days"]
    return isinstance(left, int) and left < 0


def something_to_say(said: Mapping[str, object]) -> bool:
    """Tell whether an overview holds more than open cases that have time."""
    cases = said["cases"]
    ends = isinstance(cases, list) and any(row["left_days"] <= 0 for row in cases)
    return ends or any(said[name] for name in ("reviews", "fresh", "done", "sent", "waiting", "stops", "troubles"))
