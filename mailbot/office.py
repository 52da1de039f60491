"""What belongs to no client: how far the mailbox was taken in, why letters wait, what was done last.

Owns these values; the register keeps them in one file. Must never hold anything that leads to a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

CHECKED = "checked"  # the mark of the last night the mailbox was counted: when the clock was right
RESTORED = "restored"  # the mark of the moment a backup was put back


@dataclass(frozen=True, slots=True)
class Watch:
    """How far the mailbox was taken in. `since` is the first start; UIDs below `backlog_uid` were there before it."""

    uidvalidity: int
    next_uid: int
    messages: int
    since: datetime
    backlog_uid: int = 0


@dataclass(frozen=True, slots=True)
class Review:
    """What lies in the review folder: UID -> digest, and the digests of what left it since the look before."""

    uidvalidity: int
    there: dict[str, str] = field(default_factory=dict)
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stop:
    """Why no letter to a person leaves, and since when."""

    why: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Office:
    """What belongs to no client."""

    watch: Watch | None = None
    stops: tuple[Stop, ...] = ()
    tries: dict[str, int] = field(default_factory=dict)  # uidvalidity/uid -> failures of a message
    tokens: tuple[str, ...] = ()  # the owner's links that were used
    digests: tuple[str, ...] = ()  # dates a digest was queued for
    marks: dict[str, str] = field(default_factory=dict)  # when some periodic work was done last
    given: tuple[str, ...] = ()  # numbers a restored register does not have and must not give again
    sent_uid: dict[str, int] = field(default_factory=dict)  # how far Sent was looked at: uidvalidity -> next UID
    review: Review | None = None  # None until the first look: what lay there before that is nobody's word

    def marked(self, marks: Mapping[str, str]) -> "Office":
        """Return the office with these marks beside the ones it has."""
        return replace(self, marks={**self.marks, **marks})
