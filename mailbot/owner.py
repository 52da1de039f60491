"""What the command line does with the register: look, record the owner's word, let letters go.

Owns these few steps between a command and the pure core. Must never decide: each word is checked by `casework.py`.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from mailbot.case import Case
from mailbot.casework import No, Word, follow
from mailbot.client import ClientRecord
from mailbot.config import ADDRESS, Settings
from mailbot.ending import Closed
from mailbot.errors import Refused
from mailbot.intake import Recorded, Told, recorded
from mailbot.known import sent_lately
from mailbot.ownermail import let_all_go, let_go
from mailbot.policy import Policy
from mailbot.record import Desk, written
from mailbot.register import Register
from mailbot.views import case_json


def open_register(settings: Settings) -> Register:
    """Return the register beside a running daemon: commands only hold it while they write."""
    return Register.open(Path(settings.register.directory))


def find(register: Register, number: str) -> tuple[ClientRecord, Case]:
    """Return the case with this number. Refused when there is none."""
    found = register.case(number.upper())
    gone = erased(register, number)
    if found is None and gone is not None:
        raise Refused(f"{gone.number} was erased on {gone.erased}: `case {gone.number} --evidence` shows what is left")
    if found is None:
        raise Refused(f"there is no case {number.upper()}: `mailbot cases` lists them")
    return found


def erased(register: Register, number: str) -> Closed | None:
    """Return the anonymised line of an erased case, or None."""
    return next((line for line in register.closed() if line.number == number.upper()), None)


def cases(register: Register, *, only_open: bool) -> Iterator[dict[str, Any]]:
    """Yield the cases in the shape of the contract, the oldest first."""
    found = [(case.number, record, case) for record in register.clients() for case in record.cases]
    for _, record, case in sorted(found, key=lambda row: row[0]):
        if case.is_open or not only_open:
            yield case_json(record, case)


def say(register: Register, number: str, word: Word, desk: Desk, now: datetime) -> ClientRecord:
    """Record the owner's word on a case and return the record. Refused with the reason when it cannot be."""
    with register.transaction():
        record, case = find(register, number)
        plan = follow(word, record, case, now, desk.identified or None)
        if isinstance(plan, No):
            raise Refused(plan.reason)
        after = written(record, plan, desk, now)
        register.commit(after)
    return after


def release(register: Register, number: str | None, now: datetime | None = None) -> int:
    """Let the letters of one case go, or without a number all letters and every stop; return how many went free.

    Without a number `now` is what the clock says, and the owner vouches for it.
    """
    with register.transaction():
        if number is None:
            return let_all_go(register, now)
        return let_go(register, find(register, number)[0], number.upper())


def intake(register: Register, told: Told, desk: Desk, policy: Policy, now: datetime, name: str = "") -> Recorded:
    """Record a request by phone, post or counter. Refused when it lies in the future."""
    if told.received > now:
        raise Refused("--received lies in the future: a request counts from when it came")
    if told.address and not ADDRESS.fullmatch(told.address):
        raise Refused(f"--from {told.address} is no mail address; leave it out when there is none")
    told = replace(told, address=told.address.lower())
    with register.transaction():
        number = register.next_number(policy.prefix, told.received.year)
        client = register.client(told.address) if told.address else None
        sent = sent_lately(register, told.address, now)
        stopped = register.office.stops[0].why if register.office.stops else None
        found = recorded(told, client, policy, sent, now, number=number, stopped=stopped)
        person = found.plan.client or ""
        before = client or replace(register.new_client(person), name=name)
        register.commit(written(before, found.plan, desk, now))
    return found
