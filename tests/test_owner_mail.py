"""The owner works by mail: his links are followed once, and nobody else's."""

import re
from email.message import EmailMessage
from urllib.parse import parse_qs, urlsplit

import pytest
from fixtures.house import settings_for, turn

from mailbot import owner, tokens

OWNER = "geert@kosternet.example"
DOUBT = "Goedemiddag, klacht over hoe het ging met mijn gegevens? Groet, Jan"
SECRET = b"geheim"


def buttons(mail):
    """The links of a notice: label of the action -> mailto."""
    page = mail.get_body(("plain",)).get_content()
    found = re.findall(r"mailto:\S+", page)
    return {parse_qs(urlsplit(one).query)["subject"][0].split()[1]: one for one in found}


def clicked(link, sender=OWNER, reason=""):
    """The mail a phone makes of a link."""
    parts = parse_qs(urlsplit(link).query)
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, "info@kosternet.nl", parts["subject"][0]
    mail.set_content(reason or parts.get("body", [""])[0] or "\n")
    return mail.as_bytes()


def cases(settings):
    register = owner.open_register(settings)
    found = list(owner.cases(register, only_open=False))
    register.close()
    return found


@pytest.fixture
async def house(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    objection = b"From: Jan <jan@example.nl>\r\nTo: info@kosternet.nl\r\nSubject: bezwaar\r\n\r\nIk maak bezwaar tegen het gebruik van mijn gegevens voor reclame.\r\n"  # noqa: E501 - one mail
    mail_user.deliver(objection)
    await turn(settings)
    return mail_user, smtp, settings


def last_notice(smtp):
    return smtp.to(OWNER)[-1]


async def say(house, link, **parts):
    mail_user, smtp, settings = house
    mail_user.deliver(clicked(link, **parts))
    await turn(settings)
    return last_notice(smtp)


async def test_a_click_is_followed_and_its_letter_waits_for_a_second_one(house):
    _, smtp, settings = house
    links = buttons(last_notice(smtp))
    assert set(links) == {"answer", "extend", "refuse", "no-request"}
    told = await say(house, links["answer"])
    assert cases(settings)[0]["state"] == "answered"
    assert [m["X-Mailbot"] for m in smtp.to("jan@example.nl")] == ["acknowledgement"]
    await say(house, buttons(told)["release"])
    assert [m["X-Mailbot"] for m in smtp.to("jan@example.nl")] == ["acknowledgement", "outcome-done"]


async def test_what_cannot_be_taken_back_is_asked_twice(house):
    _, smtp, settings = house
    told = await say(house, buttons(last_notice(smtp))["no-request"])
    assert cases(settings)[0]["state"] == "acknowledged"
    assert "zeker" in told.get_body(("plain",)).get_content()
    await say(house, buttons(told)["no-request!"])
    assert cases(settings)[0]["state"] == "no_request"


async def test_a_refusal_needs_its_reason(house):
    _, smtp, settings = house
    link = buttons(last_notice(smtp))["refuse"]
    told = await say(house, link)
    assert "schrijf de reden" in told.get_body(("plain",)).get_content()
    assert cases(settings)[0]["state"] == "acknowledged"


async def test_a_link_works_once_and_only_for_the_owner(house):
    _, smtp, settings = house
    link = buttons(last_notice(smtp))["answer"]
    told = await say(house, link, sender="dief@example.org")
    assert "niet van het adres van de eigenaar" in told.get_body(("plain",)).get_content()
    assert cases(settings)[0]["state"] == "acknowledged"
    await say(house, link)
    told = await say(house, link, reason="nog eens")
    assert "al een keer gebruikt" in told.get_body(("plain",)).get_content()


async def test_a_forged_token_does_nothing_and_leaves_a_trace(house):
    _, smtp, settings = house
    link = buttons(last_notice(smtp))["answer"]
    told = await say(house, link.replace("answer", "close"))
    assert "klopt niet" in told.get_body(("plain",)).get_content()
    assert cases(settings)[0]["state"] == "acknowledged"


async def test_no_token_goes_to_anybody_but_the_owner(house):
    _, smtp, _ = house
    await say(house, buttons(last_notice(smtp))["answer"])
    for mail, (_, to) in zip(smtp.mails, smtp.envelopes, strict=True):
        if to != [OWNER]:
            assert not tokens.TOKEN.search(mail.as_string())


def test_a_token_is_for_one_action_on_one_case():
    token = tokens.issue(SECRET, "KN-2026-0001", "answer", "x")
    assert tokens.valid(SECRET, "KN-2026-0001", "answer", f"[..] {token.upper()}") == token
    assert tokens.valid(SECRET, "KN-2026-0002", "answer", token) is None
    assert tokens.valid(SECRET, "KN-2026-0001", "close", token) is None
    assert tokens.valid(b"anders", "KN-2026-0001", "answer", token) is None
