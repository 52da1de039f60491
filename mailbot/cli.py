"""Commands to functions; nothing else.

Owns the commands that run, look, try and put away; owner_commands.py has those by which the owner says something. Must
never decide or compute: each command calls one function and prints what it returned.
"""

import asyncio
import json
import sys
from datetime import date, datetime
from pathlib import Path

import click

from mailbot import owner_commands  # noqa: F401 - its commands belong to the group too
from mailbot.command import CONFIG, JSON, NUMBER, ends_well, example, mailbot, print_lines, register_of
from mailbot.errors import MailbotError


@mailbot.command(epilog=example("mailbot run --config /etc/mailbot/mailbot.toml"))
@CONFIG
@ends_well
def run(config: str | None) -> None:
    """Watch the mailbox until told to stop."""
    from mailbot import app
    from mailbot.config import load

    async def watch() -> int:
        daemon = app.open_app(load(config))
        daemon.reload = lambda: load(config)
        try:
            return await daemon.run()
        finally:
            await daemon.close()

    sys.exit(asyncio.run(watch()))


@mailbot.command(epilog=example("mailbot once --json"))
@CONFIG
@JSON
@ends_well
def once(config: str | None, *, as_json: bool) -> None:
    """Do everything that is due now, then exit."""
    from mailbot import app
    from mailbot.config import load

    async def turn() -> tuple[dict[str, int], MailbotError | None]:
        daemon = app.open_app(load(config))
        try:
            return (await daemon.once()).as_json(), daemon.trouble
        finally:
            await daemon.close()

    summary, trouble = asyncio.run(turn())
    if as_json:
        click.echo(json.dumps(summary))
    else:
        click.echo(", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in summary.items()))
    if summary["letters_failed"] or summary["aside"]:
        click.echo("mailbot: something needs the owner; he was sent a notice", err=True)
        sys.exit(1)
    if trouble is not None:
        raise trouble


@mailbot.command(epilog=example("mailbot check --offline"))
@CONFIG
@click.option("--offline", is_flag=True, help="Only what can be checked without a connection.")
@JSON
@ends_well
def check(config: str | None, *, offline: bool, as_json: bool) -> None:
    """Check configuration, rules and templates, then a real connection; say what would be used."""
    from mailbot.check import checked
    from mailbot.config import load

    facts = asyncio.run(checked(load(config, secrets=not offline), offline=offline))
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    for name, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        click.echo(f"{name:22} {shown}")


@mailbot.command(epilog=example("mailbot init /etc/mailbot/mailbot.toml"))
@click.argument("file", default="mailbot.toml", type=click.Path(path_type=Path))
@ends_well
def init(file: Path) -> None:
    """Write a commented configuration; never over an existing file."""
    from mailbot.config import write_example

    write_example(file)
    click.echo(f"wrote {file}: fill in the addresses and servers, then run `mailbot check --config {file}`")


@mailbot.command(epilog=example("mailbot deadlines --received 2026-11-25 --json"))
@click.option("--received", required=True, metavar="DATE", help="The day it reached the mailbox, such as 2026-11-25.")
@JSON
@ends_well
def deadlines(received: str, *, as_json: bool) -> None:
    """Print the three dates for a request received on a day, and why."""
    from mailbot.views import deadlines_json

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


@mailbot.command(epilog=example("mailbot classify mails/ --json"))
@CONFIG
@click.argument("files", nargs=-1)
@click.option("--compare", is_flag=True, help="What the rules make of every message whose verdict you corrected.")
@click.option("--rules", default="", metavar="FOLDER", help="Try the rules in this folder above those in force.")
@JSON
@ends_well
def classify(config: str | None, files: tuple[str, ...], rules: str, *, compare: bool, as_json: bool) -> None:
    """Say what these mails ask for, and the evidence. `-` is stdin; a folder or an mbox counts as its messages."""
    from mailbot import trial

    if compare:
        compared, waiting = trial.comparison(config, rules)
        if as_json:
            print_lines(one.as_json() for one in compared)
        else:
            click.echo("\n".join(trial.compared_lines(compared, waiting)))
        return
    if not files:
        raise click.UsageError("name a file, a folder, an mbox or `-`; or say --compare")
    reader = trial.reader(config, rules)
    for name, raw in trial.messages(files):
        facts = trial.verdict_json(name, raw, reader)
        if as_json:
            click.echo(json.dumps(facts, ensure_ascii=False))
            continue
        click.echo(f"{name}: {facts['decision']} {', '.join(facts['kinds'])} ({facts['language']}) - {facts['reason']}")
        for line in trial.evidence_lines(facts):
            click.echo(line)


@mailbot.command(epilog=example("mailbot preview request.eml"))
@CONFIG
@click.argument("files", nargs=-1, required=True)
@ends_well
def preview(config: str | None, files: tuple[str, ...]) -> None:
    """Show the plan and the letters as they would go out; touch nothing."""
    from mailbot import trial

    house, settings = trial.house(config)
    for name, raw in trial.messages(files):
        click.echo(f"== {name}")
        for line in trial.preview(raw, house, settings):
            click.echo(line)


@mailbot.command(epilog=example("mailbot cases --open"))
@CONFIG
@click.option("--open", "only_open", is_flag=True, help="Only cases in which an answer is still owed.")
@JSON
@ends_well
def cases(config: str | None, *, only_open: bool, as_json: bool) -> None:
    """List the register."""
    from mailbot import owner

    register, _ = register_of(config)
    rows = list(owner.cases(register, only_open=only_open))
    if as_json:
        print_lines(rows)
        return
    if not rows:
        click.echo("no case is open" if only_open else "the register holds no cases yet", err=True)
    for row in rows:
        kinds = ", ".join(row["kinds"]) or "to be judged"
        click.echo(
            f"{row['number']}  {row['state']:13} until {row['extended_to'] or row['promise']}  {kinds}  {row['client']}"
        )


@mailbot.command(epilog=example("mailbot digest --preview"))
@CONFIG
@click.option("--preview", is_flag=True, help="Print it; send and record nothing.")
@ends_well
def digest(config: str | None, *, preview: bool) -> None:
    """Give the owner's overview, now."""
    from mailbot import trial

    if preview:
        click.echo(trial.digest_text(config))
        return
    asyncio.run(trial.send_digest(config))
    click.echo("the digest was sent")


@mailbot.command(epilog=example("mailbot report --html cases.html --ics cases.ics"))
@CONFIG
@click.option("--html", "page", type=click.Path(path_type=Path), help="One page that needs nothing else.")
@click.option("--csv", "table", type=click.Path(path_type=Path), help="A table for a Dutch spreadsheet.")
@click.option("--ics", "calendar", type=click.Path(path_type=Path), help="The dates of open cases; no names.")
@click.option("--anonymous", is_flag=True, help="Without whose they are: for statistics.")
@ends_well
def report(
    config: str | None, page: Path | None, table: Path | None, calendar: Path | None, *, anonymous: bool
) -> None:
    """Write the register as files to look at."""
    from mailbot import trial
    from mailbot.storage import replace_file

    if calendar and anonymous:
        raise click.UsageError("--anonymous is for statistics: the calendar names nobody as it is")
    texts = dict(zip((page, table, calendar), trial.report_texts(config, anonymous=anonymous), strict=True))
    wanted = [path for path in texts if path is not None]
    if not wanted:
        raise click.UsageError("say what to write: --html FILE, --csv FILE or --ics FILE")
    for path in wanted:
        replace_file(path, texts[path].encode())
        click.echo(f"wrote {path}")


@mailbot.command(epilog=example("mailbot export KN-2026-0001 --to jan.zip"))
@CONFIG
@NUMBER
@click.option("--to", "file", required=True, type=click.Path(path_type=Path), help="The archive; never over a file.")
@ends_well
def export(config: str | None, number: str, file: Path) -> None:
    """Write the archive for an access or portability answer: JSON, CSV and the person's messages."""
    from mailbot.export import export_to

    archive = asyncio.run(export_to(number, file, config))
    click.echo(f"wrote {file}: {len(archive.rows)} messages; send it to {archive.record.address} and to nobody else")
    if archive.left_out:
        click.echo(
            f"{archive.left_out} messages by others in the client's folder were left out: look at them", err=True
        )


@mailbot.command(epilog=example("mailbot backup /root/mailbot-2026-11-24.tar.gz"))
@CONFIG
@click.argument("file", type=click.Path(path_type=Path))
@ends_well
def backup(config: str | None, file: Path) -> None:
    """Put the register into one archive, also while the daemon runs. It holds the key: keep it safe."""
    from mailbot import backup as archive

    register, _ = register_of(config)
    click.echo(f"wrote {file}: {archive.backup(register, file)} files")


@mailbot.command(epilog=example("mailbot restore /root/mailbot-2026-11-24.tar.gz"))
@CONFIG
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--closed", type=click.Path(path_type=Path), help="The folder `closed` of the register you moved away.")
@ends_well
def restore(config: str | None, file: Path, closed: Path | None) -> None:
    """Put an archive back into an empty place. No letter goes out until `mailbot release`."""
    from mailbot import app
    from mailbot import backup as archive
    from mailbot.config import load

    settings = load(config, secrets=False)
    count = archive.restore(file, Path(settings.register.directory), app.clock(settings)(), closed)
    click.echo(
        f"restored {count} files; letters wait until you say `mailbot release`. `mailbot verify` names the erasures"
        " to do again, as far as --closed or this backup knows them."
    )


@mailbot.command(epilog=example("mailbot verify"))
@CONFIG
@ends_well
def verify(config: str | None) -> None:
    """Look the register over: damage, changed events, numbers given twice, files that do not belong."""
    from mailbot import backup as archive
    from mailbot.config import load
    from mailbot.errors import Refused

    problems = list(archive.verify(Path(load(config, secrets=False).register.directory)))
    if problems:
        raise Refused("\n".join(problems))
    click.echo("the register is whole")


@mailbot.command(epilog=example("mailbot demo"))
@click.option("--out", default="demo-out", type=click.Path(path_type=Path), help="Where letters and register are left.")
@click.option("--quick", is_flag=True, help="Without pauses for the eye.")
@ends_well
def demo(out: Path, *, quick: bool) -> None:
    """Play a month at KosterNET in under a minute, on servers inside the process."""
    from mailbot.demo.play import play

    sys.exit(asyncio.run(play(out, quick=quick)))


@mailbot.command(epilog=example("mailbot completion bash > /etc/bash_completion.d/mailbot"))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for a shell."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is not None:
        click.echo(found(mailbot, {}, "mailbot", "_MAILBOT_COMPLETE").source())


def main() -> None:
    """Run the command line."""
    mailbot(prog_name="mailbot")
