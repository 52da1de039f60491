"""Mail from a contact form: who really wrote it, and what.

Owns recognising a form plug-in's mail and taking the visitor's own words out of it. Must never believe what a stranger
typed: the address is unproven, and the site's own sender is never the person. IP addresses and user agents are left
behind (data minimisation). What the plug-ins write is data in rules/forms.toml.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from mailbot.errors import OwnerMustFix

UNKNOWN = "form"  # the plug-in of a form nobody told us about
ADDRESS = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
FOOTER = 1_000  # characters at the end in which a receipt says what it is; further up a visitor may have pasted it
BELOW = 6  # lines below a border among which the first written one tells whose they are
LABEL = re.compile(r"^\s{0,4}\*{0,2}([^:\n]{1,60}?)\*{0,2}\s?:\*{0,2}(?:\s+(.{0,2000}))?$")


@dataclass(frozen=True, slots=True)
class FormRules:
    """What forms look like: signs of each plug-in, and the labels before the visitor's answers."""

    plugins: tuple[tuple[str, "Signs"], ...]
    receipts: "Signs"
    address_labels: frozenset[str]
    name_labels: frozenset[str]
    text_labels: frozenset[str]
    dropped_labels: frozenset[str]
    technical_labels: frozenset[str]
    ends: tuple[re.Pattern[str], ...]
    borders: tuple[re.Pattern[str], ...]
    addressed: re.Pattern[str]  # finds a line that may begin with an address label, in nearly no time

    @classmethod
    def parse(cls, text: str, name: str = "rules/forms.toml") -> "FormRules":
        """Return the rules in this TOML text. OwnerMustFix says what is wrong."""
        try:
            return cls._of(tomllib.loads(text))
        except (ValueError, KeyError, TypeError, re.error) as error:
            raise OwnerMustFix(f"{name}: {type(error).__name__}: {error}: compare it with the shipped file") from error

    @classmethod
    def _of(cls, table: Mapping[str, Any]) -> "FormRules":
        labels, plugins = table["labels"], table["plugin"]
        return cls(
            plugins=tuple((row["name"], Signs.of(row["signs"])) for row in plugins),
            receipts=Signs.of(_strings(table["receipts"])),
            address_labels=frozenset(_strings(labels["address"])),
            name_labels=frozenset(_strings(labels["name"])),
            text_labels=frozenset(_strings(labels["text"])),
            dropped_labels=frozenset(_strings(labels["dropped"])),
            technical_labels=frozenset(_strings(labels["technical"])),
            ends=tuple(_regex([sign]) for sign in _strings(table["ends"])),
            borders=tuple(_regex([sign]) for sign in _strings(table["borders"])),
            addressed=_beginning(set(_strings(labels["address"])) - set(_strings(labels["name"]))),
        )


@dataclass(frozen=True, slots=True)
class Signs:
    """Patterns of one line, sought in a whole text at once: it must be in lower case and begin with a line break.

    Most of the time reading ordinary mail took went into looking for forms. A pattern that starts with a letter or a
    line break lets the engine skip everything else, which it cannot do when it has to ignore case.
    """

    regexes: tuple[re.Pattern[str], ...]

    @classmethod
    def of(cls, signs: Iterable[str]) -> "Signs":
        """Return the patterns; `^` at the start of one means the start of a line. ValueError on a loose alternative."""
        signs = tuple(signs)
        loose = [sign for sign in signs if sign.startswith("^") and "|" in re.sub(r"\([^()]*\)", "", sign)]
        if loose:
            raise ValueError(f"forms.toml: write alternatives in parentheses or as signs of their own: {loose}")
        anchored = (f"\\n(?:{sign[1:]})" if sign.startswith("^") else sign for sign in map(_lower, signs))
        return cls(tuple(re.compile(sign, re.MULTILINE) for sign in anchored))

    def within(self, text: str) -> bool:
        """Tell whether one of them is in the text."""
        return any(regex.search(text) for regex in self.regexes)


def _lower(sign: str) -> str:
    return re.sub(r"\\.|[^\\]+", lambda part: part[0] if part[0].startswith("\\") else part[0].lower(), sign)


def _beginning(labels: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern for a line that begins with one of these labels, however it is spaced or marked up."""
    words = (r"\s+".join(re.escape(word) for word in label.split()) for label in labels)
    return re.compile(rf"\n[ \t*:-]{{0,12}}(?:{'|'.join(words)})(?!\w)")


def _strings(value: object) -> Iterable[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _regex(signs: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{sign})" for sign in signs), re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Found:
    """A form's mail taken apart. `receipt`: it is the confirmation a visitor gets, never a request."""

    plugin: str
    address: str | None
    name: str
    text: str
    receipt: bool = False


def find(subject: str, text: str, headers: AbstractSet[str], rules: FormRules) -> Found | None:
    """Return the form in this mail, or None when it is no form's mail. `headers` are the names, in lower case.

    For mail that answers nothing and was not passed on: those may hold a form's mail that a person speaks about.
    """
    whole = f"\n{subject}\n{text[:20_000]}".lower()
    if rules.receipts.within("\n" + text.rstrip()[-FOOTER:].rpartition("\n\n")[2].lower()):
        return Found("receipt", None, "", text, receipt=True)
    plugin = next((name for name, signs in rules.plugins if signs.within(whole)), None)
    if plugin is None and "x-wpcf7-content-type" in headers:
        plugin = "contact-form-7"
    if plugin is None and not rules.addressed.search(f"\n{text}".lower()):
        return None
    fields = _fields(text, rules)
    if plugin is None and not _looks_like_fields(fields, rules):
        return None
    return _taken(plugin or UNKNOWN, fields, rules)


@dataclass(slots=True)
class Field:
    """A label and the lines below it; no label for lines before the first one."""

    label: str
    lines: list[str]

    @property
    def value(self) -> str:
        """The visitor's answer."""
        return "\n".join(self.lines).strip()


def _fields(text: str, rules: FormRules) -> list[Field]:
    known = rules.address_labels | rules.name_labels | rules.text_labels | rules.dropped_labels | rules.technical_labels
    fields = [Field("", [])]
    lines = text.split("\n")
    for place, line in enumerate(lines):
        if _ends(lines, place, rules):
            break
        label, match = _label(line)
        if label in known:
            fields.append(Field(label, [match[2] or ""] if match else []))
        elif fields[-1].label in known - rules.text_labels and fields[-1].value and line.strip():
            fields.append(Field("", [line]))  # short answers have one line; what follows is the visitor speaking
        else:
            fields[-1].lines.append(line)
    return fields


def _label(line: str) -> tuple[str, re.Match[str] | None]:
    match = LABEL.match(line[:2100])
    label = _folded(match[1]) if match else _folded(line) if len(line) < 60 else ""  # noqa: PLR2004 - as in LABEL
    return label, match


def _ends(lines: Sequence[str], place: int, rules: FormRules) -> bool:
    """Tell whether the visitor's words end here; a border that is followed by more of theirs is theirs too."""
    if _any(rules.ends, lines[place]):
        return True
    if not _any(rules.borders, lines[place]):
        return False
    below = next((line for line in lines[place + 1 : place + 1 + BELOW] if line.strip()), "")
    return _any(rules.ends, below) or _label(below)[0] in rules.technical_labels


def _any(regexes: Iterable[re.Pattern[str]], line: str) -> bool:
    return any(regex.search(line[:300]) for regex in regexes)


def _folded(label: str) -> str:
    return " ".join(label.strip(" *:-\t").lower().split())


def _looks_like_fields(fields: Iterable[Field], rules: FormRules) -> bool:
    """A form nobody told us about: a labelled address and a labelled text."""
    labels = {field.label for field in fields if field.value}
    heading = rules.address_labels & rules.name_labels  # From: and Van: also stand above mails that people quote
    address = any(f.label in rules.address_labels - heading and ADDRESS.fullmatch(f.value) for f in fields)
    return address and bool(labels & rules.text_labels) and bool(labels & rules.name_labels)


def _taken(plugin: str, fields: Iterable[Field], rules: FormRules) -> Found:
    address, name, said, rest = None, "", [], []
    for field in fields:
        found = ADDRESS.search(field.value)
        if field.label in rules.address_labels and found:
            address = address or found[0]
            if field.label in rules.name_labels:
                name = name or field.value.replace(found[0], "").strip(" <>")
        elif field.label in rules.name_labels:
            name = name or field.value.split("\n")[0]
        elif field.label not in rules.dropped_labels | rules.technical_labels:
            said.append(field.value)
        elif field.label in rules.dropped_labels and field.value:
            rest.append(f"{field.label}: {field.value}")
    # A form with nothing but fields (new address, new number) says what it says in those.
    text = "\n".join(part for part in said if part) or "\n".join(rest)
    return Found(plugin, address, name[:100], text)
