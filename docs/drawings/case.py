"""Draw docs/case.md from the table in mailbot/case.py: `python docs/drawings/case.py`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from mailbot.case import TABLE

HEAD = """# The life of a case

A case is its events. This page is made from the table in `mailbot/case.py` (`python docs/drawings/case.py`); a test
walks every state and event.

```mermaid
stateDiagram-v2
    [*] --> review: doubt
    [*] --> open: request
"""
TAIL = """
Each kind in a case is a track of its own (open, done, partly, refused, withdrawn; a granted restriction is live until
it is lifted). The case ends when no track is open.

`review` means that the owner has yet to say whether it is a request: the term runs all the same.
"""


def drawn() -> str:
    """Return the page."""
    moves = [f"    {a} --> {b}: {event}" for event, row in TABLE.items() for a, b in row.items() if a is not b]
    stays = {event: [str(a) for a, b in row.items() if a is b] for event, row in TABLE.items()}
    kept = [f"- `{event}` in {', '.join(states)}" for event, states in stays.items() if states]
    return (
        HEAD + "\n".join(moves) + "\n```\n\nEvents that leave the state as it is:\n\n" + "\n".join(kept) + "\n" + TAIL
    )


if __name__ == "__main__":
    (ROOT / "docs" / "case.md").write_text(drawn(), encoding="utf-8")
