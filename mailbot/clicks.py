"""What a word of the owner does: one plan, and what he is told back.

Owns asking a second time before what cannot be taken back, and offering buttons where his word was not enough. Must
never decide more than he said. What he is told is a name in templates/nl/words.toml, never a text.
"""

from dataclasses import dataclass
from datetime import datetime

from mailbot.case import Case
from mailbot.casework import No, Word, follow
from mailbot.client import ClientRecord, LetterState
from mailbot.links import Link, Occasion, Said, href, letter_to_send, offered, sending
from mailbot.plan import Action, Plan, ReleaseLetters, SendLetter
from mailbot.record import Desk, written

Buttons = tuple[dict[str, object], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the owner is told back: `said` names the text, `yes` is what `ja` would do; `does` is what his word does."""

    said: str
    what: str = ""
    actions: Buttons = ()
    yes: str = ""
    does: tuple[Action, ...] = ()


def follow_word(
    word: Said, record: ClientRecord, case: Case, desk: Desk, at: Occasion, now: datetime, *, plain: bool = False
) -> Answer:
    """Return what to tell the owner and what to commit. `plain`: he wrote it himself, without a link."""
    letter = letter_to_send(word.action)
    if letter is not None:
        return _send(letter, word.reason, record, case, desk, at, now)
    link = _link(word.action.removesuffix("!"), case, desk)
    if link is None:
        return Answer("unknown", actions=_choice(record, case, desk, at))
    first = _asked_first(link, word, case, at, plain=plain)
    if first is not None:
        return first
    erase = link.name == "close" and word.confirmed and case.erases
    said = Word(
        link.does or link.name,
        word.reason,
        kinds=link.about(case),
        outcome=link.outcome,
        letter=link.letter,
        erase=erase,
    )
    plan = follow(said, record, case, now, desk.identified)
    if isinstance(plan, No):
        return Answer(plan.code, _plainly(link), _choice(record, case, desk, at))
    return _noted(link, record, case, plan, desk, at, now)


def _asked_first(link: Link, word: Said, case: Case, at: Occasion, *, plain: bool) -> Answer | None:
    """What he is asked before it is done: the reason, or whether he is sure. Erasing needs the button itself."""
    if link.reason and not word.reason:
        again: Buttons = ({"label": link.label, "href": href(case.number, link.name, at)},)
        return Answer("needs_reason", _plainly(link), again)
    erases = link.name == "close" and case.erases
    if link.sure and (not word.confirmed or (plain and erases)):
        sure: Buttons = (
            {"label": _plainly(link), "sure": True, "href": href(case.number, f"{link.name}!", at, word.reason)},
        )
        return Answer("sure_erase" if erases else "sure", _plainly(link), sure, yes=f"{link.name}!")
    return None


def _link(name: str, case: Case, desk: Desk) -> Link | None:
    """The link of this name: the one for the state the case is in, if there are several."""
    found = sorted((one for one in desk.links if one.name == name), key=lambda one: case.state not in one.states)
    return found[0] if found else None


def _noted(link: Link, record: ClientRecord, case: Case, plan: Plan, desk: Desk, at: Occasion, now: datetime) -> Answer:
    """What he said is done: a letter that waits now has its button, and without one he sees what is left to do."""
    drafts = [action.letter for action in plan.actions if isinstance(action, SendLetter) and action.hold]
    buttons: Buttons = tuple(
        {"letter": one, "label": "", "href": href(case.number, sending(one), at)} for one in drafts
    )
    if drafts:
        return Answer("noted_letter", _plainly(link), buttons, yes=sending(drafts[0]), does=plan.actions)
    return Answer("noted", _plainly(link), _left_to_do(record, case, plan, desk, at, now), does=plan.actions)


def _left_to_do(record: ClientRecord, case: Case, plan: Plan, desk: Desk, at: Occasion, now: datetime) -> Buttons:
    """What he can say about the case once the plan is carried out: an answered one is still to be closed."""
    after = written(record, plan, desk, now)
    found = after.case(case.number)
    return _choice(after, found, desk, at) if found else ()


def _plainly(link: Link) -> str:
    """What the link says, without what it asks him to write."""
    return link.label.partition(" (")[0]


def _send(
    letter: str, reason: str, record: ClientRecord, case: Case, desk: Desk, at: Occasion, now: datetime
) -> Answer:
    waits = [one for one in record.letters if one.case == case.number and one.state is LetterState.HELD]
    if not any(letter in {"", one.letter} for one in waits):
        return Answer("nothing_waits")
    plan = Plan("the owner lets a letter go", (ReleaseLetters(case.number, letter, reason),), record.address)
    return Answer("sent", actions=_left_to_do(record, case, plan, desk, at, now), does=plan.actions)


def _choice(record: ClientRecord, case: Case, desk: Desk, at: Occasion) -> Buttons:
    return tuple(offered(desk.links, record, case, at))


def unclear(record: ClientRecord, case: Case, desk: Desk, at: Occasion) -> Answer:
    """What the owner is told when his own words were not plain: nothing was done, and here are the buttons."""
    return Answer("unclear", actions=_choice(record, case, desk, at))
