"""The files in templates/ as values, each letter rendered once with its own sample facts.

Owns reading and checking them, so that a wrong name stops the start and not a client's letter. Must never send or keep
what it renders, and never open a file: data.py does.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from jinja2 import StrictUndefined, TemplateError, pass_context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mailbot import blocks, wording
from mailbot.client import QueuedLetter
from mailbot.errors import OwnerMustFix
from mailbot.letters import Processor, Sender, Template, Templates, compose, context_of

LETTER = re.compile(r"(?P<language>[a-z]{2})/(?P<letter>[a-z_]+)\.(?P<part>txt|toml)")
OWNERS_WORDS = (
    "events letters kinds places roles channels states tracks identity letter_states replies stops troubles reasons"
).split()
EPOCH = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
EXAMPLE = Sender("Voorbeeld", "info@example.nl", "https://example.nl/", "owner@example.nl")  # signs the samples


def parse(
    files: Mapping[str, bytes],
    labels: Mapping[str, Mapping[str, str]],
    processors: tuple[Processor, ...] = (),
) -> Templates:
    """Return the templates in these files (path -> contents). OwnerMustFix lists everything wrong with them.

    `labels` names each kind of request per language (rules/kinds), `processors` who holds data for us.
    """
    problems: list[str] = []
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    environment.filters["escape_html"] = blocks.escaped
    environment.filters["label"] = pass_context(_labelled)
    environment.filters["first_upper"] = lambda text: text[:1].upper() + text[1:]
    texts = {name: raw.decode("utf-8", "replace") for name, raw in files.items() if not name.endswith(".png")}
    found = Templates(
        letters={},
        layout=_compiled(environment, "layout.html", texts, problems),
        words={name: _table(f"{name}/words.toml", texts, problems) for name in _languages(texts)},
        buttons={
            name: _compiled(environment, f"{name}/buttons.block", texts, problems)
            for name in _languages(texts)
            if name == "nl" or f"{name}/buttons.block" in texts
        },
        pictures={name: raw for name, raw in files.items() if name.endswith(".png")},
        labels=labels,
        kinds=dict(_about_kinds(environment, texts, problems)),
        processors=processors,
    )
    found = replace(found, letters=dict(_letters(environment, texts, problems)))
    problems += [] if problems else list(_tried(found))
    if problems:
        raise OwnerMustFix(problems)
    return found


def processors(text: str) -> tuple[Processor, ...]:
    """Return rules/processors.toml as values; KeyError, TypeError or ValueError says what is wrong."""
    return msgspec.convert(tomllib.loads(text)["processor"], tuple[Processor, ...])


def _languages(texts: Mapping[str, str]) -> list[str]:
    return sorted({name.split("/")[0] for name in texts if LETTER.fullmatch(name)})


def _table(name: str, texts: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(texts[name])
    except (KeyError, tomllib.TOMLDecodeError) as error:
        problems.append(f"templates/{name}: {error}")
        return {}


def _compiled(
    environment: ImmutableSandboxedEnvironment, name: str, texts: Mapping[str, str], problems: list[str]
) -> Any:  # noqa: ANN401 - jinja's own type
    try:
        return environment.from_string(texts[name])
    except TemplateError as error:
        problems.append(f"templates/{name}:{getattr(error, 'lineno', 1)}: {error}")
    except KeyError:
        problems.append(f"templates/{name} is missing")
    return environment.from_string("")


def _letters(
    environment: ImmutableSandboxedEnvironment, texts: Mapping[str, str], problems: list[str]
) -> Iterator[tuple[tuple[str, str], Template]]:
    for name in texts:
        match = LETTER.fullmatch(name)
        if not match or match["part"] != "txt":
            continue
        front = _table(f"{match['language']}/{match['letter']}.toml", texts, problems)
        try:
            subject = environment.from_string(str(front.get("subject", "")))
        except TemplateError as error:
            problems.append(f"templates/{name}: subject: {error}")
            continue
        yield (
            (match["letter"], match["language"]),
            Template(
                subject=subject,
                body=_compiled(environment, name, texts, problems),
                audience=str(front.get("audience", "person")),
                picture=str(front.get("picture", "")),
                sample=dict(front.get("sample", {})),
                again=tuple(front.get("again", ())),
            ),
        )


def _about_kinds(
    environment: ImmutableSandboxedEnvironment, texts: Mapping[str, str], problems: list[str]
) -> Iterator[tuple[tuple[str, str, str], Any]]:
    """The texts of kinds.toml in each language: what a letter says about each kind of request."""
    for language in _languages(texts):
        name = f"{language}/kinds.toml"
        for kind, said in _table(name, texts, problems).items() if name in texts else ():
            for outcome, text in said.items():
                place = f"{name} [{kind}] {outcome}"
                yield (language, kind, outcome), _compiled(environment, place, {place: str(text).strip()}, problems)


def _samples(letter: str, language: str, template: Template, templates: Templates) -> Iterator[QueuedLetter]:
    """The letter with its own sample facts, and about each kind by itself when its text depends on the kind."""
    sample = sample_letter(letter, language, template)
    yield from (sample, *(replace(sample, facts=dict(facts)) for facts in template.again))
    for kind in templates.labels if letter.startswith("outcome_") else ():
        yield replace(sample, facts={**sample.facts, "kinds": [kind]})


def _tried(templates: Templates) -> Iterator[str]:
    """Render every letter with its sample facts, so that a wrong name stops the start and not a client's letter."""
    for language in {language for letter, language in templates.letters if letter == "digest"}:
        missing = [name for name in OWNERS_WORDS if name not in templates.words[language]]
        yield from (f"templates/{language}/words.toml: there is no [{name}]" for name in missing)
        yield from (f"templates/{language}/words.toml: {why}" for why in wording.wrong(templates.words[language]))
    for (letter, language), template in templates.letters.items():
        try:
            for sample in _samples(letter, language, template, templates):
                compose(sample, EXAMPLE, templates)
        except (TemplateError, OwnerMustFix, KeyError, ValueError, TypeError) as error:
            yield f"templates/{language}/{letter}.txt: {error}"


def texts(templates: Templates) -> Iterator[str]:
    """Yield what our letters to persons say: each with its sample, and about every kind, in its language.

    The reason is left out: those are the owner's words, and he may write the sample's very own.
    """
    for (letter, language), template in templates.letters.items():
        if template.audience == "person":
            sample = sample_letter(letter, language, template)
            for kinds in (template.sample.get("kinds", []), *([kind] for kind in templates.labels)):
                about = replace(sample, facts={**sample.facts, "kinds": kinds, "reason": ""})
                with suppress(OwnerMustFix, TemplateError):  # not every letter can be about every kind
                    yield template.body.render(context_of(about, EXAMPLE, templates))


def sample_letter(letter: str, language: str, template: Template) -> QueuedLetter:
    """Return the letter a template's own sample facts make; golden copies and the check at start use it."""
    return QueuedLetter(
        message_id=f"<{hashlib.sha256(letter.encode()).hexdigest()[:32]}@example.nl>",
        letter=letter,
        audience=template.audience,
        to="iemand@example.org",
        language=language,
        case=str(template.sample.get("number", "")) or None,
        facts=dict(template.sample),
        queued=EPOCH,
    )


def _labelled(context: Mapping[str, Any], kind: str) -> str:
    """The name of a kind in the letter's language, as a filter: `kinds | map("label")`."""
    return str(context["label"](kind))
