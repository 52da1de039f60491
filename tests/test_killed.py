"""SIGKILL at random moments while mail comes in: nothing is lost and nothing is doubled."""

import asyncio
import os
import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from fixtures.house import mail, wide_caps

from mailbot.client import LetterState
from mailbot.register import Register

ROOT = Path(__file__).resolve().parents[1]
KILLS = 50 if os.environ.get("CI") else 12
WANTS = (
    "Ik wil graag inzage in mijn gegevens.",
    "Verwijder al mijn gegevens alstublieft.",
    "Ik maak bezwaar tegen het gebruik van mijn gegevens voor reclame.",
)


def configuration(login, smtp_port, directory, rules=""):
    return f"""
[organisation]
name = "KosterNET"
address = "info@kosternet.nl"
aliases = ["{login.user}"]
owner = "geert@kosternet.example"
[imap]
host = "{login.server.host}"
port = {login.server.imap_port}
security = "none"
username = "{login.user}"
password = "geheim"
[smtp]
host = "127.0.0.1"
port = {smtp_port}
security = "none"
[register]
directory = "{directory}"
[overrides]
rules = "{rules}"
"""


def prepared(login, smtp_port, folder, directory):
    """The configuration, with caps that a burst from one domain does not reach."""
    rules = wide_caps(folder)
    config = folder / "mailbot.toml"
    config.write_text(configuration(login, smtp_port, directory, rules), encoding="utf-8")
    config.chmod(0o600)
    return config


async def once(config, kill_after=None):
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "run.py"),
        "once",
        "--config",
        str(config),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    if kill_after is None:
        _, errors = await child.communicate()
        return child.returncode, errors.decode()
    try:
        await asyncio.wait_for(child.wait(), kill_after)
    except TimeoutError:
        child.kill()
    _, errors = await child.communicate()
    return child.returncode, errors.decode()


@pytest.mark.slow
async def test_a_kill_at_any_moment_loses_nothing_and_doubles_nothing(mail_user, smtp, tmp_path):
    directory = tmp_path / "register"
    config = prepared(mail_user, smtp.port, tmp_path, directory)
    assert (await once(config))[0] == 0
    dice = random.Random(7)
    people = [f"persoon{place}@example.nl" for place in range(30)]
    for place, person in enumerate(people):
        mail_user.deliver(mail(WANTS[place % 3], sender=person, subject="verzoek"))
    killed = 0
    for _ in range(KILLS):
        code, _ = await once(config, kill_after=0.25 + dice.random() * 0.9)
        killed += code == -9
    code, errors = await once(config)
    assert code == 0, errors
    register = Register.open(directory)
    cases = Counter(record.address for record in register.clients() for _ in record.cases)
    letters = {(to[0], m["Message-ID"]) for m, (_, to) in zip(smtp.mails, smtp.envelopes, strict=True)}
    to_people = Counter(address for address, _ in letters if address in people)
    repeated = sum(to[0] in people for _, to in smtp.envelopes) - sum(to_people.values())
    print(f"kills {killed}, requests {len(people)}, cases {sum(cases.values())}, letters {sum(to_people.values())}, "
          f"repeated under the same Message-ID {repeated}")  # fmt: skip
    assert cases == Counter(people), "each request has exactly one case"
    assert to_people == Counter(people), "each person has a letter, under one Message-ID"
    assert all(one.state is LetterState.SENT for r in register.clients() for one in r.letters)
    assert len(mail_user.folder("INBOX")) == 0
    for person in people:
        assert len(mail_user.folder(f"Klanten/{person}")) == 2, person
    assert len(mail_user.folder("Sent")) == len(people)
    assert killed > 0
