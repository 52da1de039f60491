"""Rules and templates, read and checked once, as the values the steps work with.

Owns turning the data folders into values and listing everything wrong with them at once. Must never open a
connection or the register.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.message import EmailMessage
from functools import partial
from typing import TypeVar

from mailbot import data, echo, links
from mailbot.classify import classify
from mailbot.client import QueuedLetter
from mailbot.config import Settings
from mailbot.ending import Ending
from mailbot.errors import OwnerMustFix
from mailbot.letters import Sender, Templates, compose
from mailbot.limits import Limits
from mailbot.message import Reading, read
from mailbot.phrases import Phrases
from mailbot.policy import Policy
from mailbot.record import Desk
from mailbot.rules import Rules
from mailbot.rules import parse as parse_rules
from mailbot.templates import parse as parse_templates
from mailbot.templates import processors, texts
from mailbot.understanding import Reader
from mailbot.warnings import Ladder

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class House:
    """Everything the data folders say."""

    rules: Rules
    templates: Templates
    reader: Reader
    limits: Limits
    ladder: Ladder
    links: tuple[links.Link, ...]
    phrases: Phrases
    ending: Ending
    composed: Callable[[QueuedLetter], EmailMessage]


def furnish(settings: Settings, rules_to_try: str = "") -> House:
    """Return the house for these settings, or raise OwnerMustFix with every problem in rules and templates.

    `rules_to_try` is a folder whose rules lie above all others.
    """
    problems: list[str] = []
    files = data.texts("rules", settings.overrides.rules, rules_to_try)
    sites = {one.rpartition("@")[2].lower() for one in settings.organisation.addresses if "@" in one}
    limits = _attempt(problems, lambda: Limits.parse(files["limits.toml"]), "rules/limits.toml")
    rules = _attempt(problems, lambda: parse_rules(data.phrases(files)), "rules")
    reading = _attempt(problems, lambda: Reading.parse(files, sites), "rules")
    ladder = _attempt(problems, lambda: Ladder.parse(files["warnings.toml"]), "rules/warnings.toml")
    buttons = _attempt(problems, lambda: links.parse(files["owner.toml"]), "rules/owner.toml")
    ending = _attempt(problems, lambda: Ending.parse(files["ending.toml"]), "rules/ending.toml")
    holders = _attempt(problems, lambda: processors(files["processors.toml"]), "rules/processors.toml") or ()
    labels = {kind.name: kind.labels for kind in rules.kinds} if rules else {}
    templates = _attempt(
        problems,
        lambda: parse_templates(data.files("templates", settings.overrides.templates), labels, holders),
        "templates",
    )
    if ladder and templates:
        named = {letter for letter, _ in templates.letters}
        problems += [f"rules/warnings.toml: there is no template `{one}`" for one in sorted(ladder.templates - named)]
    if problems or not (rules and reading and ladder and templates and limits and ending and buttons):
        raise OwnerMustFix(problems)
    reading = replace(reading, ours=echo.runs(texts(templates)))
    return House(
        rules=rules,
        templates=templates,
        reader=Reader(
            partial(read, reading=reading), partial(classify, rules=rules), policy_of(settings, rules, limits)
        ),
        limits=limits,
        ladder=ladder,
        links=buttons[0],
        phrases=buttons[1],
        ending=ending,
        composed=partial(compose, sender=sender_of(settings), templates=templates),
    )


def policy_of(settings: Settings, rules: Rules, limits: Limits) -> Policy:
    """Return what deciding needs of the configuration and the rules."""
    return Policy(
        addresses=settings.organisation.addresses,
        prefix=settings.organisation.prefix,
        languages=settings.letters.languages,
        identity=settings.identity.policy,
        kinds={kind.name: kind for kind in rules.kinds},
        caps=limits.caps,
        no_reply=limits.no_reply,
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
