"""Automatic mail: what it is, that nothing of it is answered, and that our own letters that come back are told."""

import tomllib
from pathlib import Path

import pytest
from fixtures.house import mail, opened, settings_for, turn

from mailbot import data
from mailbot.answerable import reply_refusal
from mailbot.config import Organisation, Settings
from mailbot.errors import OwnerMustFix
from mailbot.house import furnish
from mailbot.rules import parse

MAILS = tomllib.loads(Path(__file__).with_name("quotes").joinpath("automatic.toml").read_text(encoding="utf-8"))["mail"]
HOUSE = furnish(Settings(organisation=Organisation("KosterNET", "info@kosternet.nl", (), "geert@kosternet.example")))
ORIGINAL = """Message-ID: {id}
From: info@kosternet.nl
To: jan@example.nl
Subject: Wij hebben uw bericht ontvangen

U vroeg om inzage en verwijdering van al uw gegevens."""


def raw(sample, identity="<abc@kosternet.nl>"):
    text = sample["text"].replace("{original}", ORIGINAL).replace("{id}", identity)
    return text.replace("\n", "\r\n").encode()


@pytest.mark.parametrize("sample", MAILS, ids=lambda sample: sample["name"])
def test_automatic_mail_is_recognised_and_never_answered(sample):
    message = HOUSE.reader.read(raw(sample))
    verdict = HOUSE.reader.classify(message)
    assert verdict.automatic == sample["is"]
    assert verdict.decision == sample.get("decision", "other"), verdict.evidence
    assert reply_refusal(message, verdict, HOUSE.reader.policy)


BACK = [sample for sample in MAILS if sample.get("back")]
NOT_BACK = [sample for sample in MAILS if sample["is"] in {"delay", "receipt", "auto-reply"}]


async def asked_and_answered(mail_user, smtp, tmp_path):
    """A case with a sent acknowledgement, and its Message-ID."""
    settings = settings_for(mail_user, smtp.port, tmp_path / "register")
    await turn(settings)
    mail_user.deliver(mail("Graag ontvang ik inzage in al mijn persoonsgegevens."))
    await turn(settings)
    app = opened(settings)
    record = app.world.register.client("jan@example.nl")
    number, identity = record.cases[0].number, record.letters[0].message_id
    await app.close()
    return settings, number, identity


async def record_after(samples, mail_user, smtp, tmp_path):
    """The client's record once all of these came back for the letter that was sent."""
    settings, number, identity = await asked_and_answered(mail_user, smtp, tmp_path)
    for sample in samples:
        mail_user.deliver(raw(sample, identity).replace(b"KN-2026-0001", number.encode()))
    await turn(settings)
    app = opened(settings)
    record = app.world.register.client("jan@example.nl")
    await app.close()
    return record


async def test_every_bounce_of_our_letter_is_tied_to_its_case_and_told_once(mail_user, smtp, tmp_path):
    record = await record_after(BACK, mail_user, smtp, tmp_path)
    bounces = [event for event in record.cases[0].events if event.event == "bounced"]
    assert len(bounces) == len(BACK)
    assert [one.letter for one in record.letters] == ["identity", "notice_bounce"]  # told once, whatever comes back


async def test_what_did_not_come_back_is_not_told_as_if_it_did(mail_user, smtp, tmp_path):
    record = await record_after(NOT_BACK, mail_user, smtp, tmp_path)
    assert [one.letter for one in record.letters] == ["identity"]
    assert len(list(record.cases)) == 1


def test_a_row_that_contradicts_its_examples_stops_the_start_with_its_file_and_line():
    files = data.phrases(data.texts("rules"))
    row = '\n\n[[header]]\nname = "x"\nvalue = "^x"\nis = "list"\nmatches = ["y"]\nignores = ["x"]\n'
    broken = '[[header]]\nname = "x"\nvalue = "("\nis = "list"\n'
    with pytest.raises(OwnerMustFix) as caught:
        parse({**files, "eigen.toml": row + broken})
    assert [one.split(" ")[0] for one in caught.value.problems] == ["rules/eigen.toml:3:"] * 2 + ["rules/eigen.toml:9:"]
