"""What a case proves to others: the evidence for the authority, and the archive for the person."""

import hashlib
import json
import re
import zipfile
from dataclasses import replace
from email.message import EmailMessage

import pytest
from fixtures.house import cases, mail, settings_for, turn
from test_ending import ANSWERED, FROM, JAN, say, settings_directory

from mailbot import owner, trial
from mailbot.app import open_app
from mailbot.casework import Word
from mailbot.errors import Refused
from mailbot.export import export, export_to
from mailbot.register import Register

ASK = "Kan ik een kopie van mijn gegevens krijgen? Het gaat om het zolderkamertje."


@pytest.fixture
async def asked(mail_user, smtp, tmp_path, monkeypatch):
    settings = settings_for(mail_user, smtp.port, tmp_path / "register")
    await turn(settings)
    mail_user.deliver(mail(ASK, sender=FROM, subject="inzage"))
    await turn(settings)
    (number,) = {case["number"] for case in cases(settings)}
    monkeypatch.setattr("mailbot.config.load", lambda *_args, **_parts: settings)
    return mail_user, smtp, settings, number


# Evidence


async def test_the_evidence_says_what_was_done_when_and_nothing_of_the_contents(asked):
    _, smtp, settings, number = asked
    say(settings, number, Word("identity"), Word("answer"))
    await turn(settings)
    text = "\n".join(trial.evidence(number, None))
    (first, last) = smtp.to(JAN)
    for wanted in ("Wat er kwam", "Het gaat om: inzage\n", "binnen de beloofde vier weken", "beantwoord",
                   first["Message-ID"], last["Message-ID"], "250 queued"):  # fmt: skip
        assert wanted in text
    for hidden in (JAN, "Kwartel", "zolderkamertje"):
        assert hidden not in text


async def test_anybody_can_check_the_chain_from_the_file_alone(asked):
    number = asked[-1]
    text = "\n".join(trial.evidence(number, None))
    texts = re.findall(r"^tekst (.*)$", text, re.MULTILINE)
    hashes = re.findall(r"^hash  (.*)$", text, re.MULTILINE)
    assert len(texts) == len(hashes) >= 3
    assert [hashlib.sha256(one.encode()).hexdigest() for one in texts] == hashes
    assert [json.loads(one)[0] for one in texts] == [number, *hashes[:-1]]


async def test_of_an_erased_case_the_evidence_shows_what_is_left(mail_user, smtp, tmp_path, monkeypatch):
    settings = settings_for(mail_user, smtp.port, tmp_path / "register")
    await turn(settings)
    mail_user.deliver(mail("Verwijder al mijn gegevens.", sender=FROM, subject="wissen"))
    await turn(settings)
    monkeypatch.setattr("mailbot.config.load", lambda *_args, **_parts: settings)
    (number,) = {case["number"] for case in cases(settings)}
    say(settings, number, *ANSWERED)
    await turn(settings)
    seal = re.findall(r"^hash  (.*)$", "\n".join(trial.evidence(number, None)), re.MULTILINE)[-1]
    say(settings, number, Word("close", erase=True))
    await turn(settings)
    text = "\n".join(trial.evidence(number, None))
    assert "verwijdering: uitgevoerd" in text
    assert "opdracht om te wissen" in text
    assert re.search(r"\b[0-9a-f]{64}\b", text)
    assert seal not in text  # closing and the order came after it
    assert JAN not in text


# The archive


async def test_the_archive_holds_the_persons_messages_and_facts_and_nobody_elses(asked, tmp_path):
    login, smtp, settings, number = asked
    (letter,) = smtp.to(JAN)
    other = mail("Jan vroeg mij te reageren", sender="Piet <piet@example.org>", subject="Re: " + letter["Subject"],
                 headers=f"In-Reply-To: {letter['Message-ID']}\r\n")  # fmt: skip
    login.deliver(other)
    big = EmailMessage()
    big["From"], big["To"], big["Subject"], big["Message-ID"] = (
        FROM,
        "info@kosternet.nl",
        f"[{number}] =1+1",
        "<b@x.nl>",
    )
    big.set_content("Hierbij een foto.")
    big.add_attachment(b"\x89PNG" + b"x" * 400_000, maintype="image", subtype="png", filename="foto.png")
    login.deliver(big.as_bytes())
    login.deliver(mail("Hoe laat zijn jullie open?", sender="Kees <kees@example.org>"))
    await turn(settings)
    say(settings, number, Word("identity"))
    file = tmp_path / "jan.zip"
    archive = await export_to(number, file, None)
    assert file.stat().st_mode & 0o077 == 0
    assert archive.left_out == 1
    with zipfile.ZipFile(file) as found:
        assert found.testzip() is None
        names = found.namelist()
        contents = {name: found.read(name) for name in names}
    assert {"LEESMIJ.txt", "gegevens.json", "berichten.csv", "verwerkers.csv"} < set(names)
    assert len([name for name in names if name.endswith(".eml")]) == len(archive.rows) == 3
    assert any(b"zolderkamertje" in raw for raw in contents.values())
    assert any(len(raw) > 500_000 for raw in contents.values())  # whole, not as it was judged
    assert not any(b"piet@example.org" in raw or b"kees@" in raw for raw in contents.values())
    facts = json.loads(contents["gegevens.json"])
    assert facts["person"]["address"] == JAN
    assert [case["number"] for case in facts["requests"]] == [number]
    assert next(one["name"] for one in facts["processors"]) == "Dolibarr"
    assert number in contents["LEESMIJ.txt"].decode()
    assert contents["berichten.csv"].startswith("\ufeff".encode())
    assert not list(tmp_path.glob("*.part"))


async def test_the_archive_is_in_the_persons_language(asked, tmp_path):
    _, _, settings, number = asked
    register = Register.open(settings_directory(settings))
    record, case = owner.find(register, number)
    with register.transaction():
        register.commit(replace(record, cases=(replace(case, language="en"),)))
    register.close()
    say(settings, number, Word("identity"))
    await export_to(number, tmp_path / "jan.zip", None)
    with zipfile.ZipFile(tmp_path / "jan.zip") as found:
        assert "This is the copy of your data" in found.read("README.txt").decode()


async def test_no_archive_goes_over_a_file_or_out_before_the_identity_is_known(asked, tmp_path):
    _, _, settings, number = asked
    file = tmp_path / "jan.zip"
    with pytest.raises(Refused, match="identity was asked"):
        await export_to(number, file, None)
    say(settings, number, Word("identity"))
    file.write_bytes(b"iets anders")
    with pytest.raises(Refused, match="exists already"):
        await export_to(number, file, None)
    assert file.read_bytes() == b"iets anders"
    assert list(tmp_path.glob("*.part")) == []


async def test_an_export_that_breaks_off_leaves_nothing(asked, tmp_path, monkeypatch):
    _, _, settings, number = asked
    say(settings, number, Word("identity"))
    app = open_app(settings, daemon=False)
    await app.world.imap.call(app.world.imap.mailbox.connect)

    def broken(_folder):
        yield "x", b"From: a@b.nl\r\n\r\n", app.world.now()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(app.world.imap.mailbox, "whole", broken)
    with pytest.raises(Exception, match="No space"):
        await export(app.world, app.house, number, tmp_path / "jan.zip")
    await app.close()
    assert list(tmp_path.glob("jan.zip*")) == []


async def test_a_case_that_asks_for_no_copy_gets_no_archive(mail_user, smtp, tmp_path, monkeypatch):
    settings = settings_for(mail_user, smtp.port, tmp_path / "register")
    await turn(settings)
    mail_user.deliver(mail("Mijn adres klopt niet, kunt u mijn gegevens verbeteren?", sender=FROM, subject="correctie"))
    await turn(settings)
    monkeypatch.setattr("mailbot.config.load", lambda *_args, **_parts: settings)
    (number,) = {case["number"] for case in cases(settings)}
    with pytest.raises(Refused, match="asks for no copy"):
        await export_to(number, tmp_path / "jan.zip", None)


async def test_a_file_that_came_meanwhile_is_left_as_it_is(asked, tmp_path, monkeypatch):
    _, _, settings, number = asked
    say(settings, number, Word("identity"))
    app = open_app(settings, daemon=False)
    await app.world.imap.call(app.world.imap.mailbox.connect)
    file = tmp_path / "jan.zip"

    def meanwhile(_folder):
        file.write_bytes(b"anders")
        return iter(())

    monkeypatch.setattr(app.world.imap.mailbox, "whole", meanwhile)
    with pytest.raises(Refused, match="exists already"):
        await export(app.world, app.house, number, file)
    await app.close()
    assert file.read_bytes() == b"anders"
    assert list(tmp_path.glob("*.part")) == []
