"""The owner's mail to mailbot: a link he clicked, or his own words in answer to a notice.

Owns believing it or not, and the trace either leaves. Must never take a word from anybody else: it comes from the
owner's address, by a token of ours or in answer to a notice whose Message-ID nobody can guess, and, where our server
states it, with a sender that was found real. What is not believed is told to the owner and written in the register, and
the mail goes on as any other: a person's request is never lost because somebody forwarded a notice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from mailbot import tokens
from mailbot.authentic import aligned
from mailbot.case import Case
from mailbot.classify import Verdict
from mailbot.clicks import Answer, follow_word, unclear
from mailbot.client import ClientRecord, QueuedLetter
from mailbot.links import ALL, OFFICE, Said, about_all, from_owner, said
from mailbot.message import Message
from mailbot.office import CHECKED
from mailbot.phrases import CASE_NUMBER, Spoken
from mailbot.plan import NotifyOwner, Plan, RecordEvent, Remember
from mailbot.record import released
from mailbot.register import Register
from mailbot.world import World, commit_plan

NOTICE = "notice_word"
UNCLEAR = "unclear"
STOPPED = "notice_stop"
RETOLD = {"used", "expired", "forged"}  # the owner's own slips: he gets fresh buttons; a stranger's try gets none


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of a word: the plan that does it and tells him (None: the mail goes on), and the token it used up."""

    plan: Plan | None
    token: str = ""


def owners_word(world: World, authserv_id: str, message: Message, verdict: Verdict, now: datetime) -> Followed | None:
    """Return what the owner's word does; None when the mail is none. In a transaction.

    One plan in one record does it and tells him, so that a crash leaves both undone or both done.
    """
    desk = world.desk
    if not desk.secret or verdict.automatic:
        return None
    word = said(message, desk.owner, desk.secret, authserv_id, world.register.office.tokens, now.date())
    if word is None:
        plan = _own_words(world, authserv_id, message, now)
        return Followed(plan) if plan else None
    if word.wrong:
        return Followed(_refused(world, message, word, now))
    return Followed(_followed(world, message, word, now), word.token)


def unspent(world: World, authserv_id: str, message: Message, now: datetime) -> str:
    """Return the token of a word that was followed just before a crash and is not used up yet; else nothing."""
    desk = world.desk
    used = world.register.office.tokens
    word = said(message, desk.owner, desk.secret, authserv_id, used, now.date()) if desk.secret else None
    return word.token if word and not word.wrong else ""


def spend(register: Register, token: str, now: datetime) -> None:
    """A link works once."""
    office = register.office
    if token not in office.tokens:
        used = (*tokens.worth_keeping(office.tokens, now.date()), token)
        register.commit_office(replace(office, tokens=used))


def _followed(world: World, message: Message, word: Said, now: datetime, *, plain: bool = False) -> Plan:
    """Return the plan that does what the word says and tells him."""
    if word.number == OFFICE:
        return _told_back(message, "", _about_all(world, message, word.action, now), world.desk.owner)
    found = world.register.case(word.number)
    if found is None:
        return _told_back(message, word.number, Answer("no_case"), world.desk.owner)
    at = world.desk.occasion(NOTICE, message.digest, now)
    answer = follow_word(word, *found, world.desk, at, now, plain=plain)
    return _told_back(message, word.number, answer, found[0].address)


def _own_words(world: World, authserv_id: str, message: Message, now: datetime) -> Plan | None:
    """An answer to a notice in his own words, when it is one."""
    owner, notice = world.desk.owner, _answered_notice(world, message)
    if notice is None or not from_owner(message, owner):
        return None
    found = _meant(world, notice, message)
    number = found[1].number if found else ""
    if authserv_id and not aligned(message, authserv_id):
        return _refused(world, message, Said(number, "answer", "", wrong="not_authentic"), now)
    if notice.letter == STOPPED or notice.facts.get("yes") == ALL:
        return _about_stops(world, message, notice, now)
    if found is None:
        return _told_back(message, "", Answer("which"), owner)
    return _said_of(world, message, _asked(world, notice), found, now)


def _said_of(
    world: World, message: Message, asked: Mapping[str, str], found: tuple[ClientRecord, Case], now: datetime
) -> Plan:
    """What his words say of this case; `asked` is what `ja` and `nee` stand for."""
    number, owner = found[1].number, world.desk.owner
    spoken = world.desk.phrases.understood(message.written) or Spoken(UNCLEAR)
    action = asked.get(spoken.action, spoken.action)
    if not action:
        return _told_back(message, number, Answer("left"), owner)
    if action in {"yes", "no", UNCLEAR}:
        at = world.desk.occasion(NOTICE, message.digest, now)
        return _told_back(message, number, unclear(*found, world.desk, at), owner)
    return _followed(world, message, Said(number, action, spoken.reason), now, plain=True)


def _about_stops(world: World, message: Message, notice: QueuedLetter, now: datetime) -> Plan:
    """What he says about letters that are all held: they go once he has said so twice."""
    spoken = world.desk.phrases.understood(message.written) or Spoken(UNCLEAR)
    action = {"yes": ALL, "release": ALL}.get(spoken.action, "")
    if notice.letter != STOPPED:  # it answers the second question
        action = f"{ALL}!" if spoken.action == "yes" else ""
    return _told_back(message, "", _about_all(world, message, action, now), world.desk.owner)


def _about_all(world: World, message: Message, action: str, now: datetime) -> Answer:
    """Let all letters go at the second word; at the first he is asked whether he is sure."""
    if action and not world.register.office.stops:
        return Answer("not_stopped")
    if action == ALL:
        at = world.desk.occasion(NOTICE, message.digest, now)
        return Answer("sure_all", actions=about_all(world.desk.links, f"{ALL}!", at), yes=ALL)
    if action == f"{ALL}!":
        let_all_go(world.register, now)
        return Answer("sent_all")
    return Answer("left_stopped" if not action else "unknown")


def let_all_go(register: Register, now: datetime | None) -> int:
    """End every stop and let every letter that waits go; return how many went free. In a transaction.

    `now` is what the clock says, and the owner vouches for it.
    """
    vouched = {CHECKED: now.isoformat()} if now and register.office.watch else {}
    register.commit_office(replace(register.office.marked(vouched), stops=()))
    return sum(let_go(register, record) for record in list(register.clients()))


def let_go(register: Register, record: ClientRecord, number: str | None = None) -> int:
    """Let the letters of one record that wait go, of one case or of all; return how many. In a transaction."""
    after = released(record, number)
    if after != record:
        register.commit(after)
    return sum(a.state is not b.state for a, b in zip(record.letters, after.letters, strict=True))


def _answered_notice(world: World, message: Message) -> QueuedLetter | None:
    for reference in message.refers_to:
        letter = world.register.find_letter(reference)
        if letter is not None and letter.audience == "owner":
            return letter
    return None


def _asked(world: World, notice: QueuedLetter) -> Mapping[str, str]:
    """What `yes` and `no` mean in answer to this notice; nothing where it asked nothing."""
    yes = str(notice.facts.get("yes") or "")
    return {"yes": yes, "no": ""} if yes else world.desk.phrases.questions.get(notice.letter, {})


def _meant(world: World, notice: QueuedLetter, message: Message) -> tuple[ClientRecord, Case] | None:
    """The case he means: the one he names, else the one the notice is about, else the only one that is open."""
    register = world.register
    named = {one.strip("[]").upper() for one in CASE_NUMBER.findall(message.written)}
    if len(named) > 1:
        return None
    number = next(iter(named), notice.case)
    if number:
        return register.case(number)
    running = [(record, case) for record in register.running() for case in record.cases if case.is_open]
    return running[0] if len(running) == 1 else None


def _refused(world: World, message: Message, word: Said, now: datetime) -> Plan | None:
    """Leave a trace, tell the owner, and let a stranger's mail go on as what it is; once a day, case and cause."""
    found = world.register.case(word.number) if word.number else None
    day, number = now.date().isoformat(), found[1].number if found else ""
    mark = {"why": word.wrong, "day": day}
    if found and not any(event.event == "word_refused" and event.facts == mark for event in found[1].events):
        trace = RecordEvent(number, "word_refused", f"a word by mail was not believed: {word.wrong}", mark)
        commit_plan(world, Plan("a word that was not believed", (trace,), found[0].address), None, now)
    if word.wrong in RETOLD:
        choice = unclear(*found, world.desk, world.desk.occasion(NOTICE, message.digest, now)).actions if found else ()
        return _told_back(message, number, Answer(f"refused_{word.wrong}", actions=choice), world.desk.owner)
    answer = Answer(f"refused_{word.wrong}")
    notice = NotifyOwner(NOTICE, f"refused {number} {word.wrong} {day}", _facts(number, answer), number or None)
    mine = from_owner(message, world.desk.owner)
    plan = Plan("a word that was not believed", (*((Remember("owner"),) if mine else ()), notice), world.desk.owner)
    if mine:
        return plan
    commit_plan(world, plan, None, now)
    return None


def _told_back(message: Message, number: str, answer: Answer, client: str) -> Plan:
    """The plan that does what he said and tells him so, and remembers the mail."""
    notice = NotifyOwner(NOTICE, f"word {message.digest}", _facts(number, answer), number or None)
    return Plan(f"a word of the owner: {answer.said}", (*answer.does, Remember("owner"), notice), client)


def _facts(number: str, answer: Answer) -> dict[str, object]:
    told = {"reply": answer.said, "what": answer.what, "yes": answer.yes}
    return {"number": number, **told, "actions": list(answer.actions)}
