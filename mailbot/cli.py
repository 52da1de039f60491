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


@mailbot.command(epilog=_example("mailbot classify mails/ --json"))
@CONFIG
@click.argument("files", nargs=-1)
@click.option("--compare", is_flag=True, help="What the rules make of every message whose verdict you corrected.")
@click.option("--rules", default="", metavar="FOLDER", help="Try the rules in this folder above those in force.")
@JSON
@_ends_well
def classify(config: str | None, files: tuple[str, ...], rules: str, *, compare: bool, as_json: bool) -> None:
    """Say what these mails ask for, and the evidence. `-` is stdin; a folder or an mbox counts as its messages."""
    from mailbot import trial  # noqa: PLC0415

    if compare:
        compared, waiting = trial.comparison(config, rules)
        if as_json:
            _print_lines(one.as_json() for one in compared)
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


@mailbot.command(epilog=_example("mailbot preview request.eml"))
@CONFIG
@click.argument("files", nargs=-1, required=True)
@_ends_well
def preview(config: str | None, files: tuple[str, ...]) -> None:
    """Show the plan and the letters as they would go out; touch nothing."""
    from mailbot import trial  # noqa: PLC0415

    house, settings = trial.house(config)
    for name, raw in trial.messages(files):
        click.echo(f"== {name}")
        for line in trial.preview(raw, house, settings):
            click.echo(line)


@mailbot.command(epilog=_example("mailbot cases --open"))
@CONFIG
@click.option("--open", "only_open", is_flag=True, help="Only cases in which an answer is still owed.")
@JSON
@_ends_well
def cases(config: str | None, *, only_open: bool, as_json: bool) -> None:
    """List the register."""
    from mailbot import owner  # noqa: PLC0415

    register, _ = _register(config)
    rows = owner.cases(register, only_open=only_open)
    if as_json:
        _print_lines(rows)
        return
    for row in rows:
        kinds = ", ".join(row["kinds"]) or "to be judged"
        click.echo(
            f"{row['number']}  {row['state']:13} until {row['extended_to'] or row['promise']}  {kinds}  {row['client']}"
        )


@mailbot.command(epilog=_example("mailbot case KN-2026-0001"))
@CONFIG
@NUMBER
@click.option("--kind", "kinds", multiple=True, help="Correct what it is about (and make it a request).")
@click.option("--no-request", is_flag=True, help="It is no privacy request.")
@click.option("--evidence", is_flag=True, help="A file to show the authority: what was done when, without contents.")
@JSON
@_ends_well
def case(
    config: str | None, number: str, kinds: tuple[str, ...], *, no_request: bool, evidence: bool, as_json: bool
) -> None:
    """Show a case: its timeline and its terms, explained. With --kind the owner corrects it."""
    from mailbot import owner, trial, views  # noqa: PLC0415

    if evidence:
        for line in trial.evidence(number, config):
            click.echo(line)
        return

    if kinds:
        trial.known_kinds(kinds, trial.house(config)[0])
    if kinds or no_request:
        _say(config, number, "kinds" if kinds else "no-request", kinds=kinds)
    register, _ = _register(config)
    record, found = owner.find(register, number)
    if as_json:
        click.echo(json.dumps(views.case_json(record, found), ensure_ascii=False))
        return
    for line in views.timeline(record, found):
        click.echo(line)


def _register(config: str | None) -> tuple[Any, Any]:
    from mailbot.config import load  # noqa: PLC0415
    from mailbot.owner import open_register  # noqa: PLC0415

    settings = load(config, secrets=False)
    return open_register(settings), settings


def _say(config: str | None, number: str, action: str, *, preview: bool = False, **parts: Any) -> None:  # noqa: ANN401 - the fields of a Word
    """Record one word of the owner and show what it did."""
    from mailbot import app, owner, trial  # noqa: PLC0415
    from mailbot.casework import Word  # noqa: PLC0415
    from mailbot.house import desk_of, furnish  # noqa: PLC0415

    register, settings = _register(config)
    word = Word(action, **parts)
    if preview:
        for line in trial.preview_word(register, number, word, settings):
            click.echo(line)
        for line in asyncio.run(trial.preview_erasure(number, config)) if word.erase else ():
            click.echo(line)
        return
    desk = desk_of(settings, furnish(settings), register.key)
    record = owner.say(register, number, word, desk, app.clock(settings)())
    waiting = [one.letter for one in record.letters if one.case == number.upper() and one.state == "held"]
    click.echo(f"{number.upper()}: {action} recorded")
    if word.erase:
        click.echo(
            "the person is erased at the next look; the owner gets a notice of what went and what stayed", err=True
        )
    for letter in waiting:
        click.echo(f"the letter `{letter}` waits for you: mailbot release {number.upper()}", err=True)


def _word(name: str, about: str, options: tuple[str, ...]) -> None:
    """Make the command for one word of the owner; what each needs is checked by casework.py."""

    @_ends_well
    def command(config: str | None, number: str, **parts: Any) -> None:  # noqa: ANN401 - options of that word
        parts = {key: value for key, value in parts.items() if value is not None}
        if "kinds" in parts:
            parts["kinds"] = tuple(parts["kinds"])
        _say(config, number, name, **parts)

    command.__doc__ = about
    made = {
        "reason": click.option("--reason", help="Why. The person reads this."),
        "kinds": click.option("--kind", "kinds", multiple=True, help="Only this kind of the case."),
        "outcome": click.option(
            "--outcome", type=click.Choice(["done", "partly", "founded", "not_founded"]), help="How it was answered."
        ),
        "until": click.option("--until", metavar="DATE", help="Until when a part stays, such as 2033-12-31."),
        "organisation": click.option("--organisation", metavar="NAME", help="Who else gets the copy, at their wish."),
        "letter": click.option("--letter/--no-letter", default=True, help="Prepare the letter that goes with it."),
        "send": click.option("--send", is_flag=True, help="Send that letter without a further look."),
        "erase": click.option(
            "--erase", is_flag=True, help="Erase the person: register, client folder, inbox, Sent. Cannot be undone."
        ),
        "preview": click.option("--preview", is_flag=True, help="Only show what would be recorded and sent."),
    }
    for option in (*options, "preview"):
        command = made[option](command)
    mailbot.command(name=name, epilog=_example(f"mailbot {name} KN-2026-0001"))(CONFIG(NUMBER(command)))


_word(
    "answer",
    "The request was answered, wholly or in part.",
    ("reason", "kinds", "outcome", "until", "organisation", "letter", "send"),
)
_word("extend", "Take two more months, with the reason, within the first month.", ("reason", "send"))
_word("refuse", "The request is refused, with the reason.", ("reason", "kinds", "letter", "send"))
_word("withdraw", "The person took the request back.", ("reason", "kinds"))
_word("identity", "You have seen who it is; the copy is deleted.", ("reason",))
_word("lift", "The person lifted the restriction.", ("reason", "letter", "send"))
_word("close", "Close a case that has its answer; --erase takes the person out of everything.", ("reason", "erase"))
_word("ask", "Ask the person for what is missing.", ("reason", "send"))
_word("ask-identity", "Ask the person once more to show who it is.", ("reason", "send"))
_word("recognise", "A doubtful message is a request.", ())
_word("reopen", "Open a case again that was ended by mistake.", ("reason",))


@mailbot.command(epilog=_example("mailbot release KN-2026-0001"))
@CONFIG
@click.argument("number", required=False)
@_ends_well
def release(config: str | None, number: str | None) -> None:
    """Let waiting letters go: those of one case, or without a number all of them and every stop."""
    from mailbot import app, owner  # noqa: PLC0415

    register, settings = _register(config)
    count = owner.release(register, number, app.clock(settings)())
    click.echo(f"{count} letter(s) will go out at the next look")


@mailbot.command(
    epilog=_example("mailbot intake --channel phone --received 2026-11-24T10:15 --from jan@example.nl --kind access")
)
@CONFIG
@click.option("--channel", type=click.Choice(["phone", "post", "counter"]), required=True)
@click.option("--received", required=True, metavar="MOMENT", help="When it came, such as 2026-11-24T10:15.")
@click.option("--from", "address", default="", help="The person's mail address, when there is one.")
@click.option("--name", default="", help="The person's name, when there is no address.")
@click.option("--kind", "kinds", multiple=True, required=True)
@click.option("--note", default="", help="How it came; no contents of the request.")
@_ends_well
def intake(config: str | None, received: str, kinds: tuple[str, ...], **parts: str) -> None:
    """Record a request that came by phone, post or counter."""
    from mailbot import app, owner, trial  # noqa: PLC0415
    from mailbot.house import desk_of  # noqa: PLC0415
    from mailbot.intake import Told  # noqa: PLC0415

    house, settings = trial.house(config)
    trial.known_kinds(kinds, house)
    name = parts.pop("name")
    told = Told(received=trial.moment(received, settings), kinds=kinds, **parts)
    register = owner.open_register(settings)
    desk, policy = desk_of(settings, house, register.key), house.reader.policy
    found = owner.intake(register, told, desk, policy, app.clock(settings)(), name)
    click.echo(found.number)
    click.echo(found.about, err=True)


@mailbot.command(epilog=_example("mailbot digest --preview"))
@CONFIG
@click.option("--preview", is_flag=True, help="Print it; send and record nothing.")
@_ends_well
def digest(config: str | None, *, preview: bool) -> None:
    """Give the owner's overview, now."""
    from mailbot import trial  # noqa: PLC0415

    if preview:
        click.echo(trial.digest_text(config))
        return
    asyncio.run(trial.send_digest(config))
    click.echo("the digest was sent")


@mailbot.command(epilog=_example("mailbot report --html cases.html --ics cases.ics"))
@CONFIG
@click.option("--html", "page", type=click.Path(path_type=Path), help="One page that needs nothing else.")
@click.option("--csv", "table", type=click.Path(path_type=Path), help="A table for a Dutch spreadsheet.")
@click.option("--ics", "calendar", type=click.Path(path_type=Path), help="The dates of open cases; no names.")
@click.option("--anonymous", is_flag=True, help="Without whose they are: for statistics.")
@_ends_well
def report(
    config: str | None, page: Path | None, table: Path | None, calendar: Path | None, *, anonymous: bool
) -> None:
    """Write the register as files to look at."""
    from mailbot import trial  # noqa: PLC0415
    from mailbot.storage import replace_file  # noqa: PLC0415

    if calendar and anonymous:
        raise click.UsageError("--anonymous is for statistics: the calendar names nobody as it is")
    texts = dict(zip((page, table, calendar), trial.report_texts(config, anonymous=anonymous), strict=True))
    wanted = [path for path in texts if path is not None]
    if not wanted:
        raise click.UsageError("say what to write: --html FILE, --csv FILE or --ics FILE")
    for path in wanted:
        replace_file(path, texts[path].encode())
        click.echo(f"wrote {path}")


@mailbot.command(epilog=_example("mailbot export KN-2026-0001 --to jan.zip"))
@CONFIG
@NUMBER
@click.option("--to", "file", required=True, type=click.Path(path_type=Path), help="The archive; never over a file.")
@_ends_well
def export(config: str | None, number: str, file: Path) -> None:
    """Write the archive for an access or portability answer: JSON, CSV and the person's messages."""
    from mailbot.export import export_to  # noqa: PLC0415

    archive = asyncio.run(export_to(number, file, config))
    click.echo(f"wrote {file}: {len(archive.rows)} messages; send it to {archive.record.address} and to nobody else")
    if archive.left_out:
        click.echo(
            f"{archive.left_out} messages by others in the client's folder were left out: look at them", err=True
        )


@mailbot.command(epilog=_example("mailbot backup /root/mailbot-2026-11-24.tar.gz"))
@CONFIG
@click.argument("file", type=click.Path(path_type=Path))
@_ends_well
def backup(config: str | None, file: Path) -> None:
    """Put the register into one archive, also while the daemon runs. It holds the key: keep it safe."""
    from mailbot import backup as archive  # noqa: PLC0415

    register, _ = _register(config)
    click.echo(f"wrote {file}: {archive.backup(register, file)} files")


@mailbot.command(epilog=_example("mailbot restore /root/mailbot-2026-11-24.tar.gz"))
@CONFIG
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--closed", type=click.Path(path_type=Path), help="The folder `closed` of the register you moved away.")
@_ends_well
def restore(config: str | None, file: Path, closed: Path | None) -> None:
    """Put an archive back into an empty place. No letter goes out until `mailbot release`."""
    from mailbot import app  # noqa: PLC0415
    from mailbot import backup as archive  # noqa: PLC0415
    from mailbot.config import load  # noqa: PLC0415

    settings = load(config, secrets=False)
    count = archive.restore(file, Path(settings.register.directory), app.clock(settings)(), closed)
    click.echo(
        f"restored {count} files; letters wait until you say `mailbot release`. `mailbot verify` names the erasures"
        " to do again, as far as --closed or this backup knows them."
    )


@mailbot.command(epilog=_example("mailbot verify"))
@CONFIG
@_ends_well
def verify(config: str | None) -> None:
    """Look the register over: damage, changed events, numbers given twice, files that do not belong."""
    from mailbot import backup as archive  # noqa: PLC0415
    from mailbot.config import load  # noqa: PLC0415
    from mailbot.errors import Refused  # noqa: PLC0415

    problems = list(archive.verify(Path(load(config, secrets=False).register.directory)))
    if problems:
        raise Refused("\n".join(problems))
    click.echo("the register is whole")


@mailbot.command(epilog=_example("mailbot demo"))
@click.option("--out", default="demo-out", type=click.Path(path_type=Path), help="Where letters and register are left.")
@click.option("--quick", is_flag=True, help="Without pauses for the eye.")
@_ends_well
def demo(out: Path, *, quick: bool) -> None:
    """Play a month at KosterNET in under a minute, on servers inside the process."""
    from mailbot.demo.play import play  # noqa: PLC0415

    asyncio.run(play(out, quick=quick))


@mailbot.command(epilog=_example("mailbot completion bash > /etc/bash_completion.d/mailbot"))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for a shell."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    found = get_completion_class(shell)
    if found is not None:
        click.echo(found(mailbot, {}, "mailbot", "_MAILBOT_COMPLETE").source())


def main() -> None:
    """Run the command line."""
    mailbot(prog_name="mailbot")
