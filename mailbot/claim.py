"""One mailbox, one register: the mail that says which mailbot watches here.

Owns noticing that a mailbot with another register works on the same mailbox (I33): a lock on the register cannot see
that, and both together would send everybody two letters. Must never take a claim away: the owner does, by deleting it.

The claim is a mail in the clients' parent folder, so the owner can read what it is and throw it away. Of two mailbots
that start at the same moment the one whose mail stands first has the mailbox; the other touches nothing and says so.
"""

import logging

from mailbot import standing
from mailbot.errors import OwnerMustFix, Refused
from mailbot.plan import NotifyOwner
from mailbot.record import notice_of
from mailbot.world import World

LOG = logging.getLogger(__name__)
CLAIM, MARK = "notice_claim", "notice-claim"  # the letter, and how it is found: what X-Mailbot says


async def stake(world: World) -> None:
    """Claim the mailbox for this register. OwnerMustFix when another register has it; the owner is told then.

    Raises TryLater from the mailbox; a server that will not keep the mail leaves the mailbox unclaimed.
    """
    mailbox, now = world.imap.mailbox, world.now()
    mail = notice_of(NotifyOwner(CLAIM, f"{CLAIM} {world.register.client_id(CLAIM)}", {}), world.desk, now)
    try:
        found = await world.imap.call(mailbox.claims, MARK)
        if not found:
            raw = world.composed(mail).as_bytes()
            await world.imap.call(mailbox.append, mailbox.clients_parent, raw, mail.message_id, now)
            found = await world.imap.call(mailbox.claims, MARK)
    except Refused as error:
        LOG.warning("the mailbox could not be claimed, so a second mailbot would not be noticed: %s", error)
        return
    if not found or found[0] == mail.message_id:
        standing.over(world, standing.CLAIMED)
        return
    why = f"a mailbot with another register watches it: stop that one, or delete its mail in {mailbox.clients_parent}"
    standing.troubled(world, standing.CLAIMED, why, at_once=True)
    mailbox.give_up()
    raise OwnerMustFix(f"imap: {why}")
