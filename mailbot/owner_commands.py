"""The commands by which the owner says something: what he did with a case, a letter let go, a request by phone.

Owns the options each word takes. Must never decide or compute: casework.py checks what each word needs.
"""

import asyncio
import json
from typing import Any

import click

from mailbot.command import CONFIG, JSON, NUMBER, ends_well, example, mailbot, register_of


@mailbot.command(epilog=example("mailbot case KN-2026-0001"))
@CONFIG
@NUMBER
@click.option("--kind", "kinds", multiple=True, help="Correct what it is about (and make it a request).")
@click.option("--no-request", is_flag=True, help="It is no privacy request.")
@click.option("--evidence", is_flag=True, help="A file to show the authority: what was done when, without contents.")
@JSON
@ends_well
def case(
    config: str | None, number: str, kinds: tuple[str, ...], *, no_request: bool, evidence: bool, as_json: bool
) -> None:
    """Show a case: its timeline and its terms, explained. With --kind the owner corrects it."""
    from mailbot import owner, trial, views

    if evidence:
        for line in trial.evidence(number, config):
            click.echo(line)
        return

    if kinds:
        trial.known_kinds(kinds, trial.house(config)[0])
    if kinds or no_request:
        _say(config, number, "kinds" if kinds else "no-request", kinds=kinds)
    register, _ = register_of(config)
    record, found = owner.find(register, number)
    if as_json:
        click.echo(json.dumps(views.case_json(record, found), ensure_ascii=False))
        return
    for line in views.timeline(record, found):
        click.echo(line)


def _say(config: str | None, number: str, action: str, *, preview: bool = False, **parts: Any) -> None:  # noqa: ANN401 - the fields of a Word
    """Record one word of the owner and show what it did."""
    from mailbot import app, owner, trial
    from mailbot.casework import Word
    from mailbot.house import desk_of, furnish

    register, settings = register_of(config)
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

    @ends_well
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
    mailbot.command(name=name, epilog=example(f"mailbot {name} KN-2026-0001"))(CONFIG(NUMBER(command)))


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


@mailbot.command(epilog=example("mailbot release KN-2026-0001"))
@CONFIG
@click.argument("number", required=False)
@ends_well
def release(config: str | None, number: str | None) -> None:
    """Let waiting letters go: those of one case, or without a number all of them and every stop."""
    from mailbot import app, owner

    register, settings = register_of(config)
    count = owner.release(register, number, app.clock(settings)())
    click.echo(
        f"{count} {'letter goes' if count == 1 else 'letters go'} out at the next look" if count else "no letter waits"
    )


@mailbot.command(
    epilog=example("mailbot intake --channel phone --received 2026-11-24T10:15 --from jan@example.nl --kind access")
)
@CONFIG
@click.option("--channel", type=click.Choice(["phone", "post", "counter"]), required=True)
@click.option("--received", required=True, metavar="MOMENT", help="When it came, such as 2026-11-24T10:15.")
@click.option("--from", "address", default="", help="The person's mail address, when there is one.")
@click.option("--name", default="", help="The person's name, when there is no address.")
@click.option("--kind", "kinds", multiple=True, required=True)
@click.option("--note", default="", help="How it came; no contents of the request.")
@ends_well
def intake(config: str | None, received: str, kinds: tuple[str, ...], **parts: str) -> None:
    """Record a request that came by phone, post or counter."""
    from mailbot import app, owner, trial
    from mailbot.house import desk_of
    from mailbot.intake import Told

    house, settings = trial.house(config)
    trial.known_kinds(kinds, house)
    name = parts.pop("name")
    told = Told(received=trial.moment(received, settings), kinds=kinds, **parts)
    register = owner.open_register(settings)
    desk, policy = desk_of(settings, house, register.key), house.reader.policy
    found = owner.intake(register, told, desk, policy, app.clock(settings)(), name)
    click.echo(found.number)
    click.echo(found.about, err=True)
