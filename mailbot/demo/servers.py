"""The two servers of the demo, inside the process: IMAP (pymap, in memory) and SMTP (aiosmtpd).

Owns starting them on free loopback ports and delivering into the mailbox. Must never listen anywhere else, and never
be used for anything but the demo: mail lives in memory and any SMTP client is believed.
"""

import asyncio
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiosmtpd.smtp import SMTP
from proxyprotocol.result import ProxyResultUnknown
from proxyprotocol.sock import SocketInfo
from pymap.backend.dict import DictBackend
from pymap.backend.dict.filter import FilterSet
from pymap.backend.dict.mailbox import MailboxSet
from pymap.imap import IMAPServer
from pymap.parsing.message import AppendMessage

USER, PASSWORD = "info@kosternet.nl", "demo"


class PlainHash:
    """Passwords as they are: the demo's user is made up, and hashing takes 140 ms a login."""

    def copy(self) -> "PlainHash":
        """Return itself."""
        return self

    def hash(self, value: str) -> str:
        """Return the value."""
        return value

    def verify(self, value: str, digest: str) -> bool:
        """Tell whether they are the same."""
        return value == digest


@dataclass
class DemoServers:
    """Where the servers listen, and what went out."""

    imap_port: int = 0
    smtp_port: int = 0
    sent: list[tuple[str, bytes]] = field(default_factory=list)
    mailboxes: Any = None

    async def deliver(self, raw: bytes, when: datetime) -> None:
        """Put a message into the inbox, as a mail server does, at the demo's own moment."""
        inbox = await self.mailboxes.get_mailbox("INBOX")
        await inbox.append(AppendMessage(raw, when, frozenset()))

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: ANN401, N802 - aiosmtpd's
        """Accept a letter."""
        self.sent.append((envelope.rcpt_tos[0], envelope.content))
        return "250 OK"


@asynccontextmanager
async def demo_servers() -> AsyncIterator[DemoServers]:
    """Run both servers for as long as the block runs."""
    servers = DemoServers()
    backend, config = await DictBackend.init(_arguments(), hash_context=PlainHash(), invalid_user_sleep=0.0)
    servers.mailboxes = MailboxSet()
    config.set_cache[USER] = (servers.mailboxes, FilterSet())
    imap = IMAPServer(backend.login, config)
    running: set[asyncio.Task[Any]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # pymap's own callback loses its task on Python 3.13; and no PROXY header will come on loopback.
        info = SocketInfo.get(writer.transport, ProxyResultUnknown(), unique_id=b"x" * 16)
        task = asyncio.current_task()
        if task is not None:
            running.add(task)
            task.add_done_callback(running.discard)
        await imap(reader, writer, info)

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    mail = await loop.create_server(lambda: SMTP(servers, enable_SMTPUTF8=True), "127.0.0.1", 0)
    servers.imap_port = listening.sockets[0].getsockname()[1]
    servers.smtp_port = mail.sockets[0].getsockname()[1]
    try:
        yield servers
    finally:
        listening.close()
        mail.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _arguments() -> Namespace:
    off = dict.fromkeys(("tls", "debug", "demo_data", "reject_insecure_auth"), False)
    absent = dict.fromkeys(("cert", "key", "proxy_protocol", "preload", "passlib_cfg"))
    where = {"host": "127.0.0.1", "port": 0, "insecure_login": True}
    return Namespace(**off, **absent, **where, demo_user=USER, demo_password=PASSWORD)
