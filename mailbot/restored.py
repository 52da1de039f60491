"""After a backup was put back: what Sent knows of our letters, and the register does not.

Owns reading our own letters in Sent, so that nobody is answered twice and no case number is given twice, and telling
the owner which cases the backup did not have. Must never send anything. What the owner did by command is lost with the
register; what mailbot wrote is not, because each letter left a copy under its own Message-ID (T9).
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from email import message_from_bytes
from email.header import decode_header, make_header

from mailbot.looking import Header
from mailbot.mailbox import OUR_MESSAGE_ID
from mailbot.office import RESTORED
from mailbot.plan import NotifyOwner
from mailbot.understanding import Reader
from mailbot.world import World, tell_owner

WATCHED = timedelta(days=60)  # after this nothing from before is still waiting in the inbox


async def recollect(world: World, reader: Reader) -> None:
    """Fill `world.earlier` once after a restore: the letters that left before it, and the mails they answered."""
    mark = world.register.office.marks.get(RESTORED)
    if world.earlier is not None:
        return
    if mark is None or world.now() - datetime.fromisoformat(mark) > WATCHED:
        world.earlier = frozenset()
        return
    mailbox = world.imap.mailbox
    await world.imap.call(mailbox.relist)
    earlier: set[str] = set()
    numbers: set[str] = set()
    async for batch in world.imap.each(mailbox.headers(mailbox.sent_folder)):
        for names, subject in _ours(batch):
            earlier |= names
            numbers |= {number.upper() for number in reader.number.findall(subject)}
    _tell(world, mark, numbers)
    world.earlier = frozenset(earlier)


def _ours(batch: list[Header]) -> Iterator[tuple[set[str], str]]:
    """The Message-ID and the In-Reply-To of each letter of ours, and its subject; compared here, sent to no server."""
    for header in batch:
        message = message_from_bytes(header.raw)
        names = {name.strip() for key in ("Message-ID", "In-Reply-To") if (name := str(message.get(key, "")))}
        if any(OUR_MESSAGE_ID.fullmatch(name) for name in names):
            yield names, str(make_header(decode_header(str(message.get("Subject", "")))))


def _tell(world: World, mark: str, numbers: set[str]) -> None:
    """Keep the numbers from being given again, and tell the owner of the cases that are not in the register."""
    register = world.register
    with register.transaction():
        unknown = sorted(number for number in numbers if not register.is_given(number))
        if not unknown:
            return
        gaps = [{"gap": "backup", "number": number} for number in unknown]
        notice = NotifyOwner("notice_gap", f"restored {mark}", {"number": "", "gaps": gaps})
        tell_owner(world, "the backup is older than these cases", notice, world.now())
        register.reserve(unknown)
