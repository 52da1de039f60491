"""The register as scripts and people see it: the JSON of the contract and a case's timeline.

Owns these shapes. Must never change anything.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

from mailbot.case import Case
from mailbot.client import ClientRecord
from mailbot.deadlines import terms
from mailbot.warnings import terms_of


def deadlines_json(day: date) -> dict[str, Any]:
    """Return the dates for a day of receipt, extension included as what it would be."""
    dates = terms(day, extended=True)
    return {**dates.as_facts(), "explanation": list(dates.explanation)}


def case_json(record: ClientRecord, case: Case) -> dict[str, Any]:
    """Return one case in the shape of the contract."""
    dates = terms_of(case)
    return {
        "number": case.number,
        "kinds": list(case.kinds),
        "sub_kinds": list(case.sub_kinds),
        "client": record.address,
        "channel": case.channel,
        **dates.as_facts(),
        "received": case.received.isoformat(),  # of a case the moment, with its offset
        "suspended_to": dates.suspended_to.isoformat() if dates.suspended_to else None,
        "suspended_since": dates.suspended_since.isoformat() if dates.suspended_since else None,
        "explanation": list(dates.explanation),
        "state": str(case.state),
        "identity": case.identity,
        "behalf": case.behalf,
        "organisation": case.organisation,
        "tracks": {kind: str(track) for kind, track in case.tracks.items()},
        "folder": record.folder,
        "letters": [
            {"letter": one.letter, "to": one.to, "message_id": one.message_id, "state": str(one.state)}
            for one in record.letters
            if one.case == case.number and one.audience == "person"
        ],
        "messages": [
            {
                "message_id": seen.message_id,
                "role": seen.role,
                "received": seen.received.isoformat(),
                "filing": str(seen.filing),
            }
            for seen in record.messages
            if seen.case == case.number
        ],
        "events": [{"at": event.at.isoformat(), "event": event.event, "reason": event.reason} for event in case.events],
    }


def timeline(record: ClientRecord, case: Case) -> Iterator[str]:
    """Yield a case as lines for a terminal: what came when, what was promised, what was done."""
    dates = terms_of(case)
    yield f"{case.number}  {case.state}  {', '.join(case.kinds) or 'kinds not known yet'}"
    yield f"  client    {record.address}  (folder {record.folder or 'not made yet'})"
    yield f"  identity  {case.identity}"
    for sentence in dates.explanation:
        yield f"  {sentence}"
    for event in case.events:
        yield f"  {event.at:%Y-%m-%d %H:%M}  {event.event:22} {event.reason}"
