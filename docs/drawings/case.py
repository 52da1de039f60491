"""Draw docs/case.md from the table in mailbot/case.py: `python docs/drawings/case.py`."""

import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from mailbot.case import TABLE

HEAD = """# The life of a case

A case is its events. This page is made from the table in `mailbot/case.py` (`python docs/drawings/case.py`); a test
walks every state and event, of the case and of its tracks.

```mermaid
stateDiagram-v2
    [*] --> review: doubt
    [*] --> open: request"""
BETWEEN = """```

Events that leave the state as it is:
"""
TRACKS = """
Each kind in a case is a track of its own; the case ends when no track is open:

```mermaid
stateDiagram-v2
    [*] --> open
    open --> live: answered, when it lasts (restriction)"""
TAIL = """```

`review` means that the owner has yet to say whether it is a request: the term runs all the same. A restriction that was
granted is `live` until the person lifts it, also while another kind in the case is still open.
"""


def drawn() -> str:
    """Return the page."""
    cases = {event: moves.case for event, moves in TABLE.items()}
    tracks = {event: moves.track for event, moves in TABLE.items()}
    stays = {event: [str(a) for a, b in row.items() if a is b] for event, row in cases.items()}
    kept = [f"- `{event}` in {', '.join(states)}" for event, states in stays.items() if states]
    return "\n".join([HEAD, *_arrows(cases), BETWEEN, *kept, TRACKS, *_arrows(tracks), TAIL])


def _arrows(rows: Mapping[str, Mapping[StrEnum, StrEnum]]) -> list[str]:
    return [f"    {a} --> {b}: {event}" for event, row in rows.items() for a, b in row.items() if a is not b]


if __name__ == "__main__":
    (ROOT / "docs" / "case.md").write_text(drawn(), encoding="utf-8")
