"""The register as files: a table no spreadsheet computes, a calendar without names, a page that needs nothing else."""

import contextlib
import re
import subprocess
import zlib
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import golden
import pytest
from click.testing import CliRunner
from test_browser import CHROMIUM, QUIET

from mailbot import data, page, report
from mailbot.case import TABLE, State
from mailbot.cli import mailbot
from mailbot.deadlines import terms
from mailbot.ending import Closed
from mailbot.register import Register

NOW = datetime(2026, 12, 1, 9, tzinfo=ZoneInfo("Europe/Amsterdam"))
TEMPLATES = golden.templates()
NAMING = page.Naming(
    TEMPLATES.words["nl"], {kind: names["nl"] for kind, names in TEMPLATES.labels.items()}, "KosterNET"
)
TEMPLATE = data.files("templates")["report.html"].decode()


def case(number="KN-2026-0001", client="jan@example.nl", state="acknowledged", day="2026-11-25", took=None, **changes):
    dates = terms(date.fromisoformat(day))
    events = [{"at": f"{day}T10:00:00+01:00", "event": "received", "reason": "r"}]
    if took is not None:
        at = date.fromisoformat(day) + timedelta(days=took)
        events.append({"at": f"{at}T10:00:00+01:00", "event": "answered", "reason": "r"})
        state = "answered" if state == "acknowledged" else state
    row = {
        "number": number,
        "client": client,
        "state": state,
        "kinds": ["access"],
        "channel": "mail",
        "received": f"{day}T10:00:00+01:00",
        "promise": dates.promise.isoformat(),
        "statement_term": dates.statement_term.isoformat(),
        "legal_limit": dates.legal_limit.isoformat(),
        "extended_to": None,
        "identity": "asked",
        "events": events,
    }
    return {**row, **changes}


def answered(**changes):
    return case("KN-2026-0002", "piet@example.nl", took=5, **changes)


ERASED = Closed("KN-2026-0003", ("erasure",), "2026-10-01", "2026-10-09", "erasure done", erased="2026-10-10",
                steps=(("2026-10-01T10:00:00+02:00", "received"), ("2026-10-09T10:00:00+02:00", "answered")),
                )  # fmt: skip


def html(*cases, anonymous=False, erased=()):
    return page.as_html(TEMPLATE, report.rows_for(cases, erased), NOW, NAMING, anonymous=anonymous)


# The table


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_the_table_is_a_formula(start):
    text = report.as_csv(report.rows_for([case(client=f"{start}cmd|x@example.nl")]))
    assert text.startswith("\ufeffnumber;state;kinds;client")
    assert f"'{start}cmd" in text


def test_the_table_knows_what_is_left_of_erased_cases():
    text = report.as_csv(report.rows_for([case()], [ERASED]))
    assert "KN-2026-0003;erased;erasure;;;2026-10-01" in text


# The calendar


def unfolded(text):
    return text.replace("\r\n ", "").split("\r\n")


def events_of(text):
    return re.findall(r"BEGIN:VEVENT\r\n(.*?)END:VEVENT", text.replace("\r\n ", ""), re.DOTALL)


def test_the_calendar_keeps_to_its_standard():
    odd = case(number="KN-2026-0001;,\\" + "é" * 80)
    text = report.as_ics(report.rows_for([odd, answered()]), NOW, NAMING.words["report"])
    assert text.endswith("END:VCALENDAR\r\n")
    assert "\n" not in text.replace("\r\n", "")
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    assert any(line.startswith(" ") for line in text.split("\r\n"))
    lines = unfolded(text)
    for line in filter(None, lines):
        assert re.fullmatch(r"[A-Z-]+(;[A-Z-]+=[A-Za-z0-9-]+)*:.*", line), line
    depth = []
    for line in lines:
        if line.startswith("BEGIN:"):
            depth.append(line[6:])
        elif line.startswith("END:"):
            assert depth.pop() == line[4:]
    assert depth == []
    assert any(line.startswith(r"SUMMARY:KN-2026-0001\;\,\\é") for line in lines)
    for one in events_of(text):
        for name in ("UID:", "DTSTAMP:", "DTSTART;VALUE=DATE:", "SUMMARY:", "SEQUENCE:"):
            assert one.count(f"\r\n{name}") + one.startswith(name) == 1


def test_the_calendar_has_whole_days_an_alarm_and_no_person():
    text = report.as_ics(report.rows_for([case(), answered()]), NOW, NAMING.words["report"])
    assert "DTSTART;VALUE=DATE:20261223\r\nDTEND;VALUE=DATE:20261224" in text
    assert text.count("BEGIN:VEVENT") == text.count("BEGIN:VALARM") == 2
    assert "example.nl" not in text
    assert "KN-2026-0002" not in text


def test_an_extension_moves_the_same_event():
    before = report.as_ics(report.rows_for([case()]), NOW, NAMING.words["report"])
    events = [*case()["events"], {"at": "2026-12-01T09:00:00+01:00", "event": "extended", "reason": "r"}]
    after = report.as_ics(report.rows_for([case(extended_to="2027-02-25", events=events)]), NOW, NAMING.words["report"])
    assert re.findall("UID:.*", before) == re.findall("UID:.*", after)
    assert "SEQUENCE:1" in before
    assert "SEQUENCE:2" in after
    assert "20270225" in after


def test_a_case_that_was_opened_again_is_in_the_calendar_again():
    assert "KN-2026-0002" in report.as_ics(report.rows_for([answered(state="open")]), NOW, NAMING.words["report"])


# The page


def test_the_page_stands_by_itself_and_escapes_what_strangers_wrote():
    text = html(case(client="<script>x</script>@example.nl"), answered())
    assert "<script" not in text
    assert not re.search(r"https?:|src=|url\(|@import|<link", text)
    assert "nog 22 dagen" in text
    assert "antwoord uiterlijk woensdag 23 december 2026" in text
    assert "100%" in text
    assert "<b>5</b>" in text


def test_a_late_case_is_told_in_words_too():
    text = html(case(day="2026-11-01"))
    assert "2 dagen te laat" in text
    assert '"tile warn"><b>! 1</b>' in text


def test_the_page_speaks_dutch():
    text = html(case(), answered(), erased=[ERASED])
    for wanted in ("inzage", "ontvangst bevestigd", "binnengekomen", "gewist, na 8 dagen", "(dag 5)"):
        assert wanted in text
    assert "acknowledged" not in text


def test_there_is_a_dutch_word_for_every_event_and_state():
    words = TEMPLATES.words["nl"]
    assert set(TABLE) | {"received"} <= set(words["events"])
    assert {*map(str, State), "erased"} <= set(words["states"])


def test_the_shares_count_what_was_in_time_for_each_term():
    rows = report.rows_for([case(f"KN-2026-{n:04d}", took=took) for n, took in enumerate((5, 29, 30, 60), 1)])
    shares = {one["name"]: one["percent"] for one in page.facts(rows, NOW, NAMING, anonymous=False)["shares"]}
    assert shares == {"binnen vier weken": 25, "binnen 30 dagen": 75, "binnen de wettelijke termijn": 75}


def test_what_was_no_request_and_what_was_taken_back_does_not_count():
    rows = report.rows_for([case(state="no_request", took=1), case(state="withdrawn", took=90), answered()])
    told = page.facts(rows, NOW, NAMING, anonymous=False)
    assert [one["percent"] for one in told["shares"]] == [100, 100, 100]
    assert sum(bar["count"] == "2" for bar in told["kinds"]) == 1


def test_months_without_requests_are_shown_as_well():
    rows = report.rows_for([case(day="2026-08-01"), case(day="2026-11-25")])
    bars = page.facts(rows, NOW, NAMING, anonymous=False)["months"]
    assert [(bar["name"], bar["count"]) for bar in bars] == [
        ("augustus 2026", "1"), ("september 2026", "0"), ("oktober 2026", "0"), ("november 2026", "1")]  # fmt: skip


# Statistics


def many():
    rows = [case(f"KN-2026-{n:04d}", f"mens{n}@example.nl", took=3 + n, day=f"2026-0{1 + n % 3}-10") for n in range(12)]
    rows += [case(f"KN-2026-{n:04d}", f"mens{n}@example.nl", kinds=["minor"], day="2026-06-01") for n in range(20, 22)]
    return rows


def test_anonymous_shows_nobody_and_no_small_number():
    text = html(*many(), anonymous=True, erased=[ERASED])
    assert "example.nl" not in text
    assert "KN-2026" not in text
    assert "gegevens van een kind" not in text
    table = page.as_statistics(report.rows_for(many(), [ERASED]), NOW, NAMING)
    counts = [row["aantal"] for row in table if str(row["over"]).startswith("per")]
    assert counts
    assert all(int(count) >= 5 for count in counts)
    assert {"over": "per soort", "wat": "overige soorten", "aantal": "15"} in table  # never what tells two apart


def test_few_requests_are_not_counted_in_the_open():
    table = page.as_statistics(report.rows_for([case()]), NOW, NAMING)
    assert {"over": "stand", "wat": "open", "aantal": "< 5"} in table


# Looked at


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium")
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_fits_the_screen(width, tmp_path):
    long = case(
        client="een.heel.lang.adres.zonder.einde" * 3 + "@example.nl", kinds=["access", "rectification", "erasure"]
    )
    measure = "const d = document.documentElement; d.dataset.said = [d.scrollWidth, innerWidth]"
    said = f"<script>{measure}</script></body>"
    file = tmp_path / "page.html"
    file.write_text(html(long, answered(), *many()).replace("</body>", said), encoding="utf-8")
    words = [CHROMIUM, *QUIET, f"--user-data-dir={tmp_path}/profile", f"--window-size={width},1000", "--dump-dom"]
    done = subprocess.run([*words, f"file://{file}"], capture_output=True, text=True, timeout=60, check=True)
    scroll, window = re.search(r'data-said="(\d+),(\d+)"', done.stdout).groups()
    assert int(scroll) <= int(window)


def printed(text, folder):
    """How many pieces of text the page has on paper."""
    (folder / "page.html").write_text(text, encoding="utf-8")
    words = [CHROMIUM, *QUIET, f"--user-data-dir={folder}/profile", f"--print-to-pdf={folder}/page.pdf"]
    subprocess.run([*words, f"file://{folder}/page.html"], capture_output=True, timeout=60, check=True)
    raw, found = (folder / "page.pdf").read_bytes(), 0
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", raw, re.DOTALL):
        with contextlib.suppress(zlib.error):
            found += len(re.findall(rb"T[jJ]\b", zlib.decompress(stream)))
    return found


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium")
def test_on_paper_a_closed_timeline_is_open(tmp_path):
    closed = html(answered())
    assert "<details>" in closed
    assert printed(closed, tmp_path) == printed(closed.replace("<details>", "<details open>"), tmp_path) > 10


def test_the_command_writes_what_was_asked(tmp_path):
    (tmp_path / "c.toml").write_text(
        f'[organisation]\nname="K"\naddress="info@k.nl"\nowner="g@k.nl"\n[imap]\nhost="x"\nusername="u"\npassword="p"\n'
        f'[smtp]\nhost="x"\n[register]\ndirectory="{tmp_path}/r"\n'
    )
    (tmp_path / "c.toml").chmod(0o600)
    Register.open(tmp_path / "r").close()
    words = ["report", "--config", str(tmp_path / "c.toml"), "--html", str(tmp_path / "a.html")]
    words += ["--csv", str(tmp_path / "a.csv"), "--ics", str(tmp_path / "a.ics")]
    done = CliRunner().invoke(mailbot, words)
    assert done.exit_code == 0, done.output
    assert "Er staan geen verzoeken open" in (tmp_path / "a.html").read_text()
    assert (tmp_path / "a.ics").read_bytes().startswith(b"BEGIN:VCALENDAR\r\n")
    anonymous = CliRunner().invoke(mailbot, ["report", "--config", str(tmp_path / "c.toml"), "--anonymous", "--csv",
                                             str(tmp_path / "b.csv")])  # fmt: skip
    assert anonymous.exit_code == 0, anonymous.output
    assert (tmp_path / "b.csv").read_text(encoding="utf-8-sig").startswith("over;wat;aantal")
