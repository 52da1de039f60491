"""What is due at one moment comes in one notice, once; a breach has a notice of its own. And what the owner reads."""

from dataclasses import replace
from datetime import timedelta

import golden
import pytest
from fixtures.house import Clock, mail, settings_for, turn
from test_case import LADDER, NOW, after, days_after, opened
from test_owner_mail import OWNER, buttons, cases, clicked

from mailbot import due, owner, ticks, wording
from mailbot.app import open_app
from mailbot.arrivals import stop_letters
from mailbot.client import ClientRecord, LetterState, QueuedLetter
from mailbot.record import Desk

DESK = Desk("kosternet.nl", OWNER, "nl")
WORDS = golden.templates().words["nl"]


def found(*kinds, at, number="KN-2026-0001", address="jan@example.nl"):
    case = replace(after(opened(kinds=kinds), "acknowledged"), number=number)
    return list(due.warnings(ClientRecord(number, address, cases=(case,)), at, LADDER, DESK))


def warned(smtp):
    return [one for one in smtp.to(OWNER) if one["X-Mailbot"] == "notice-warning"]


def test_cases_that_are_due_together_share_a_notice_and_the_most_pressing_is_first():
    at = days_after(26)
    first, second = found("access", at=at), found("access", at=at, number="KN-2026-0002")
    hurry = [replace(one, pressing=-5) for one in second]
    (notice,) = due.notices([*first, *hurry])
    assert [row["number"] for row in notice.facts["cases"]] == ["KN-2026-0002", "KN-2026-0001"]
    assert notice.case is None, "an answer to it must name its case"
    (alone,) = due.notices(first)
    assert alone.case == "KN-2026-0001"


def test_a_breach_has_its_own_notice_and_its_bar_shows_the_hours():
    breach = found("breach_report", at=NOW + timedelta(hours=25), number="KN-2026-0003")
    notices = list(due.notices([*found("access", at=days_after(26)), *breach]))
    assert [one.case for one in notices] == ["KN-2026-0003", "KN-2026-0001"]
    row = notices[0].facts["cases"][0]
    assert (row["percent"], wording.warned(row, WORDS)) == (33, "mogelijk datalek: 24 van de 72 uur om")


@pytest.mark.parametrize(
    ("day", "words"),
    [
        (14, "beloofde termijn: nog 14 dagen"),
        (28, "beloofde termijn: vandaag is de laatste dag"),
        (29, "beloofde termijn: 1 dag voorbij"),
    ],
)
def test_a_warning_says_how_long_there_still_is(day, words):
    (one,) = found("access", at=days_after(day))
    assert wording.warned(one.row, WORDS) == words


def test_the_last_working_day_before_a_weekend_is_called_so():
    row = {"of": "promise", "days_left": 2, "hours": 0, "last": True}
    assert wording.warned(row, WORDS) == "beloofde termijn: nog 2 dagen, vandaag is de laatste werkdag"


def test_words_that_cannot_be_filled_in_are_found_at_start():
    assert list(wording.wrong(WORDS)) == []
    broken = {**WORDS, "left": {**WORDS["left"], "ahead": "nog {dagen}"}, "gaps": {"unseen": "x"}}
    assert list(wording.wrong(broken)) == [
        "[gaps] there is no `backup`",
        "[gaps] there is no `folder`",
        "[left] ahead: between braces only days may stand",
    ]


async def test_two_cases_of_one_day_are_warned_about_in_one_mail_with_buttons_for_each(mail_user, smtp, tmp_path):
    settings, clock = settings_for(mail_user, smtp.port, tmp_path), Clock()
    await turn(settings, clock)
    for name in ("jan", "piet"):
        text = "Ik maak bezwaar tegen het gebruik van mijn gegevens voor reclame."
        mail_user.deliver(mail(text, sender=f"{name}@example.nl", mid=f"<{name}@example.nl>"))
    await turn(settings, clock)
    clock.forward(days=28)
    await turn(settings, clock)
    (notice,) = warned(smtp)
    text = notice.get_body(("plain",)).get_content()
    numbers = [case["number"] for case in cases(settings)]
    assert all(number in text for number in numbers)
    second = next(one for one in text.split() if one.startswith("mailto:") and f"{numbers[1]}%5D%20answer" in one)
    mail_user.deliver(clicked(second))
    await turn(settings, clock)
    assert [case["state"] for case in cases(settings)] == ["acknowledged", "answered"]


async def test_a_kill_between_the_notice_and_its_traces_costs_no_warning_and_repeats_none(
    mail_user, smtp, tmp_path, monkeypatch
):
    settings, clock = settings_for(mail_user, smtp.port, tmp_path), Clock()
    await turn(settings, clock)
    for name in ("jan", "piet"):
        mail_user.deliver(mail("Ik wil inzage in mijn gegevens.", sender=f"{name}@example.nl"))
    await turn(settings, clock)
    clock.forward(days=28)
    commit = ticks.commit_plan
    traced = []

    def killed(world, plan, arrived, now):
        traced.append(plan.reason)
        if traced.count("a term runs out") > 1:
            raise KeyboardInterrupt
        commit(world, plan, arrived, now)

    app = open_app(settings, daemon=False, now=clock)
    monkeypatch.setattr(ticks, "commit_plan", killed)
    with pytest.raises(KeyboardInterrupt):
        ticks.tick(app.world, app.house.ladder, settings, 5)
    monkeypatch.undo()
    await app.close()
    await turn(settings, clock)
    await turn(settings, clock)
    assert len(warned(smtp)) == 1
    assert ["warned" in [event["event"] for event in case["events"]] for case in cases(settings)] == [True, True]


async def test_notices_to_the_owner_are_kept_as_long_as_their_buttons_work(mail_user, smtp, tmp_path):
    settings, clock = settings_for(mail_user, smtp.port, tmp_path), Clock()
    await turn(settings, clock)
    app = open_app(settings, daemon=False, now=clock)
    sent = QueuedLetter("<a@b>", "notice_request", "owner", OWNER, "nl", None, {}, clock(), LetterState.SENT, clock())
    letter = replace(sent, message_id="<c@d>", letter="acknowledgement", audience="person", key="c")
    with app.world.register.transaction():
        new = app.world.register.new_client("jan@example.nl")
        app.world.register.commit(replace(new, letters=(sent, letter)))
    await app.close()
    for days, left in ((59, 2), (2, 1)):
        clock.forward(days=days)
        await turn(settings, clock)
        register = owner.open_register(settings)
        assert len(register.client("jan@example.nl").letters) == left
        register.close()


async def test_a_stop_is_ended_by_two_buttons(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    app = open_app(settings, daemon=False)
    stop_letters(app.world, "flood", app.world.now())
    await app.close()
    mail_user.deliver(mail("Ik wil inzage in mijn gegevens.", sender="piet@example.nl"))
    await turn(settings)
    stop = next(one for one in smtp.to(OWNER) if one["X-Mailbot"] == "notice-stop")
    mail_user.deliver(clicked(buttons(stop)["release-all"]))
    await turn(settings)
    assert smtp.to("piet@example.nl") == [], "asked a second time"
    mail_user.deliver(clicked(buttons(smtp.to(OWNER)[-1])["release-all!"], sender="mallory@example.net"))
    await turn(settings)
    assert smtp.to("piet@example.nl") == [], "from somebody else it does nothing"
    sure = [one for one in smtp.to(OWNER) if "release-all!" in buttons(one)][-1]
    mail_user.deliver(clicked(buttons(sure)["release-all!"]))
    await turn(settings)
    assert len(smtp.to("piet@example.nl")) == 1
