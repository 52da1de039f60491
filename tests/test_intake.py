"""Requests by phone, post and counter: their own moment, the client's own file, a letter where there is an address."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from fixtures.house import ZONE, cases, mail, settings_for, turn

from mailbot import owner
from mailbot.config import LettersSettings
from mailbot.errors import Refused
from mailbot.house import desk_of, furnish
from mailbot.intake import Told

PERSON = "jan@example.nl"


def told(**parts):
    early = datetime.now(ZONE) - timedelta(hours=30)
    return Told(**{"channel": "phone", "received": early, "address": PERSON, "kinds": ("access",), **parts})


def taken_in(settings, one, name=""):
    house = furnish(settings)
    register = owner.open_register(settings)
    try:
        return owner.intake(register, one, desk_of(settings), house.reader.policy, datetime.now(ZONE), name)
    finally:
        register.close()


@pytest.fixture
async def settings(mail_user, smtp, tmp_path):
    found = settings_for(mail_user, smtp.port, tmp_path)
    await turn(found)
    return found


async def test_a_call_is_acknowledged_by_mail_and_its_term_starts_when_it_came(settings, smtp):
    call = told(address="Jan@Example.nl")
    found = taken_in(settings, call)
    assert "at the next look" in found.about
    await turn(settings)
    (row,) = cases(settings)
    assert (row["channel"], row["received"][:16]) == ("phone", call.received.isoformat()[:16])
    assert row["promise"] == (call.received.date() + timedelta(days=28)).isoformat()
    (letter,) = smtp.to(PERSON)
    assert letter["X-Mailbot"] == "identity", "a voice on the phone proves nothing"
    text = letter.get_body(("plain",)).get_content()
    assert "telefonische verzoek" in text
    assert row["state"] == "acknowledged"


async def test_a_known_client_is_not_asked_for_papers_and_never_where_none_may_be_asked(settings, smtp):
    register = owner.open_register(settings)
    with register.transaction():
        register.commit(replace(register.new_client(PERSON), on_file=True, name="Jan"))
    register.close()
    taken_in(settings, told())
    taken_in(settings, told(address="els@example.org", kinds=("objection",)))
    await turn(settings)
    assert [one["X-Mailbot"] for one in smtp.to(PERSON)] == ["acknowledgement"]
    assert [one["X-Mailbot"] for one in smtp.to("els@example.org")] == ["acknowledgement"]


async def test_without_an_address_no_letter_goes_and_it_says_so(settings, smtp):
    found = taken_in(settings, told(channel="post", address=""), name="Mevrouw Mol")
    assert "no mail address" in found.about
    assert "confirm it yourself" in found.about
    await turn(settings)
    assert smtp.raw == []
    (row,) = cases(settings)
    assert row["state"] == "open"
    assert row["events"][-1]["event"] == "acknowledgement_held"


async def test_hold_caps_and_addresses_of_nobody_are_respected(settings, smtp):
    held = replace(settings, letters=LettersSettings(hold=True))
    assert "waits for you" in taken_in(held, told()).about
    assert "no person" in taken_in(settings, told(address="noreply@example.org")).about
    for place in range(3):
        taken_in(settings, told(address="veel@example.org", kinds=(("access", "erasure", "objection")[place],)))
    assert "letters for today" in taken_in(settings, told(address="veel@example.org", kinds=("portability",))).about
    await turn(settings)
    assert smtp.to(PERSON) == []
    assert len(smtp.to("veel@example.org")) == 3


async def test_who_calls_about_his_mail_joins_his_case(settings, mail_user, smtp):
    mail_user.deliver(mail("Ik wil inzage in mijn gegevens.", sender=PERSON))
    await turn(settings)
    found = taken_in(settings, told())
    assert found.number == cases(settings)[0]["number"]
    assert "terms run on" in found.about
    await turn(settings)
    assert len(cases(settings)) == 1
    assert len(smtp.to(PERSON)) == 1
    assert cases(settings)[0]["events"][-1]["event"] == "reminded"


async def test_what_cannot_be_is_refused(settings):
    with pytest.raises(Refused, match="future"):
        taken_in(settings, told(received=datetime.now(ZONE) + timedelta(hours=1)))
    with pytest.raises(Refused, match="no mail address"):
        taken_in(settings, told(address="jan at example"))
    old = told(received=datetime.now(ZONE) - timedelta(days=40))
    assert "over already" in taken_in(settings, old).about
