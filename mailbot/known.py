"""What the register knows that bears on a message: whose it is, what it answers, how many letters went out lately.

Owns gathering it for the pure step that decides. Must never write, and never decide anything itself.
"""

from datetime import datetime, timedelta

from mailbot.answerable import Sent
from mailbot.case import Case
from mailbot.classify import Decision, Verdict
from mailbot.client import ClientRecord, QueuedLetter
from mailbot.decide import Delivery, Known
from mailbot.looking import Fetched
from mailbot.message import Message
from mailbot.plan import NotifyOwner, Plan
from mailbot.register import Register
from mailbot.understanding import Reader
from mailbot.world import World

REPORT = 20_000  # characters of a bounce in which it names the letter
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def returned(world: World, message: Message, now: datetime) -> Plan | None:
    """Purged mail that is here again (a restored mailbox, a late bounce) is no new request: the owner is told."""
    number = world.register.purged(message.digest, message.message_id, message.bounced_id)
    if number is None:
        return None
    notice = NotifyOwner("notice_returned", f"returned {number} {now.date().isoformat()}", {"number": number})
    return Plan(f"it was erased with {number}: no new request, the owner is told", (notice,), world.desk.owner)


def delivery_of(world: World, uidvalidity: int, fetched: Fetched, now: datetime) -> Delivery:
    """Return the message's place; what is older than the first start is backlog."""
    watch = world.register.office.watch
    received = received_at(fetched, now)
    backlog = watch is not None and (fetched.uid < watch.backlog_uid or received < watch.since - DAY)
    return Delivery(uidvalidity, fetched.uid, received, backlog)


def received_at(fetched: Fetched, now: datetime) -> datetime:
    """Return when the server took the message, in our own zone and never later than our own clock (I38)."""
    return min(fetched.internaldate, now).astimezone(now.tzinfo)


def known_about(world: World, reader: Reader, message: Message, verdict: Verdict, now: datetime) -> Known:
    """Gather what the register knows that bears on this message."""
    register = world.register
    address = verdict.sender.address if verdict.sender else None
    return Known(
        next_number=register.next_number(reader.policy.prefix, now.year),
        copies=tuple(register.find_digest(message.digest)),
        client=register.client(address) if address else None,
        thread=_thread(register, reader, message, address),
        letter=_came_back(register, reader, message) if verdict.automatic == "bounce" else None,
        sent=sent_lately(world.register, address or "", now) if verdict.decision is Decision.REQUEST else Sent(),
        stopped=register.office.stops[0].why if register.office.stops else None,
    )


def _came_back(register: Register, reader: Reader, message: Message) -> QueuedLetter | None:
    """Our letter that a bounce is about: by its Message-ID, or by case number and the address that failed."""
    for reference in (message.bounced_id, *message.refers_to):
        if reference and (letter := register.find_letter(reference)) is not None:
            return letter
    said = f"{message.subject}\n{message.text[:REPORT]}".lower()
    failed = " ".join((said, *message.headers.get("x-failed-recipients", ()))).lower()
    for number in reader.number.findall(said):
        record, _ = register.case(number.upper()) or (None, None)
        letters = [one for one in record.letters if one.case == number.upper()] if record else []
        sent = [one for one in letters if one.audience == "person" and one.to.lower() in failed]
        if sent:
            return sent[-1]
    return None


def _thread(
    register: Register, reader: Reader, message: Message, address: str | None
) -> tuple[ClientRecord, Case] | None:
    """The case this message answers to: a letter of ours it refers to, a number it names, or its own copy elsewhere."""
    for reference in message.refers_to:
        if (found := register.case_of_letter(reference)) is not None:
            return found
    for number in reader.number.findall(f"{message.subject}\n{message.written}"):
        if (found := register.case(number.upper())) is not None:
            return found
    for number in reader.number.findall(message.text):  # in a quote it counts for the person it was written to alone
        if (found := register.case(number.upper())) is not None and found[0].address == address:
            return found
    twin = register.find_message_id(message.message_id) if message.message_id else None
    return twin if twin is not None and twin[0].address == address else None


def sent_lately(register: Register, address: str, now: datetime) -> Sent:
    """Count the letters of the last day and hour, and the requests of the last hour, from the register itself."""
    domain = address.rpartition("@")[2]
    day = list(register.letters_since(now - DAY))
    return Sent(
        address_day=sum(to == address for _, to in day),
        domain_day=sum(to.rpartition("@")[2] == domain for _, to in day),
        overall_hour=sum(at > now - HOUR for at, _ in day),
        requests_hour=register.cases_since(now - HOUR),
    )
