"""What is to be done about one message or one tick of the clock: frozen actions, and a plan that has a reason.

Owns the vocabulary of effects. Must never perform one: `record.py` writes them into a record, and `perform.py` carries
out what that record then owes. A plan without a reason cannot exist, so the register, `preview` and the owner's mail
can always say why.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

Facts = Mapping[str, object]  # what a template may print: strings, numbers, booleans, and lists or mappings of them


@dataclass(frozen=True, slots=True)
class OpenCase:
    """Open a case: the person's terms start at `received` (aware)."""

    number: str
    kinds: tuple[str, ...]
    received: datetime
    channel: str
    language: str
    sub_kinds: tuple[str, ...] = ()
    behalf: str | None = None
    backlog: bool = False
    review: bool = False  # the owner has yet to say whether it is a request at all


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """Write `event` in the case's chain. `facts` are procedure only, never contents of the request."""

    number: str
    event: str
    reason: str
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep the identity of the message in hand, so that it is never handled twice."""

    role: str
    case: str | None = None
    copy: bool = False  # it may carry the copy of an identity document


@dataclass(frozen=True, slots=True)
class SendLetter:
    """Queue one letter to one person. `hold` says why it waits for the owner's word; None lets it go."""

    letter: str
    to: str
    language: str
    case: str | None
    facts: Facts
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    hold: str | None = None


@dataclass(frozen=True, slots=True)
class ReleaseLetters:
    """Let the letters of a case that wait for the owner's word go: he gave it.

    `letter`: only this one. `reason`: his words, for a letter that has no reason yet.
    """

    number: str
    letter: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NotifyOwner:
    """Queue a notice to the owner, at once. `key` makes it go out once: the same key is never queued again.

    `inbox`: it is put into the watched mailbox itself, because no mail can leave.
    """

    notice: str
    key: str
    facts: Facts
    case: str | None = None
    inbox: bool = False


@dataclass(frozen=True, slots=True)
class FileUnder:
    """Move the message in hand to the client's folder. Always the last effect."""

    client: str


@dataclass(frozen=True, slots=True)
class StopLetters:
    """Something improbable happened: no letter to a person leaves until the owner says so."""

    why: str


Action = OpenCase | RecordEvent | Remember | SendLetter | ReleaseLetters | NotifyOwner | FileUnder | StopLetters


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions for one message or one tick, in order, and why. `client` is whose record they are written in."""

    reason: str
    actions: tuple[Action, ...] = ()
    client: str | None = None

    def __post_init__(self) -> None:
        if not self.reason:
            raise ValueError("a plan without a reason cannot exist")
