"""From delivery to an acknowledgement the mail server took: `python bench/latency.py [--mails 40]`. Needs Dovecot.

Two programs watch a mailbox each with IDLE and are sent the same mail in turn: `mailbot run`, and the bare round trip
(see the notification, search, fetch, send something on a kept connection, and nothing else). On Dovecot the clock
starts when it has accepted the mail by LMTP (it then waits 500 ms before it notifies), on the server inside the process
when delivery starts. It stops when the SMTP server has the whole answer.
"""

import argparse
import asyncio
import re
import select
import smtplib
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "bench")]

from backlog import wide
from figures import median, percentile, told
from fixtures.dovecot import PASSWORD, Dovecot
from fixtures.house import mail
from imapclient import IMAPClient
from test_daemon import Daemon, started, until

from mailbot.demo import servers as demo

FROM = re.compile(rb"^From: .*<(.+)>", re.MULTILINE)
MEDIAN, WORST = 50.0, 150.0  # milliseconds above the bare round trip
TEXT = "Graag ontvang ik een kopie van al mijn gegevens. Met vriendelijke groet, Jan\r\n" + "Tot ziens.\r\n" * 600
CONFIGURATION = """
[organisation]
name = "KosterNET"
address = "info@kosternet.nl"
aliases = ["{user}"]
owner = "geert@kosternet.example"
[imap]
host = "127.0.0.1"
port = {imap}
security = "none"
username = "{user}"
password = "{password}"
[smtp]
host = "127.0.0.1"
port = {smtp}
security = "none"
[register]
directory = "{folder}/register"
[overrides]
rules = "{rules}"
"""


def bare(imap: int, user: str, password: str, smtp: int) -> None:
    """Watch a mailbox and send something to whoever writes; say `idle` whenever it waits."""
    client = IMAPClient("127.0.0.1", imap, ssl=False)
    client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.login(user, password)
    client.select_folder("INBOX")
    out, seen = smtplib.SMTP("127.0.0.1", smtp), 0
    while True:
        client.idle()
        print("idle", flush=True)
        if not client._imap.file.peek(1):  # noqa: SLF001 - what came with the `+` is only here
            select.select([client.socket()], [], [])
        client.idle_done()
        for uid in [one for one in client.search(["UID", f"{seen + 1}:*"]) if one > seen]:
            raw = client.fetch([uid], ["BODY.PEEK[]"])[uid][b"BODY[]"]
            sender = FROM.search(raw)[1].decode()
            out.sendmail("info@kosternet.nl", [sender], b"Subject: ontvangen\r\n\r\n" + TEXT[:2_000].encode())
            seen = uid


@dataclass
class Watcher:
    """A program that watches a mailbox: how to wait until it does, and how to put a mail there."""

    name: str
    waits: Callable[[], Awaitable[None]]
    deliver: Callable[[bytes], Awaitable[float]]
    spent: list[float] = field(default_factory=list)


class Answers:
    """When the SMTP server had the answer to each person."""

    def __init__(self) -> None:
        self.at: dict[str, asyncio.Future[float]] = {}

    def expected(self, address: str) -> asyncio.Future[float]:
        """Return what will hold the moment of the answer to this address."""
        return self.at.setdefault(address, asyncio.get_running_loop().create_future())

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's
        """Take a letter and look at the clock."""
        for address in envelope.rcpt_tos:
            if not self.expected(address).done():
                self.expected(address).set_result(time.perf_counter())
        return "250 OK"


async def compared(watchers: list[Watcher], answers: Answers, count: int) -> None:
    """Send each watcher its mails in turn and note how long each answer took, in milliseconds."""
    for place in range(count + 2):
        for watcher in watchers:
            await asyncio.wait_for(watcher.waits(), 60)
            await asyncio.sleep(0.1)  # it says so a moment before it does
            address = f"{watcher.name}{place}@example.nl"
            raw = mail(TEXT, sender=f"Jan <{address}>", subject="verzoek", mid=f"<{address}>")
            start = await watcher.deliver(raw)
            at = await asyncio.wait_for(answers.expected(address), 60)
            watcher.spent += [1000 * (at - start)] if place >= 2 else []  # the first ones open connections


def shown(where: str, watchers: list[Watcher]) -> None:
    bare_trip, mine = (watcher.spent for watcher in watchers)
    each = [f"{median(spent):.0f} and {percentile(spent, 0.99):.0f} ms" for spent in (bare_trip, mine)]
    print(f"{where}, {len(mine)} mails, median and 99th percentile: bare round trip {each[0]}, mailbot {each[1]}")
    told("ms above the bare round trip, median", median(mine) - median(bare_trip), at_most=MEDIAN)
    worst = percentile(mine, 0.99) - percentile(bare_trip, 0.99)
    told("ms above the bare round trip, 99th percentile", worst, at_most=WORST)


async def ended(child: asyncio.subprocess.Process) -> None:
    child.kill()
    await child.communicate()


async def bare_watcher(
    stack: AsyncExitStack, login: tuple[int, str, str, int], deliver: Callable[[bytes], Awaitable[float]]
) -> Watcher:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, "--bare", *map(str, login)), stdout=asyncio.subprocess.PIPE
    )
    stack.push_async_callback(ended, child)

    async def waits() -> None:
        await child.stdout.readline()

    return Watcher("bare", waits, deliver)


async def mailbot_watcher(
    stack: AsyncExitStack, login: tuple[int, str, str, int], deliver: Callable[[bytes], Awaitable[float]]
) -> Watcher:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    imap, user, password, smtp = login
    config = folder / "mailbot.toml"
    parts = {"user": user, "password": password, "imap": imap, "smtp": smtp, "folder": folder, "rules": wide(folder)}
    config.write_text(CONFIGURATION.format(**parts), encoding="utf-8")
    config.chmod(0o600)
    daemon: Daemon = await started(config, folder)
    stack.push_async_callback(ended, daemon.child)
    seen = 0

    async def waits() -> None:
        nonlocal seen
        await until(lambda: daemon.heard("STATUS=watching") and daemon.said.count("STATUS=watching") > seen, 60)
        seen = daemon.said.count("STATUS=watching")

    return Watcher("mailbot", waits, deliver)


async def on_dovecot(count: int) -> None:
    server, answers = Dovecot("plain"), Answers()
    loop = asyncio.get_running_loop()
    smtp = await loop.create_server(lambda: demo.SMTP(answers, enable_SMTPUTF8=True), "127.0.0.1", 0)
    port = smtp.sockets[0].getsockname()[1]
    async with AsyncExitStack() as stack:
        stack.callback(server.close)
        watchers = []
        for make in (bare_watcher, mailbot_watcher):
            user = server.user()

            async def deliver(raw: bytes, user: Any = user) -> float:
                await asyncio.to_thread(user.deliver, raw)
                return time.perf_counter()

            watchers.append(await make(stack, (server.imap_port, user.user, PASSWORD, port), deliver))
        await compared(watchers, answers, count)
    shown("Dovecot, which waits 500 ms", watchers)


async def in_the_process(count: int) -> None:
    answers = Answers()
    async with AsyncExitStack() as stack:
        watchers = []
        for make in (bare_watcher, mailbot_watcher):
            servers = await stack.enter_async_context(demo.demo_servers())
            servers.handle_DATA = answers.handle_DATA

            async def deliver(raw: bytes, servers: demo.DemoServers = servers) -> float:
                start = time.perf_counter()
                await servers.deliver(raw, datetime.now(UTC))
                return start

            watchers.append(
                await make(stack, (servers.imap_port, demo.USER, demo.PASSWORD, servers.smtp_port), deliver)
            )
        await compared(watchers, answers, count)
    shown("in the process", watchers)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=40)
    parser.add_argument("--bare", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        imap, user, password, smtp = options.bare
        bare(int(imap), user, password, int(smtp))
    asyncio.run(in_the_process(options.mails))
    asyncio.run(on_dovecot(options.mails))


if __name__ == "__main__":
    main()
