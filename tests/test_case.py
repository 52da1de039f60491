"""The life of a case, its dates, its warnings and its chain, with plain values."""

import json
import runpy
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from mailbot.case import TABLE, Case, Event, Illegal, State, Track, open_case, record, verify_chain
from mailbot.casework import No, Word, follow
from mailbot.cli import mailbot
from mailbot.client import ClientRecord, QueuedLetter
from mailbot.deadlines import is_working_day, terms, working_days_between
from mailbot.record import sent, with_event
from mailbot.views import case_json
from mailbot.warnings import Ladder, due, terms_of

ZONE = ZoneInfo("Europe/Amsterdam")
NOW = datetime(2026, 11, 25, 10, tzinfo=ZONE)
VECTORS = [json.loads(line) for line in Path(__file__).with_name("deadlines.jsonl").read_text().splitlines()]
LADDER = Ladder.parse((Path(__file__).resolve().parents[1] / "rules" / "warnings.toml").read_text())


def opened(kinds=("access",), received=NOW, **facts):
    return open_case(
        number="KN-2026-0001",
        kinds=kinds,
        received=received,
        channel="mail",
        language="nl",
        at=received,
        reason="r",
        **facts,
    )


def after(case, *events, at=NOW):
    for event in events:
        name, facts = event if isinstance(event, tuple) else (event, {})
        outcome = record(case, Event(at, name, "reason", facts))
        assert isinstance(outcome, Case), outcome
        case = outcome
    return case


PATHS = {
    State.REVIEW: lambda: opened(review=True),
    State.OPEN: opened,
    State.ACKNOWLEDGED: lambda: after(opened(), "acknowledged"),
    State.ANSWERED: lambda: after(opened(), "answered"),
    State.REFUSED: lambda: after(opened(), "refused"),
    State.WITHDRAWN: lambda: after(opened(), "withdrawn"),
    State.NO_REQUEST: lambda: after(opened(), "not_a_request"),
    State.CLOSED: lambda: after(opened(), "answered", "closed"),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", TABLE)
def test_every_event_in_every_state_does_what_the_table_says(state, event):
    case = PATHS[state]()
    assert case.state is state
    outcome = record(case, Event(NOW, event, "reason"))
    if state in TABLE[event].case:
        assert isinstance(outcome, Case)
        assert outcome.state is TABLE[event].case[state]
        assert verify_chain(outcome) is None
    else:
        assert isinstance(outcome, Illegal)
        assert case.number in outcome.reason


ONE = {"kinds": ["restriction"]}
TRACK_PATHS = {  # `access` stays open beside it, so that only the track decides
    Track.OPEN: [],
    Track.DONE: [("answered", ONE)],  # a restriction that is granted lasts
    Track.PARTLY: [("partly_answered", ONE)],
    Track.REFUSED: [("refused", ONE)],
    Track.WITHDRAWN: [("withdrawn", ONE)],
    Track.LIVE: [("answered", ONE)],
    Track.LIFTED: [("answered", ONE), ("lifted", ONE)],
}


@pytest.mark.parametrize("track", Track)
@pytest.mark.parametrize("event", [name for name, moves in TABLE.items() if moves.track])
def test_every_event_does_to_every_track_what_the_table_says(track, event):
    kind = "erasure" if track in {Track.DONE, Track.PARTLY} else "restriction"
    named = {"kinds": [kind]}
    case = after(opened((kind, "access")), *((name, named) for name, _ in TRACK_PATHS[track]))
    if event == "reopened":
        case = after(case, ("withdrawn", {"kinds": ["access"] if track is Track.OPEN else list(case.open_kinds)}))
    assert case.tracks[kind] is track
    outcome = record(case, Event(NOW, event, "reason", named))
    moves = TABLE[event].track
    if track in moves and case.state in TABLE[event].case:
        lasting = moves[track] in {Track.DONE, Track.PARTLY} and kind == "restriction"
        assert isinstance(outcome, Case)
        assert outcome.tracks[kind] is (Track.LIVE if lasting else moves[track])
    else:
        assert isinstance(outcome, Illegal)


def test_an_event_nobody_knows_is_illegal():
    assert isinstance(record(opened(), Event(NOW, "exploded", "r")), Illegal)


def test_a_changed_event_breaks_the_chain():
    case = after(opened(), "acknowledged", "answered")
    events = (case.events[0], replace(case.events[1], reason="another"), case.events[2])
    assert verify_chain(case) is None
    assert "event 2" in verify_chain(replace(case, events=events))
    assert verify_chain(replace(case, events=(case.events[0], case.events[2]))) is not None


def test_a_case_ends_when_its_last_track_has_an_answer():
    case = after(opened(("access", "erasure")), ("answered", {"kinds": ["access"]}))
    assert case.state is State.OPEN
    assert case.open_kinds == ("erasure",)
    case = after(case, ("refused", {"kinds": ["erasure"]}))
    assert case.state is State.REFUSED
    assert dict(case.tracks) == {"access": Track.DONE, "erasure": Track.REFUSED}


def test_a_granted_restriction_lives_until_it_is_lifted():
    case = after(opened(("restriction",)), "answered")
    assert case.tracks["restriction"] is Track.LIVE
    assert case.state is State.ANSWERED
    assert after(case, "lifted").tracks["restriction"] is Track.LIFTED


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["received"])
def test_the_dates_are_those_of_the_statement_and_the_law(vector):
    dates = terms(date.fromisoformat(vector["received"]), extended=True)
    found = (dates.legal_limit, dates.promise, dates.statement_term, dates.extended_to)
    assert [day.isoformat() for day in found] == [vector[k] for k in ("legal", "promise", "statement", "extended")]
    assert len(dates.explanation) == 5
    printed = CliRunner().invoke(mailbot, ["deadlines", "--received", vector["received"], "--json"])
    assert json.loads(printed.stdout)["legal_limit"] == vector["legal"]
    assert json.loads(printed.stdout)["extended_to"] == vector["extended"]


def test_five_may_is_a_holiday_every_year_and_the_last_year_there_is_has_dates():
    assert not is_working_day(date(2026, 5, 5))
    assert not is_working_day(date(2027, 5, 5))
    assert terms(date(9999, 12, 30)).promise.year >= 9998


def test_receipt_counts_on_the_local_day_across_the_end_of_summer_time():
    late = datetime(2026, 10, 24, 22, 30, tzinfo=UTC).astimezone(ZONE)  # 00:30 on the 25th in Amsterdam
    assert terms(late).received == date(2026, 10, 25)


def days_after(days, hour=9):
    return (NOW + timedelta(days=days)).replace(hour=hour)


def test_each_warning_comes_once_and_only_the_most_pressing_after_standing_still():
    case = opened()  # on Wednesday 25 November: promise on Wednesday 23 December
    assert due(case, days_after(13), LADDER) == []
    (step,) = due(case, days_after(14), LADDER)
    assert step.name == "promise-10", "ten working days before"
    case = warned(case, step, at=days_after(14))
    assert due(case, days_after(14, 17), LADDER) == []
    late = due(case, days_after(26), LADDER)
    assert [one.name for one in late] == ["promise-3"]
    case = warned(case, *late, at=days_after(26))
    assert due(case, days_after(26, 17), LADDER) == []


def test_a_clock_that_ran_ahead_swallows_no_warning_and_repeats_none():
    case = opened()
    ahead = days_after(400)
    case = warned(case, *due(case, ahead, LADDER), at=ahead)
    assert due(case, ahead, LADDER) == []
    names = []
    for day in range(29):
        steps = due(case, days_after(day), LADDER)
        names += [step.name for step in steps]
        case = warned(case, *steps, at=days_after(day))
    assert [name for name in names if name.startswith("promise")] == [
        *(f"promise-{left}" for left in (10, 5, 3, 1, 0))
    ], "all of them, though a later one was given before; the letter that was laid ready is laid ready once"


@given(looks=st.lists(st.integers(0, 24 * 120), min_size=1, max_size=25), extended=st.integers(0, 40))
def test_whatever_the_clock_does_no_warning_comes_twice_and_the_most_pressing_one_is_never_missing(looks, extended):
    case = opened(("access", "breach_report"))
    for look in looks:
        now = NOW + timedelta(hours=look)
        if look // 24 == extended and not case.extended:
            case = after(case, "extended", at=now)
        case = warned(case, *due(case, now, LADDER), at=now)
        assert due(case, now, LADDER) == []
        aim = terms_of(case).limit if case.extended else terms_of(case).promise
        given = [event.facts["step"] for event in case.events if event.event == "warned"]
        if now.date() > aim and is_working_day(now.date()):
            assert any(f"late-{now.date()}" in name for name in given)
        if working_days_between(now.date(), aim) <= 10:
            assert given
    steps = [(event.facts["step"], event.facts["clock"]) for event in case.events if event.event == "warned"]
    assert len(steps) == len(set(steps))


def test_a_step_is_added_without_python_and_a_wrong_one_stops_the_start():
    text = '[[step]]\nof = "statement"\nworking_days_before = [20]\ntell = "notice_warning"'
    assert [one.name for one in due(opened(), days_after(3), Ladder.parse(text))] == ["statement-20"]
    for wrong in ('of = "birthday"', 'tell = ""', 'prepare = "x"', "days = [1]", "hours_after = [3]"):
        key = wrong.split(" = ")[0]
        rest = [line for line in text.split("\n") if not line.startswith(key)]
        with pytest.raises(ValueError, match="step"):
            Ladder.parse("\n".join([*rest, wrong]))


def warned(case, *steps, at):
    return after(case, *(("warned", {"step": one.name, "clock": one.clock}) for one in steps), at=at)


def test_a_late_case_is_told_every_working_day():
    case = opened(received=datetime(2026, 11, 2, 9, tzinfo=ZONE))  # promise on Monday 30 November
    names = set()
    for day in range(29, 43):
        now = datetime(2026, 11, 2, 9, tzinfo=ZONE) + timedelta(days=day)
        for step in due(case, now, LADDER):
            names.add(step.name)
            case = warned(case, step, at=now)
    late = sorted(name for name in names if name.startswith("promise-late-"))
    assert late == [f"promise-late-2026-12-{d:02d}" for d in (1, 2, 3, 4, 7, 8, 9, 10, 11, 14)]


def test_a_breach_report_has_its_hours_beside_the_days_also_when_the_clocks_change():
    case = opened(("breach_report",))
    assert [one.name for one in due(case, NOW + timedelta(hours=49), LADDER)] == ["breach-48h"]
    evening = datetime(2026, 10, 24, 12, tzinfo=ZONE)  # summer time ends in the night that follows
    case = opened(("breach_report",), received=evening)
    assert due(case, datetime(2026, 10, 25, 10, 59, tzinfo=ZONE), LADDER) == []
    assert [one.name for one in due(case, datetime(2026, 10, 25, 11, tzinfo=ZONE), LADDER)] == ["breach-24h"]


def test_an_extended_case_is_warned_about_its_new_limit_only():
    case = after(opened(), "extended")
    assert due(case, days_after(40), LADDER) == []
    assert due(case, datetime(2027, 2, 23, 9, tzinfo=ZONE), LADDER)[0].name == "extended-3"


def test_a_suspension_moves_the_limit_of_the_law_alone_and_never_hides_it():
    case = after(opened(), "identity_asked", "suspended")
    assert terms_of(case).suspended_since == NOW.date()
    assert any("Suspended since" in one for one in terms_of(case).explanation)
    case = after(case, "identity_confirmed", "resumed", at=days_after(9))
    dates = terms_of(case)
    assert (dates.promise, dates.legal_limit) == (terms(NOW).promise, terms(NOW).legal_limit)
    assert dates.suspended_to == date(2027, 1, 4), "3 January is a Sunday"
    assert due(case, days_after(33), LADDER)[-1].of == "suspended"
    assert case_json(RECORD, case)["suspended_to"] == "2027-01-04"
    assert any("2026-12-28" in one for one in case_json(RECORD, case)["explanation"])


def test_the_limit_stands_still_only_when_identity_was_asked_in_time_and_so_configured():
    letter = QueuedLetter("<a@b>", "identity", "person", "jan@example.nl", "nl", "KN-2026-0001", {}, NOW)
    before = replace(RECORD, cases=(opened(),), letters=(letter,))
    (case,) = sent(before, letter, NOW, "250", suspend=True).cases
    assert case.waits == ((NOW, None),)
    (known,) = with_event(
        replace(before, cases=(case,)), case.number, Event(days_after(2), "identity_received", "r")
    ).cases
    assert known.waits == ((NOW, days_after(2)),)
    for when, suspend in ((NOW, False), (days_after(8), True)):
        assert sent(before, letter, when, "250", suspend=suspend).cases[0].waits == ()


RECORD = ClientRecord("x", "jan@example.nl")


@pytest.mark.parametrize(
    ("word", "case", "now", "why"),
    [
        (Word("extend"), opened(), NOW, "needs its reason"),
        (Word("extend", "druk"), opened(), NOW + timedelta(days=60), "first month ended"),
        (Word("extend", "druk"), after(opened(), "extended"), NOW, "extended before"),
        (Word("refuse"), opened(), NOW, "needs its reason"),
        (Word("answer"), after(opened(), "identity_asked"), NOW, "identity was asked"),
        (Word("answer", outcome="partly"), opened(), NOW, "needs its reason"),
        (Word("close"), opened(), NOW, "answer, refuse or withdraw"),
        (Word("close"), after(opened(("restriction",)), "answered"), NOW, "lift it first"),
        (Word("lift"), opened(), NOW, "no restriction"),
        (Word("answer", kinds=("erasure",)), opened(), NOW, "not about erasure"),
        (
            Word("refuse", "r", ("access",)),
            after(opened(("access", "erasure")), ("answered", {"kinds": ["access"]})),
            NOW,
            "answered before",
        ),
        (Word("dance"), opened(), NOW, "no word"),
    ],
)
def test_the_owners_word_needs_what_the_law_needs(word, case, now, why):
    outcome = follow(word, RECORD, case, now)
    assert isinstance(outcome, No)
    assert why in outcome.reason


def test_an_extension_exists_only_with_its_letter():
    plan = follow(Word("extend", "het archief is groot"), RECORD, opened(), NOW)
    assert [type(action).__name__ for action in plan.actions] == ["SendLetter"]
    assert plan.actions[0].facts["extended_to"] == "2027-02-25"
    assert plan.actions[0].hold


def test_the_drawing_is_of_this_table():
    root = Path(__file__).resolve().parents[1]
    drawing = runpy.run_path(str(root / "docs" / "drawings" / "case.py"))["drawn"]()
    assert (root / "docs" / "case.md").read_text(encoding="utf-8") == drawing, "python docs/drawings/case.py"


def test_the_organisation_that_gets_the_copy_is_a_field_of_the_case():
    record_ = ClientRecord("x", "jan@example.nl", cases=(opened(("portability",)),))
    plan = follow(Word("answer", organisation="Ander Hosting BV"), record_, record_.cases[0], NOW)
    said, letter = plan.actions
    assert letter.facts["organisation"] == "Ander Hosting BV"
    case = after(record_.cases[0], (said.event, dict(said.facts)))
    assert case.organisation == "Ander Hosting BV"


def test_founded_and_not_founded_are_answers_to_an_objection():
    record_ = ClientRecord("x", "jan@example.nl", cases=(opened(("access",)),))
    assert isinstance(follow(Word("answer", outcome="founded"), record_, record_.cases[0], NOW), No)
    record_ = ClientRecord("x", "jan@example.nl", cases=(opened(("objection",)),))
    plan = follow(Word("answer", outcome="founded"), record_, record_.cases[0], NOW)
    assert plan.actions[1].letter == "objection_founded"
    assert plan.actions[1].hold  # a draft: the owner reads it first


def test_a_date_until_which_something_stays_must_be_one():
    record_ = ClientRecord("x", "jan@example.nl", cases=(opened(("erasure",)),))
    word = Word("answer", "offertes", outcome="partly", until="volgend jaar")
    assert isinstance(follow(word, record_, record_.cases[0], NOW), No)
