"""Who may get a letter by itself: never a robot, a list, a bounce or ourselves, and nobody too often.

Owns why no automatic letter may go, or why one waits (RFC 3834 section 2, RFC 5230 section 4.5-4.6, and stricter). Must
never decide what a letter says.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from mailbot.classify import Verdict
from mailbot.message import Message
from mailbot.policy import Policy

BULK = ("bulk", "junk", "list", "auto_reply")
ANSWERING_PROGRAMS = {"x-autoreply", "x-autorespond", "x-autoresponder", "x-mailbot", "x-loop"}


@dataclass(frozen=True, slots=True)
class Sent:
    """How many letters to persons have gone out or are about to."""

    address_day: int = 0
    domain_day: int = 0
    overall_hour: int = 0
    requests_hour: int = 0


def reply_refusal(message: Message, verdict: Verdict, policy: Policy) -> str | None:
    """Return why no automatic letter may answer this message, or None when one may."""
    sender = verdict.sender
    if sender is None:
        return "there is no one safe address to write to"
    checks = (
        (verdict.automatic, "it is automatic mail"),
        (message.return_path == "" and not verdict.from_form, "its envelope sender is empty"),
        *_address_checks(sender.address, policy),
        *(() if verdict.from_form else _header_checks(message, policy)),
    )
    return next((why for wrong, why in checks if wrong), None)


def _address_checks(address: str, policy: Policy) -> tuple[tuple[object, str], ...]:
    """What an address must not be."""
    local, _, domain = address.lower().rpartition("@")
    return (
        (is_ours(address, policy), "the address is our own"),
        (domain.endswith("invalid") or not local.isascii(), "the address cannot be written to safely"),
        (any(fnmatchcase(local, pattern) for pattern in policy.no_reply), "the address belongs to no person"),
    )


def is_ours(address: str, policy: Policy) -> bool:
    """Tell whether an address is one of ours, also with a detail in it (`info+x@`, RFC 5233): it all arrives here."""
    local, _, domain = address.lower().rpartition("@")
    return not policy.addresses.isdisjoint({f"{local}@{domain}", f"{local.partition('+')[0]}@{domain}"})


def address_refusal(address: str, policy: Policy) -> str | None:
    """Return why no letter may go to this address by itself, or None."""
    return next((why for wrong, why in _address_checks(address, policy) if wrong), None)


def _header_checks(message: Message, policy: Policy) -> tuple[tuple[object, str], ...]:
    """What the headers of mail that came straight from a person must not say. A form's mail is the site's own."""
    headers = message.headers
    values = {name: ",".join(found).lower() for name, found in headers.items()}
    suppressed = values.get("x-auto-response-suppress", "")
    sender = message.sender.address if message.sender else ""
    return (
        (any(_submitted(v) != "no" for v in headers.get("auto-submitted", ())), "it says it was sent automatically"),
        (any(name.startswith("list-") for name in headers), "it came through a list"),
        (any(word in values.get("precedence", "") for word in BULK), "it is bulk mail"),
        (any(word in suppressed for word in ("all", "oof", "autoreply")), "it asks not to be answered automatically"),
        (headers.keys() & ANSWERING_PROGRAMS, "it was sent by an automatic answering program"),
        (any(o.address != sender for o in message.reply_to), "it asks for answers at another address than its own"),
        (any(own in values.get("sender", "") for own in policy.addresses), "it was handed in under our own address"),
        (not any(is_ours(r.address, policy) for r in message.recipients), "it is not addressed to us"),
    )


def _submitted(value: str) -> str:
    """The keyword of an Auto-Submitted field, without parameters and comments (RFC 3834 section 5)."""
    return value.split(";", maxsplit=1)[0].split("(", maxsplit=1)[0].strip().lower()


def why_held(address: str, policy: Policy, sent: Sent, stopped: str | None) -> str | None:
    """Why a letter to this address waits for the owner's word. The caps are rules/limits.toml (M8, M12)."""
    domain = address.rpartition("@")[2]
    if stopped:
        return stopped
    if policy.hold:
        return "letters wait for the owner, as configured"
    if sent.address_day >= policy.caps.address_day:
        return "this address had its letters for today"
    if sent.domain_day >= policy.caps.domain_day and domain not in policy.caps.shared_domains:
        return "this domain had its letters for today"
    if sent.overall_hour >= policy.caps.overall_hour:
        return "more letters than usual went out in an hour"
    return None
