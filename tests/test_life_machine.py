"""A machine plays months: mails, the owner's words, forged ones, restarts, clock jumps; each step leaves nothing wrong.

The core, the register on disk and the road of a message are the real ones; only the two servers are played.
"""

import asyncio
import os
import re
import shutil
import tempfile
from collections import Counter
from datetime import datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from fixtures.house import ZONE
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mailbot import config
from mailbot.arrivals import plan_for
from mailbot.backup import verify
from mailbot.case import Case, record
from mailbot.connection import ImapSettings
from mailbot.deadlines import is_working_day
from mailbot.house import desk_of, furnish
from mailbot.looking import Fetched
from mailbot.mailbox import Mailbox
from mailbot.office import Watch
from mailbot.outbox import Accepted, NotSent
from mailbot.perform import settle_letters
from mailbot.register import Register
from mailbot.ticks import tick
from mailbot.warnings import due, terms_of
from mailbot.world import World

LONG = bool(os.environ.get("CI"))
OWNER = "geert@kosternet.example"
START = datetime(2026, 9, 28, 9, 0, tzinfo=ZONE)  # summer time ends within the month
SETTINGS = config.Settings(organisation=config.Organisation("KosterNET", "info@kosternet.nl", (), OWNER))
HOUSE = furnish(SETTINGS)
PEOPLE = ("jan@example.nl", "els@example.org", "noreply@example.org")
MAILS = (
    "Ik wil inzage in mijn gegevens.",
    "Verwijder al mijn gegevens.",
    "Ik maak bezwaar tegen het gebruik van mijn gegevens voor reclame.",
    "Gebruik mijn gegevens voorlopig niet, ik vraag om beperking van de verwerking.",
    "Mijn gegevens zijn bij u gelekt, ik meld een datalek.",
    "Iets over mijn gegevens, klopt dat?",
    "Hoe laat bent u open?",
    "Ik trek mijn verzoek in.",
    "Dit is een herinnering: ik wacht nog op antwoord op mijn verzoek.",
)
WORDS = ("gedaan", "identiteit gezien", "verlengen: het archief is groot", "ja", "nee", "geen verzoek", "ja, versturen",
         "weigeren: geen klant", "sluiten", "wat is dit?", "opgeheven", "ingetrokken", "bla bla")  # fmt: skip
ACKNOWLEDGING = {"acknowledgement", "identity"}


class Outbox:
    """A mail server: it takes every letter, unless it is away."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, EmailMessage]] = []
        self.away = False

    async def send(self, mail: EmailMessage, *, to: str, envelope_from: str) -> Accepted:
        """Take the letter."""
        assert not envelope_from or "@" in envelope_from
        if self.away:
            raise NotSent("away")
        self.mails.append((to, mail))
        return Accepted("250 taken")


class Imap:
    """A mailbox that only says how folders are named."""

    mailbox = Mailbox(ImapSettings("imap.example.nl"))


class Life(RuleBasedStateMachine):
    """Months at KosterNET."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="life-"))
        self.now, self.uid, self.outbox = START, 0, Outbox()
        self.wrote: set[str] = set()
        key = self.folder / "key"  # always the same, so that a life can be played again step by step
        key.write_text("ab" * 32)
        key.chmod(0o600)
        self.world = self._opened()
        with self.world.register.transaction():
            self.world.register.commit_office(
                self.world.register.office.__class__(watch=Watch(1, 1, 0, START - timedelta(days=90)))
            )

    def _opened(self) -> World:
        register = Register.open(self.folder)
        desk = desk_of(SETTINGS, HOUSE, register.key)
        return World(register, Imap(), self.outbox, HOUSE.composed, lambda: self.now, desk, HOUSE.limits.retry)

    def teardown(self) -> None:
        """Nothing is left behind, and the register is whole."""
        assert list(verify(self.folder)) == []
        self.world.register.close()
        shutil.rmtree(self.folder)

    def _arrives(self, sender: str, subject: str, text: str, reply: str = "") -> None:
        self.uid += 1
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = sender, "info@kosternet.nl", subject
        mail["Message-ID"] = f"<{self.uid}@{sender.partition('@')[2]}>"
        if reply:
            mail["In-Reply-To"] = reply
        mail.set_content(text)
        raw = mail.as_bytes()
        plan_for(self.world, HOUSE.reader, 1, Fetched(self.uid, raw, len(raw), self.now))
        self._looks()

    def _looks(self) -> None:
        """What one turn of the loop does, but for the mailbox."""
        tick(self.world, HOUSE.ladder, SETTINGS, 5)
        asyncio.run(settle_letters(self.world))

    def _notices(self) -> list[EmailMessage]:
        return [mail for to, mail in self.outbox.mails if to == OWNER]

    def _links(self) -> list[str]:
        texts = [mail.get_body(("plain",)).get_content() for mail in self._notices()[-6:]]
        return [link for text in texts for link in re.findall(r"mailto:\S+", text)]

    @rule(person=st.sampled_from(PEOPLE), text=st.sampled_from(MAILS), threaded=st.booleans())
    def a_person_writes(self, person, text, threaded):
        self.wrote.add(person)
        letters = [mail["Message-ID"] for to, mail in self.outbox.mails if to == person]
        self._arrives(person, "vraag", text, letters[-1] if threaded and letters else "")

    @precondition(lambda self: self._links())
    @rule(
        data=st.data(),
        reason=st.sampled_from(("", "het archief is groot")),
        who=st.sampled_from((OWNER, "dief@example.org")),
    )
    def a_link_is_clicked(self, data, reason, who):
        subject = parse_qs(urlsplit(data.draw(st.sampled_from(self._links()))).query)["subject"][0]
        before = self._states()
        self._arrives(who, subject, reason or "\n")
        if who != OWNER:
            assert before.items() <= self._states().items(), "a stranger's click moves nothing"

    @precondition(lambda self: self._links())
    @rule(data=st.data(), letter=st.sampled_from("abcdefgh"))
    def a_token_is_forged(self, data, letter):
        subject = parse_qs(urlsplit(data.draw(st.sampled_from(self._links()))).query)["subject"][0]
        forged = subject[:-1] + (letter if subject[-1] != letter else "z")
        before = self._states()
        self._arrives(OWNER, forged, "ja")
        assert before == self._states()

    @precondition(lambda self: self._notices())
    @rule(data=st.data(), text=st.sampled_from(WORDS))
    def the_owner_answers_a_notice(self, data, text):
        notice = data.draw(st.sampled_from(self._notices()[-4:]))
        self._arrives(OWNER, f"Re: {notice['Subject']}", text, notice["Message-ID"])

    @rule(hours=st.sampled_from((1, 5, 24, 72, 24 * 7, 24 * 13)))
    def time_passes(self, hours):
        self.now += timedelta(hours=hours)
        self._looks()

    @rule(days=st.sampled_from((-9, -2, 45)))
    def the_clock_jumps_and_is_put_right(self, days):
        right = self.now
        self.now = right + timedelta(days=days)
        self._looks()
        self.now = right
        self._looks()

    @rule()
    def mailbot_is_killed_and_starts_again(self):
        self.world.register.close()
        self.world = self._opened()
        self._looks()

    @rule(away=st.booleans())
    def the_mail_server_goes_or_comes(self, away):
        self.outbox.away = away
        self._looks()

    def _cases(self) -> list[Case]:
        return [case for one in self.world.register.clients() for case in one.cases]

    def _states(self) -> dict[str, str]:
        return {case.number: case.state for case in self._cases()}

    @invariant()
    def no_overdue_case_is_without_its_warning(self):
        for case in self._cases():
            assert due(case, self.now, HOUSE.ladder) == []
            dates = terms_of(case)
            aim = dates.limit if case.extended else dates.promise
            if case.is_open and aim < self.now.date() and is_working_day(self.now.date()):
                given = [event.facts["step"] for event in case.events if event.event == "warned"]
                assert any(step.endswith(f"late-{self.now.date()}") for step in given), case.number

    @invariant()
    def no_warning_comes_twice(self):
        for case in self._cases():
            steps = Counter((e.facts["step"], e.facts["clock"]) for e in case.events if e.event == "warned")
            assert not [step for step, count in steps.items() if count > 1]
        told = Counter(mail["Message-ID"] for _, mail in self.outbox.mails)
        assert not [one for one, count in told.items() if count > 1]

    @invariant()
    def every_case_walked_only_along_its_table(self):
        for case in self._cases():
            walked = Case(case.number, case.received, case.channel, case.language, case.events[:1])
            for event in case.events[1:]:
                walked = record(walked, event)
                assert isinstance(walked, Case), walked
            assert walked.state == case.state

    @invariant()
    def letters_go_to_who_wrote_and_one_acknowledgement_to_a_case(self):
        acknowledged: Counter[str] = Counter()
        for to, mail in self.outbox.mails:
            if to == OWNER:
                continue
            assert to in self.wrote
            assert "mailto:info" not in mail.as_string(), "no link of the owner's goes to anybody else"
            if mail["X-Mailbot"] in ACKNOWLEDGING:
                assert to != "noreply@example.org", "what goes by itself goes to no robot"
                acknowledged[mail["Subject"].partition("]")[0]] += 1
        assert not [number for number, count in acknowledged.items() if count > 1]

    @invariant()
    def the_register_is_whole(self):
        if LONG:
            assert list(verify(self.folder)) == []


@pytest.mark.slow
class TestLife(Life.TestCase):
    """Short by default; long when CI=true."""

    settings = settings(
        max_examples=30 if LONG else 6,
        stateful_step_count=50 if LONG else 25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
