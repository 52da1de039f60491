"""What the owner corrects teaches the rules: examples without names, a comparison, and the review folder."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from click.testing import CliRunner
from fixtures.house import Clock, mail, opened, settings_for, turn

from mailbot import owner
from mailbot.app import desk_of
from mailbot.casework import Word
from mailbot.cli import mailbot
from mailbot.client import ClientRecord, Example
from mailbot.config import Organisation, Settings
from mailbot.examples import Keeping, compare, expired, kept_words, summary
from mailbot.house import furnish
from mailbot.register import Register
from mailbot.rules import parse

HOUSE = furnish(Settings(organisation=Organisation("KosterNET", "info@kosternet.nl", (), "geert@kosternet.example")))
LETTER = """Beste Geert,

Ik ben Pieternel Zuidwijk, wonend aan de Kerkstraat 12 te Lutjebroek, klantnummer 88123.
Graag wil ik op grond van artikel 17 AVG dat u al mijn gegevens wist. Mijn adres is nel@zuidwijk.example
en mijn site is https://zuidwijk.example/over-mij.

Met vriendelijke groet,
pieternel zuidwijk
06-12345678
lutjebroek"""


def kept(text, sender="Pieternel Zuidwijk <nel@zuidwijk.example>", subject="verzoek van Pieternel, klant 88123"):
    return kept_words(HOUSE.reader.read(mail(text, sender=sender, subject=subject)), HOUSE.rules, HOUSE.limits.keeping)


def test_an_example_keeps_the_words_of_the_request_and_nobodys_name_number_or_address():
    subject, text = kept(LETTER)
    for gone in ("pieternel", "zuidwijk", "kerkstraat", "12", "lutjebroek", "88123", "@", "http", "06"):
        assert gone not in f"{subject} {text}".lower()
    assert "graag wil ik op grond van artikel 17" in text
    assert "al mijn gegevens wist" in text
    assert len(text.split()) <= HOUSE.limits.keeping.words


def test_names_in_small_letters_and_mails_in_capitals_are_kept_no_better():
    _, text = kept("ik ben pieternel zuidwijk en wil mijn gegevens wissen")
    assert "zuidwijk" not in text
    assert "mijn gegevens wissen" in text
    _, text = kept("IK BEN TEUNTJE OOSTERBROEK EN WIL MIJN GEGEVENS WISSEN", sender="t@example.nl")
    assert "oosterbroek" not in text
    assert "mijn gegevens wissen" in text


@pytest.mark.parametrize("kinds", [("erasure",), ()])
def test_an_example_is_judged_as_its_mail_was(kinds):
    text = "Graag al mijn gegevens wissen." if kinds else "Kunt u een offerte sturen voor een laptop?"
    subject, words = kept(f"{text}\n\nGroet, Nel")
    example = Example("d", Clock()(), subject, words, kinds, (), "nl")
    assert [one.right for one in compare([example], HOUSE.rules)] == [True]


def test_a_watched_rule_can_be_tried_on_the_examples_before_it_counts():
    example = Example("d", Clock()(), "", "de haring zwemt in zee", ("erasure",), (), "nl")
    rule = (
        '[class.herring]\nnl = "haring"\n[[rule]]\nid = "x"\nkind = "erasure"\nall = ["herring"]\nweight = 0.95\n'
        "watch = true\n"
    )
    from mailbot import data  # noqa: PLC0415 - here alone

    rules = parse({**data.phrases(data.texts("rules")), "own.toml": rule})
    assert summary(compare([example], rules)) == {"examples": 1, "right": 0, "right_with_watched": 1}


def test_an_example_is_forgotten_in_time():
    now = Clock()()
    old, young = (
        Example(name, now - timedelta(days=days), "", "x", (), (), "nl") for name, days in (("a", 400), ("b", 3))
    )
    record = ClientRecord("x", "nel@zuidwijk.example", examples=(old, young))
    assert expired(record, now, Keeping()).examples == (young,)


def configured(settings, folder):
    """The same settings as a file, for the command line."""
    imap, smtp = settings.imap, settings.smtp
    (folder / "secret").write_text("geheim")
    (folder / "secret").chmod(0o600)
    path = folder / "mailbot.toml"
    path.write_text(
        f"""[organisation]
name = "KosterNET"
address = "info@kosternet.nl"
owner = "geert@kosternet.example"
[imap]
host = "{imap.host}"
port = {imap.port}
security = "none"
username = "{imap.username}"
password_file = "{folder}/secret"
[smtp]
host = "127.0.0.1"
port = {smtp.port}
security = "none"
[register]
directory = "{settings.register.directory}"
"""
    )
    return str(path)


def said(settings, number, word):
    register = Register.open(owner.Path(settings.register.directory))
    owner.say(register, number, word, desk_of(settings), Clock()())
    register.close()


def record_of(settings, address="jan@example.nl"):
    register = Register.open(owner.Path(settings.register.directory))
    found = register.client(address)
    register.close()
    return found


async def test_a_correction_is_kept_compared_and_erased_with_the_client(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path / "register")
    await turn(settings)
    mail_user.deliver(mail("Graag ontvang ik inzage in al mijn persoonsgegevens. Jan de Boer, Kerkstraat 12"))
    await turn(settings)
    number = record_of(settings).cases[0].number
    said(settings, number, Word("kinds", kinds=("access", "erasure")))
    assert [one.text for one in record_of(settings).examples] == [""]
    await turn(settings)
    (example,) = record_of(settings).examples
    assert (example.was, example.kinds) == (("access",), ("access", "erasure"))
    assert "inzage in al mijn persoonsgegevens" in example.text
    assert "boer" not in example.text.lower()
    config = configured(settings, tmp_path)
    shown = CliRunner().invoke(mailbot, ["classify", "--compare", "--config", config])
    assert "WRONG" in shown.output
    assert "0 of 1 right" in shown.output
    shown = CliRunner().invoke(mailbot, ["case", number, "--kind", "erasrue", "--config", config])
    assert (shown.exit_code, "there is no kind erasrue" in shown.output) == (1, True)
    own = tmp_path / "own"
    own.mkdir()
    (own / "own.toml").write_text(
        '[[rule]]\nid = "x"\nkind = "erasure"\nall = ["data|personal_data"]\nweight = 0.95\n'
        'matches = ["al mijn persoonsgegevens"]\n'
    )
    shown = CliRunner().invoke(mailbot, ["classify", "--compare", "--json", "--rules", str(own), "--config", config])
    assert json.loads(shown.output)["right"] is True
    record, register = record_of(settings), Register.open(owner.Path(settings.register.directory))
    with register.transaction():
        register.erase(record, ())
    register.close()
    assert record_of(settings) is None


async def test_a_corrected_message_that_is_gone_teaches_nothing(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path / "register")
    await turn(settings)
    mail_user.deliver(mail("Graag ontvang ik inzage in al mijn persoonsgegevens."))
    await turn(settings)
    folder = record_of(settings).folder
    with mail_user.client() as client:
        client.select_folder(folder)
        client.delete_messages(client.search("ALL"))
        client.expunge()
    said(settings, record_of(settings).cases[0].number, Word("no-request"))
    await turn(settings)
    assert record_of(settings).examples == ()


ORDINARY = mail("Kunt u mij volgende week bellen over de haring?", subject="haring")


async def in_review(mail_user, smtp, tmp_path):
    """An ordinary mail that the owner moved to the review folder, seen by mailbot."""
    settings = settings_for(mail_user, smtp.port, tmp_path / "register")
    settings = replace(settings, imap=replace(settings.imap, review="Beoordelen"))
    await turn(settings)
    mail_user.deliver(ORDINARY)
    await turn(settings)
    assert record_of(settings) is None
    moved(mail_user, "INBOX", "Beoordelen")
    await turn(settings)
    return settings


def moved(mail_user, source, target):
    with mail_user.client() as client:
        client.select_folder(source)
        client.move(client.search("ALL"), target)


async def test_what_the_owner_moves_into_the_review_folder_is_put_to_him_as_a_case(mail_user, smtp, tmp_path):
    settings = await in_review(mail_user, smtp, tmp_path)
    await turn(settings)
    record = record_of(settings)
    assert [case.state for case in record.cases] == ["review"]
    assert [(one.letter, one.state) for one in record.letters] == [("notice_review", "sent")]
    assert "u heeft het zelf in de beoordelingsmap gezet" in smtp.mails[-1].get_body(("plain",)).get_content()
    said(settings, record.cases[0].number, Word("kinds", kinds=("objection",)))
    await turn(settings)
    (example,) = record_of(settings).examples
    assert example.kinds == ("objection",)
    assert "bellen over de haring" in example.text


async def test_what_comes_back_from_the_review_folder_is_no_request(mail_user, smtp, tmp_path):
    settings = await in_review(mail_user, smtp, tmp_path)
    moved(mail_user, "Beoordelen", "INBOX")
    await turn(settings)
    await turn(settings)
    record = record_of(settings)
    assert [case.state for case in record.cases] == ["no_request"]
    assert [one.letter for one in record.letters] == ["notice_review", "notice_word"]
    assert "geen privacyverzoek, want u heeft" in smtp.mails[-1].get_body(("plain",)).get_content().replace("\r\n", " ")
    assert [(one.kinds, bool(one.text)) for one in record.examples] == [((), True)]
    with mail_user.client() as client:
        client.select_folder("INBOX")
        assert len(client.search("ALL")) == 1
    moved(mail_user, "INBOX", "Beoordelen")
    await turn(settings)
    assert [case.state for case in record_of(settings).cases] == ["no_request", "review"]


async def test_a_request_moved_into_the_review_folder_is_asked_about_again_without_a_second_case(
    mail_user, smtp, tmp_path
):
    settings = settings_for(mail_user, smtp.port, tmp_path / "register")
    settings = replace(settings, imap=replace(settings.imap, review="Beoordelen"))
    await turn(settings)
    mail_user.deliver(mail("Graag ontvang ik inzage in al mijn persoonsgegevens."))
    await turn(settings)
    moved(mail_user, record_of(settings).folder, "Beoordelen")
    await turn(settings)
    record = record_of(settings)
    assert len(record.cases) == 1
    assert [one.letter for one in record.letters] == ["identity", "notice_review"]


async def test_what_lay_in_the_review_folder_before_is_nobodys_word(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path / "register")
    settings = replace(settings, imap=replace(settings.imap, review="Beoordelen"))
    with mail_user.client() as client:
        client.create_folder("Beoordelen")
        client.append("Beoordelen", ORDINARY)
    await turn(settings)
    await turn(settings)
    assert record_of(settings) is None


async def test_a_review_folder_made_anew_asks_nothing_twice(mail_user, smtp, tmp_path):
    settings = await in_review(mail_user, smtp, tmp_path)
    with mail_user.client() as client:
        client.rename_folder("Beoordelen", "Weg")
        client.create_folder("Beoordelen")
    moved(mail_user, "Weg", "Beoordelen")
    await turn(settings)
    record = record_of(settings)
    assert len(record.cases) == 1
    assert [one.letter for one in record.letters] == ["notice_review"]
    app = opened(settings)
    assert len(app.world.register.office.review.there) == 1
    await app.close()
