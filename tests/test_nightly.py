"""A mailbox that is checked: the nightly count, and what stops letters until the owner has looked."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fixtures.house import ZONE, mail, sealed, settings_for, turn, with_limits

from mailbot import owner
from mailbot.client import Filing
from mailbot.config import Overrides
from mailbot.errors import TryLater
from mailbot.register import Register

OWNER = "geert@kosternet.example"
ACCESS = "Ik wil graag inzage in mijn gegevens."


def at_night(days):
    """Four in the morning, so many days from now."""
    moment = (datetime.now(ZONE) + timedelta(days=days)).replace(hour=4, minute=0)
    return lambda: moment


def notices(smtp, name):
    return [m for m in smtp.to(OWNER) if m["X-Mailbot"] == name]


def cases(directory):
    register = Register.open(directory)
    found = Counter(record.address for record in register.clients() for _ in record.cases)
    register.close()
    return found


def pass_over(directory, count):
    """Move the water mark past messages that were not looked at."""
    register = Register.open(directory)
    with register.transaction():
        watch = register.office.watch
        register.commit_office(replace(register.office, watch=replace(watch, next_uid=watch.next_uid + count)))
    register.close()


async def test_a_message_that_was_passed_over_has_its_case_after_the_night_and_the_owner_knows(
    mail_user, smtp, tmp_path
):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail(ACCESS))
    mail_user.deliver(mail("Hoe laat zijn jullie open?", sender="piet@example.org"))
    pass_over(tmp_path, 2)
    assert (await turn(settings)).gaps == 0, "it is not night yet"
    assert (await turn(settings, at_night(1))).gaps == 1
    assert cases(tmp_path) == {"jan@example.nl": 1}
    assert len(smtp.to("jan@example.nl")) == 1
    (notice,) = notices(smtp, "notice-gap")
    assert "1 bericht in de inbox" in notice.get_body(("plain",)).get_content()
    assert (await turn(settings, at_night(2))).gaps == 0
    assert len(notices(smtp, "notice-gap")) == 1
    mail_user.deliver(mail(ACCESS, sender="mia@example.org"))
    pass_over(tmp_path, 1)
    assert (await turn(settings, at_night(3))).gaps == 1
    assert len(notices(smtp, "notice-gap")) == 2


async def test_an_empty_folder_of_a_running_case_is_told_once_and_tidying_up_is_not(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    for person in ("jan@example.nl", "piet@example.org"):
        mail_user.deliver(mail(ACCESS, sender=person))
    mail_user.deliver(mail("Hoe laat zijn jullie open?", sender="kees@example.org"))
    await turn(settings)
    with mail_user.client() as client:
        client.delete_folder("Klanten/jan@example.nl")
        client.select_folder("Klanten/piet@example.org")
        client.delete_messages([1])  # one of two: the owner tidied up
        client.expunge()
        client.select_folder("INBOX")
        client.delete_messages(client.search())
        client.expunge()
    assert [(await turn(settings, at_night(day))).gaps for day in (1, 2)] == [1, 0]
    (notice,) = notices(smtp, "notice-gap")
    said = notice.get_body(("plain",)).get_content()
    assert "jan@example.nl" in said
    assert "piet@example.org" not in said
    assert b"jan@example.nl" not in (tmp_path / "office.json").read_bytes(), "an erasure must find no trace there"


@pytest.mark.parametrize(
    "clock", [datetime(1970, 1, 1, 0, 5, tzinfo=UTC), datetime(2036, 11, 24, 9, tzinfo=UTC)], ids=["1970", "ten years"]
)
async def test_a_clock_that_cannot_be_right_stops_everything_and_says_what_to_do(mail_user, smtp, tmp_path, clock):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail(ACCESS))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    with pytest.raises(TryLater, match="set the clock"):
        await turn(settings, lambda: clock.astimezone(ZONE))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before
    assert smtp.raw == []
    await turn(settings)
    assert len(smtp.to("jan@example.nl")) == 1


async def test_a_first_start_in_1970_is_no_first_start(mail_user, smtp, tmp_path):
    with pytest.raises(TryLater, match="set the clock"):
        await turn(settings_for(mail_user, smtp.port, tmp_path), lambda: datetime(1970, 1, 1, tzinfo=ZONE))


async def test_the_owner_can_vouch_for_a_clock(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    later = datetime.now(ZONE) + timedelta(days=500)
    register = owner.open_register(settings)
    owner.release(register, None, later)
    register.close()
    await turn(settings, lambda: later)


async def test_a_mailbox_made_anew_is_matched_by_its_bytes_and_acknowledges_nothing_twice(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    settings = replace(settings, imap=replace(settings.imap, inbox="Post"))
    mails = [mail(ACCESS), sealed("piet@example.org"), mail("Hoe laat open?", sender="kees@example.org")]

    def filled(client):
        client.create_folder("Post")
        for raw in mails:
            client.append("Post", raw)

    with mail_user.client() as client:
        client.create_folder("Post")
        await turn(settings)
        for raw in mails:
            client.append("Post", raw)
        await turn(settings)
        first = client.select_folder("Post")[b"UIDVALIDITY"]
        client.select_folder("INBOX")
        client.delete_folder("Post")
        filled(client)  # as a mailbox put back from a backup: the request that was filed is there again
        assert client.select_folder("Post")[b"UIDVALIDITY"] != first
        client.unselect_folder()
    opened, letters = cases(tmp_path), len(smtp.to("jan@example.nl"))
    await turn(settings)
    assert len(notices(smtp, "notice-stop")) == 1
    register = owner.open_register(settings)
    owner.release(register, None)
    seen = [one for record in register.clients() for one in record.messages]
    register.close()
    await turn(settings)
    assert cases(tmp_path) == opened == {"jan@example.nl": 1, "piet@example.org": 1}
    assert len(smtp.to("jan@example.nl")) == letters == 1
    assert {one.filing for one in seen} == {Filing.FILED, Filing.NONE}
    assert [len(mail_user.folder(name)) for name in ("Post", "Klanten/jan@example.nl")] == [2, 3]


async def test_a_flood_stops_the_letters_and_asks_once(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path / "register")
    rules = with_limits(tmp_path, requests_hour=4, domain_day=500)
    settings = replace(settings, overrides=Overrides(rules=str(rules)))
    await turn(settings)
    people = [f"persoon{place}@example.nl" for place in range(8)]
    for person in people:
        mail_user.deliver(mail(ACCESS, sender=person))
    await turn(settings)
    await turn(settings)
    assert sum(len(smtp.to(person)) for person in people) <= 4
    assert len(notices(smtp, "notice-stop")) == 1
    assert cases(tmp_path / "register") == Counter(people), "each has its case all the same"
    register = owner.open_register(settings)
    owner.release(register, None)
    register.close()
    await turn(settings)
    assert [len(smtp.to(person)) for person in people] == [1] * 8


async def test_a_mailbox_that_is_suddenly_empty_stops_the_letters(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path / "register")
    settings = replace(settings, overrides=Overrides(rules=str(with_limits(tmp_path, emptied_from=3))))
    await turn(settings)
    for place in range(4):
        mail_user.deliver(mail(f"Hoe laat zijn jullie open? {place}", sender="kees@example.org"))
    await turn(settings)
    with mail_user.client() as client:
        client.select_folder("INBOX")
        client.delete_messages(client.search())
        client.expunge()
    await turn(settings)
    mail_user.deliver(mail(ACCESS))
    await turn(settings)
    assert smtp.to("jan@example.nl") == []
    assert len(notices(smtp, "notice-stop")) == 1
