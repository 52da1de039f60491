"""Message + Verdict + what is known + now -> Plan: what to do about one message, and why.

Owns every decision about an incoming message: which case it belongs to, which letter it gets, what the owner is told.
Must never decide about a person (grant, refuse, hand out, delete): that is the owner's. Pure: what it needs is passed
in, what it wants is returned. Whether a letter may go at all is answerable.py's to say.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mailbot.answerable import Sent, is_ours, reply_refusal, why_held
from mailbot.authentic import contradicted
from mailbot.case import OVER, Case
from mailbot.classify import Decision, Verdict
from mailbot.client import ClientRecord, Filing, QueuedLetter, SeenMessage
from mailbot.deadlines import Terms, terms
from mailbot.message import Message
from mailbot.plan import (
    Action,
    Facts,
    FileUnder,
    NotifyOwner,
    OpenCase,
    Plan,
    RecordEvent,
    Remember,
    SendLetter,
    StopLetters,
)
from mailbot.policy import Policy

NOBODY = "@nobody.invalid"  # RFC 2606: an address that can never be written to stands for a sender we do not know
LOGO = 20 * 1024  # bytes: a legible picture of a document is larger
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message's place in the mailbox. `received` is aware and never later than our own clock (I38)."""

    uidvalidity: int
    uid: int
    received: datetime
    backlog: bool = False  # older than mailbot itself: registered, never acknowledged


@dataclass(frozen=True, slots=True)
class Known:
    """What the register knows that bears on this message."""

    next_number: str
    copies: tuple[SeenMessage, ...] = ()  # every time these very bytes were handled before
    client: ClientRecord | None = None  # whose address the verdict's sender has
    thread: tuple[ClientRecord, Case] | None = None  # the case this message answers to, by thread or number
    letter: QueuedLetter | None = None  # the letter of ours that a bounce is about
    sent: Sent = field(default_factory=Sent)
    stopped: str | None = None  # why no letter to a person leaves at the moment


@dataclass(frozen=True, slots=True)
class Arrival:
    """Everything about one message that a decision rests on."""

    message: Message
    verdict: Verdict
    delivery: Delivery
    known: Known
    policy: Policy

    @property
    def person(self) -> str:
        """The address the record is kept under; one that cannot exist when there is no safe sender (P10)."""
        sender = self.verdict.sender
        return sender.address if sender else self.message.digest[:16] + NOBODY

    @property
    def language(self) -> str:
        """The language letters are written in: the mail's own where we have it, else the last one we have."""
        languages = self.policy.languages
        return self.verdict.language if self.verdict.language in languages else languages[-1]


def decide(message: Message, verdict: Verdict, delivery: Delivery, known: Known, policy: Policy) -> Plan:
    """Return the plan for one message. Every path ends in a Plan with its reason; nothing is ever raised."""
    arrival = Arrival(message, verdict, delivery, known, policy)
    return _by_what_is_known(arrival) or _by_verdict(arrival)


def reviewed(message: Message, verdict: Verdict, delivery: Delivery, known: Known, policy: Policy) -> Plan:
    """Return the plan for a message the owner moved to the review folder: he is asked, about its case or a new one."""
    arrival = Arrival(message, verdict, delivery, known, policy)
    case = known.thread[1] if known.thread else None
    number = case.number if case else known.next_number
    asked = _notice(arrival, "notice_review", case, verdict.reason, number=number)
    asked = replace(asked, key=f"{asked.key} moved {delivery.uidvalidity}/{delivery.uid}")
    if known.thread is not None:
        return Plan(f"{verdict.reason}: he is asked about {number}", (asked,), known.thread[0].address)
    actions = (_opening(arrival), Remember("review", number), asked)
    return Plan(f"may be a request: the owner is asked ({verdict.reason})", actions, arrival.person)


def _by_what_is_known(arrival: Arrival) -> Plan | None:
    known, verdict = arrival.known, arrival.verdict
    if known.copies:
        return _again(arrival)
    if verdict.automatic == "bounce" and known.letter is not None:
        return _bounced(arrival, known.letter)
    if verdict.sender is not None and is_ours(verdict.sender.address, arrival.policy):
        return _own(arrival)
    if known.thread is not None and _belongs(arrival, known.thread[1]):
        return _joined(arrival, *known.thread)
    if (verdict.reminder or verdict.withdrawn) and not verdict.automatic and known.client is not None:
        repeated = _repeats(arrival)  # a reminder without a thread still joins its case and starts no new term
        return _joined(arrival, known.client, repeated) if repeated else None
    return None


def _by_verdict(arrival: Arrival) -> Plan:
    match arrival.verdict.decision:
        case Decision.REQUEST:
            return _requested(arrival)
        case Decision.REVIEW:
            return _doubtful(arrival)
        case Decision.OTHER:
            return _ordinary(arrival)


def _again(arrival: Arrival) -> Plan:
    """The same bytes again: an alias and a list, or a copy after a crash (M22). Filed once more, then left alone."""
    copies = arrival.known.copies
    if len(copies) > 1:
        return Plan("these very bytes were handled twice before: left where the owner put them")
    filed = any(one.filing is not Filing.NONE for one in copies)
    actions: tuple[Action, ...] = (Remember("duplicate"), *((FileUnder(arrival.person),) if filed else ()))
    return Plan("the same message was handled before: no second case, no second letter", actions, arrival.person)


def _own(arrival: Arrival) -> Plan:
    """Our own or the owner's mail is never a person's request; what the owner passes on, he is asked about (M15)."""
    if arrival.verdict.decision is Decision.OTHER or arrival.message.headers.get("x-mailbot"):
        return Plan("mail from one of our own addresses is no request")
    return Plan(
        "the owner passed on what looks like a request: he is asked whose it is",
        (_notice(arrival, "notice_review", None, "passed on from one of our own addresses"), Remember("review")),
        arrival.person,
    )


def _bounced(arrival: Arrival, letter: QueuedLetter) -> Plan:
    """A letter of ours came back: tied to its case, told to the owner, never answered (S15)."""
    actions: list[Action] = [Remember("bounce", letter.case)]
    if letter.case and letter.audience == "person":
        actions.append(RecordEvent(letter.case, "bounced", "the letter came back", {"letter": letter.letter}))
        facts = {"letter": letter.letter, "address": letter.to, "reason": arrival.message.subject}
        actions.append(NotifyOwner("notice_bounce", f"bounce {letter.message_id}", facts, letter.case))
    return Plan("a delivery report about one of our own letters", tuple(actions), letter.to)


def _belongs(arrival: Arrival, case: Case) -> bool:
    """A case that is over takes replies but no new requests, and one that was answered none of another kind.

    Those open a case of their own, with terms of their own.
    """
    verdict = arrival.verdict
    if case.is_open or verdict.decision is Decision.OTHER or verdict.reminder or verdict.withdrawn:
        return True
    asks_more = verdict.decision is Decision.REQUEST and set(verdict.kinds) - set(case.kinds)
    return case.state not in OVER and not asks_more


def _joined(arrival: Arrival, client: ClientRecord, case: Case) -> Plan:
    """A reply or reminder joins its case: no second case, no second letter, no new term (M21)."""
    verdict = arrival.verdict
    if verdict.automatic:
        actions: tuple[Action, ...] = (Remember("automatic", case.number), FileUnder(client.address))
        return Plan(f"automatic answer ({verdict.automatic}) within {case.number}", actions, client.address)
    elsewhere = verdict.from_form or verdict.sender is None or verdict.sender.address != client.address
    fresh = tuple(kind for kind in verdict.kinds if kind not in case.kinds)
    facts = {"kinds": fresh, "elsewhere": elsewhere, "attachments": len(arrival.message.attachments)}
    role, notice, event = "reply", "notice_reply", "joined"
    if verdict.reminder:
        role, notice, event = "reminder", "notice_reminder", "reminded"
    if verdict.withdrawn:
        role, notice = "reply", "notice_withdrawn"
    why = f"{'from another address' if elsewhere else 'from the same address'}, by thread or case number"
    attached = may_be_copy(arrival.message) and case.awaits_identity
    planned: list[Action] = [Remember(role, case.number, attached), RecordEvent(case.number, event, why, facts)]
    if attached and case.identity == "asked":
        planned.append(RecordEvent(case.number, "identity_received", "the reply carries an attachment"))
    if verdict.withdrawn or not _told_enough(arrival, client, case):
        planned.append(_notice(arrival, notice, case))
    planned.append(FileUnder(client.address))
    return Plan(f"belongs to {case.number}: no second case and no second letter", tuple(planned), client.address)


def _told_enough(arrival: Arrival, client: ClientRecord, case: Case) -> bool:
    """Tell whether the owner had his notices about this case for today: a robot must not bury him (M8)."""
    since = arrival.delivery.received - DAY
    told = [one for one in client.letters if one.audience == "owner" and one.case == case.number and one.queued > since]
    return len(told) >= arrival.policy.caps.notices_case_day


def _requested(arrival: Arrival) -> Plan:
    """A request: joins the open case it repeats, else opens one and is acknowledged if that is allowed."""
    repeated = _repeats(arrival)
    if repeated is not None and arrival.known.client is not None:
        return _joined(arrival, arrival.known.client, repeated)
    number, delivery = arrival.known.next_number, arrival.delivery
    attached = may_be_copy(arrival.message)  # the statement asks for the copy with the request itself
    actions: list[Action] = [_opening(arrival), Remember("request", number, attached)]
    kinds = arrival.policy.kinds
    urgent = any(kinds[name].urgent for name in arrival.verdict.kinds if name in kinds)
    no_letter = _no_letter(arrival)
    if no_letter:
        actions.append(RecordEvent(number, "acknowledgement_held", no_letter))
    else:
        actions.append(_acknowledgement(arrival))
    if urgent:
        actions.append(_notice(arrival, "notice_request", None, number=number))
    elif no_letter and not delivery.backlog:
        actions.append(_notice(arrival, "notice_unanswered", None, no_letter, number=number))
    if arrival.known.sent.requests_hour >= arrival.policy.caps.flood_hour and not arrival.known.stopped:
        actions.append(StopLetters("flood"))
    actions.append(FileUnder(arrival.person))
    reason = f"asks for {', '.join(arrival.verdict.kinds)}: {no_letter or 'acknowledged'}"
    return Plan(reason, tuple(actions), arrival.person)


def _repeats(arrival: Arrival) -> Case | None:
    """The open case of this client that already holds everything asked here; the latest if there are several."""
    client = arrival.known.client
    if client is None:
        return None
    asked = set(arrival.verdict.kinds)
    open_cases = [case for case in client.cases if case.is_open]
    again = arrival.verdict.reminder or arrival.verdict.withdrawn
    same = [case for case in open_cases if again or (asked and asked <= set(case.kinds))]
    return same[-1] if same else None


def _doubtful(arrival: Arrival) -> Plan:
    """It may be a request: the term runs, the owner is asked, nothing is sent and the message stays in sight."""
    number = arrival.known.next_number
    actions: tuple[Action, ...] = (
        _opening(arrival),
        Remember("review", number),
        _notice(arrival, "notice_review", None, _doubt(arrival), number=number),
    )
    if arrival.delivery.backlog:
        actions = actions[:2]
    return Plan(f"may be a request: the owner is asked ({arrival.verdict.reason})", actions, arrival.person)


def _ordinary(arrival: Arrival) -> Plan:
    """No request: left alone, or filed when the configuration says so."""
    if arrival.policy.ordinary != "at_once" or arrival.verdict.automatic or arrival.verdict.sender is None:
        return Plan(f"no request: left alone ({arrival.verdict.reason})")
    actions: tuple[Action, ...] = (Remember("ordinary"), FileUnder(arrival.person))
    return Plan(f"no request: filed, as configured ({arrival.verdict.reason})", actions, arrival.person)


def _opening(arrival: Arrival) -> OpenCase:
    verdict, delivery = arrival.verdict, arrival.delivery
    return OpenCase(
        number=arrival.known.next_number,
        kinds=verdict.kinds,
        received=delivery.received,
        channel="form" if verdict.from_form else "mail",
        language=arrival.language,
        sub_kinds=verdict.sub_kinds,
        behalf=verdict.behalf,
        backlog=delivery.backlog,
        review=verdict.decision is Decision.REVIEW,
    )


def _acknowledgement(arrival: Arrival) -> SendLetter:
    message, number = arrival.message, arrival.known.next_number
    checked = identity_needed(arrival.verdict.kinds, arrival.policy, arrival.known.client, message, arrival.verdict)
    thread = (*message.references[-20:], message.message_id) if message.message_id else message.references[-20:]
    return SendLetter(
        letter="identity" if checked else "acknowledgement",
        to=arrival.person,
        language=arrival.language,
        case=number,
        facts=acknowledgement_facts(number, arrival.verdict, terms(arrival.delivery.received)),
        in_reply_to=message.message_id,
        references=thread,
        hold=_hold(arrival),
    )


def acknowledgement_facts(number: str, verdict: Verdict, dates: Terms) -> Facts:
    """Return what the acknowledgement may say: our number, kinds and dates. No word of the incoming mail (M9)."""
    return {
        "number": number,
        "kinds": list(verdict.kinds),
        "sub_kinds": list(verdict.sub_kinds),
        "received": dates.received.isoformat(),
        "promise": dates.promise.isoformat(),
        "behalf": verdict.behalf or "",
        "from_form": verdict.from_form,
    }


def identity_needed(
    kinds: Iterable[str], policy: Policy, client: ClientRecord | None, message: Message, verdict: Verdict
) -> bool:
    """Tell whether the letter explains identification (GDPR 12(6); EDPB 01/2022, 73-79; promises section 3)."""
    known = client is not None and client.on_file and not verdict.from_form
    return identity_asked(kinds, policy, known=known and not contradicted(message, policy.authserv_id))


def identity_asked(kinds: Iterable[str], policy: Policy, *, known: bool) -> bool:
    """Tell whether identity is asked for these kinds, of a person whom we know or do not know."""
    if all(policy.kinds[name].identity == "never" for name in kinds if name in policy.kinds):
        return False
    return policy.identity == "always" or not known


def may_be_copy(message: Message) -> bool:
    """Tell whether an attachment may be a copy of an identity document: no text, no small logo of a signature."""
    return any(
        not one.content_type.startswith(("text/", "message/", "application/pkcs7", "application/pgp"))
        and not (one.content_type.startswith("image/") and one.size < LOGO)
        for one in message.attachments
    )


def _no_letter(arrival: Arrival) -> str | None:
    """Why this request gets no letter by itself, or None: RFC 3834 section 2, RFC 5230 section 4.5-4.6 and stricter."""
    if arrival.delivery.backlog:
        return "it is older than mailbot: history is never acknowledged"
    return reply_refusal(arrival.message, arrival.verdict, arrival.policy)


def _hold(arrival: Arrival) -> str | None:
    return why_held(arrival.person, arrival.policy, arrival.known.sent, arrival.known.stopped)


def _doubt(arrival: Arrival) -> str:
    return arrival.message.unreadable or arrival.verdict.reason


def _notice(arrival: Arrival, notice: str, case: Case | None, reason: str = "", number: str = "") -> NotifyOwner:
    """The owner's copy of what happened. The subject is his own mail; contents stay in the mailbox."""
    number = case.number if case else number
    received = case.received if case else arrival.delivery.received
    dates = terms(received)
    facts: dict[str, object] = {
        "number": number,
        "kinds": list(arrival.verdict.kinds or (case.kinds if case else ())),
        "address": arrival.verdict.sender.address if arrival.verdict.sender else "",
        "subject": arrival.message.subject[:120],
        "reason": reason or arrival.verdict.reason,
        "received": arrival.delivery.received.isoformat(),
        "promise": dates.promise.isoformat(),
        "legal_limit": dates.legal_limit.isoformat(),
        "evidence": [one.text for one in arrival.verdict.evidence[:5]],
        "sure": round(100 * arrival.verdict.confidence),
        "unreadable": arrival.message.unreadable or "",
        "automatic": arrival.verdict.automatic or "",
        "withdrawn": arrival.verdict.withdrawn,
    }
    return NotifyOwner(notice, f"{notice} {arrival.message.digest}", facts, number or None)
