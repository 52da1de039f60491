"""The record of one person: client, cases, letters and message identities, together because they commit together.

Owns the shape of a client's file. Must never hold the contents of a request: facts of procedure only
(promises.md section 4; GDPR 5(1)(c)). Values are frozen; a change is a new record, written by the register.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mailbot.case import Case

JUDGED = ("request", "review")  # roles of the message a case was opened for


class LetterState(StrEnum):
    """Where a letter stands. `held` waits for the owner; `failed` was refused for good or given up."""

    HELD = "held"
    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"
    DROPPED = "dropped"


class Filing(StrEnum):
    """Where the message in the mailbox stands.

    `none` stays, `intended` must still move, `gone` was moved by others, `purged` was removed on the owner's word.
    """

    NONE = "none"
    INTENDED = "intended"
    FILED = "filed"
    GONE = "gone"
    PURGED = "purged"


@dataclass(frozen=True, slots=True)
class SeenMessage:
    """The identity of a message that was handled. `received` is INTERNALDATE, aware, never later than our clock.

    `copy`: it may carry the copy of an identity document, which is kept no longer than the check takes.
    """

    digest: str
    uidvalidity: int
    uid: int
    message_id: str | None
    received: datetime
    role: str  # request | reply | reminder | review | bounce | ordinary | automatic
    case: str | None = None
    filing: Filing = Filing.NONE
    copy: bool = False


@dataclass(frozen=True, slots=True)
class QueuedLetter:
    """A letter (to a person) or notice (to the owner). It has its Message-ID from the moment it is queued.

    `facts` with the template make the same bytes every time, so a letter that is sent again is the same letter.
    `copies` are the folders that must still get a copy; moments are aware.
    """

    message_id: str
    letter: str
    audience: str  # person | owner
    to: str
    language: str
    case: str | None
    facts: dict[str, object]
    queued: datetime
    state: LetterState = LetterState.QUEUED
    reason: str = ""
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    key: str = ""
    attempts: int = 0
    next_try: datetime | None = None
    settled: datetime | None = None
    copies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """A verdict the owner corrected: some of the words that were judged (none yet: ""), and what they mean to him."""

    digest: str
    at: datetime
    subject: str
    text: str
    kinds: tuple[str, ...]
    was: tuple[str, ...]
    language: str


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """Everything the register keeps about one person. `folder` is the client folder, once it has been named."""

    id: str
    address: str
    name: str = ""
    folder: str | None = None
    language: str = "nl"
    on_file: bool = False  # the owner confirmed that this address belongs to a client
    cases: tuple[Case, ...] = ()
    letters: tuple[QueuedLetter, ...] = ()
    messages: tuple[SeenMessage, ...] = ()
    examples: tuple[Example, ...] = field(default=())

    def case(self, number: str | None) -> Case | None:
        """Return the case with this number, or None."""
        return next((one for one in self.cases if one.number == number), None)
