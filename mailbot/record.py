"""A plan written into a record: the new values that one atomic write commits.

Owns what each action means for the register. Must never write, send or move: `perform.py` does that afterwards, by
looking at what the record still owes the world.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from mailbot.case import ENDS, Case, Event, Illegal, open_case, record
from mailbot.client import ClientRecord, Filing, LetterState, QueuedLetter, SeenMessage
from mailbot.deadlines import working_days_between
from mailbot.decide import NOBODY, Delivery
from mailbot.examples import corrected
from mailbot.links import Link, Occasion, offered
from mailbot.message import Message
from mailbot.phrases import Phrases
from mailbot.plan import FileUnder, NotifyOwner, OpenCase, Plan, RecordEvent, ReleaseLetters, Remember, SendLetter

# What a letter means in the life of its case, once the server has taken it. Data of the same kind as case.py's table.
INBOX = "inbox"  # a copy that goes into the watched mailbox: how the owner is reached when mail cannot leave
EVENTS_OF_LETTERS = {
    "acknowledgement": ("acknowledged",),
    "identity": ("acknowledged", "identity_asked"),
    "identity_again": ("identity_asked",),
    "extended": ("extended",),
}
# Letters that say something no longer true once one of these events happened: one that still waits is dropped.
OVERTAKEN = {
    "promise_late": (*ENDS, "extended"),
    "acknowledgement": ENDS,
}
ASKED_WITHOUT_DELAY = 3  # working days: an identity check asked later than this suspends nothing (EDPB 01/2022, 159)
KNOWN_BY = {"identity_received", "identity_confirmed"}  # with these the wait for the person is over


TOOK_IT = "the server took the letter: "  # and what it answered


@dataclass(frozen=True, slots=True)
class Desk:
    """Where letters come from and go to by default: our domain, the owner, his language."""

    domain: str
    owner: str
    language: str
    address: str = ""
    secret: bytes = b""
    links: tuple[Link, ...] = ()
    phrases: Phrases = field(default_factory=Phrases)
    identified: frozenset[str] = frozenset()  # the kinds for which identity may be asked
    suspend: bool = False  # the legal limit waits for an identity check, as configured

    def occasion(self, notice: str, key: str, now: datetime) -> Occasion:
        """Return where links stand that go out with this notice."""
        return Occasion(notice, key, now.date(), self.secret, self.address, self.identified)


def written(
    before: ClientRecord, plan: Plan, desk: Desk, now: datetime, arrived: tuple[Message, Delivery] | None = None
) -> ClientRecord:
    """Return the record with the plan's actions in it; equal to `before` when the plan asks nothing of it.

    `arrived` is the message in hand. `now` is aware and becomes the moment of every event.
    """
    after = before
    for action in plan.actions:
        match action:
            case OpenCase():
                after = replace(after, cases=(*after.cases, _opened(action, plan, now)), language=action.language)
            case RecordEvent():
                event = Event(now, action.event, action.reason, action.facts)
                after = corrected(after, with_event(after, action.number, event), action.number, event.event, now)
            case Remember() if arrived is not None:
                after = replace(after, messages=(*after.messages, _identity(action, *arrived)))
            case SendLetter():
                after = queued(after, letter_of(action, desk, now, after, arrived))
            case ReleaseLetters():
                after = released(after, action.number, action.letter, action.reason)
            case NotifyOwner():
                after = queued(after, notice_of(_with_links(action, after, desk, now), desk, now))
            case FileUnder() if arrived is not None:
                after = _filing(after, arrived[1])
            case _:
                continue
    return after


def with_event(before: ClientRecord, number: str, event: Event) -> ClientRecord:
    """Return the record with `event` in the case; unchanged when the table does not allow it there."""
    changed = tuple(_with(case, event) if case.number == number else case for case in before.cases)
    if changed == before.cases:
        return before
    letters = tuple(_dropped(one, event) if one.case == number else one for one in before.letters)
    # Whom the owner has seen once is known at this address: asked again, no papers (GDPR 12(6); promises, section 3).
    known = before.on_file or (event.event == "identity_confirmed" and not before.address.endswith(NOBODY))
    return replace(before, cases=changed, letters=letters, on_file=known)


def _with(case: Case, event: Event) -> Case:
    outcome = record(case, event)
    after = case if isinstance(outcome, Illegal) else outcome
    if event.event in KNOWN_BY and after is not case and after.waits and after.waits[-1][1] is None:
        return _with(after, Event(event.at, "resumed", "the person sent what was asked: the legal term runs on"))
    return after


def _dropped(letter: QueuedLetter, event: Event) -> QueuedLetter:
    if letter.state is LetterState.HELD and event.event in OVERTAKEN.get(letter.letter, ()):
        return replace(letter, state=LetterState.DROPPED, settled=event.at, reason=f"overtaken: {event.event}")
    return letter


def _opened(action: OpenCase, plan: Plan, now: datetime) -> Case:
    return open_case(
        number=action.number,
        kinds=action.kinds,
        received=action.received,
        channel=action.channel,
        language=action.language,
        sub_kinds=action.sub_kinds,
        behalf=action.behalf,
        backlog=action.backlog,
        review=action.review,
        at=now,
        reason=plan.reason,
    )


def _identity(action: Remember, message: Message, delivery: Delivery) -> SeenMessage:
    return SeenMessage(
        digest=message.digest,
        uidvalidity=delivery.uidvalidity,
        uid=delivery.uid,
        message_id=message.message_id,
        received=delivery.received,
        role=action.role,
        case=action.case,
        copy=action.copy,
    )


def _filing(before: ClientRecord, delivery: Delivery) -> ClientRecord:
    place = (delivery.uidvalidity, delivery.uid)
    messages = tuple(
        replace(seen, filing=Filing.INTENDED) if (seen.uidvalidity, seen.uid) == place else seen
        for seen in before.messages
    )
    return replace(before, messages=messages)


def met_again(before: ClientRecord, digest: str, delivery: Delivery) -> ClientRecord | None:
    """Return the record when this very message, and not another copy of it, was handled before; else None.

    In a mailbox that was made anew the message has another place: that is written in the old one's stead (I10).
    """
    here = (delivery.uidvalidity, delivery.uid)
    known = [seen for seen in before.messages if seen.digest == digest]
    if any((seen.uidvalidity, seen.uid) == here for seen in known):
        return before
    moved = next((seen for seen in known if seen.uidvalidity != delivery.uidvalidity), None)
    if moved is None:
        return None
    filing = Filing.NONE if moved.filing in {Filing.NONE, Filing.GONE} else Filing.INTENDED
    anew = replace(moved, uidvalidity=delivery.uidvalidity, uid=delivery.uid, filing=filing)
    return replace(before, messages=tuple(anew if seen is moved else seen for seen in before.messages))


def queued(before: ClientRecord, letter: QueuedLetter) -> ClientRecord:
    """Return the record with the letter in it; a key that was queued before is not queued again, so it goes once."""
    if any(one.key == letter.key for one in before.letters):
        return before
    return replace(before, letters=(*before.letters, letter))


def _with_links(action: NotifyOwner, record: ClientRecord, desk: Desk, now: datetime) -> NotifyOwner:
    """Add what the owner can say about the case by one click. Only notices carry tokens, and they go to him alone."""
    case = record.case(action.case)
    if case is None or not desk.secret or "actions" in action.facts:
        return action
    buttons = offered(desk.links, record, case, desk.occasion(action.notice, action.key, now))
    return replace(action, facts={**action.facts, "actions": buttons})


def released(before: ClientRecord, number: str | None = None, letter: str = "", reason: str = "") -> ClientRecord:
    """Return the record with its waiting letters let go: of one case or all, one kind of letter or all.

    `reason` fills the reason of a letter that has none yet: the owner's own words, for the person to read.
    """
    letters = tuple(
        _free(one, reason)
        if one.state is LetterState.HELD and number in {None, one.case} and letter in {"", one.letter}
        else one
        for one in before.letters
    )
    return replace(before, letters=letters) if letters != before.letters else before


def _free(letter: QueuedLetter, reason: str) -> QueuedLetter:
    facts = {**letter.facts, "reason": reason} if reason and not letter.facts.get("reason", reason) else letter.facts
    return replace(letter, state=LetterState.QUEUED, reason="", facts=facts)


def letter_of(
    action: SendLetter,
    desk: Desk,
    now: datetime,
    record: ClientRecord,
    arrived: tuple[Message, Delivery] | None = None,
) -> QueuedLetter:
    """Return the letter as it is queued. Its Message-ID follows from what caused it, so a repeat is the same letter."""
    cause = arrived[0].digest if arrived else str(sum(1 for one in record.letters if one.letter == action.letter))
    key = f"{action.letter} {action.case} {cause}"
    return QueuedLetter(
        message_id=message_id(key, desk.domain),
        letter=action.letter,
        audience="person",
        to=record.address,  # the one place a letter to a person gets its address: the one on file, whoever asks
        language=action.language,
        case=action.case,
        facts=dict(action.facts),
        queued=now,
        state=LetterState.HELD if action.hold else LetterState.QUEUED,
        reason=action.hold or "",
        in_reply_to=action.in_reply_to,
        references=action.references,
        key=key,
        copies=("sent", "client"),
    )


def notice_of(action: NotifyOwner, desk: Desk, now: datetime) -> QueuedLetter:
    """Return the notice as it is queued: to the owner, in his language, never held."""
    notice = QueuedLetter(
        message_id=message_id(action.key, desk.domain, desk.secret),
        letter=action.notice,
        audience="owner",
        to=desk.owner,
        language=desk.language,
        case=action.case,
        facts=dict(action.facts),
        queued=now,
        key=action.key,
    )
    return in_the_inbox(notice, now, "no mail can leave") if action.inbox else notice


def in_the_inbox(notice: QueuedLetter, now: datetime, why: str) -> QueuedLetter:
    """Return the notice as one that reaches the owner in the watched mailbox, because mail does not."""
    return replace(notice, state=LetterState.SENT, settled=now, next_try=None, reason=why, copies=(INBOX,))


def message_id(key: str, domain: str, secret: bytes = b"") -> str:
    """Return the Message-ID (RFC 5322, 3.6.4) that belongs to this key, the same one each time.

    With `secret` nobody can guess it: an answer to a notice shows by it that the notice was at hand.
    """
    text = key.encode("utf-8", "surrogatepass")
    digest = hmac.new(secret, text, hashlib.sha256) if secret else hashlib.sha256(text)
    return f"<{digest.hexdigest()[:32]}@{domain}>"


def sent(
    before: ClientRecord, letter: QueuedLetter, now: datetime, reply: str, *, suspend: bool = False
) -> ClientRecord:
    """Return the record with the letter sent and its case told so.

    With `suspend` the legal limit stands still from here when this letter asks for identity, and asks in time.
    """
    after = with_letter(before, replace(letter, state=LetterState.SENT, settled=now, reason="", next_try=None))
    if letter.audience == "person" and letter.case:
        for name in EVENTS_OF_LETTERS.get(letter.letter, ("letter_sent",)):
            facts = {"letter": letter.letter, "message_id": letter.message_id}
            after = with_event(after, letter.case, Event(now, name, f"{TOOK_IT}{reply[:80]}", facts))
            if name == "identity_asked" and suspend:
                after = _suspended(after, letter.case, now)
    return after


def _suspended(before: ClientRecord, number: str, now: datetime) -> ClientRecord:
    case = before.case(number)
    if case is None or working_days_between(case.received.date(), now.date()) > ASKED_WITHOUT_DELAY:
        return before
    return with_event(before, number, Event(now, "suspended", "identity was asked without delay, and is awaited"))


def with_letter(before: ClientRecord, letter: QueuedLetter) -> ClientRecord:
    """Return the record with this version of the letter in the old one's place."""
    return replace(before, letters=_swapped(before.letters, letter))


def _swapped(letters: Iterable[QueuedLetter], letter: QueuedLetter) -> tuple[QueuedLetter, ...]:
    return tuple(letter if one.message_id == letter.message_id else one for one in letters)
