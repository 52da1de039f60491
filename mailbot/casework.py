"""What the owner did about a case, as plans: the same for his mail, his links and the command line.

Owns what each of his words needs (a reason, an identity check) and which letter goes with it. Must never act without
his word, and never write to anybody but the address on file (promises 3, 4, 13). A letter is a draft that waits until
he lets it go, unless he says so at once.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from mailbot.case import ENDED, OPENED, OVER, Case, State
from mailbot.client import ClientRecord, LetterState, QueuedLetter
from mailbot.deadlines import terms
from mailbot.decide import NOBODY
from mailbot.plan import Action, Plan, RecordEvent, SendLetter

DRAFT = "a draft: it waits for the owner's word"
GIVES = {"answer", "refuse", "withdraw"}  # words that end the kinds they name


@dataclass(frozen=True, slots=True)
class Word:
    """One thing the owner says about a case, and with what."""

    action: str
    reason: str = ""
    kinds: tuple[str, ...] = ()
    outcome: str = "done"  # done | partly | founded | not_founded
    letter: bool = True
    send: bool = False
    until: str = ""  # ISO date until which a part stays
    organisation: str = ""  # who else gets the copy at the person's wish (GDPR 20(2))
    erase: bool = False  # said on top of `close`: everything about the person goes


@dataclass(frozen=True, slots=True)
class No:
    """Why the word cannot be followed, and what to do instead. `code` names it in the owner's language (words.toml)."""

    reason: str
    code: str = "state"


Steps = tuple[Action, ...]
Step = Callable[[Word, ClientRecord, Case, datetime], "Steps | No"]


def follow(
    word: Word, record: ClientRecord, case: Case, now: datetime, identified: Collection[str] | None = None
) -> Plan | No:
    """Return the plan for the owner's word, or why not. `now` is aware. Nothing is done by this function.

    `identified` are the kinds for which identity may be asked at all (promises, section 3).
    """
    if word.action == "ask-identity" and identified is not None and not set(identified) & set(case.open_kinds):
        return No(f"{case.number}: no identity is asked for {', '.join(case.open_kinds)}", "identity_never")
    step = STEPS.get(word.action)
    if step is None:
        return No(f"`{word.action}` is no word mailbot knows; it knows: {', '.join(sorted(STEPS))}", "unknown")
    strange = [kind for kind in word.kinds if kind not in case.kinds]
    if strange and word.action != "kinds":
        return No(f"{case.number} is not about {', '.join(strange)}: it is about {', '.join(case.kinds)}", "kinds")
    given = [kind for kind in word.kinds if word.action in GIVES and kind not in case.open_kinds]
    if given and case.is_open:
        return No(
            f"{case.number}: {', '.join(given)} was answered before; still open: {', '.join(case.open_kinds)}", "kinds"
        )
    actions = step(word, record, case, now)
    return actions if isinstance(actions, No) else Plan(f"the owner's word: {word.action}", actions, record.address)


def _answer(word: Word, record: ClientRecord, case: Case, _now: datetime) -> Steps | No:
    """Answered, wholly or in part; what stays and why is the reason of a partly (GDPR 12(4))."""
    if case.state not in OPENED:
        return No(f"{case.number} is {case.state}: only an open case can be answered")
    if word.until and not _is_date(word.until):
        return No(f"{word.until} is not a date such as 2033-12-31")
    if word.outcome in {"founded", "not_founded"} and "objection" not in case.open_kinds:
        return No(f"{case.number} holds no objection that is open: `{word.outcome}` is an answer to one")
    if word.outcome in {"partly", "not_founded"} and not word.reason:
        return No("this answer needs its reason: what stays, why, and until when", "needs_reason")
    if case.awaits_identity:
        return No(
            f"identity was asked and not confirmed: say `identity {case.number}` once you have seen who it is",
            "identity_first",
        )
    event = "partly_answered" if word.outcome == "partly" else "answered"
    facts: dict[str, object] = {"kinds": list(word.kinds or case.open_kinds), "outcome": word.outcome}
    facts |= {name: text for name, text in (("until", word.until), ("organisation", word.organisation)) if text}
    letter = f"objection_{word.outcome}" if word.outcome in {"founded", "not_founded"} else f"outcome_{word.outcome}"
    said = RecordEvent(case.number, event, word.reason or "answered by the owner", facts)
    return (said, *_letter(letter, word, record, case))


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _extend(word: Word, record: ClientRecord, case: Case, now: datetime) -> Steps | No:
    """Two further months, once, with a reason, told within the first month (GDPR 12(3)); exists when it is sent."""
    dates = terms(case.received)
    if not word.reason:
        return No("an extension needs its reason: the person must be told why (GDPR 12(3))", "needs_reason")
    if case.state not in OPENED:
        return No(f"{case.number} is {case.state}: only an open case can be extended")
    if case.extended:
        return No(f"{case.number} was extended before: the law knows one extension", "extended_before")
    if now.date() > dates.legal_limit:
        return No(f"the first month ended on {dates.legal_limit}: an extension had to be told before that", "too_late")
    if record.address.endswith(NOBODY):
        return No(
            "there is no address to send the extension to, and without its letter it does not exist", "no_address"
        )
    return _letter("extended", Word("extend", word.reason, letter=True, send=word.send), record, case)


def _refuse(word: Word, record: ClientRecord, case: Case, _now: datetime) -> Steps | No:
    """Refused: with the reason, the complaint and the court (GDPR 12(4))."""
    if not word.reason:
        return No("a refusal needs its reason: the person must be told why (GDPR 12(4))", "needs_reason")
    if case.state not in OPENED:
        return No(f"{case.number} is {case.state}: only an open case can be refused")
    facts = {"kinds": list(word.kinds or case.open_kinds)}
    return (RecordEvent(case.number, "refused", word.reason, facts), *_letter("outcome_refused", word, record, case))


def _withdraw(word: Word, _record: ClientRecord, case: Case, _now: datetime) -> Steps | No:
    """The person took the request back."""
    if not case.is_open:
        return No(f"{case.number} is {case.state}: there is nothing left to take back")
    facts = {"kinds": list(word.kinds or case.open_kinds)}
    return (RecordEvent(case.number, "withdrawn", word.reason or "taken back by the person", facts),)


def _identity(word: Word, _record: ClientRecord, case: Case, _now: datetime) -> Steps | No:
    """The owner saw who it is. The copy goes with the next look, the check itself is kept (EDPB 01/2022, 79)."""
    if not case.is_open:
        return No(f"{case.number} is {case.state}: identity matters only while it is open")
    return (RecordEvent(case.number, "identity_confirmed", word.reason or "seen by the owner"),)


def _lift(word: Word, record: ClientRecord, case: Case, _now: datetime) -> Steps | No:
    """The person lets the data be used again (GDPR 18(3))."""
    if not case.restricts:
        return No(f"{case.number} has no restriction that is in force", "no_restriction")
    said = RecordEvent(case.number, "lifted", word.reason or "lifted by the person", {"kinds": ["restriction"]})
    return (said, *_letter("restriction_lifted", word, record, case))


def _close(word: Word, record: ClientRecord, case: Case, _now: datetime) -> Steps | No:
    """The end, once every track has an answer. An erasure that was granted ends with the person's file as well."""
    if case.state not in ENDED and not (word.erase and case.state in OVER):
        return No(f"{case.number} is {case.state}: answer, refuse or withdraw it first")
    if case.restricts:
        return No(f"{case.number} has a restriction in force: lift it first", "restriction")
    if word.erase:
        return _erase(word, record, case)
    if case.erases:
        return No(
            f"closing {case.number} takes this person out of the register and the mailbox, and that cannot be taken "
            f"back: say `close {case.number} --erase` when the answer was sent and the data are gone"
        )
    return (RecordEvent(case.number, "closed", word.reason or "closed by the owner"),)


def _erase(word: Word, record: ClientRecord, case: Case) -> Steps | No:
    """Everything about the person goes, so nothing may still be owed in any of the cases."""
    others = [one for one in record.cases if one.number != case.number and one.state not in OVER]
    owed = next((one.number for one in others if one.is_open or one.restricts), None)
    if owed:
        return No(f"{owed} of the same person is not at its end: erasing would take it along", "other_case")
    held = next((one.letter for one in record.letters if one.state is LetterState.HELD and is_answer(one)), None)
    if held:
        return No(
            f"the letter `{held}` still waits and its address goes as well: `release {case.number}` first",
            "letter_waits",
        )
    ending = (*others, case) if case.state in ENDED else others
    said = word.reason or "closed by the owner"
    return (
        *(RecordEvent(one.number, "closed", said) for one in ending),
        RecordEvent(case.number, "erasure_ordered", "everything about this person goes, on the owner's word"),
    )


def is_answer(letter: QueuedLetter) -> bool:
    """Tell whether this letter is our answer to a request: one that must reach the person before all is erased."""
    return letter.audience == "person" and letter.letter.startswith(("outcome_", "objection_"))


def _kinds(word: Word, _record: ClientRecord, case: Case, _now: datetime) -> Steps | No:
    """The owner says what it is about; from here it is a request."""
    if not case.is_open:
        return No(f"{case.number} is {case.state}: its kinds can no longer be corrected")
    if not word.kinds:
        return No("say which kinds it is about: --kind access (several are possible)", "kinds")
    facts = {"kinds": list(word.kinds), "was": list(case.kinds)}
    return (RecordEvent(case.number, "kinds_corrected", word.reason or "corrected by the owner", facts),)


def _no_request(word: Word, _record: ClientRecord, case: Case, _now: datetime) -> Steps | No:
    """The owner says that it is no privacy request."""
    if not case.is_open:
        return No(f"{case.number} is {case.state}: that can no longer be said of it")
    return (RecordEvent(case.number, "not_a_request", word.reason or "said by the owner"),)


def _recognise(word: Word, record: ClientRecord, case: Case, now: datetime) -> Steps | No:
    """The owner says that a doubtful message is a request, about what it seemed to be about.

    Nobody has written to the person yet: an acknowledgement is laid ready, unless what it promises is over.
    """
    if case.state is not State.REVIEW:
        return No(f"{case.number} is {case.state}: it was judged before")
    said = RecordEvent(case.number, "recognised", "said by the owner")
    late = case.backlog or terms(case.received).promise < now.date()
    return (said,) if late else (said, *_letter("acknowledgement", word, record, case))


def _ask(word: Word, record: ClientRecord, case: Case, _now: datetime) -> Steps | No:
    """Ask the person for something that is missing."""
    if not word.reason:
        return No("say what is missing: the person must know what to send", "needs_reason")
    return _letter("more_information", word, record, case) or No("there is no address to write to", "no_address")


def _ask_identity(word: Word, record: ClientRecord, case: Case, _now: datetime) -> Steps | No:
    """Explain once more how the person can show who it is (GDPR 12(6))."""
    if not case.is_open or case.state is State.REVIEW:
        return No(f"{case.number} is {case.state}: identity matters only while it is open")
    if case.identity == "confirmed":
        return No(f"{case.number}: you have seen who it is; it is not asked twice", "identity_known")
    return _letter("identity_again", word, record, case) or No("there is no address to write to", "no_address")


def _reopen(word: Word, _record: ClientRecord, case: Case, _now: datetime) -> Steps | No:
    """What was ended by mistake, or is not over yet, is open again; its terms were never stopped."""
    if case.is_open:
        return No(f"{case.number} is {case.state}: it is open")
    if case.erasure_ordered:
        return No(f"{case.number} is being erased", "state")
    return (RecordEvent(case.number, "reopened", word.reason or "reopened by the owner"),)


def draft(letter: str, record: ClientRecord, case: Case) -> Steps:
    """Return this letter about the case as a draft that waits for the owner; nothing when there is no address."""
    return _letter(letter, Word(letter), record, case)


def _letter(letter: str, word: Word, record: ClientRecord, case: Case) -> Steps:
    """The letter that goes with a word: to the address on file, a draft unless the owner said to send it."""
    if not word.letter or record.address.endswith(NOBODY):
        return ()
    dates = terms(case.received, extended=True)
    facts = {
        "number": case.number,
        "kinds": list(word.kinds or case.open_kinds or case.kinds),
        "sub_kinds": list(case.sub_kinds),
        "received": dates.received.isoformat(),
        "promise": dates.promise.isoformat(),
        "extended_to": dates.extended_to.isoformat() if dates.extended_to else "",
        "reason": word.reason.rstrip(" ."),
        "until": word.until,
        "organisation": word.organisation or case.organisation,
    }
    hold = None if word.send else DRAFT
    return (SendLetter(letter, record.address, case.language, case.number, facts, hold=hold),)


STEPS: Mapping[str, Step] = {
    "answer": _answer,
    "extend": _extend,
    "refuse": _refuse,
    "withdraw": _withdraw,
    "identity": _identity,
    "lift": _lift,
    "close": _close,
    "kinds": _kinds,
    "no-request": _no_request,
    "recognise": _recognise,
    "ask": _ask,
    "ask-identity": _ask_identity,
    "reopen": _reopen,
}
