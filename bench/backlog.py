"""A backlog taken in: `python bench/backlog.py [--mails 1000]`. Needs Dovecot; see docs/performance.md.

Three ways over the same mails in one run: mailbot's `once`; IMAPClient fetching batches of 50 with a compat32 parse;
and a loop that fetches, parses and moves one message at a time, the way such daemons are usually written.
"""

import argparse
import asyncio
import email
import random
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import mailparser
from fixtures.dovecot import Dovecot
from fixtures.house import settings_for, turn, wide_caps
from fixtures.smtp import smtp_server

from mailbot.config import Overrides

ORDINARY = "Goedemorgen, kunt u een offerte sturen voor een nieuwe laptop? Wij zijn op vrijdag open. "
REQUEST = "Graag ontvang ik een kopie van al mijn gegevens. Ik wil inzage in mijn dossier. "


def mails(count, share, dice):
    """Yield mails of mixed sizes, from 1 KB to 200 KB; a share of them are requests from as many people."""
    for place in range(count):
        text = (REQUEST if dice.random() < share else ORDINARY) + ORDINARY * int(dice.paretovariate(0.9))
        body = text[:20_000]
        attachment = b"QUJD" * 19 * int(min(dice.paretovariate(0.6) * 10, 2_000)) if dice.random() < 0.15 else b""
        head = f"From: Persoon {place} <persoon{place}@example.nl>\r\nTo: info@kosternet.nl\r\n"
        head += f"Subject: bericht {place}\r\nMessage-ID: <{place}@example.nl>\r\nMIME-Version: 1.0\r\n"
        head += "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        part = f"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n"
        more = (
            b"--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + attachment
        )
        yield (head + part).encode() + (more + b"\r\n" if attachment else b"") + b"--b--\r\n"


def filled(login, raws):
    with login.client() as client:
        for raw in raws:
            client.append("INBOX", raw, (), datetime.now(UTC))


def batches(login):
    """The bound: fetch in batches of 50 and parse, nothing else."""
    started = time.perf_counter()
    with login.client() as client:
        client.select_folder("INBOX", readonly=True)
        uids = client.search("ALL")
        for start in range(0, len(uids), 50):
            for data in client.fetch(uids[start : start + 50], ["BODY.PEEK[]", "INTERNALDATE"]).values():
                for part in email.message_from_bytes(data[b"BODY[]"]).walk():
                    part.get_payload(decode=True)
    return time.perf_counter() - started


def one_by_one(login):
    """The usual loop: fetch one, parse it with mail-parser, move it."""
    started = time.perf_counter()
    with login.client() as client:
        client.create_folder("Verwerkt")
        client.select_folder("INBOX")
        for uid in client.search("ALL"):
            raw = client.fetch([uid], ["BODY.PEEK[]"])[uid][b"BODY[]"]
            _ = mailparser.parse_from_bytes(raw).body
            client.move([uid], "Verwerkt")
    return time.perf_counter() - started


async def mailbot(server, raws):
    login = server.user()
    with tempfile.TemporaryDirectory() as folder:
        async with smtp_server() as smtp:
            settings = settings_for(login, smtp.port, Path(folder) / "register")
            rules = wide_caps(Path(folder))
            limits = rules / "limits.toml"
            text = limits.read_text(encoding="utf-8").replace("overall_hour = 60", "overall_hour = 99999")
            limits.write_text(text.replace("= 500", "= 99999").replace("requests_hour = 100", "requests_hour = 99999"))
            settings = replace(settings, overrides=Overrides(rules=str(rules)))
            await turn(settings)
            filled(login, raws)
            started = time.perf_counter()
            summary = await turn(settings)
            return time.perf_counter() - started, summary


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=1_000)
    count = parser.parse_args().mails
    server = Dovecot("plain")
    for share, name in ((0.005, "nearly all ordinary"), (0.1, "a tenth are requests")):
        raws = list(mails(count, share, random.Random(1)))
        spent, summary = asyncio.run(mailbot(server, raws))
        plain, usual = server.user(), server.user()
        filled(plain, raws)
        bound = batches(plain)
        filled(usual, raws)
        loop = one_by_one(usual)
        size = sum(map(len, raws)) / 1e6
        print(f"{name}: {count} mails, {size:.0f} MB, {summary.requests} requests, {summary.letters_sent} letters")
        print(f"  mailbot {spent:.1f} s, {count / spent:.0f} mails/s")
        print(f"  fetch in batches and parse {bound:.1f} s: mailbot takes {spent / bound:.2f} times as long")
        print(f"  fetch, parse, move one by one {loop:.1f} s: mailbot is {loop / spent:.2f} times as fast")
    server.close()


if __name__ == "__main__":
    main()
