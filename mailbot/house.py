"""Rules and templates, read and checked once, as the values the steps work with.

Owns turning the data folders into values and listing everything wrong with them at once. Must never open a
connection or the register.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from email.message import EmailMessage
from functools import partial
from typing import Any, TypeVar

from mailbot import data, echo, links
from mailbot.arrivals import Doubts
from mailbot.classify import classify
from mailbot.client import QueuedLetter
from mailbot.config import Settings
from mailbot.ending import Ending
from mailbot.errors import OwnerMustFix
from mailbot.examples import Keeping
from mailbot.letters import Sender, Templates, compose, processors, texts
from mailbot.message import Reading, read
from mailbot.phrases import Phrases
from mailbot.policy import Caps, Kind, Policy
from mailbot.record import Desk
from mailbot.rules import Rules, fold
from mailbot.rules import parse as parse_rules
from mailbot.understanding import Reader
from mailbot.warnings import Ladder
from mailbot.world import Retry

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class House:
    """Everything the data folders say."""

    rules: Rules
    templates: Templates
    reader: Reader
    doubts: Doubts
    retry: Retry
    ladder: Ladder
    links: tuple[links.Link, ...]
    phrases: Phrases
    ending: Ending
    keeping: Keeping
    composed: Callable[[QueuedLetter], EmailMessage]


def furnish(settings: Settings, rules_to_try: str = "") -> House:
    """Return the house for these settings, or raise OwnerMustFix with every problem in rules and templates.

    `rules_to_try` is a folder whose rules lie above all others.
    """
    problems: list[str] = []
    files = data.texts("rules", settings.overrides.rules, rules_to_try)
    sites = {one.rpartition("@")[2].lower() for one in settings.organisation.addresses if "@" in one}
    limits = _attempt(problems, lambda: tomllib.loads(files["limits.toml"]), "rules/limits.toml") or {}
    rules = _attempt(problems, lambda: parse_rules(data.phrases(files)), "rules")
    reading = _attempt(problems, lambda: Reading.parse(files, sites), "rules")
    ladder = _attempt(problems, lambda: Ladder.parse(files["warnings.toml"]), "rules/warnings.toml")
    buttons = _attempt(problems, lambda: links.parse(files["owner.toml"]), "rules/owner.toml")
    ending = _attempt(problems, lambda: Ending.parse(files["ending.toml"]), "rules/ending.toml")
    holders = _attempt(problems, lambda: processors(files["processors.toml"]), "rules/processors.toml") or ()
    labels = {kind.name: kind.labels for kind in rules.kinds} if rules else {}
    templates = _attempt(
        problems,
        lambda: Templates.parse(data.files("templates", settings.overrides.templates), labels, holders),
        "templates",
    )
    if ladder and templates:
        named = {letter for letter, _ in templates.letters}
        problems += [f"rules/warnings.toml: there is no template `{one}`" for one in sorted(ladder.templates - named)]
    policy = _attempt(problems, lambda: policy_of(settings, rules, limits), "rules/limits.toml") if rules else None
    if problems or not (rules and reading and ladder and templates and policy and ending and buttons):
        raise OwnerMustFix(problems)
    reading = replace(reading, ours=echo.runs(texts(templates)))
    return House(
        rules=rules,
        templates=templates,
        reader=Reader(
            partial(read, reading=reading),
            partial(classify, rules=rules),
            policy,
        ),
        doubts=Doubts(limits["mailbox"]["emptied_from"], limits["mailbox"]["emptied_to"]),
        retry=Retry(
            tuple(timedelta(minutes=pause) for pause in limits["retry"]["pauses"]),
            timedelta(days=limits["retry"]["give_up_days"]),
            timedelta(hours=limits["retry"]["tell_owner_hours"]),
            limits["retry"]["message_tries"],
        ),
        ladder=ladder,
        links=buttons[0],
        phrases=buttons[1],
        keeping=Keeping(
            limits["examples"]["kept_days"],
            limits["examples"]["words"],
            frozenset(map(fold, limits["examples"]["closings"])),
        ),
        ending=ending,
        composed=partial(compose, sender=sender_of(settings), templates=templates),
    )


def policy_of(settings: Settings, rules: Rules, limits: Mapping[str, Any]) -> Policy:
    """Return what deciding needs of the configuration and the rules."""
    letters, flood, reply = limits["letters"], limits["flood"], limits["reply"]
    return Policy(
        addresses=settings.organisation.addresses,
        address=settings.organisation.address,
        prefix=settings.organisation.prefix,
        languages=settings.letters.languages,
        identity=settings.identity.policy,
        kinds={kind.name: Kind(kind.name, kind.identity, kind.urgent) for kind in rules.kinds},
        caps=Caps(
            address_day=letters["address_day"],
            domain_day=letters["domain_day"],
            overall_hour=letters["overall_hour"],
            flood_hour=flood["requests_hour"],
            shared_domains=frozenset(letters["shared_domains"]),
            notices_case_day=limits["owner"]["notices_case_day"],
        ),
        no_reply=tuple(reply["no_reply"]),
        ordinary=settings.filing.ordinary,
        hold=settings.letters.hold,
        authserv_id=settings.imap.authserv_id,
    )


def desk_of(settings: Settings, house: House | None = None, secret: bytes = b"") -> Desk:
    """Return where letters come from and go to by default; with `house` and `secret` notices carry links."""
    organisation = settings.organisation
    policy = house.reader.policy if house else None
    return Desk(
        domain=organisation.address.rpartition("@")[2],
        owner=organisation.owner,
        language=settings.letters.languages[0],
        address=organisation.address,
        secret=secret,
        links=house.links if house else (),
        phrases=house.phrases if house else Phrases(),
        identified=frozenset(kind.name for kind in policy.kinds.values() if kind.identity != "never")
        if policy
        else frozenset(),
        suspend=settings.identity.suspend,
    )


def sender_of(settings: Settings) -> Sender:
    """Return who signs the letters."""
    organisation = settings.organisation
    return Sender(
        name=organisation.name,
        address=organisation.address,
        complaint_url=organisation.complaint_url,
        owner=organisation.owner,
        timezone=organisation.timezone,
    )


def _attempt(problems: list[str], make: Callable[[], T], where: str) -> T | None:
    """Return what `make` makes, or None with the problem noted, so that all problems come out together."""
    try:
        return make()
    except OwnerMustFix as error:
        problems.extend(error.problems)
    except KeyError as error:
        problems.append(f"{where}: {error} is missing")
    except (tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        problems.append(f"{where}: {error}")
    return None
