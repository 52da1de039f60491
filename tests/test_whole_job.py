"""The whole job: mail in at a real IMAP server, letters out at a real SMTP server, and the register in between."""

import json

from fixtures.house import Clock, mail, settings_for, turn

from mailbot.register import Register
from mailbot.views import case_json

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
    told = [s for s in subjects if "belofte" in s or "beloofde" in s or "wettelijke" in s]
    assert len(told) == len(set(told))
    assert sum("nog 14 dagen" in s for s in told) == 1
    assert sum("vandaag is de laatste dag van de belofte" in s for s in told) == 1
