"""The core stays pure: its modules import nothing that reaches the network, the disk, the clock or the environment."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "mailbot"
CORE = (
    "message quotes forms html rules classify language case client deadlines warnings plan decide record casework due"
    " lines letters tokens links clicks report large folders echo ending evidence page phrases authentic intake digest"
    " examples likeness wording"
).split()
FORBIDDEN = set(
    "os socket asyncio pathlib subprocess time random secrets imapclient aiosmtplib tinydb apscheduler click rich"
    " logging threading tempfile shutil http urllib.request".split()
)
SHELL = set(
    "mailbox outbox register storage perform purge export app cli config data arrivals answers ownermail ticks nightly"
    " restored owner backup understanding worker learning review".split()
)


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


def test_only_the_message_reader_knows_mail_parser_and_only_the_mailbox_imapclient():
    users = {"mailparser": set(), "imapclient": set(), "aiosmtplib": set(), "tinydb": set(), "apscheduler": set()}
    for path in ROOT.rglob("*.py"):
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            if name.split(".")[0] in users:
                users[name.split(".")[0]].add(path.stem)
    assert users["mailparser"] == {"message"}
    assert users["imapclient"] == {"mailbox"}
    assert users["aiosmtplib"] == {"outbox"}
    assert users["tinydb"] == {"register", "storage"}
    assert users["apscheduler"] == {"app"}
