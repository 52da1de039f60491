"""The core stays pure: its modules import nothing that reaches the network, the disk, the clock or the environment."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "mailbot"
CORE = (
    "message header parts quotes lines forms html echo rules language classify likeness examples case client"
    " deadlines warnings plan policy answerable decide record casework intake due digest ending letters blocks tokens"
    " links clicks phrases authentic evidence report page views large folders index office tables wording errors"
    " limits templates"
).split()
FORBIDDEN = set(
    "os socket asyncio pathlib subprocess time random secrets imapclient aiosmtplib tinydb apscheduler click rich"
    " logging threading tempfile shutil http urllib.request".split()
)
SHELL = set(
    "config data house connection waiting looking mailbox outbox register storage backup world arrivals known"
    " understanding worker ownermail answers learning review perform purge standing claim restored nightly ticks app"
    " systemd export owner trial check cli command owner_commands credentials".split()
)


def test_every_module_is_in_the_core_or_in_the_shell_and_in_the_description():
    modules = {path.stem for path in ROOT.glob("*.py")} - {"__init__"}
    assert modules == {*CORE, *SHELL}
    assert not SHELL & set(CORE)
    described = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [name for name in sorted(modules) if f"`{name}.py`" not in described] == []


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "mailbot":
                yield from (f"mailbot.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("name", CORE)
def test_a_core_module_reaches_nothing(name):
    tree = ast.parse((ROOT / f"{name}.py").read_text(encoding="utf-8"))
    names = set(imported(tree))
    assert not {one.split(".")[0] for one in names} & FORBIDDEN
    assert not {one.split(".")[1] for one in names if one.startswith("mailbot.")} & SHELL


@pytest.mark.parametrize("name", CORE)
def test_a_core_module_never_asks_the_clock(name):
    calls = {
        node.attr for node in ast.walk(ast.parse((ROOT / f"{name}.py").read_text())) if isinstance(node, ast.Attribute)
    }
    assert not calls & {"now", "today", "utcnow", "environ", "getenv"} - (
        {"now"} if name in {"decide", "due"} else set()
    )


def test_only_the_header_reader_knows_mail_parser_and_only_the_mailbox_imapclient():
    users = {"mailparser": set(), "imapclient": set(), "aiosmtplib": set(), "tinydb": set(), "apscheduler": set()}
    for path in ROOT.rglob("*.py"):
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            if name.split(".")[0] in users:
                users[name.split(".")[0]].add(path.stem)
    assert users["mailparser"] == {"header"}
    assert users["imapclient"] == {"connection", "waiting", "looking", "mailbox"}
    assert users["aiosmtplib"] == {"outbox"}
    assert users["tinydb"] == {"register", "storage"}
    assert users["apscheduler"] == {"app"}
