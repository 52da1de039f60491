"""One person's requests: a case is its events, and every event has its moment and its reason.

Owns the life of a case and of each track (one kind within it) as one table, and the chain that shows afterwards that
nothing was changed. Everything else about a case is derived by walking its events. Must never look at the clock,
hold contents of a request, or decide about a person: an event says what somebody did.

Rules: an event the table does not allow in a state is Illegal, a value with a reason. A closed case takes no event but
`reopened` and those about what still comes and goes: mail, letters, the identity copy, and the owner's word to erase.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum


class State(StrEnum):
    """Where a case stands. `review`: the owner has yet to say whether it is a request."""

    REVIEW = "review"
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    ANSWERED = "answered"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    NO_REQUEST = "no_request"
    CLOSED = "closed"


class Track(StrEnum):
    """Where one kind within a case stands. `live`: a restriction that lasts until the person lifts it."""

    OPEN = "open"
    DONE = "done"
    PARTLY = "partly"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    LIVE = "live"
    LIFTED = "lifted"


RUNNING = (State.REVIEW, State.OPEN, State.ACKNOWLEDGED)
ENDED = (State.ANSWERED, State.REFUSED, State.WITHDRAWN)
OVER = (State.NO_REQUEST, State.CLOSED)


def _stays(*states: State) -> dict[State, State]:
    return {state: state for state in states}


@dataclass(frozen=True, slots=True)
class Moves:
    """What one event does: state before -> state after, for the case and for the tracks it names (or all of them)."""

    case: Mapping[State, State]
    track: Mapping[Track, Track] = field(default_factory=dict)


OPENED = (State.OPEN, State.ACKNOWLEDGED)
GIVEN = (Track.DONE, Track.PARTLY, Track.REFUSED, Track.WITHDRAWN, Track.LIFTED)

# The life of a case and of its tracks, in one table. What is not here is illegal. docs/case.md draws it.
TABLE: Mapping[str, Moves] = {
    "joined": Moves(_stays(*State)),
    "reminded": Moves(_stays(*State)),
    "bounced": Moves(_stays(*State)),
    "letter_failed": Moves(_stays(*State)),
    "letter_sent": Moves(_stays(*State)),
    "answer_seen": Moves(_stays(*State)),
    "word_refused": Moves(_stays(*State)),
    "warned": Moves(_stays(*RUNNING)),
    "owner_told": Moves(_stays(*RUNNING, *ENDED)),
    "acknowledged": Moves(dict.fromkeys(RUNNING, State.ACKNOWLEDGED)),
    "acknowledgement_held": Moves(_stays(*RUNNING)),
    "recognised": Moves({State.REVIEW: State.OPEN, **_stays(*OPENED)}),
    "kinds_corrected": Moves({State.REVIEW: State.OPEN, **_stays(*OPENED)}),
    "not_a_request": Moves(dict.fromkeys(RUNNING, State.NO_REQUEST)),
    "identity_asked": Moves(_stays(*RUNNING)),
    "identity_received": Moves(_stays(*RUNNING)),
    "identity_confirmed": Moves(_stays(*RUNNING)),
    "identity_deleted": Moves(_stays(*State)),
    "identity_left": Moves(_stays(*State)),
    "suspended": Moves(_stays(*OPENED)),
    "resumed": Moves(_stays(*OPENED)),
    "extended": Moves(_stays(*OPENED)),
    "answered": Moves(dict.fromkeys(OPENED, State.ANSWERED), {Track.OPEN: Track.DONE}),
    "partly_answered": Moves(dict.fromkeys(OPENED, State.ANSWERED), {Track.OPEN: Track.PARTLY}),
    "refused": Moves(dict.fromkeys(OPENED, State.REFUSED), {Track.OPEN: Track.REFUSED}),
    "withdrawn": Moves(dict.fromkeys(RUNNING, State.WITHDRAWN), {Track.OPEN: Track.WITHDRAWN}),
    "lifted": Moves(_stays(*OPENED, *ENDED), {Track.LIVE: Track.LIFTED}),
    "closed": Moves(dict.fromkeys(ENDED, State.CLOSED)),
    "erasure_ordered": Moves(_stays(*OVER)),
    "reopened": Moves(dict.fromkeys((*ENDED, *OVER), State.OPEN), dict.fromkeys(GIVEN, Track.OPEN)),
}
ENDING = ("answered", "partly_answered", "refused", "withdrawn")  # these end a case once no track is left open
ENDS = (*ENDING, "not_a_request")
LASTING = {"restriction"}  # granted, it lives on until it is lifted (GDPR 18(3))
ERASING = {"erasure", "minor"}  # granted, closing takes the person out of the register and the mailbox (GDPR 17)

IDENTITY = {
    "identity_asked": "asked",
    "identity_received": "received",
    "identity_confirmed": "confirmed",
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, in the past tense, at an aware moment. `hash` chains it to the one before."""

    at: datetime
    event: str
    reason: str
    facts: Mapping[str, object] = field(default_factory=dict)
    hash: str = ""


@dataclass(frozen=True, slots=True)
class Illegal:
    """The event cannot happen to this case now, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Case:
    """One person's requests under one number. Everything that changes is in `events`; the first is `received`."""

    number: str
    received: datetime
    channel: str
    language: str
    events: tuple[Event, ...] = ()

    @property
    def state(self) -> State:
        """Where the case stands after all its events."""
        state = State.REVIEW if self.opening.get("review") else State.OPEN
        left: set[str] = set(self.kinds)
        for event in self.events[1:]:
            state, left = _step(state, left, event, self.kinds)
        return state

    @property
    def opening(self) -> Mapping[str, object]:
        """The facts of the first event."""
        return self.events[0].facts if self.events else {}

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of request in this case, in the order they were recognised or as the owner corrected them."""
        kinds = _names(self.opening.get("kinds"))
        for event in self.events[1:]:
            if event.event in {"kinds_corrected", "recognised"} and "kinds" in event.facts:
                kinds = _names(event.facts["kinds"])
            elif event.event == "joined":
                kinds = tuple(dict.fromkeys((*kinds, *_names(event.facts.get("kinds")))))
        return kinds

    @property
    def sub_kinds(self) -> tuple[str, ...]:
        """Finer kinds, such as `termination` within an erasure."""
        return _names(self.opening.get("sub_kinds"))

    @property
    def behalf(self) -> str | None:
        """On whose account somebody else asks: agent, parent, bereavement, service."""
        return str(self.opening["behalf"]) if self.opening.get("behalf") else None

    @property
    def backlog(self) -> bool:
        """Whether it is older than mailbot: registered, never acknowledged."""
        return bool(self.opening.get("backlog"))

    @property
    def tracks(self) -> Mapping[str, Track]:
        """Where each kind stands."""
        tracks = dict.fromkeys(self.kinds, Track.OPEN)
        for event in self.events[1:]:
            moves = TABLE[event.event].track if event.event in TABLE else {}
            for kind in _names(event.facts.get("kinds")) or tuple(tracks):
                if kind in tracks and tracks[kind] in moves:
                    after = moves[tracks[kind]]
                    granted = after in {Track.DONE, Track.PARTLY}
                    tracks[kind] = Track.LIVE if granted and kind in LASTING else after
        return tracks

    @property
    def open_kinds(self) -> tuple[str, ...]:
        """The kinds that still wait for an answer."""
        return tuple(kind for kind, track in self.tracks.items() if track is Track.OPEN)

    @property
    def is_open(self) -> bool:
        """Whether an answer is still owed."""
        return self.state in RUNNING

    @property
    def identity(self) -> str:
        """not_needed, asked, received or confirmed: the last thing that happened to it."""
        found = [IDENTITY[event.event] for event in self.events if event.event in IDENTITY]
        return found[-1] if found else "not_needed"

    @property
    def awaits_identity(self) -> bool:
        """Whether the owner has yet to see who it is."""
        return self.identity in {"asked", "received"}

    @property
    def restricts(self) -> bool:
        """Whether a restriction is in force (GDPR 18)."""
        return Track.LIVE in self.tracks.values()

    @property
    def erases(self) -> bool:
        """Whether closing it means that the person is taken out of everything we keep."""
        return any(kind in ERASING and track in {Track.DONE, Track.PARTLY} for kind, track in self.tracks.items())

    @property
    def erasure_ordered(self) -> datetime | None:
        """When the owner said, for a case that is over, that everything about the person goes; None when he did not."""
        last = [event for event in self.events if event.event in {"erasure_ordered", "reopened"}][-1:]
        return last[0].at if last and last[0].event == "erasure_ordered" else None

    @property
    def organisation(self) -> str:
        """Who else gets the copy at the person's wish (GDPR 20(2)), as the owner named it last."""
        named = [str(event.facts["organisation"]) for event in self.events if event.facts.get("organisation")]
        return named[-1] if named else ""

    @property
    def extended(self) -> bool:
        """Whether the extension was told to the person."""
        return self.extended_at is not None

    @property
    def waits(self) -> tuple[tuple[datetime, datetime | None], ...]:
        """The times the legal limit stood still: when it was suspended and when it ran on, None while it waits."""
        spans: list[tuple[datetime, datetime | None]] = []
        for event in self.events:
            waiting = bool(spans) and spans[-1][1] is None
            if event.event == "suspended" and not waiting:
                spans.append((event.at, None))
            elif event.event in {"resumed", *ENDING} and waiting:
                spans[-1] = (spans[-1][0], event.at)
        return tuple(spans)

    @property
    def extended_at(self) -> datetime | None:
        """When the server took the letter that told the extension, if it did."""
        return next((event.at for event in self.events if event.event == "extended"), None)

    @property
    def acknowledged(self) -> datetime | None:
        """When the server took the acknowledgement, if it did."""
        return next((event.at for event in self.events if event.event == "acknowledged"), None)

    @property
    def ended(self) -> datetime | None:
        """When it was answered, refused or withdrawn for the last time, if it was."""
        return next((event.at for event in reversed(self.events) if event.event in ENDS), None)

    def warned(self, step: str, clock: str) -> bool:
        """Whether this step of the ladder was given for the clock that started then."""
        return any(
            event.event == "warned" and event.facts.get("step") == step and event.facts.get("clock") == clock
            for event in self.events
        )


def open_case(  # noqa: PLR0913 - each argument is a fact of the first event
    *,
    number: str,
    kinds: Iterable[str],
    received: datetime,
    channel: str,
    language: str,
    at: datetime,
    reason: str,
    sub_kinds: Iterable[str] = (),
    behalf: str | None = None,
    backlog: bool = False,
    review: bool = False,
) -> Case:
    """Return a new case whose first event is its receipt. `received` starts the terms; `at` is when we saw it."""
    facts: dict[str, object] = {"kinds": list(kinds), "received": received.isoformat(), "channel": channel}
    extra = {"sub_kinds": list(sub_kinds), "behalf": behalf, "backlog": backlog, "review": review}
    facts.update({name: value for name, value in extra.items() if value})
    first = Event(at, "received", reason, facts)
    return Case(number, received, channel, language, (_chained(first, number),))


def record(case: Case, event: Event) -> Case | Illegal:
    """Return the case with the event in its chain, or why the table does not allow it."""
    moves = TABLE.get(event.event)
    if moves is None:
        return Illegal(f"`{event.event}` is no event of a case")
    state = case.state
    if state not in moves.case:
        return Illegal(f"{case.number} is {state}: `{event.event}` cannot happen to it now")
    named = _names(event.facts.get("kinds")) if moves.track else ()
    stuck = [kind for kind in named if case.tracks.get(kind) not in moves.track]
    if stuck:
        return Illegal(f"{case.number}: `{event.event}` cannot happen to {', '.join(stuck)} now")
    previous = case.events[-1].hash if case.events else case.number
    return replace(case, events=(*case.events, _chained(event, previous)))


def _step(state: State, left: set[str], event: Event, kinds: tuple[str, ...]) -> tuple[State, set[str]]:
    """One step of the case. An answer ends it only when no track is left open."""
    after = TABLE[event.event].case.get(state, state) if event.event in TABLE else state
    named = set(_names(event.facts.get("kinds")))
    if event.event in ENDING:
        left = left - named if named else set()
        if left:
            after = state
    elif event.event == "reopened":
        left = left | (named or set(kinds))
    return after, left


def _names(value: object) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, list | tuple) else ()


def chain_text(event: Event, previous: str) -> str:
    """Return what an event's hash is over: the hash before and its own facts, as canonical JSON (sorted keys)."""
    body = [previous, event.at.isoformat(), event.event, event.reason, event.facts]
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)


def _chained(event: Event, previous: str) -> Event:
    """Return the event with its hash over the one before and its own canonical JSON in UTF-8."""
    return replace(event, hash=hashlib.sha256(chain_text(event, previous).encode("utf-8", "surrogatepass")).hexdigest())


def verify_chain(case: Case) -> str | None:
    """Return what is wrong with the chain of events, or None when each follows from the one before."""
    previous = case.number
    for place, event in enumerate(case.events, start=1):
        if _chained(event, previous).hash != event.hash:
            return f"{case.number}: event {place} ({event.event}) was changed after it was written"
        previous = event.hash
    return None
