"""How much mailbot does by itself before it asks, waits or stops: rules/limits.toml as values.

Owns reading that file. Must never hold a number of its own that counts: the defaults here are for tests.
"""

import tomllib
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailbot.examples import Keeping
from mailbot.rules import fold


@dataclass(frozen=True, slots=True)
class Caps:
    """How many letters may go out. Beyond a cap a letter waits for the owner; beyond `flood` all letters stop."""

    address_day: int = 3
    domain_day: int = 20
    overall_hour: int = 60
    flood_hour: int = 100
    notices_case_day: int = 5
    shared_domains: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Doubts:
    """When the mailbox itself looks wrong; rules/limits.toml has the numbers and their reasons."""

    emptied_from: int = 50
    emptied_to: int = 0


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and when what failed is tried again; rules/limits.toml has the numbers and their reasons."""

    pauses: tuple[timedelta, ...] = (timedelta(minutes=5),)
    give_up: timedelta = timedelta(days=4)
    tell_owner: timedelta = timedelta(hours=4)
    message_tries: int = 3  # a message that breaks something this often is set aside

    def next_try(self, attempts: int, now: datetime) -> datetime:
        """Return the moment of the next attempt after this many failed ones."""
        return now + self.pauses[min(attempts, len(self.pauses)) - 1]


@dataclass(frozen=True, slots=True)
class Limits:
    """What rules/limits.toml says, by who needs it."""

    caps: Caps
    no_reply: tuple[str, ...]  # local-part patterns that belong to no person
    doubts: Doubts
    retry: Retry
    keeping: Keeping

    @classmethod
    def parse(cls, text: str) -> "Limits":
        """Return the values of rules/limits.toml; KeyError, TypeError or ValueError says what is wrong."""
        table = tomllib.loads(text)
        letters, retry, examples = table["letters"], table["retry"], table["examples"]
        return cls(
            caps=Caps(
                address_day=letters["address_day"],
                domain_day=letters["domain_day"],
                overall_hour=letters["overall_hour"],
                flood_hour=table["flood"]["requests_hour"],
                shared_domains=frozenset(letters["shared_domains"]),
                notices_case_day=table["owner"]["notices_case_day"],
            ),
            no_reply=tuple(table["reply"]["no_reply"]),
            doubts=Doubts(table["mailbox"]["emptied_from"], table["mailbox"]["emptied_to"]),
            retry=Retry(
                pauses=tuple(timedelta(minutes=pause) for pause in retry["pauses"]),
                give_up=timedelta(days=retry["give_up_days"]),
                tell_owner=timedelta(hours=retry["tell_owner_hours"]),
                message_tries=retry["message_tries"],
            ),
            keeping=Keeping(examples["kept_days"], examples["words"], frozenset(map(fold, examples["closings"]))),
        )
