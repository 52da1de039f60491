"""The command line as scripts use it: what goes to stdout, exit codes, and sentences for people."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec import to_builtins
from msgspec.json import encode
from test_killed import configuration

from mailbot import config, data
from mailbot.cli import mailbot
from mailbot.errors import OwnerMustFix
from mailbot.house import furnish

MAILS = Path(__file__).with_name("mails")


def ran(*words, code=0, **options):
    outcome = CliRunner().invoke(mailbot, [str(word) for word in words], **options)
    assert outcome.exit_code == code, outcome.output + outcome.stderr
    return outcome


@pytest.fixture
def configured(mail_user, tmp_path):
    path = tmp_path / "mailbot.toml"
    text = configuration(mail_user, 1, tmp_path / "register").split("[overrides]", maxsplit=1)[0]
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("name", sorted(mailbot.commands))
def test_every_command_has_help_with_an_example(name):
    text = ran(name, "--help").stdout
    assert "Usage" in text
    assert "Example" in text or name == "completion"


def test_the_help_lists_every_command_by_what_it_is_for_and_leaves_none_over():
    text = ran("--help").stdout
    assert [name for name in mailbot.commands if f"\n  {name} " not in text] == []
    assert "Other:" not in text


def test_what_cannot_be_reached_read_or_found_says_where_and_what_to_do(configured, tmp_path):
    missing = ran("restore", tmp_path / "no.tar", "--config", configured, code=2).stderr
    assert "there is no such file" in missing
    text = configured.read_text(encoding="utf-8")
    assert "the register holds no cases yet" in ran("cases", "--config", configured).stderr
    configured.write_text(re.sub(r"(\[imap\][^[]*?port = )\d+", r"\g<1>1", text, count=1), encoding="utf-8")
    away = ran("once", "--config", configured, code=75).stderr
    assert ":1 (ConnectionRefusedError): is it up" in away


def test_classify_prints_one_object_a_line_for_a_folder_and_stdin():
    rows = [json.loads(line) for line in ran("classify", MAILS, "--json").stdout.splitlines()]
    assert len(rows) == len(list(MAILS.glob("*.eml")))
    keys = {"file", "decision", "kinds", "language", "confidence", "automatic", "sender", "evidence", "defects"}
    assert all(keys <= set(row) for row in rows)
    one = ran("classify", "-", "--json", input=(MAILS / "access.eml").read_bytes())
    assert json.loads(one.stdout)["kinds"] == ["access"]


def test_an_mbox_counts_as_its_messages(tmp_path):
    box = tmp_path / "box"
    box.write_bytes(b"".join(b"From x\n" + (MAILS / f"{n}.eml").read_bytes() + b"\n" for n in ("access", "erasure")))
    assert len(ran("classify", box, "--json").stdout.splitlines()) == 2


def test_preview_shows_the_letter_and_touches_nothing(configured, tmp_path):
    text = ran("preview", MAILS / "access.eml", "--config", configured).stdout
    assert "[KN-" in text
    assert "inzage in uw gegevens" in text
    assert not (tmp_path / "register").exists()


def test_init_writes_a_configuration_once(tmp_path):
    path = tmp_path / "new.toml"
    ran("init", path)
    before = path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    outcome = ran("init", path, code=1)
    assert "exists already" in outcome.stderr
    assert path.read_bytes() == before


def test_the_configuration_it_writes_shows_every_key_with_its_default():
    text = re.sub(r"^# (?=[a-z_]+ = )", "", config.EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    shown, defaults = tomllib.loads(text), to_builtins(config.Settings())
    for section, keys in defaults.items():
        secret = {"password", "password_command", "token_command", "ca_file"}  # ways in: the example shows one of them
        assert set(keys) - set(shown[section]) <= secret
        own = {"name", "address", "aliases", "owner", "host", "username", "password_file", "history_from"}
        assert {key for key, value in shown[section].items() if encode(value) != encode(keys[key])} <= own


def test_limits_that_lack_a_section_are_a_problem_to_mend_and_no_mistake_of_ours(tmp_path):
    text = data.texts("rules")["limits.toml"].partition("[examples]")[0]
    (tmp_path / "limits.toml").write_text(text, encoding="utf-8")
    with pytest.raises(OwnerMustFix, match=r"rules/limits.toml: 'examples' is missing"):
        furnish(config.Settings(), str(tmp_path))


def test_a_wrong_configuration_lists_all_its_problems(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(
        '[organisation]\nname = "x"\nnaam = "y"\n[imap]\nport = "a"\nsecurity = "none"\nhost = "imap.example.nl"\n'
    )
    said = ran("check", "--offline", "--config", path, code=2).stderr
    for part in ("organisation.naam", "imap.port", "organisation.address is missing", "only for loopback", "smtp.host"):
        assert part in said
    assert "Traceback" not in said


def test_a_missing_configuration_says_how_to_write_one(tmp_path):
    said = ran("cases", "--config", tmp_path / "none.toml", code=2).stderr
    assert "cannot be read" in said


def test_a_wrong_password_ends_with_3_and_a_server_away_with_75(configured):
    text = configured.read_text(encoding="utf-8")
    configured.write_text(text.replace("geheim", "fout"), encoding="utf-8")
    said = ran("once", "--config", configured, code=3).stderr
    assert "refused the user name or password" in said
    assert "fout" not in said
    configured.write_text(text.replace("port = ", "port = 1 # ", 1), encoding="utf-8")
    ran("once", "--config", configured, code=75)


def test_a_password_others_can_read_is_an_error(configured, tmp_path):
    configured.chmod(0o644)
    assert "chmod 600" in ran("once", "--config", configured, code=2).stderr


def test_a_request_by_phone_is_recorded_and_its_life_is_led_from_the_command_line(configured):
    words = ("--channel", "phone", "--received", "2026-11-24T04:15", "--from", "jan@example.nl", "--kind", "access")
    number = ran("intake", *words, "--config", configured).stdout.strip()
    (row,) = [json.loads(line) for line in ran("cases", "--json", "--config", configured).stdout.splitlines()]
    assert (row["number"], row["channel"], row["promise"]) == (number, "phone", "2026-12-22")
    assert "needs its reason" in ran("refuse", number, "--config", configured, code=1).stderr
    shown = ran("answer", number, "--preview", "--config", configured).stdout
    assert "Uw verzoek is uitgevoerd" in shown
    ran("answer", number, "--no-letter", "--config", configured)
    ran("close", number, "--config", configured)
    assert json.loads(ran("case", number, "--json", "--config", configured).stdout)["state"] == "closed"
    assert ran("cases", "--open", "--config", configured).stdout == ""
    assert ran("reopen", number, "--config", configured, code=0).stdout.startswith(number)
    words = ("--channel", "post", "--received", "2026-11-24T04:15", "--from", "els@example.nl", "--kind", "objection")
    objection = ran("intake", *words, "--config", configured).stdout.strip()
    assert "no identity is asked" in ran("ask-identity", objection, "--config", configured, code=1).stderr
    assert "no kind" in ran("intake", *words[:-1], "dansen", "--config", configured, code=1).stderr
    assert "there is no case" in ran("case", "KN-1999-0001", "--config", configured, code=1).stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(shell):
    assert "mailbot" in ran("completion", shell).stdout


def test_once_says_what_it_did_as_json(configured):
    text = configured.read_text(encoding="utf-8")
    assert json.loads(ran("once", "--json", "--config", configured).stdout)["messages"] == 0
    assert text == configured.read_text(encoding="utf-8")
