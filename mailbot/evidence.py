"""A case as a file the owner can show the authority: what came, what was promised, what was done, and how to check it.

Owns what stands in it; how it is said is [evidence] in words.toml. Must never show contents of a request or the address
of the person: who complained is known to the authority, and the numbers and Message-IDs tie the two together.
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
from mailbot.wording import in_days, long_date

OWNERS_REASON = {"partly_answered", "refused"}  # events whose reason is what the person was told
Words = Mapping[str, Any]


def evidence(record: ClientRecord, case: Case, words: Words, labels: Mapping[str, str], head: str) -> Iterator[str]:
    """Yield the file, line by line. `words` and `labels` name things in Dutch; `head` says who made it and when."""
    yield from _head(case.number, head, words)
    yield from _came(record, case, words, labels)
    yield from _promised(case, terms_of(case), words)
    yield from _done(case, words)
    yield from _letters(record, case, words)
    yield from _chain(case, words)


def _said(words: Words, name: str, **facts: object) -> str:
    return str(words["evidence"][name]).format(**facts)


def _head(number: str, head: str, words: Words) -> Iterator[str]:
    title = _said(words, "title", number=number)
    yield title
    yield "=" * len(title)
    yield ""
    yield head
    yield _said(words, "without")


def _came(record: ClientRecord, case: Case, words: Words, labels: Mapping[str, str]) -> Iterator[str]:
    yield from _title(_said(words, "came"))
    channel = words["channels"].get(case.channel, case.channel)
    kinds = ", ".join(labels.get(kind, kind) for kind in case.kinds) or words["not_judged"]
    yield _said(words, "received", when=f"{_moment(case.received, words)}, {channel}")
    yield _said(words, "about", kinds=kinds)
    yield _said(words, "state", state=words["states"][case.state], identity=words["identity"][case.identity])
    for seen in record.messages:
        if seen.case == case.number:
            role = words["roles"].get(seen.role, seen.role)
            yield f"- {_moment(seen.received, words)}  {role}  {seen.message_id or _said(words, 'no_id')}"


def _promised(case: Case, dates: Terms, words: Words) -> Iterator[str]:
    yield from _title(_said(words, "promised"))
    told = {"promise": dates.promise, "statement": dates.statement_term, "limit": dates.legal_limit}
    told |= {"extended": dates.extended_to} if dates.extended_to else {}
    yield from (_said(words, name, day=long_date(day.isoformat(), words)) for name, day in told.items())
    if case.ended and not case.is_open:
        day = case.ended.date()
        took = in_days((day - case.received.date()).days, words)
        yield _said(words, "ended", day=long_date(day.isoformat(), words), took=took)
        yield _said(words, "in_law" if day <= (dates.extended_to or dates.legal_limit) else "past_law")
        yield _said(words, "in_promise" if day <= dates.promise else "past_promise")


def _done(case: Case, words: Words) -> Iterator[str]:
    yield from _title(_said(words, "done"))
    for event in case.events:
        yield f"{event.at.isoformat(timespec='seconds')}  {words['events'].get(event.event, event.event)}"
        if event.event in OWNERS_REASON:
            yield f"    {_said(words, 'reason', reason=event.reason)}"


def _letters(record: ClientRecord, case: Case, words: Words) -> Iterator[str]:
    letters = [one for one in record.letters if one.case == case.number and one.audience == "person"]
    if not letters:
        return
    yield from _title(_said(words, "letters"))
    for letter in letters:
        when = f", {_moment(letter.settled, words)}" if letter.settled else ""
        name = words["letters"].get(letter.letter, letter.letter)
        yield f"{name}: {words['letter_states'][letter.state]}{when}"
        yield f"    {letter.message_id}"
        answer = _answer_of_server(case, letter)
        if answer:
            yield f"    {_said(words, 'server', answer=answer)}"


def _answer_of_server(case: Case, letter: QueuedLetter) -> str:
    found = (event.reason for event in case.events if event.facts.get("message_id") == letter.message_id)
    return next(found, letter.reason).removeprefix(TOOK_IT)


def _chain(case: Case, words: Words) -> Iterator[str]:
    """The events as they were chained, and how anybody can check that none was changed, added or left out."""
    yield from _title(_said(words, "chain"))
    yield from _said(words, "check").strip().split("\n")
    previous = case.number
    for place, event in enumerate(case.events, start=1):
        yield ""
        yield _said(words, "event", place=place)
        yield f"{words['evidence']['text']} {chain_text(event, previous)}"
        yield f"{words['evidence']['hash']} {event.hash}"
        previous = event.hash


def evidence_of_erased(line: Closed, words: Words, labels: Mapping[str, str], head: str) -> Iterator[str]:
    """Yield what is left of an erased case."""
    yield from _head(line.number, head, words)
    yield from _title(_said(words, "kept"))
    yield _said(words, "erased_all")
    nothing = _said(words, "not_known")
    yield _said(words, "about", kinds=", ".join(labels.get(kind, kind) for kind in line.kinds))
    yield _said(words, "received", when=long_date(line.received, words))
    yield _said(words, "handled", day=long_date(line.ended, words) or nothing)
    yield _said(words, "outcome", outcome=", ".join(_outcome(one, words, labels) for one in line.outcome.split(", ")))
    yield _said(words, "erased", day=long_date(line.erased, words) or nothing)
    yield from _title(_said(words, "done"))
    yield from (f"{at}  {words['events'].get(event, event)}" for at, event in line.steps)
    yield from _title(_said(words, "chain"))
    yield _said(words, "sealed")
    yield line.seal or nothing


def _outcome(text: str, words: Words, labels: Mapping[str, str]) -> str:
    kind, _, track = text.rpartition(" ")
    return f"{labels.get(kind, kind)}: {words['tracks'].get(track, track)}"


def _title(text: str) -> Iterator[str]:
    yield ""
    yield text
    yield "-" * len(text)


def _moment(at: datetime, words: Words) -> str:
    return f"{long_date(at.date().isoformat(), words)}, {at:%H:%M}"
