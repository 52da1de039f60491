"""What a click of the owner does: one plan, and what he is told back.

Owns asking a second time before what cannot be taken back. Must never decide more than he said.
"""

from dataclasses import dataclass
from datetime import datetime

from mailbot.case import Case
from mailbot.casework import No, Word, follow
from mailbot.client import ClientRecord
from mailbot.links import SEND, Said, href
from mailbot.plan import Plan, SendLetter
from mailbot.record import Desk


@dataclass(frozen=True, slots=True)
class Answer:
    """What the owner is told back, and the buttons below it."""

    text: str
    actions: tuple[dict[str, str], ...] = ()


def follow_link(
    word: Said, record: ClientRecord, case: Case, desk: Desk, now: datetime, occasion: str
) -> tuple[Answer, Plan | None]:
    """Return what to tell the owner and the plan to commit, if his word can be followed."""
    name = word.action.removesuffix("!")
    link = next((one for one in desk.links if one.name == name), None)
    if name == SEND:
        return Answer(f"De brief van {word.number} gaat nu uit."), None
    if link is None:
        return Answer("Ik heb niets gedaan: deze opdracht ken ik niet."), None
    if link.reason and not word.reason:
        return Answer("Ik heb niets gedaan: schrijf de reden in de mail, de betrokkene leest die."), None
    if link.sure and not word.confirmed:
        again = href(case.number, f"{name}!", desk.secret, occasion, desk.address, word.reason)
        button = {"label": f"Ja, zeker: {link.label}", "href": again}
        return Answer(f"Weet u het zeker? {link.label}, voor {word.number}.{_what_goes(name, case)}", (button,)), None
    plan = follow(Word(name, word.reason, erase=name == "close" and case.erases), record, case, now)
    if isinstance(plan, No):
        return Answer(f"Ik heb niets gedaan: {plan.reason}."), None
    draft = any(isinstance(action, SendLetter) and action.hold for action in plan.actions)
    send = {"label": "Verstuur de brief", "href": href(case.number, SEND, desk.secret, occasion, desk.address)}
    text = f"Genoteerd bij {word.number}: {link.label}."
    return Answer(f"{text} Er ligt een brief klaar." if draft else text, (send,) if draft else ()), plan


def _what_goes(name: str, case: Case) -> str:
    """What the owner must know before he closes an erasure."""
    if name != "close" or not case.erases:
        return ""
    return (
        " Daarmee wist mailbot deze persoon: het dossier in het register en zijn berichten in de klantmap, de inbox en"
        " Verzonden. Een bericht met een vlag (ster) blijft staan: zet er een bij de facturen die u moet bewaren."
    )
