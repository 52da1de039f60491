"""Carry out what the register still owes the world: letters, their copies, and at last the moves.

Owns the order of effects and the one place that retries. Must never decide: what is owed was decided and committed
before, so settling is the same code after a commit, after a crash and after a pause.

The order: a letter goes out, the record says so, its copies are put away, and only then the message moves. Each step
can be repeated with the same result; the one doubt (a server that took a letter and could not say so) ends in the same
letter under the same Message-ID (failure-cases 1.2, S3, S11).
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from mailbot import record as records
from mailbot.case import Event
from mailbot.client import ClientRecord, Filing, LetterState, QueuedLetter
from mailbot.deadlines import terms
from mailbot.errors import LoginRefused, MailbotError, OwnerMustFix, Refused, TryLater
from mailbot.mailbox import SEEN, Move
from mailbot.office import RESTORED
from mailbot.plan import NotifyOwner
from mailbot.world import World, update

LOG = logging.getLogger(__name__)
IN_A_ROW = 3  # letters put off one after the other: then it is the server that wants less of us, not a recipient (S9)


@dataclass(slots=True)
class Settled:
    """What one round of settling did."""

    sent: int = 0
    waiting: int = 0
    failed: int = 0
    filed: int = 0
    trouble: MailbotError | None = None  # why no letter can leave at the moment
    unfiled: str = ""  # why the mailbox refuses a copy or a move


# What became of each client's copies and messages in one round, to be recorded by one commit a client: all of it can be
# done again with the same result, so a crash before that costs nothing but the work.
Notes = dict[str, list[Callable[[ClientRecord], ClientRecord]]]


async def settle(world: World, *, letters: bool = True) -> Settled:
    """Work off everything the register owes at this moment and return what was done.

    A mailbox that is away ends the round with TryLater; a mail server that is away is `trouble`. All stays owed.
    """
    done = Settled()
    if letters:
        await _send_letters(world, done)
    noted: Notes = defaultdict(list)
    try:
        await _put_copies(world, done, noted)
        await _file(world, done, noted)
    finally:
        world.fresh.clear()
        for place, changes in noted.items():
            update(world, place, partial(_all, changes=changes))
    return done


def _all(before: ClientRecord, changes: Iterable[Callable[[ClientRecord], ClientRecord]]) -> ClientRecord:
    for change in changes:
        before = change(before)
    return before


async def settle_letters(world: World) -> Settled:
    """Send what is owed without a look at the mailbox: for a command that only writes to the owner."""
    done = Settled()
    await _send_letters(world, done)
    return done


async def _send_letters(world: World, done: Settled) -> None:
    """Offer every letter whose time has come, oldest first; the first server trouble ends the round for all."""
    in_a_row = 0
    for place, letter in _due(world):
        if world.stopping:
            break
        must_not = _misdirected(world, place, letter) or _too_late(world, letter)
        if must_not:
            _failed(world, place, letter, must_not)
            done.failed += 1
            continue
        try:
            reply = await _handed_over(world, letter)
        except Refused as error:
            _failed(world, place, letter, str(error))
            done.failed += 1
        except LoginRefused as error:
            done.trouble = error
            break
        except (TryLater, OwnerMustFix) as error:
            _postponed(world, place, letter, str(error))
            done.waiting += 1
            in_a_row += 1
            if not getattr(error, "this_letter_only", False) or in_a_row == IN_A_ROW:
                done.trouble = error
                break
        else:
            in_a_row = 0
            sent = partial(records.sent, letter=letter, now=world.now(), reply=reply, suspend=world.desk.suspend)
            update(world, place, partial(_all, changes=(sent, partial(_named, world=world))))
            del world.accepted[letter.message_id]
            world.told("letter", letter.letter)
            done.sent += 1


def _misdirected(world: World, place: str, letter: QueuedLetter) -> str:
    """Why this is not whom the letter may go to: personal data go to the address on file, tokens to the owner alone.

    This is the one way out: whatever made the letter, no other address gets one (promises 3, 4, 13).
    """
    person = world.register.client_by_id(place)
    if letter.audience == "owner":
        return "" if letter.to == world.desk.owner else "a notice goes to the owner and to nobody else"
    on_file = person is not None and letter.to == person.address and world.register.client_id(letter.to) == place
    return "" if on_file else "a letter goes to the address on file and to no other"


def _too_late(world: World, letter: QueuedLetter) -> str:
    """Why a letter may no longer go: an extension is told within the first month or it is none (GDPR 12(3))."""
    found = world.register.case(letter.case) if letter.letter == "extended" and letter.case else None
    limit = terms(found[1].received).legal_limit if found else None
    if limit is None or world.now().date() <= limit:
        return ""
    return f"the first month ended on {limit}: an extension had to be told before that"


async def _handed_over(world: World, letter: QueuedLetter) -> str:
    """Return the server's word for the letter; one that was taken before is not offered again (T7, T9)."""
    first = "acknowledged" in records.EVENTS_OF_LETTERS.get(letter.letter, ())
    answered = letter.in_reply_to if first else None
    if letter.audience == "person" and {letter.message_id, answered} & (world.earlier or frozenset()):
        return world.accepted.setdefault(letter.message_id, "it left before the register was put back")
    if letter.message_id not in world.accepted:
        mail = world.composed(letter)
        accepted = await world.outbox.send(mail, to=letter.to, envelope_from=world.envelope_from)
        world.fresh[letter.message_id] = mail
        world.accepted[letter.message_id] = accepted.reply
    return world.accepted[letter.message_id]


def _due(world: World) -> list[tuple[str, QueuedLetter]]:
    """Letters that may go now, oldest first, each with its record's id."""
    now = world.now()
    office = world.register.office
    waits = bool(office.stops) or (RESTORED in office.marks and world.earlier is None)
    found = [(place, letter) for place, letter in world.register.owed_letters() if _may_go(letter, now, waits=waits)]
    return sorted(found, key=lambda pair: pair[1].queued)


def _may_go(letter: QueuedLetter, now: datetime, *, waits: bool) -> bool:
    if letter.state is not LetterState.QUEUED or (waits and letter.audience == "person"):
        return False
    return letter.next_try is None or letter.next_try <= now


def _postponed(world: World, place: str, letter: QueuedLetter, why: str) -> None:
    now = world.now()
    attempts = letter.attempts + 1
    if letter.audience == "person" and now - letter.queued > world.retry.give_up:
        _failed(world, place, letter, f"given up after {world.retry.give_up.days} days: {why}")
        return
    if letter.audience == "owner" and now - letter.queued >= world.retry.tell_owner:
        update(world, place, lambda r: records.with_letter(r, records.in_the_inbox(letter, now, why)))
        return
    again = replace(letter, attempts=attempts, next_try=world.retry.next_try(attempts, now), reason=why)
    LOG.warning("letter %s waits until %s: %s", letter.letter, again.next_try, why)
    update(world, place, lambda r: records.with_letter(r, again))


def _failed(world: World, place: str, letter: QueuedLetter, why: str) -> None:
    """A permanent no: the record and the case say so and the owner is told at once (S2)."""
    now = world.now()
    lost = replace(letter, state=LetterState.FAILED, settled=now, reason=why, copies=())
    if letter.audience == "owner" and letter.to == world.desk.owner:
        lost = records.in_the_inbox(letter, now, why)  # the owner always hears of it, if not by mail then there
    LOG.error("letter %s of case %s was refused for good", letter.letter, letter.case or "-")

    def change(before: ClientRecord) -> ClientRecord:
        after = records.with_letter(before, lost)
        if letter.audience != "person" or letter.case is None:
            return after
        after = records.with_event(after, letter.case, Event(now, "letter_failed", why, {"letter": letter.letter}))
        facts = {"number": letter.case, "letter": letter.letter, "address": letter.to, "reason": why}
        notice = NotifyOwner("notice_letter_failed", f"failed {letter.message_id}", facts, letter.case)
        return records.queued(after, records.notice_of(notice, world.desk, now))

    update(world, place, change)


async def _put_copies(world: World, done: Settled, noted: Notes) -> None:
    """Put a copy of each sent letter where it is owed. A failure is no failure to send (S13); it stays owed."""
    mailbox = world.imap.mailbox
    for place, letter in list(world.register.owed_copies()):
        mail = world.fresh.pop(letter.message_id, None)
        raw = (mail or world.composed(letter)).as_bytes()
        for copy in letter.copies:
            folder = await _folder_for(world, place, copy)
            flags = (b"\\Flagged",) if copy == records.INBOX else SEEN
            try:
                if folder:
                    at = letter.settled or world.now()
                    put = partial(mailbox.append, folder, raw, letter.message_id, at, flags, look=mail is None)
                    await world.imap.call(put)
            except Refused as error:
                done.unfiled = str(error)
                return
            noted[place].append(partial(_copied, message_id=letter.message_id, copy=copy))


async def _folder_for(world: World, place: str, copy: str) -> str | None:
    mailbox = world.imap.mailbox
    named = {"sent": mailbox.sent_folder, records.INBOX: mailbox.inbox}
    return named[copy] if copy in named else await _folder(world, place)


def _copied(before: ClientRecord, message_id: str, copy: str) -> ClientRecord:
    letter = next(one for one in before.letters if one.message_id == message_id)
    return records.with_letter(before, replace(letter, copies=tuple(c for c in letter.copies if c != copy)))


async def _folder(world: World, place: str) -> str | None:
    """Return the client's folder; its name is chosen once and kept in the register before the folder is made."""
    known = world.register.client_by_id(place)
    if known is None:
        return None
    if known.folder is None:
        update(world, place, partial(_named, world=world))
        known = world.register.client_by_id(place)
    return known.folder if known is not None else None


def _named(before: ClientRecord, world: World) -> ClientRecord:
    """Return the record with the name of its folder, chosen once the server has said how names are written there."""
    mailbox = world.imap.mailbox
    owed = any(seen.filing is Filing.INTENDED for seen in before.messages) or any(
        "client" in one.copies for one in before.letters
    )
    if before.folder is not None or not owed or not mailbox.connected:
        return before
    return replace(before, folder=mailbox.client_folder(before.address, world.register.folders()))


async def _file(world: World, done: Settled, noted: Notes) -> None:
    """Move what was decided to move, in batches a folder, and record what became of each message."""
    moves: dict[str, list[Move]] = defaultdict(list)
    places: dict[tuple[int, str], str] = {}
    for place, seen in list(world.register.owed_filings()):
        folder = await _folder(world, place)
        if folder is not None:
            moves[folder].append(Move(seen.uid, seen.digest, seen.uidvalidity))
            places[seen.uid, seen.digest] = place
    if not moves:
        return
    outcomes = await world.imap.call(world.imap.mailbox.move, moves)
    for outcome in outcomes:
        if outcome.state == "failed":
            LOG.warning("a message could not be filed and stays where it is: %s", outcome.reason)
            done.unfiled = outcome.reason
            continue
        filing = Filing.FILED if outcome.state == "filed" else Filing.GONE
        done.filed += filing is Filing.FILED
        place = places[outcome.uid, outcome.digest]
        noted[place].append(partial(_moved, uid=outcome.uid, digest=outcome.digest, filing=filing))
        world.told("filed", "")


def _moved(before: ClientRecord, uid: int, digest: str, filing: Filing) -> ClientRecord:
    messages = tuple(
        replace(seen, filing=filing) if seen.uid == uid and seen.digest == digest else seen for seen in before.messages
    )
    return replace(before, messages=messages)
