"""Message + Rules -> Verdict: what is asked, how sure, and the evidence.

Owns adding up what the rules saw. Must never decide what is done about it, nor touch anything outside its arguments.
"""

from dataclasses import dataclass
from enum import StrEnum

from mailbot.message import Address


class Decision(StrEnum):
    """`request`: it would be acknowledged. `review`: the owner is asked. `other`: left alone."""

    REQUEST = "request"
    REVIEW = "review"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One rule that spoke: its id, the words it saw, what it counts for. `watch` rules report and count nothing."""

    rule: str
    text: str
    kind: str | None = None
    weight: float = 0.0
    watch: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a message asks for. `reason` names the threshold that decided. `kinds` are names from rules/kinds."""

    decision: Decision
    reason: str
    kinds: tuple[str, ...] = ()
    sub_kinds: tuple[str, ...] = ()  # e.g. termination
    language: str = "nl"  # nl | en | de | fr | ... of what was written
    confidence: float = 0.0
    automatic: str | None = None  # why this is automatic mail (auto-reply, bounce, list, ...), else None
    sender: Address | None = None  # the person: From, or for a form the visitor; never the site
    from_form: bool = False
    behalf: str | None = None  # agent | parent | bereavement | service
    reminder: bool = False
    withdrawn: bool = False
    evidence: tuple[Evidence, ...] = ()
    defects: tuple[str, ...] = ()
