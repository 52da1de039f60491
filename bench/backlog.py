"""A backlog taken in: `python bench/backlog.py [--mails 1000]`. Needs Dovecot; see docs/performance.md.

Three ways over the same mails (bench/mails.py) in one run: mailbot's `once`; IMAPClient fetching batches of 50 with a
compat32 parse; and a loop that fetches, parses and moves one message at a time, as such daemons are usually written.
"""

import argparse
import asyncio
import email
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "bench")]

import mailparser
from figures import Clock, told
from fixtures.dovecot import Dovecot, Login
from fixtures.house import opened, settings_for, turn, wide_caps
from fixtures.smtp import smtp_server
from mails import mails

from mailbot.config import Overrides

BOUND, USUAL = 1.5, 3.0  # the aims: at most so many times the bare fetch; at least so many times as fast as the loop


def batches(login: Login) -> None:
    """The bound: fetch in batches of 50 and parse, nothing else."""
    with login.client() as client:
        client.select_folder("INBOX", readonly=True)
        uids = client.search("ALL")
        for start in range(0, len(uids), 50):
            for data in client.fetch(uids[start : start + 50], ["BODY.PEEK[]", "INTERNALDATE"]).values():
                for part in email.message_from_bytes(data[b"BODY[]"]).walk():
                    part.get_payload(decode=True)


def one_by_one(login: Login) -> None:
    """The usual loop: fetch one, parse it with mail-parser, move it."""
    with login.client() as client:
        client.create_folder("Verwerkt")
        client.select_folder("INBOX")
        for uid in client.search("ALL"):
            raw = client.fetch([uid], ["BODY.PEEK[]"])[uid][b"BODY[]"]
            _ = mailparser.parse_from_bytes(raw).body
            client.move([uid], "Verwerkt")


def copied(login: Login) -> Login:
    """Another mailbox with the same messages."""
    home = login.server.folder / "mail"
    other = login.server.user()
    subprocess.run(["/bin/cp", "-a", str(home / login.user), str(home / other.user)], check=True)
    return other


def wide(folder: Path) -> Path:
    """Rules whose caps a backlog does not reach: they are not what is measured."""
    rules = wide_caps(folder)
    limits = rules / "limits.toml"
    text = limits.read_text(encoding="utf-8").replace("overall_hour = 60", "overall_hour = 99999")
    limits.write_text(text.replace("= 500", "= 99999").replace("requests_hour = 100", "requests_hour = 99999"))
    return rules


def measured(step: Callable[[Login], None], login: Login) -> Clock:
    with Clock() as clock:
        step(login)
    return clock


async def taken_in(server: Dovecot, count: int, share: float, folder: Path) -> None:
    """Fill a mailbox, go over it in the three ways and print the figures."""
    login, raws = server.user(), [one.raw for one in mails(count, share)]
    async with smtp_server() as smtp:
        settings = settings_for(login, smtp.port, folder / "register")
        settings = replace(settings, overrides=Overrides(rules=str(wide(folder))))
        await turn(settings)
        with login.client() as client:
            for raw in raws:
                client.append("INBOX", raw, (), datetime.now(UTC))
        other = copied(login)
        bound = measured(batches, login)
        app = opened(settings)
        with Clock() as mine:
            summary = await app.once()
        await app.close()
    size = sum(map(len, raws)) / 1e6
    print(f"{count} mails, {size:.0f} MB, {share:.1%} requests: {summary.requests} cases, "
          f"{summary.letters_sent} letters, {summary.filed} filed")  # fmt: skip
    print(f"  mailbot {mine}, {count / mine.wall:.0f} mails/s; fetch in batches and parse {bound}")
    if share < 0.05:
        told("times as long as fetching in batches and parsing", mine.wall / bound.wall, at_most=BOUND)
        return
    loop = measured(one_by_one, other)
    print(f"  fetch, parse, move one by one {loop}")
    told("times as fast as fetching, parsing and moving one by one", loop.wall / mine.wall, at_least=USUAL)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=1_000)
    parser.add_argument("--share", type=float, nargs="*", default=[0.005, 0.1])
    options = parser.parse_args()
    server = Dovecot("plain")
    for share in options.share:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(taken_in(server, options.mails, share, Path(folder)))
    server.close()


if __name__ == "__main__":
    main()
