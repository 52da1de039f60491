"""Robots against mailbot for a simulated day: nobody gets more than a letter a case, and the caps hold.

Each counterpart answers every letter it gets, at once, in its own bad manner. The figures are printed.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.policy import default
from pathlib import Path

import golden
import pytest
from fixtures.daemon import state_of
from fixtures.house import Clock, mail, opened, settings_for
from fixtures.smtp import smtp_server

from mailbot.classify import Decision
from mailbot.config import Organisation, Overrides, Settings
from mailbot.house import furnish

OWNER = "geert@kosternet.example"
US = "info@kosternet.nl"
OWNERS = {"notice", "digest"}
ROOT = Path(__file__).resolve().parents[1]
ASKS = "Hallo, ik wil graag inzage in mijn gegevens."


BOUNCE = """From: MAILER-DAEMON@mx.example
To: {us}
Return-Path: <>
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

<{to}>: user unknown. The mail about verwijderen was not delivered.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; {to}
Action: failed
Status: 5.1.1
--b
Content-Type: text/rfc822-headers

Message-ID: {identity}
Subject: inzage
--b--
"""


def said(letter: Message, kind="plain") -> str:
    return letter.get_body((kind,)).get_content()


def quoted(letter) -> str:
    return "".join(f"> {line}\n" for line in said(letter).splitlines())


def without_number(text: str) -> str:
    return re.sub(r"KN-\d{4}-\d{4}", "uw zaak", text)


def reply(sender, text, subject, *, headers="", kind="plain") -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, US, subject
    for line in headers.splitlines():
        name, _, value = line.partition(": ")
        message[name] = value
    message.set_content(text, subtype=kind)
    return message.as_bytes()


def well_mannered(to, letter, _count):
    headers = f"Auto-Submitted: auto-replied\nIn-Reply-To: {letter['Message-ID']}"
    return [reply(to, quoted(letter), f"Re: {letter['Subject']}", headers=headers)]


def out_of_office(to, letter, count):
    return [reply(to, f"Ik ben afwezig tot maandag.\n\n{said(letter)}", f"Afwezig {count}", headers="X-Autoreply: yes")]


def bare_quoting(to, letter, count):
    return [reply(to, f"Bedankt voor uw bericht.\n\n{quoted(letter)}", f"Bericht {count} ontvangen")]


def bare_all_quote(to, letter, count):
    return [reply(to, quoted(letter), f"Ticket {count}")]


def bare_echo(to, letter, count):
    return [reply(to, f"U schreef ons:\n\n{said(letter)}", f"Ticket {count} aangemaakt")]


def bare_echo_without_number(to, letter, count):
    return [reply(to, f"U schreef ons:\n\n{without_number(said(letter))}", f"Ticket {count} aangemaakt")]


def bare_excerpt(to, letter, count):
    """Only what it thinks is the matter, in our words: nothing there says that a machine wrote it."""
    about = [one for one in said(letter).split("\n\n") if "gaat om" in one or "passport" in one or "paspoort" in one]
    return [reply(to, "Goedendag,\n\n" + without_number("\n\n".join(about)), f"Bericht {count}")]


def page_echo(to, letter, count):
    return [reply(to, without_number(said(letter, "html")), f"Bericht {count}", kind="html")]


def another_address_each_time(to, letter, count):
    local, _, domain = to.partition("@")
    return [reply(f"{local}+{count}@{domain}", without_number(said(letter)), f"Zaak {count}")]


def helpdesk(to, letter, count):
    """Answers with the words a request is made of, in its own sentences."""
    text = f"Wij behandelen uw vraag over inzage en het verwijderen van gegevens. Ticket {count}."
    return [reply(to, text, f"Ticket {count}")]


def mailing_list(to, letter, _count):
    letter = EmailMessageCopy(letter)
    return [letter.with_headers({"List-Id": "<lijst.example.org>", "Sender": f"owner-{to}"})]


def list_without_manners(to, letter, _count):
    return [EmailMessageCopy(letter).with_headers({"From": f"KosterNET via lijst <{to}>"}, drop=("Auto-Submitted",))]


def bounce(to, letter, _count):
    return [BOUNCE.format(to=to, us=US, identity=letter["Message-ID"]).replace("\n", "\r\n").encode()]


def bounce_by_hand(to, letter, _count):
    text = f"Hi. This is the mail program at mx.example. I could not deliver your message to {to}.\n\n{said(letter)}"
    return [reply("MAILER-DAEMON@mx.example", text, "failure notice", headers="Return-Path: <>")]


class EmailMessageCopy:
    """A letter sent on as it is, with other headers."""

    def __init__(self, letter):
        self.raw = letter.as_bytes()

    def with_headers(self, values, drop=()):
        head, _, body = self.raw.partition(b"\n\n" if b"\r\n\r\n" not in self.raw else b"\r\n\r\n")
        names = "|".join([*values, *drop, "To"]).encode()
        kept = re.sub(rb"(?im)^(?:" + names + rb"):.*(?:\r?\n[ \t].*)*\r?\n", b"", head.rstrip() + b"\r\n")
        added = "".join(f"{name}: {value}\r\n" for name, value in {**values, "To": US}.items()).encode()
        return added + kept + b"\r\n" + body


COUNTERPARTS = {
    f"iemand@{act.__name__.replace('_', '-')}.example": act
    for act in (
        well_mannered, out_of_office, bare_quoting, bare_all_quote, bare_echo, bare_excerpt,
        bare_echo_without_number, page_echo,
        another_address_each_time, helpdesk, mailing_list, list_without_manners, bounce, bounce_by_hand,
    )
}  # fmt: skip


@dataclass
class Day:
    """What went out in a simulated day, as the servers of the recipients saw it."""

    at: list[tuple[timedelta, str, Message]] = field(default_factory=list)

    def to_persons(self):
        return [(when, to, letter) for when, to, letter in self.at if to != OWNER]

    def most_in(self, span: timedelta, key) -> int:
        """The most letters with one key in any span of this length."""
        letters = self.to_persons()
        return max(
            (
                sum(start <= when < start + span and key(to) == key(first) for when, to, _ in letters)
                for start, first, _ in letters
            ),
            default=0,
        )

    def per_case(self) -> Counter:
        return Counter(re.search(r"KN-\d{4}-\d{4}", letter["Subject"])[0] for _, _, letter in self.to_persons())


def domain(address):
    return address.rpartition("@")[2]


async def simulated(settings, login, smtp, arriving, acts, step_length):
    """Let a day pass. `arriving(step)` gives new mail; `acts` answer each letter that reaches their domain."""
    clock, day, answered = Clock(), Day(), Counter()
    app = opened(settings, clock)
    await app.once()
    seen = 0
    for step in range(timedelta(days=1) // step_length):
        for raw in arriving(step):
            login.deliver(raw)
        await app.once()
        for raw, (_, (to,)) in zip(smtp.raw[seen:], smtp.envelopes[seen:], strict=True):
            letter = message_from_bytes(raw, policy=default)
            day.at.append((clock.offset, to, letter))
            act = acts.get(domain(to))
            answered[to] += 1
            for answer in act(to, letter, answered[to]) if act else ():
                login.deliver(answer)
        seen = len(smtp.raw)
        clock.offset += step_length
    await app.close()
    return day


async def test_robots_of_every_kind_get_one_letter_and_no_more(mail_user, smtp, tmp_path):
    acts = {domain(address): act for address, act in COUNTERPARTS.items()}

    def arriving(step):
        return [mail(ASKS, sender=address, subject="inzage") for address in COUNTERPARTS] if step == 0 else []

    settings = settings_for(mail_user, smtp.port, tmp_path)
    day = await simulated(settings, mail_user, smtp, arriving, acts, timedelta(minutes=20))
    got = Counter(domain(to) for _, to, _ in day.to_persons())
    notices = Counter(letter["X-Mailbot"] for _, to, letter in day.at if to == OWNER)
    print(f"\n24 hours, {len(COUNTERPARTS)} robots: letters {sum(got.values())}, "
          f"cases {state_of(tmp_path)['cases']}, most letters a case {max(day.per_case().values())}, "
          f"notices to the owner {dict(notices)}")  # fmt: skip
    assert got.pop("helpdesk.example") <= 2, "its own words may ask for something else once; then it is a repeat"
    assert set(got.values()) == {1}
    assert len(got) == len(COUNTERPARTS) - 1
    assert set(day.per_case().values()) == {1}
    assert state_of(tmp_path)["cases"] <= len(COUNTERPARTS) + 1, "the helpdesk's own words may open one more"
    assert sum(notices.values()) <= 3 * len(COUNTERPARTS)


CAPS = (3, 20, 60) if os.environ.get("CI") else (2, 4, 8)  # the shipped ones take twenty seconds


def limits(folder):
    """A folder of rules with these caps: they are data."""
    text = (ROOT / "rules" / "limits.toml").read_text(encoding="utf-8")
    for name, cap in zip(("address_day", "domain_day", "overall_hour"), CAPS, strict=True):
        text = re.sub(rf"(?m)^{name} = \d+", f"{name} = {cap}", text)
    folder.mkdir()
    (folder / "limits.toml").write_text(text, encoding="utf-8")
    return Overrides(rules=str(folder))


@pytest.mark.slow
async def test_who_keeps_asking_meets_the_caps_and_the_owner_is_not_buried(mail_user, smtp, tmp_path):
    wants = ("inzage in", "het wissen van", "een correctie van", "een kopie in een bestand van")
    _, per_domain, overall = CAPS

    def arriving(step):
        text = f"Hallo, ik wil {wants[step % len(wants)]} mijn gegevens. Bericht {step}."
        senders = [f"x@x{one}.example" for one in range(overall + 5 if step == 0 else 0)]
        senders += [f"p{one}@grote.example" for one in range(per_domain + 3 if step == 2 else 0)]
        crowd = [mail(ASKS, sender=sender, subject="inzage") for sender in senders]
        return [mail(text, sender="druk@robot.example", subject=f"verzoek {step}"), *crowd]

    settings = replace(settings_for(mail_user, smtp.port, tmp_path / "register"), overrides=limits(tmp_path / "rules"))
    day = await simulated(settings, mail_user, smtp, arriving, {}, timedelta(hours=1))
    most = (
        day.most_in(timedelta(days=1), str),
        day.most_in(timedelta(days=1), domain),
        day.most_in(timedelta(hours=1), lambda _: ""),
    )
    notices = Counter(letter["X-Mailbot"] for _, to, letter in day.at if to == OWNER)
    print(f"\n24 hours: most letters to an address a day, a domain a day and to all an hour {most} (caps {CAPS}); "
          f"cases {state_of(tmp_path / 'register')['cases']}, letters {len(day.to_persons())}, "
          f"notices to the owner {dict(notices)}")  # fmt: skip
    assert most == CAPS, "each cap was reached and not passed"
    assert set(day.per_case().values()) == {1}
    assert notices["notice-reply"] <= 4 * 5, "four cases of the robot, five notices each"


LETTERS = {
    name: letter for name, letter in golden.letters() if not name.startswith("nl-notice") and "digest" not in name
}
# Short sentences are not known as ours (`Uw bezwaar is gegrond.`), so the owner may be asked: no letter goes out.
DOUBTFUL = {"nl-objection_founded", "en-objection_founded", "en-export_readme", "nl-export_readme"}
READER = furnish(Settings(Organisation("KosterNET", US, (), OWNER))).reader


@pytest.mark.parametrize("name", LETTERS)
@pytest.mark.parametrize("kind", ["plain", "html"])
def test_a_letter_of_ours_that_comes_back_bare_asks_for_nothing(name, kind):
    text = without_number(said(LETTERS[name], kind))
    verdict = READER.classify(READER.read(reply("iemand@example.org", text, "Bericht 7", kind=kind)))
    assert verdict.decision is Decision.OTHER or (name in DOUBTFUL and verdict.decision is Decision.REVIEW)


@pytest.mark.parametrize(
    ("name", "wish"),
    [("nl-identity", "Ik wil dat u al mijn gegevens verwijdert."), ("en-identity", "Please delete all my data.")],
)
def test_what_a_person_writes_among_our_own_words_still_counts(name, wish):
    ours = without_number(said(LETTERS[name]))
    text = f"{ours}\n\n{wish}\n\n{ours}"
    verdict = READER.classify(READER.read(reply("iemand@example.org", text, "nog iets")))
    assert verdict.kinds == ("erasure",)
    assert verdict.decision is not Decision.OTHER, "acknowledged, or put to the owner"


STRIPPED = ("Auto-Submitted", "X-Auto-Response-Suppress", "X-Mailbot", "In-Reply-To", "References", "Precedence")


async def test_two_mailbots_write_each_other_once_at_most(mail_user, smtp, tmp_path, dovecot):
    clock, theirs = Clock(), dovecot.user()
    async with smtp_server() as their_smtp:
        ours_app = opened(settings_for(mail_user, smtp.port, tmp_path / "ours"), clock)
        settings = settings_for(theirs, their_smtp.port, tmp_path / "theirs")
        them = replace(settings.organisation, name="Ander", address="privacy@ander.example", owner="baas@ander.example")
        theirs_app = opened(replace(settings, organisation=them), clock)
        for app in (ours_app, theirs_app):
            await app.once()
        mail_user.deliver(mail(ASKS, sender="privacy@ander.example", subject="inzage"))  # somebody forged it
        forged = mail(ASKS, sender=US, subject="inzage").replace(b"To: info@kosternet.nl", b"To: privacy@ander.example")
        theirs.deliver(forged)
        between = Counter()
        for _ in range(24):
            for app, server, far, own in (
                (ours_app, smtp, theirs, US),
                (theirs_app, their_smtp, mail_user, "privacy@ander.example"),
            ):
                before = len(server.raw)
                await app.once()
                for raw, (_, (to,)) in list(zip(server.raw, server.envelopes, strict=True))[before:]:
                    if to in {US, "privacy@ander.example"}:
                        between[own] += 1
                        names = "|".join(STRIPPED).encode()
                        far.deliver(re.sub(rb"(?im)^(?:" + names + rb"):.*(?:\r?\n[ \t].*)*\r?\n", b"", raw))
            clock.forward(hours=1)
        for app in (ours_app, theirs_app):
            await app.close()
    print(f"\n24 hours, two mailbots, every warning header stripped on the way: {dict(between)}")
    assert between == {US: 1, "privacy@ander.example": 1}
