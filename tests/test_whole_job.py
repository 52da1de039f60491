"""The whole job: mail in at a real IMAP server, letters out at a real SMTP server, and the register in between."""

import ast
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fixtures.house import Clock, mail, settings_for, turn, wide_caps

from mailbot import owner
from mailbot.casework import Word
from mailbot.client import LetterState
from mailbot.config import FilingSettings, Overrides
from mailbot.errors import Refused
from mailbot.house import desk_of
from mailbot.register import Register
from mailbot.views import case_json

MAILS = Path(__file__).with_name("mails")
ACCESS = "Hallo, ik wil graag weten welke gegevens jullie van mij hebben. Kan ik een kopie van mijn gegevens krijgen?"


async def test_a_request_is_acknowledged_filed_and_recorded(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail(ACCESS, subject="inzage"))
    mail_user.deliver(mail("Hoi, hoe laat zijn jullie morgen open?", sender="piet@example.org"))
    summary = await turn(settings)
    assert (summary.requests, summary.ordinary, summary.letters_sent, summary.filed) == (1, 1, 1, 1)
    (letter,) = smtp.to("jan@example.nl")
    assert letter["Subject"].startswith("[KN-")
    assert letter["Auto-Submitted"] == "auto-replied"
    assert "inzage in uw gegevens" in letter.get_body(("plain",)).get_content()
    assert "welke gegevens jullie" not in letter.as_string()
    folder = next(name for name in mail_user.folders() if name.startswith("Klanten/"))
    assert folder == "Klanten/jan@example.nl"
    assert len(mail_user.folder(folder)) == 2
    assert len(mail_user.folder("Sent")) == 1
    assert len(mail_user.folder("INBOX")) == 1
    register = Register.open(tmp_path)
    ((record, case),) = [(r, c) for r in register.clients() for c in r.cases]
    facts = case_json(record, case)
    json.dumps(facts)
    assert (facts["kinds"], facts["state"], facts["identity"]) == (["access"], "acknowledged", "asked")


async def test_a_second_run_changes_nothing(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail(ACCESS, subject="inzage"))
    await turn(settings)
    before = (len(smtp.raw), mail_user.folders(), {p: p.read_bytes() for p in tmp_path.rglob("*.json")})
    summary = await turn(settings)
    after = (len(smtp.raw), mail_user.folders(), {p: p.read_bytes() for p in tmp_path.rglob("*.json")})
    assert summary.messages == 0
    assert before == after


async def test_mail_from_before_the_first_start_is_never_acknowledged(mail_user, smtp, tmp_path):
    mail_user.deliver(mail(ACCESS, subject="inzage"))
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    await turn(settings)
    assert smtp.to("jan@example.nl") == []


async def test_a_reply_joins_its_case_and_gets_no_second_letter(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail(ACCESS, subject="inzage"))
    await turn(settings)
    (letter,) = smtp.to("jan@example.nl")
    reply = mail(
        "Hierbij, alvast bedankt. Ik wil graag een kopie van al mijn gegevens.",
        subject="Re: " + letter["Subject"],
        headers=f"In-Reply-To: {letter['Message-ID']}\r\nReferences: {letter['Message-ID']}\r\n",
    )
    mail_user.deliver(reply)
    summary = await turn(settings)
    assert summary.requests == 0
    assert len(smtp.to("jan@example.nl")) == 1
    register = Register.open(tmp_path)
    assert [event.event for r in register.clients() for c in r.cases for event in c.events][-1] == "joined"
    assert len(mail_user.folder("Klanten/jan@example.nl")) == 3


async def test_an_objection_reaches_the_owner_at_once(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail("Ik maak bezwaar tegen het gebruik van mijn gegevens voor reclame.", subject="bezwaar"))
    await turn(settings)
    (notice,) = smtp.to("geert@kosternet.example")
    assert "Vandaag bekijken" in notice["Subject"]


async def test_warnings_come_once_each_and_the_late_ones_every_working_day(mail_user, smtp, tmp_path):
    clock = Clock()
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings, clock)
    mail_user.deliver(mail(ACCESS, subject="inzage"))
    await turn(settings, clock)
    for _ in range(31):
        for _ in range(2):
            await turn(settings, clock)
        clock.forward(days=1)
    subjects = [
        m["Subject"]
        for m in smtp.to("geert@kosternet.example")
        if "promise" in m["X-Mailbot"] or m["X-Mailbot"] == "notice-warning"
    ]
    assert len(subjects) == len(set(subjects))
    before = [s for s in subjects if "Beloofde termijn" in s and "voorbij" not in s]
    assert len(before) == 5, before
    assert "vandaag is de laatste" in before[-1]


async def test_ordinary_mail_is_filed_once_the_owner_answered_it(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path, filing=FilingSettings("when_answered"))
    await turn(settings)
    mail_user.deliver(mail("Hoi, hoe laat zijn jullie open?", sender="piet@example.org"))
    await turn(settings)
    assert len(mail_user.folder("INBOX")) == 1
    with mail_user.client() as client:
        client.select_folder("INBOX")
        client.add_flags(client.search("ALL"), [b"\\Answered"])
    await turn(settings)
    assert len(mail_user.folder("Klanten/piet@example.org")) == 1
    assert smtp.to("piet@example.org") == []


async def test_older_mail_is_registered_from_the_date_the_owner_sets(mail_user, smtp, tmp_path):
    old = datetime.now(UTC) - timedelta(days=20)
    mail_user.append(mail(ACCESS, subject="inzage"), old)
    settings = settings_for(mail_user, smtp.port, tmp_path)
    settings = replace(settings, imap=replace(settings.imap, history_from=(old - timedelta(days=2)).date()))
    summary = await turn(settings)
    assert summary.requests == 1
    assert smtp.to("jan@example.nl") == []
    register = Register.open(tmp_path)
    (case,) = [c for r in register.clients() for c in r.cases]
    assert case.backlog
    assert abs(case.received - old) < timedelta(seconds=2)


async def test_whom_the_owner_has_seen_once_is_not_asked_for_papers_again(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail(ACCESS, subject="inzage"))
    await turn(settings)
    register = owner.open_register(settings)
    number = next(owner.cases(register, only_open=True))["number"]
    owner.say(register, number, Word("identity"), desk_of(settings), datetime.now(UTC))
    register.close()
    mail_user.deliver(mail("Ik wil dat u al mijn gegevens verwijdert.", subject="weg ermee"))
    mail_user.deliver(mail("Ik wil dat u al mijn gegevens verwijdert.", sender="Piet <piet@example.org>"))
    await turn(settings)
    first, second = smtp.to("jan@example.nl")
    assert (first["X-Mailbot"], second["X-Mailbot"]) == ("identity", "acknowledgement")
    assert "paspoort" not in second.as_string()
    assert smtp.to("piet@example.org")[0]["X-Mailbot"] == "identity"


async def test_a_refused_letter_is_told_to_the_owner_and_never_offered_again(mail_user, smtp, tmp_path):
    smtp.rcpt["jan"] = "550 5.1.1 no such user"
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail(ACCESS, subject="inzage"))
    await turn(settings)
    await turn(settings)
    notices = [m["X-Mailbot"] for m in smtp.to("geert@kosternet.example")]
    assert notices.count("notice-letter-failed") == 1


async def test_a_letter_the_server_has_no_time_for_goes_later_under_the_same_message_id(mail_user, smtp, tmp_path):
    clock = Clock()
    smtp.data["jan"] = "keep-and-drop"  # taken, and the answer was lost
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings, clock)
    mail_user.deliver(mail(ACCESS, subject="inzage"))
    await turn(settings, clock)
    smtp.data.clear()
    clock.forward(minutes=6)
    await turn(settings, clock)
    ids = {m["Message-ID"] for m in smtp.to("jan@example.nl")}
    assert len(smtp.to("jan@example.nl")) == 2
    assert len(ids) == 1


async def test_the_owners_words_lead_a_case_to_its_end(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail(ACCESS, subject="inzage"))
    await turn(settings)
    register = owner.open_register(settings)
    number = next(owner.cases(register, only_open=True))["number"]
    desk, now = desk_of(settings), datetime.now(UTC)
    with pytest.raises(Refused, match="identity was asked"):
        owner.say(register, number, Word("answer"), desk, now)
    owner.say(register, number, Word("identity"), desk, now)
    owner.say(register, number, Word("answer"), desk, now)
    register.close()
    await turn(settings)
    assert len(smtp.to("jan@example.nl")) == 1  # the outcome is a draft until the owner lets it go
    register = owner.open_register(settings)
    assert owner.release(register, number) == 1
    register.close()
    await turn(settings)
    assert smtp.to("jan@example.nl")[-1]["X-Mailbot"] == "outcome-done"
    register = owner.open_register(settings)
    owner.say(register, number, Word("close"), desk, now)
    assert next(owner.cases(register, only_open=False))["state"] == "closed"
    register.close()


async def test_a_mailbox_that_was_made_anew_stops_letters_and_asks(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail("Hoi, hoe laat open?", sender="piet@example.org"))
    await turn(settings)
    register = Register.open(tmp_path)
    with register.transaction():
        watch = replace(register.office.watch, uidvalidity=register.office.watch.uidvalidity + 1)
        register.commit_office(replace(register.office, watch=watch))
    register.close()
    mail_user.deliver(mail(ACCESS, subject="inzage"))
    await turn(settings)
    assert smtp.to("jan@example.nl") == []
    assert [m["X-Mailbot"] for m in smtp.to("geert@kosternet.example")].count("notice-stop") == 1
    register = owner.open_register(settings)
    assert owner.release(register, None) >= 1
    register.close()
    await turn(settings)
    assert len(smtp.to("jan@example.nl")) == 1


async def test_thirty_mails_lead_to_exactly_their_letters_folders_cases_and_notices(mail_user, smtp, tmp_path):
    rows = [json.loads(line) for line in (MAILS / "plans.jsonl").read_text(encoding="utf-8").splitlines()]
    settings = settings_for(mail_user, smtp.port, tmp_path / "register")
    settings = replace(settings, overrides=Overrides(rules=str(wide_caps(tmp_path))))
    await turn(settings)
    for row in rows:
        mail_user.deliver((MAILS / row["file"]).read_bytes())
    summary = await turn(settings)
    assert summary.messages == len(rows)
    letters = Counter((m["X-Mailbot"].replace("-", "_"), m["To"]) for m in smtp.mails)
    expected = Counter((row["letter"], row["sender"]) for row in rows if row["letter"])
    expected.update((row["notice"], "geert@kosternet.example") for row in rows if row["notice"])
    assert letters == expected
    register = Register.open(tmp_path / "register")
    cases = Counter((record.address, case.kinds) for record in register.clients() for case in record.cases)
    assert cases == Counter((row["sender"], tuple(row["kinds"])) for row in rows if row["opened"])
    filed = {name: len(mail_user.folder(name)) for name in mail_user.folders() if name.startswith("Klanten/")}
    assert filed == {f"Klanten/{row['sender']}": 2 for row in rows if row["filed"]}
    assert len(mail_user.folder("INBOX")) == sum(not row["filed"] for row in rows)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert (await turn(settings)).messages == 0
    assert len(smtp.raw) == sum(expected.values())
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before


async def test_no_letter_leaves_for_another_address_than_the_one_on_file(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail(ACCESS, subject="inzage"))
    await turn(settings)
    register = Register.open(tmp_path)
    (record,) = [one for one in register.clients() if one.cases]
    (letter,) = [one for one in record.letters if one.audience == "person"]
    stray = [
        replace(
            letter, to=to, audience=audience, message_id=f"<{name}@kosternet.nl>", key=name, state=LetterState.QUEUED
        )
        for name, to, audience in (("a", "dief@example.org", "person"), ("b", "dief@example.org", "owner"))
    ]
    with register.transaction():
        register.commit(replace(record, letters=(*record.letters, *stray)))
    register.close()
    summary = await turn(settings)
    assert summary.letters_failed == 2
    assert smtp.to("dief@example.org") == []
    await turn(settings)
    (told,) = [m for m in smtp.to("geert@kosternet.example") if m["X-Mailbot"] == "notice-letter-failed"]
    assert "address on file" in " ".join(told.get_body(("plain",)).get_content().split())


def test_one_module_sends_and_one_addresses():
    root = Path(__file__).resolve().parents[1] / "mailbot"
    calls = {}
    for path in root.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                calls.setdefault(ast.unparse(node.func).rpartition(".")[2], set()).add(path.stem)
    assert {path.stem for path in root.glob("*.py") if "outbox.send(" in path.read_text(encoding="utf-8")} == {
        "perform"
    }
    # templates makes samples and export the page that goes into an archive: neither is queued in any register.
    assert calls["QueuedLetter"] == {"record", "templates", "export"}
    source = (root / "record.py").read_text(encoding="utf-8")
    assert source.count("to=record.address") == source.count('audience="person"') == 1
