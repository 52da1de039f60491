"""The register as files: a table no spreadsheet computes, a calendar without names, a page that needs nothing else."""

from datetime import datetime
from zoneinfo import ZoneInfo

from mailbot import report

NOW = datetime(2026, 12, 1, 9, tzinfo=ZoneInfo("Europe/Amsterdam"))


def case(number="KN-2026-0001", client="jan@example.nl", state="acknowledged", **changes):
    dates = {"promise": "2026-12-23", "statement_term": "2026-12-25", "legal_limit": "2026-12-28", "extended_to": None}
    events = [{"at": "2026-11-25T10:00:00+01:00", "event": "received", "reason": "r"}]
    row = {"number": number, "client": client, "state": state, "kinds": ["access"], "channel": "mail", **dates}
    return {**row, "received": "2026-11-25T10:00:00+01:00", "identity": "asked", "events": events, **changes}


def answered():
    events = [{"at": "2026-11-25T10:00:00+01:00", "event": "received", "reason": "r"}]
    events.append({"at": "2026-11-30T10:00:00+01:00", "event": "answered", "reason": "r"})
    return case("KN-2026-0002", "piet@example.nl", "answered", events=events)


def rows(*cases, anonymous=False):
    return report.rows_for(cases, anonymous=anonymous)


def test_no_cell_of_the_table_is_a_formula():
    text = report.as_csv(rows(case(client="=cmd|x@example.nl")))
    assert text.startswith("\ufeffnumber;state;kinds;client")
    assert ";'=cmd|x@example.nl;" in text


def test_the_calendar_has_whole_days_stable_names_an_alarm_and_no_person():
    text = report.as_ics(rows(case(), answered()), NOW)
    assert "UID:KN-2026-0001-promise@mailbot" in text
    assert "DTSTART;VALUE=DATE:20261223\r\nDTEND;VALUE=DATE:20261224" in text
    assert text.count("BEGIN:VEVENT") == text.count("BEGIN:VALARM") == 2
    assert "example.nl" not in text
    assert "KN-2026-0002" not in text
    assert all(len(line) <= 75 for line in text.split("\r\n"))


def test_the_page_stands_by_itself_and_escapes_what_strangers_wrote():
    page = report.as_html(rows(case(client="<script>x</script>@example.nl"), answered()), NOW)
    assert "<script" not in page
    assert "http" not in page
    assert "nog 22 dagen" in page
    assert "100% binnen vier weken" in page
    assert "mediaan 5 dagen" in page


def test_a_late_case_is_told_in_words_too():
    late = case(promise="2026-11-29")
    assert "2 dagen te laat" in report.as_html(rows(late), NOW)


def test_anonymous_means_nobody():
    found = rows(case(), answered(), anonymous=True)
    for text in (report.as_csv(found), report.as_html(found, NOW)):
        assert "example.nl" not in text
        assert "KN-2026-0001" in text
