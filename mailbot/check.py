"""What `mailbot check` finds out: rules, templates and a real connection.

Owns putting these facts together. Must never change the mailbox beyond what connecting makes (a Sent folder).
"""

from typing import Any

from mailbot.app import imap_settings, smtp_settings
from mailbot.config import Settings
from mailbot.house import furnish
from mailbot.mailbox import Mailbox
from mailbot.outbox import Outbox


async def checked(settings: Settings, *, offline: bool) -> dict[str, Any]:
    """Return what would be used. Raises OwnerMustFix, LoginRefused or TryLater with what is wrong."""
    house = furnish(settings)
    facts: dict[str, Any] = {
        "rules": f"{len(house.rules.rules)} rules for {len(house.rules.kinds)} kinds, each true to its examples",
        "templates": f"{len(house.templates.letters)} letters, each rendered with its sample",
        "identity": _identity(settings),
    }
    if offline:
        return facts
    mailbox = Mailbox(imap_settings(settings))
    mailbox.connect()
    facts |= {f"imap {name}": value for name, value in mailbox.report().items()}
    mailbox.close()
    outbox = Outbox(smtp_settings(settings))
    await outbox.probe()
    facts["smtp"] = "logged in; letters can be offered"
    await outbox.close()
    return facts


def _identity(settings: Settings) -> str:
    if settings.identity.policy == "always":
        return "always: WARNING, asking everybody for a copy was fined by the AP; `on_doubt` is what GDPR 12(6) allows"
    return "on_doubt: a copy is one of two ways offered, only when the sender is not known"
