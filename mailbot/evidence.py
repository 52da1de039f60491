"""A case as a file the owner can show the authority: what came, what was promised, what was done, and how to check it.

Owns this text, in Dutch. Must never show contents of a request or the address of the person: who complained is known to
the authority, and the numbers and Message-IDs tie the two together.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from mailbot.case import Case, chain_text
from mailbot.client import ClientRecord, QueuedLetter
from mailbot.deadlines import Terms
from mailbot.ending import Closed
from mailbot.record import TOOK_IT
from mailbot.warnings import terms_of
from mailbot.wording import long_date

OWNERS_REASON = {"partly_answered", "refused"}  # events whose reason is what the person was told
Words = Mapping[str, Any]


def evidence(record: ClientRecord, case: Case, words: Words, labels: Mapping[str, str], head: str) -> Iterator[str]:
    """Yield the file, line by line. `words` and `labels` name things in Dutch; `head` says who made it and when."""
    yield from _head(case.number, head)
    yield from _came(record, case, words, labels)
    yield from _promised(case, terms_of(case), words)
    yield from _done(case, words)
    yield from _letters(record, case, words)
    yield from _chain(case)


def _head(number: str, head: str) -> Iterator[str]:
    title = f"Behandeling van {number}"
    yield title
    yield "=" * len(title)
    yield ""
    yield head
    yield "Dit overzicht bevat geen inhoud van het verzoek en geen naam of adres van de betrokkene."


def _came(record: ClientRecord, case: Case, words: Words, labels: Mapping[str, str]) -> Iterator[str]:
    yield from _title("Wat er kwam")
    yield f"Ontvangen: {_moment(case.received, words)}, {words['channels'].get(case.channel, case.channel)}"
    yield f"Het gaat om: {', '.join(labels.get(kind, kind) for kind in case.kinds) or 'nog niet beoordeeld'}"
    yield f"Stand: {words['states'][case.state]}; identiteit: {words['identity'][case.identity]}"
    for seen in record.messages:
        if seen.case == case.number:
            role = words["roles"].get(seen.role, seen.role)
            yield f"- {_moment(seen.received, words)}  {role}  {seen.message_id or 'zonder Message-ID'}"


def _promised(case: Case, dates: Terms, words: Words) -> Iterator[str]:
    yield from _title("Wat is beloofd")
    yield f"Vier weken (privacyverklaring):      {long_date(dates.promise.isoformat(), words)}"
    yield f"Dertig dagen (privacyverklaring):    {long_date(dates.statement_term.isoformat(), words)}"
    yield f"Een maand (AVG, artikel 12 lid 3):   {long_date(dates.legal_limit.isoformat(), words)}"
    if dates.extended_to:
        yield f"Verlengd tot (AVG, artikel 12 lid 3): {long_date(dates.extended_to.isoformat(), words)}"
    if case.ended and not case.is_open:
        day = case.ended.date()
        kept = "binnen" if day <= (dates.extended_to or dates.legal_limit) else "na"
        took = (day - case.received.date()).days
        yield f"Afgehandeld op {long_date(day.isoformat(), words)}, na {took} {'dag' if took == 1 else 'dagen'}:"
        yield f"{kept} de wettelijke termijn en {'binnen' if day <= dates.promise else 'na'} de beloofde vier weken."


def _done(case: Case, words: Words) -> Iterator[str]:
    yield from _title("Wat is gedaan")
    for event in case.events:
        yield f"{event.at.isoformat(timespec='seconds')}  {words['events'].get(event.event, event.event)}"
        if event.event in OWNERS_REASON:
            yield f"    reden: {event.reason}"


def _letters(record: ClientRecord, case: Case, words: Words) -> Iterator[str]:
    letters = [one for one in record.letters if one.case == case.number and one.audience == "person"]
    if not letters:
        return
    yield from _title("Brieven aan de betrokkene")
    for letter in letters:
        when = f" op {_moment(letter.settled, words)}" if letter.settled else ""
        name = words["letters"].get(letter.letter, letter.letter)
        yield f"{name}: {words['letter_states'][letter.state]}{when}"
        yield f"    {letter.message_id}"
        answer = _answer_of_server(case, letter)
        if answer:
            yield f"    de mailserver: {answer}"


def _answer_of_server(case: Case, letter: QueuedLetter) -> str:
    found = (event.reason for event in case.events if event.facts.get("message_id") == letter.message_id)
    return next(found, letter.reason).removeprefix(TOOK_IT)


def _chain(case: Case) -> Iterator[str]:
    """The events as they were chained, and how anybody can check that none was changed, added or left out."""
    yield from _title("De keten")
    yield "Elke gebeurtenis draagt de hash van de vorige. Zo controleert u dat er later niets is veranderd:"
    yield "neem de regel na 'tekst', zonder regeleinde, en bereken de SHA-256 ervan (sha256sum). De uitkomst is de"
    yield "regel 'hash' eronder, en staat aan het begin van de volgende tekst. De eerste begint met het nummer."
    previous = case.number
    for place, event in enumerate(case.events, start=1):
        yield ""
        yield f"gebeurtenis {place}"
        yield f"tekst {chain_text(event, previous)}"
        yield f"hash  {event.hash}"
        previous = event.hash


def evidence_of_erased(line: Closed, words: Words, labels: Mapping[str, str], head: str) -> Iterator[str]:
    """Yield what is left of an erased case."""
    yield from _head(line.number, head)
    yield from _title("Wat er van deze zaak is bewaard")
    yield "De betrokkene is op eigen verzoek gewist. Bewaard zijn alleen het nummer, de soort, de datums en de afloop."
    yield f"Het ging om: {', '.join(labels.get(kind, kind) for kind in line.kinds)}"
    yield f"Ontvangen: {long_date(line.received, words)}"
    yield f"Afgehandeld: {long_date(line.ended, words) or 'onbekend'}"
    yield f"Afloop: {', '.join(_outcome(one, words, labels) for one in line.outcome.split(', '))}"
    yield f"Gewist: {long_date(line.erased, words) or 'onbekend'}"
    yield from _title("Wat is gedaan")
    yield from (f"{at}  {words['events'].get(event, event)}" for at, event in line.steps)
    yield from _title("De keten")
    yield "De teksten van de keten zijn gewist. De laatste hash, om een eerder gemaakt overzicht mee te controleren:"
    yield line.seal or "onbekend"


def _outcome(text: str, words: Words, labels: Mapping[str, str]) -> str:
    kind, _, track = text.rpartition(" ")
    return f"{labels.get(kind, kind)}: {words['tracks'].get(track, track)}"


def _title(text: str) -> Iterator[str]:
    yield ""
    yield text
    yield "-" * len(text)


def _moment(at: datetime, words: Words) -> str:
    return f"{long_date(at.date().isoformat(), words)}, {at:%H:%M}"
