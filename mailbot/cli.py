"""Commands to functions; nothing else.

Owns the command line of the contract: options, exit codes, what goes to stdout (facts) and to stderr (everything
else). Must never decide or compute: each command calls one function and prints what it returned.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterable
from datetime import date, datetime
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from mailbot import __version__
from mailbot.errors import MailbotError

P = ParamSpec("P")
R = TypeVar("R")

CONFIG = click.option(
    "--config", "config", metavar="FILE", help="The configuration (default: $MAILBOT_CONFIG, /etc/mailbot, here)."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print facts as JSON on stdout.")
NUMBER = click.argument("number", metavar="NUMBER")


def _ends_well(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the error tree into a sentence on stderr and the contract's exit code; no traceback for a mistake."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except MailbotError as error:
            for line in str(error).splitlines():
                click.echo(f"mailbot: {line}", err=True)
            sys.exit(error.exit_code)

    return guarded


def _example(text: str) -> str:
    return f"Example: {text}"


def _print_lines(rows: Iterable[Any]) -> None:
    for row in rows:
        click.echo(json.dumps(row, ensure_ascii=False))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mailbot")
@click.option("--verbose", is_flag=True, help="Say more on stderr. Never contents, addresses or secrets.")
def mailbot(*, verbose: bool) -> None:
    """Keep a small company's privacy promises: watch its mailbox, acknowledge, file, warn and prove.

    It never decides about a person: the owner does.
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for noisy in ("apscheduler", "imapclient", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.ERROR)  # their debug output holds mail and commands


@mailbot.command(epilog=_example("mailbot run --config /etc/mailbot/mailbot.toml"))
@CONFIG
@_ends_well
def run(config: str | None) -> None:
    """Watch the mailbox until told to stop."""
    from mailbot import app  # noqa: PLC0415 - `--help` need not load the mail libraries
    from mailbot.config import load  # noqa: PLC0415

    async def watch() -> int:
        daemon = app.open_app(load(config))
        daemon.reload = lambda: load(config)
        try:
            return await daemon.run()
        finally:
            await daemon.close()

    sys.exit(asyncio.run(watch()))


@mailbot.command(epilog=_example("mailbot once --json"))
@CONFIG
@JSON
@_ends_well
def once(config: str | None, *, as_json: bool) -> None:
    """Do everything that is due now, then exit."""
    from mailbot import app  # noqa: PLC0415
    from mailbot.config import load  # noqa: PLC0415

    async def turn() -> dict[str, int]:
        daemon = app.open_app(load(config))
        try:
            return (await daemon.once()).as_json()
        finally:
            await daemon.close()

    summary = asyncio.run(turn())
    if as_json:
        click.echo(json.dumps(summary))
    else:
        click.echo(", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in summary.items()))
    if summary["letters_failed"] or summary["aside"]:
        click.echo("mailbot: something needs the owner; he was sent a notice", err=True)
        sys.exit(1)


@mailbot.command(epilog=_example("mailbot check --offline"))
@CONFIG
@click.option("--offline", is_flag=True, help="Only what can be checked without a connection.")
@JSON
@_ends_well
def check(config: str | None, *, offline: bool, as_json: bool) -> None:
    """Check configuration, rules and templates, then a real connection; say what would be used."""
    from mailbot.check import checked  # noqa: PLC0415
    from mailbot.config import load  # noqa: PLC0415

    facts = asyncio.run(checked(load(config, secrets=not offline), offline=offline))
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    for name, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        click.echo(f"{name:22} {shown}")


@mailbot.command(epilog=_example("mailbot init /etc/mailbot/mailbot.toml"))
@click.argument("file", default="mailbot.toml", type=click.Path(path_type=Path))
@_ends_well
def init(file: Path) -> None:
    """Write a commented configuration; never over an existing file."""
    from mailbot.config import write_example  # noqa: PLC0415

    write_example(file)
    click.echo(f"wrote {file}: fill in the addresses and servers, then run `mailbot check --config {file}`")


@mailbot.command(epilog=_example("mailbot deadlines --received 2026-11-25 --json"))
@click.option("--received", required=True, metavar="DATE", help="The day it reached the mailbox, such as 2026-11-25.")
@JSON
@_ends_well
def deadlines(received: str, *, as_json: bool) -> None:
    """Print the three dates for a request received on a day, and why."""
    from mailbot.views import deadlines_json  # noqa: PLC0415

    facts = deadlines_json(_day(received))
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    for name in ("received", "promise", "statement_term", "legal_limit", "extended_to"):
        click.echo(f"{name:16} {facts[name] or '-'}")
    for sentence in facts["explanation"]:
        click.echo(f"  {sentence}")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).date()
    except ValueError as error:
        raise click.BadParameter(f"{text} is not a date such as 2026-11-25", param_hint="--received") from error


def main() -> None:
    """Run the command line."""
    mailbot(prog_name="mailbot")
