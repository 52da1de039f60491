"""One person's requests: a case is its events, and every event has its moment and its reason.

Owns the life of a case and of each track. Must never look at the clock or decide about a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, in the past tense, at an aware moment, with its reason. `hash` chains it to the one before."""

    at: datetime
    event: str
    reason: str
    facts: Mapping[str, object] = field(default_factory=dict)
    hash: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One person's requests under one number. Everything that changes is in `events`."""

    number: str
    received: datetime
    channel: str
    language: str
    events: tuple[Event, ...] = ()
