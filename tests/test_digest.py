"""The overview: what is open, what happened, what waits with a button, how mailbot is; the same in text and HTML."""

import re
from datetime import datetime, timedelta
from html import unescape

import golden
import pytest
from fixtures.house import ZONE, Clock, mail, settings_for, turn
from test_case import NOW, after, days_after, opened
from test_owner_mail import OWNER, buttons, clicked

from mailbot import digest, due, standing
from mailbot.app import open_app
from mailbot.case import Event
from mailbot.client import ClientRecord, LetterState, QueuedLetter
from mailbot.config import OwnerSettings
from mailbot.record import with_event
from mailbot.ticks import facts_now

SINCE = NOW - timedelta(days=30)
HEALTH = digest.Health(SINCE, SINCE, seen=7)


def facts(*records, now=NOW, last=NOW - timedelta(days=1), health=HEALTH):
    return digest.facts(records, health, now, last, lambda *_: [], lambda number, letter: f"mailto:{number}-{letter}")


def letter(state, name="outcome_done", **parts):
    return QueuedLetter("<a@b>", name, "person", "jan@example.nl", "nl", "KN-2026-0001", {}, NOW, state=state, **parts)


def test_it_tells_what_is_open_what_went_out_and_what_waits():
    record = ClientRecord(
        "x",
        "jan@example.nl",
        cases=(after(opened(), "acknowledged"),),
        letters=(letter(LetterState.HELD), letter(LetterState.SENT, "acknowledgement", settled=NOW)),
    )
    found = facts(record)
    (case,) = found["cases"]
    assert (case["left_days"], case["until"], case["legal_limit"]) == (28, "2026-12-23", "2026-12-28")
    assert [one["href"] for one in found["waiting"]] == ["mailto:KN-2026-0001-outcome_done"]
    assert [one["letter"] for one in found["sent"]] == ["acknowledgement"]
    assert [one["number"] for one in found["fresh"]] == ["KN-2026-0001"]
    assert digest.something_to_say(found)
    assert not facts(record, last=NOW)["sent"], "once told, it is not told again"


def test_a_suspension_is_told_beside_the_unsuspended_date():
    case = after(opened(), "identity_asked", "suspended")
    row = facts(ClientRecord("x", "jan@example.nl", cases=(case,)))["cases"][0]
    assert (row["suspended_since"], row["legal_limit"]) == ("2026-11-25", "2026-12-28")
    case = after(case, "identity_confirmed", "resumed", at=days_after(9))
    row = facts(ClientRecord("x", "jan@example.nl", cases=(case,)))["cases"][0]
    assert (row["suspended_to"], row["legal_limit"]) == ("2027-01-04", "2026-12-28")


@pytest.mark.parametrize(
    ("day", "something", "goes"),
    [(23, False, True), (24, False, False), (24, True, True), (28, True, False), (30, False, True)],
)
def test_mondays_always_comes_and_another_working_days_when_there_is_something(day, something, goes):
    at = datetime(2026, 11, day, 8, 30, tzinfo=ZONE)
    assert due.digest_due(at, at, (), something=something) is goes
    assert not due.digest_due(at - timedelta(minutes=1), at, (), something=something)
    assert not due.digest_due(at, at, (at.date().isoformat(),), something=something)


def test_a_monday_that_is_a_holiday_has_its_sign_of_life():
    easter = datetime(2027, 3, 29, 8, 30, tzinfo=ZONE)
    assert due.digest_due(easter, easter, (), something=False)


def plain_words(text):
    return set(re.findall(r"\w{3,}", text.casefold()))


def test_text_and_page_say_the_same():
    for name, one in golden.letters():
        if name not in {"nl-digest", "nl-notice_warning", "nl-notice_answer_seen", "nl-notice_word"}:
            continue
        page = one.get_body(("html",)).get_content().partition("<body")[2].partition(">")[2]
        shown = plain_words(unescape(re.sub(r"<[^>]*>", " ", page)))
        written = plain_words(re.sub(r"mailto:\S+", " ", one.get_body(("plain",)).get_content()))
        assert shown - {"kosternet", "2026", "0012"} <= written, name
        assert written <= shown, name
        assert set(re.findall(r'href="(mailto:[^"]+)"', page)) == set(
            re.findall(r"mailto:\S+", one.get_body(("plain",)).get_content())
        ), name


async def test_the_overview_leads_a_case_by_its_links_and_lets_a_letter_go(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path, owner=OwnerSettings(digest="00:00"))
    clock = Clock()
    await turn(settings, clock)
    mail_user.deliver(
        mail("Ik maak bezwaar tegen het gebruik van mijn gegevens voor reclame.", sender="jan@example.nl")
    )
    await turn(settings, clock)
    clock.offset = timedelta(days=7 - datetime.now(ZONE).weekday())
    await turn(settings, clock)
    overview = [one for one in smtp.to(OWNER) if one["X-Mailbot"] == "digest"][-1]
    links = buttons(overview)
    assert set(links) == {"answer", "extend"}
    mail_user.deliver(clicked(links["answer"]))
    await turn(settings, clock)
    clock.forward(days=7)
    await turn(settings, clock)
    overview = [one for one in smtp.to(OWNER) if one["X-Mailbot"] == "digest"][-1]
    assert set(buttons(overview)) == {"release-outcome-done"}
    mail_user.deliver(clicked(buttons(overview)["release-outcome-done"]))
    await turn(settings, clock)
    assert smtp.to("jan@example.nl")[-1]["X-Mailbot"] == "outcome-done"


async def test_it_tells_since_when_the_mailbox_answers_and_what_is_wrong(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    app = open_app(settings, daemon=False)
    before = facts_now(app.world, app.world.now())
    assert (before["reconnects"], before["healthy"]) == (0, before["since"])
    standing.troubled(app.world, standing.MAILBOX, "away")
    assert [one["what"] for one in facts_now(app.world, app.world.now())["troubles"]] == ["mailbox"]
    standing.over(app.world, standing.MAILBOX)
    found = facts_now(app.world, app.world.now())
    assert found["reconnects"] == 1
    assert found["healthy"] > before["healthy"]
    assert found["troubles"] == []
    await app.close()


async def test_the_letter_that_says_it_will_be_late_waits_for_the_owner_and_takes_his_reason(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    clock = Clock()
    await turn(settings, clock)
    mail_user.deliver(
        mail("Ik maak bezwaar tegen het gebruik van mijn gegevens voor reclame.", sender="jan@example.nl")
    )
    await turn(settings, clock)
    clock.forward(days=28)
    await turn(settings, clock)
    warning = [one for one in smtp.to(OWNER) if one["X-Mailbot"] == "notice-warning"][-1]
    assert "promise-late" not in [one["X-Mailbot"] for one in smtp.to("jan@example.nl")], "never unasked"
    mail_user.deliver(clicked(buttons(warning)["release-promise-late"], reason="wij zoeken nog in het archief"))
    await turn(settings, clock)
    late = smtp.to("jan@example.nl")[-1]
    assert late["X-Mailbot"] == "promise-late"
    assert "wij zoeken nog in het archief" in late.get_body(("plain",)).get_content()


def test_a_late_letter_that_waits_is_dropped_once_there_is_an_answer():
    case = after(opened(), "acknowledged")
    record = ClientRecord("x", "jan@example.nl", cases=(case,), letters=(letter(LetterState.HELD, "promise_late"),))
    after_answer = with_event(record, case.number, Event(NOW, "answered", "r"))
    assert after_answer.letters[0].state is LetterState.DROPPED
