"""What every command has: the group, its options, and how a mistake ends.

Owns exit codes, and that facts go to stdout and everything else to stderr. Must never show a traceback for a mistake
that a person can mend.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterable
from functools import wraps
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


def ends_well(command: Callable[P, R]) -> Callable[P, R]:
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


def example(text: str) -> str:
    """Return the example that ends a command's help."""
    return f"Example: {text}"


def print_lines(rows: Iterable[Any]) -> None:
    """Print one JSON object a line."""
    for row in rows:
        click.echo(json.dumps(row, ensure_ascii=False))


SECTIONS = {
    "Watching": "init check run once",
    "Looking": "cases case digest report deadlines classify preview",
    "The owner's word": (
        "intake recognise identity answer extend refuse withdraw ask ask-identity lift close reopen release"
    ),
    "Handing over and keeping": "export backup restore verify",
    "Trying": "demo completion",
}


class Grouped(click.Group):
    """The group of all commands, listed by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections; a command that is in none comes last."""
        placed = {title: names.split() for title, names in SECTIONS.items()}
        known = {name for names in placed.values() for name in names}
        placed["Other"] = [name for name in self.list_commands(ctx) if name not in known]
        for title, names in placed.items():
            rows = [
                (name, self.commands[name].get_short_help_str(limit=200)) for name in names if name in self.commands
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


@click.group(cls=Grouped, context_settings={"help_option_names": ["-h", "--help"]})
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


def register_of(config: str | None) -> tuple[Any, Any]:
    """Return the register beside a running daemon, and the settings; secrets stay where they are."""
    from mailbot.config import load
    from mailbot.owner import open_register

    settings = load(config, secrets=False)
    return open_register(settings), settings
