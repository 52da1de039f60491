"""What the configuration and the rules say, as far as deciding needs it.

Owns these values. Must never hold how a decision is made: decide.py and answerable.py do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mailbot.limits import Caps
from mailbot.rules import KindOfRequest


@dataclass(frozen=True, slots=True)
class Policy:
    """What the configuration and the rules say, as far as deciding needs it."""

    addresses: frozenset[str]
    prefix: str = "KN"
    languages: tuple[str, ...] = ("nl", "en")
    identity: str = "on_doubt"
    kinds: Mapping[str, KindOfRequest] = field(default_factory=dict)
    caps: Caps = field(default_factory=Caps)
    no_reply: tuple[str, ...] = ()  # local-part patterns that belong to no person
    ordinary: str = "leave"
    hold: bool = False
    authserv_id: str = ""
