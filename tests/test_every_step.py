"""The program is ended at every step in turn, started again, and what is left is compared with an undisturbed run.

The program knows nothing of it (fixtures/nursery.py). The short setting takes every so-many-th step from a seeded
start; CI=true takes them all.
"""

import os
import random
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email import message_from_bytes
from urllib.parse import unquote

import pytest
from fixtures.dovecot import instance
from fixtures.house import ZONE, mail, sealed, settings_for, turn
from fixtures.nursery import Nursery
from test_killed import configuration

from mailbot import links, storage
from mailbot.client import LetterState
from mailbot.register import Register

DISK = ("ENOSPC", "EROFS")
OWNER = "geert@kosternet.example"
EVERY = 1 if os.environ.get("CI") else 21
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)")
HASH = re.compile(r"'hash': '[0-9a-f]{64}'")
IDENTITY = re.compile(rb"^message-id:\s*(<[^>]+>)", re.IGNORECASE | re.MULTILINE)
REPORT = (
    "From: MAILER-DAEMON@mx.example\r\nTo: info@kosternet.nl\r\nReturn-Path: <>\r\nMessage-ID: <bounce@mx.example>\r\n"
    "Subject: Undelivered\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: text/plain\r\n\r\nkon niet\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
    "Message-ID: {letter}\r\nSubject: x\r\n\r\nx\r\n--b--\r\n"
)


@dataclass
class End:
    """What is left after a run: the register without moments, the folders, and the letters that were accepted."""

    register: dict = field(default_factory=dict)
    folders: Counter = field(default_factory=Counter)
    letters: Counter = field(default_factory=Counter)

    @property
    def cases(self) -> Counter:
        """How often each message opened a case."""
        return Counter(
            (name, *case["events"][0]["facts"]["kinds"])
            for name, tables in self.register.items()
            for case in tables.get("cases", {}).values()
        )


def register_left(directory):
    found = {}
    for path in sorted(directory.rglob("*.json")):
        text = HASH.sub("", MOMENT.sub("at some moment", repr(storage.load(path))))
        found[str(path.relative_to(directory))] = eval(text, {"__builtins__": {}})  # noqa: S307 - our own repr
    return found


def differences(left, whole, at=""):
    """Where two registers differ, as paths with both values."""
    if isinstance(left, dict) and isinstance(whole, dict):
        names = sorted({*left, *whole})
        return [one for name in names for one in differences(left.get(name), whole.get(name), f"{at}/{name}")]
    if isinstance(left, list) and isinstance(whole, list) and len(left) == len(whole):
        return [
            one
            for place, pair in enumerate(zip(left, whole, strict=True))
            for one in differences(*pair, f"{at}/{place}")
        ]
    return [] if left == whole else [f"{at}: {left!r:.200} instead of {whole!r:.200}"]


def folders_left(home):
    found = Counter()
    for path in home.rglob("*"):
        if path.parent.name in {"cur", "new"} and path.is_file():
            folder = str(path.parent.parent.relative_to(home / "Maildir"))
            flags = "".join(sorted(set(path.name.partition(":2,")[2]) - set("abcdefgh")))
            found[folder, IDENTITY.search(path.read_bytes())[1].decode(), flags] += 1
    return found


class Scene:
    """One mailbox and one register with a life behind them, copied afresh for every run."""

    def __init__(self, login, smtp, folder):
        self.login, self.smtp, self.folder = login, smtp, folder
        self.home = login.server.folder / "mail" / login.user
        self.register = folder / "base"
        self.offset = 0.0
        self.place = 0

    async def lived(self):
        """First start, a request, an objection and a doubtful mail; the owner answers the objection by a click."""
        settings = settings_for(self.login, self.smtp.port, self.register)
        await turn(settings)
        self.deliver("Ik wil graag inzage in mijn gegevens.", "karin@example.nl")
        self.deliver("Ik maak bezwaar tegen het gebruik van mijn gegevens voor reclame.", "piet@example.nl")
        self.login.deliver(sealed("dirk@example.nl"))
        await turn(settings)
        self.clicked("piet@example.nl", "answer")
        await turn(settings)
        monday = datetime.now(ZONE) + timedelta(days=15)
        monday += timedelta(days=-monday.weekday() % 7)
        self.offset = (monday.replace(hour=9, minute=0) - datetime.now(ZONE)).total_seconds()

    def morning(self):
        """What lies there when the run begins: one of each."""
        self.deliver("Verwijder al mijn gegevens alstublieft.", "anna@example.nl")
        self.login.deliver(sealed("bram@example.nl"))
        self.deliver("Hoi, hoe laat zijn jullie open?", "cees@example.nl")
        letter = self.smtp.to("karin@example.nl")[0]["Message-ID"]
        headers = f"In-Reply-To: {letter}\r\n"
        self.login.deliver(mail("Hierbij, dank u.", sender="Karin <karin@example.nl>", headers=headers))
        self.login.deliver(REPORT.format(letter=letter).encode())
        self.clicked("piet@example.nl", "release")
        self.clicked("karin@example.nl", "extend", "Het zijn er heel veel.")
        self.clicked("dirk@example.nl", "recognise")

    def deliver(self, text, sender):
        self.login.deliver(mail(text, sender=f"Iemand <{sender}>", subject="bericht"))

    def clicked(self, address, action, reason=""):
        register = Register.open(self.register)
        record = register.client(address)
        if action == "release":
            (held,) = [one.letter for one in record.letters if one.state is LetterState.HELD]
            action = links.sending(held)
        at = links.Occasion("notice_request", address, datetime.now(ZONE).date(), register.key, "info@kosternet.nl")
        link = links.href(record.cases[0].number, action, at)
        register.close()
        subject = unquote(link.partition("subject=")[2])
        self.login.deliver(mail(reason or "-", sender=OWNER, subject=subject, mid=f"<{action}@kosternet.example>"))

    def copy(self):
        """Another mailbox and register in the very same state; returns the configuration and where they are."""
        self.place += 1
        user = f"copy{self.place}-{self.login.user}"
        home, register = self.home.with_name(user), self.folder / f"register{self.place}"
        subprocess.run(["cp", "-a", self.home, home], check=True)
        shutil.copytree(self.register, register)
        config = self.folder / "mailbot.toml"
        login = type(self.login)(self.login.server, user)
        config.write_text(configuration(login, self.smtp.port, register), encoding="utf-8")
        config.chmod(0o600)
        return config, register, home

    def sweep(self, register, home):
        shutil.rmtree(register)
        shutil.rmtree(home)

    async def played(self, nursery, *ends, how="kill"):
        """End the program at each of these steps, let it run to its end, and return what is left."""
        config, register, home = self.copy()
        del self.smtp.raw[:], self.smtp.envelopes[:]
        for die in ends:
            code, _ = await nursery.run(config, register, die=die, how=how, offset=self.offset)
            said = nursery.said()
            assert code in ({75, 2} if how in DISK else {-9, 0}), (code, said)
            assert how not in DISK or ("make room or mend the disk" in said and "Traceback" not in said), said
        code, steps = await nursery.run(config, register, offset=self.offset)
        assert code == 0, nursery.said()
        sent = [(to[0], message_from_bytes(raw)["Message-ID"]) for raw, (_, to) in
                zip(self.smtp.raw, self.smtp.envelopes, strict=True)]  # fmt: skip
        end = End(register_left(register), folders_left(home), Counter(sent))
        self.sweep(register, home)
        return end, steps


def in_doubt(steps):
    """The steps between a letter's leaving and its record: an end there may repeat it, under the same Message-ID."""
    doubt, found = False, set()
    for place, name in enumerate(steps):
        doubt = doubt or name == "sent smtp letter DATA"
        if doubt:
            found.add(place)
        doubt = doubt and name != "sync folder"
    return found


async def compared(scene, nursery, runs, whole, steps):
    """End the program as each run says, and hold what is left against what an undisturbed run left."""
    doubt = in_doubt(steps)
    lost, doubled, gone, repeated = Counter(), Counter(), Counter(), Counter()
    for ends, how in runs:
        left, _ = await scene.played(nursery, *ends, how=how)
        where = [how, *(f"{place} {steps[place]}" for place in ends)]
        lost += whole.cases - left.cases
        doubled += left.cases - whole.cases
        gone += whole.letters - left.letters
        again = left.letters - whole.letters
        repeated += again
        # The steps of a run after an end are numbered otherwise, so there only how many counts.
        assert again.total() <= len(ends), (where, again)
        assert not again or len(ends) > 1 or doubt & set(ends), (where, again)
        assert left.folders == whole.folders, (where, left.folders - whole.folders, whole.folders - left.folders)
        assert not differences(left.register, whole.register), (where, differences(left.register, whole.register))
        assert left.letters.keys() == whole.letters.keys(), where
    kinds = ", ".join(f"{how} {count}" for how, count in Counter(how for _, how in runs).items())
    print(f"{len(steps)} steps, ended {len(runs)} times ({kinds}): requests lost {lost.total()}, "
          f"cases doubled {doubled.total()}, letters lost {gone.total()}, "
          f"letters repeated under the same Message-ID {repeated.total()}")  # fmt: skip
    assert (lost.total(), doubled.total(), gone.total()) == (0, 0, 0)


async def undisturbed(login, smtp, folder):
    """The scene, the nursery, what is left when nothing happens, and the steps that can be ended at."""
    scene = Scene(login, smtp, folder)
    await scene.lived()
    scene.morning()
    nursery = await Nursery.open(folder)
    whole, steps = await scene.played(nursery)
    assert (await scene.played(nursery))[0] == whole, "two undisturbed runs are alike"
    return scene, nursery, whole, steps


@pytest.mark.slow
async def test_a_kill_at_each_step_leaves_what_an_undisturbed_run_leaves(mail_user, smtp, tmp_path):
    scene, nursery, whole, steps = await undisturbed(mail_user, smtp, tmp_path)
    dice = random.Random(5)
    disk = [place for place, name in enumerate(steps) if not name.removeprefix("sent ").startswith(("imap", "smtp"))]
    start = dice.randrange(EVERY)
    runs = [((place,), "kill") for place in range(start, len(steps), EVERY)]
    some = disk[start % 3 :: EVERY if EVERY > 1 else 3]  # a file is written the same way each time: a third is plenty
    runs += [((place,), how) for place in some for how in ("cut", DISK[place % 2])]
    twice = [(dice.randrange(len(steps)), dice.randrange(len(steps) // 2)) for _ in range(len(steps) // EVERY // 8)]
    runs += [(places, "kill") for places in twice]
    await compared(scene, nursery, runs, whole, steps)
    await nursery.close()


@pytest.mark.slow
async def test_without_move_a_kill_between_the_copy_and_the_expunge_files_each_message_once(smtp, tmp_path):
    scene, nursery, whole, steps = await undisturbed(instance("no_move").user(), smtp, tmp_path)
    first = next(place for place, name in enumerate(steps) if "COPY" in name)
    moving = [place for place, name in enumerate(steps) if place >= first and "imap" in name]
    assert any("EXPUNGE" in steps[place] for place in moving)
    await compared(scene, nursery, [((place,), "kill") for place in moving[:: min(EVERY, 3)]], whole, steps)
    await nursery.close()
