"""Rules as values: word classes, rules that combine them, and the self-check of each rule's own examples.

Owns the language rules/*.toml is written in and the matcher behind it. Must never read a disk, and never judge a
message: `classify.py` adds up what the rules see.

A rule says which classes of words stand together in one sentence ("who wants", "what is done", "to which data"). Text
is split into words once and each word is looked up once, so reading is linear whatever is sent.
"""

import re
import tomllib
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache, reduce
from operator import or_
from typing import Any

import msgspec

from mailbot.errors import OwnerMustFix
from mailbot.likeness import Likeness

SHORTENED = "art|artt|nr|tel|mevr|mw|dhr|mr|dr|drs|bijv|bv|evt|jl|incl|excl|abs|ggf|bzw|mme|mrs|inc|alt|vgl"
WORD = re.compile(
    rf"(?:[a-z]\.){{2,}}|(?:{SHORTENED})\.(?=[ \d])|[a-z0-9]+"  # "a.u.b." and "art. 15" end no sentence
    r"|[.!?;]{1,30}(?=\s|$|[\"')\]])|\n\n+|\n[ \t]{0,8}(?:[-*\u2022]|\d[.)])(?=[ \t])|,"  # nor does "example.nl"
)
ENDS = frozenset(".!?;\n")
ADDRESS = re.compile(r"(?<!\S)\S{0,80}@[\w.-]{0,80}\w|(?<!\S)https?://\S{1,300}")
ACCENTS = re.compile(r"[\u0300-\u036f]+")  # what is left of an accent once a letter is taken apart
AN_ADDRESS = " anaddress "  # what rules see of it: the words in somebody's address say nothing
CLAUSE = ","
BREAKS = frozenset(
    {CLAUSE, "maar", "but", "aber", "sondern", "mais", "dus"}
)  # a "not" before it turns nothing after it
SENTENCE = 60  # words: a longer sentence is cut, so that a text without full stops is no single sentence
JOINS = BREAKS | {"en", "and", "und", "et", "then", "dan", "daarna"}  # begin a deed of their own
WINDOW = 14  # words within which the classes of a rule stand, unless the rule says otherwise
NEGATION = 4  # words before the deed in which a "not" turns it around
WIDE = 6  # words before everything in which a needed "not" may stand ("ik wil niet dat jullie ...")
AFTER = 4  # words after it ("verwijder mijn gegevens niet")
FAR = 10  # words before the deed for a "not" that rules what follows ("niet dat jullie ...")
MORE = frozenset({"meer", "langer", "nodig", "longer", "more", "needed", "mehr", "plus"})  # "niet meer" denies
NEED_NOT = frozenset({"hoef", "hoeft", "hoeven"})  # nothing but itself, unless somebody need not do it
LED = 10  # words before what a rule saw in which another deed leads to it
TRAILED = 4  # and words after it ("alles wat u van mij heeft wissen")
TELLING = "tell"  # the class of deeds that stand between
NEAR = 3  # sentences that a rule of this scope sees as one
STEM = 3  # letters: shorter stems would match everything
MISTYPED = 8  # letters of a word in which one wrong, missing, extra or swapped letter is forgiven
BESIDE = 14  # words around the words seen in which a class of `none` turns a rule off
WORDS_JUDGED = 6_000  # of one message: more than anybody writes to ask something


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `all` classes must stand within `window` words of each other, `none` nowhere in the sentence."""

    id: str
    kind: str | None
    all: tuple[str, ...]
    none: tuple[str, ...] = ()
    yields: tuple[str, ...] = ()  # gives way when one of these deeds is done to what it saw ("wis wat u van mij heeft")
    weight: float = 0.6
    window: int = WINDOW
    negation: str = "silences"  # silences | ignored | needed
    scope: str = "sentence"  # sentence | near (some sentences that follow each other) | message | subject
    sets: str = ""  # what it tells besides a kind: reminder, withdrawn, behalf:agent, sub:termination, automatic:list
    question: bool | None = None  # only in a question, or never in one
    watch: bool = False
    short: int = 0  # only when the whole message has at most so many words
    yours: bool = False  # speaks even where the sender talks about our data ("uw gegevens")
    matches: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True, slots=True)
class KindOfRequest:
    """One kind: its policy and its names. `identity` is never or policy."""

    name: str
    identity: str = "policy"
    urgent: bool = False
    order: int = 50
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the evidence must add up to."""

    request: float = 0.86
    review: float = 0.38
    automatic: float = 0.85  # from here a mail that no person sent just now is put to the owner all the same
    kind: float = 0.48
    review_kind: float = 0.45
    likeness: float = 0.67  # what looking like the lessons weighs beside the rules, for each kind
    least: float = 0.3  # what the rules must have heard before anything is acknowledged ...
    alone: float = 0.93  # ... unless the likest kind and the look of a request are both at least this
    sure: float = 0.92  # from here the rules alone make a kind count, and ask the owner at least
    likeness_formal: float = 0.1  # the same in a formal letter, which cites every right there is
    heard: float = 2.6  # whether anything is asked: the surest rule,
    likest: float = 3.2  # the likest kind,
    asks: float = 5.0  # whether it looks like a request at all,
    doubt: float = 5.7  # and what they must outweigh
    ordinary: float = 0.5  # what is left of the evidence when the mail reads as business
    later: float = 0.3  # what a hint is worth further on in a formal letter, once its opening has said what it asks
    lead: int = 60  # words of a formal letter that are its opening
    beside: float = 0.62  # a kind that another one explains is kept only when it is at least this sure


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """Every word class, compiled for one look-up a word."""

    exact: Mapping[str, frozenset[str]]
    stems: Mapping[str, frozenset[str]]
    lengths: tuple[int, ...]
    tails: Mapping[str, frozenset[str]]
    mistyped: Mapping[str, frozenset[str]]
    mistyped_stems: Mapping[str, frozenset[str]]
    mistyped_lengths: tuple[int, ...]
    phrases: Mapping[str, tuple[tuple[tuple[str, ...], str], ...]]
    openers: frozenset[str]  # first words of phrases that are looked up by two words
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence: its words, where each class stands in it, and whether it asks something."""

    words: tuple[str, ...]
    places: Mapping[str, tuple[int, ...]]
    question: bool
    subject: bool = False
    place: int = 0  # words of the text before it

    def meant(self) -> list[str]:
        """Return the classes as they are meant: `not NAME` where a "not" turns one around, `?` when it asks."""
        return meant(self)

    def at(self, place: int) -> list[str]:
        """Return the classes that stand at this word."""
        return [name for name, places in self.places.items() if place in places]

    def said(self, first: int, last: int) -> str:
        """Return the words from one place to another."""
        return " ".join(self.words[max(first, 0) : last + 1])


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything rules/*.toml says about understanding."""

    rules: tuple[Rule, ...]
    kinds: tuple[KindOfRequest, ...]
    classes: Classes
    thresholds: Thresholds
    languages: Mapping[str, frozenset[str]]
    headers: tuple[Mapping[str, Any], ...]
    articles: Mapping[str, str]
    explained: Mapping[str, tuple[str, ...]]
    surer: Mapping[str, float]
    firm: frozenset[str | None]
    likeness: Likeness = field(default_factory=Likeness)


def parse(files: Mapping[str, str]) -> Rules:
    """Return the rules in these TOML files (name -> text). OwnerMustFix lists every problem with file and line."""
    problems: list[str] = []
    likeness = _likeness(files.get(LIKENESS_FILE), problems)
    tables = {name: _table(name, text, problems) for name, text in files.items() if name != LIKENESS_FILE}
    classes = _classes(tables)
    kinds = tuple(sorted((_kind(name, t) for name, t in tables.items() if name.startswith("kinds/")), key=_order))
    rules = tuple(_rules(files, tables, classes, problems))
    merged: dict[str, Any] = {}
    for table in tables.values():
        for key in ("thresholds", "languages", "articles", "explained", "surer", "firm"):
            merged.setdefault(key, {}).update(table.get(key, {}))
        merged.setdefault("headers", []).extend(table.get("header", []))
    found = Rules(
        rules=rules,
        kinds=kinds,
        classes=classes,
        thresholds=Thresholds(**merged["thresholds"]),
        languages={name: frozenset(fold(str(words)).split()) for name, words in merged["languages"].items()},
        headers=tuple(merged["headers"]),
        articles=merged["articles"],
        explained={name: tuple(by) for name, by in merged["explained"].items()},
        surer=merged["surer"],
        firm=frozenset(merged["firm"].get("kinds", ())),
        likeness=likeness,
    )
    if not kinds:
        problems.append("rules/kinds: there is no kind of request: put at least one file there")
    problems += _contradictions(found)
    problems += [one for name, table in tables.items() for one in _headers(name, files[name], table)]
    if problems:
        raise OwnerMustFix(problems)
    return found


LIKENESS_FILE = "likeness.json"


def _likeness(text: str | None, problems: list[str]) -> Likeness:
    """Return what the examples taught, or no opinion where the file is not there."""
    try:
        return Likeness.parse(text) if text is not None else Likeness()
    except msgspec.MsgspecError as error:
        problems.append(f"rules/{LIKENESS_FILE}: {error}")
        return Likeness()


def _order(kind: KindOfRequest) -> tuple[int, str]:
    return kind.order, kind.name


def _table(name: str, text: str, problems: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problems.append(f"rules/{name}: is not valid TOML ({error})")
        return {}


def _kind(name: str, table: Mapping[str, Any]) -> KindOfRequest:
    return KindOfRequest(
        name=name.removeprefix("kinds/").removesuffix(".toml"),
        identity=table.get("identity", "policy"),
        urgent=bool(table.get("urgent", False)),
        order=int(table.get("order", 50)),
        labels=dict(table.get("label", {})),
    )


def _rules(
    files: Mapping[str, str], tables: Mapping[str, Mapping[str, Any]], classes: Classes, problems: list[str]
) -> Iterator[Rule]:
    seen: set[str] = set()
    everywhere = tuple(one for table in tables.values() for one in table.get("everywhere", {}).get("none", ()))
    for name, table in tables.items():
        kind = name.removeprefix("kinds/").removesuffix(".toml") if name.startswith("kinds/") else None
        for row in table.get("rule", ()):
            where = f"rules/{name}:{_line(files[name], str(row.get('id', '')))}"
            strange = set(row) - RULE_KEYS
            problems += [f"{where}: a rule has no key `{key}`" for key in sorted(strange)]
            try:
                rule = msgspec.convert({"kind": kind, **row, "where": where}, Rule)
            except msgspec.ValidationError as error:
                problems.append(f"{where}: {error}")
                continue
            unknown = {part for one in (*rule.all, *rule.none, *rule.yields) for part in one.split("|")} - classes.names
            problems += [f"{where}: rule {rule.id}: there is no word class `{one}`" for one in sorted(unknown)]
            if rule.id in seen:
                problems.append(f"{where}: rule {rule.id} exists twice")
            seen.add(rule.id)
            if not unknown:
                yield replace(rule, none=(*rule.none, *everywhere)) if rule.kind and not rule.yours else rule


RULE_KEYS = {item.name for item in fields(Rule)} - {"where"}


def _line(text: str, name: str) -> int:
    place = text.find(f'"{name}"')
    return text.count("\n", 0, max(place, 0)) + 1


def _contradictions(rules: Rules) -> Iterator[str]:
    """Yield what each rule's own examples say against it."""
    for rule in rules.rules:
        for text in rule.matches:
            if not _speaks(rule, text, rules):
                yield f"{rule.where}: rule {rule.id} does not match its own example: {text!r}"
        for text in rule.ignores:
            if _speaks(rule, text, rules):
                yield f"{rule.where}: rule {rule.id} matches what it must ignore: {text!r}"


def _headers(name: str, text: str, table: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the rows about headers: a broken pattern, or one that contradicts its examples."""
    place = 0
    for row in table.get("header", ()):
        place = max(text.find("[[header]]", place), 0) + 1
        where = f"rules/{name}:{text.count(chr(10), 0, place) + 1}: header {row.get('name', '?')}"
        try:
            regex = re.compile(row["value"], re.IGNORECASE)
        except (KeyError, re.error) as error:
            yield f"{where}: {error}"
            continue
        if not {"name", "is"} <= set(row) or set(row) - {"name", "value", "is", "matches", "ignores"}:
            yield f"{where}: a row has name, value and is, and may have matches and ignores"
        seen = {one for key in ("matches", "ignores") for one in row.get(key, ()) if regex.search(one)}
        yield from (
            f"{where} does not match its own example: {one!r}" for one in row.get("matches", ()) if one not in seen
        )
        yield from (f"{where} matches what it must ignore: {one!r}" for one in row.get("ignores", ()) if one in seen)


def _speaks(rule: Rule, text: str, rules: Rules) -> bool:
    return any(True for _ in spoken(rule, sentences(text, rules.classes, subject=rule.scope == "subject")))


# Word classes


def _classes(tables: Mapping[str, Mapping[str, Any]]) -> Classes:
    """Compile [class.NAME] of all files: words, stems (`verwijder*`), tails (`*gegevens`), phrases, `@OTHER`."""
    written: dict[str, list[str]] = {}
    for table in tables.values():
        for name, languages in table.get("class", {}).items():
            parts = languages.values() if isinstance(languages, dict) else [languages]
            written.setdefault(name, []).extend(word for part in parts for word in str(part).split())
    exact: dict[str, set[str]] = {}
    stems: dict[str, set[str]] = {}
    tails: dict[str, set[str]] = {}
    phrases: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for name in written:
        for word in _expanded(name, written, ()):
            folded = fold(word.rstrip("*"))
            if "_" in folded:
                first, second, *rest = folded.split("_")
                # Common words start many phrases: the second word sorts out nearly all of them.
                start = first if second.endswith("*") or word.endswith("*") else f"{first} {second}"
                left = (second, *rest) if start == first else tuple(rest)
                phrases.setdefault(start, []).append((left, name))
            elif word.startswith("*"):
                tails.setdefault(folded.lstrip("*"), set()).add(name)
            elif word.endswith("*") and len(folded) >= STEM:
                stems.setdefault(folded, set()).add(name)
            else:
                exact.setdefault(folded, set()).add(name)
    typing = _merged(tables, "typing")
    forgiven = set(str(typing.get("classes", "")).split())
    wrong_stems = _mistyped({word: names & forgiven for word, names in stems.items() if len(word) >= MISTYPED})
    for word in fold(str(typing.get("right", ""))).split():
        exact.setdefault(word, set()).add("")  # a word of its own, whatever it looks like
    return Classes(
        exact=_frozen(exact),
        stems=_frozen(stems),
        lengths=tuple(sorted({len(word) for word in stems})),
        tails=_frozen(tails),
        mistyped=_mistyped({word: names & forgiven for word, names in exact.items() if len(word) >= MISTYPED}),
        mistyped_stems=wrong_stems,
        mistyped_lengths=tuple(sorted({len(word) + more for word in wrong_stems for more in (0, 1)})),
        phrases={word: tuple(found) for word, found in phrases.items()},
        openers=frozenset(start.partition(" ")[0] for start in phrases if " " in start),
        names=frozenset(written),
    )


def _merged(tables: Mapping[str, Mapping[str, Any]], key: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for table in tables.values():
        merged.update(table.get(key, {}))
    return merged


def _frozen(words: Mapping[str, set[str]]) -> dict[str, frozenset[str]]:
    return {word: frozenset(names) for word, names in words.items()}


def _mistyped(words: Mapping[str, set[str]]) -> dict[str, frozenset[str]]:
    """Return each word and what is left of it without one letter -> its classes: what a typing error has in common."""
    found: dict[str, set[str]] = {}
    for word, names in words.items():
        for form in (word, *_without_a_letter(word)) if names else ():
            found.setdefault(form, set()).update(names)
    return _frozen(found)


def _without_a_letter(word: str) -> Iterator[str]:
    """Yield the word without each of its letters but the first: hardly anybody mistypes that."""
    return (word[:place] + word[place + 1 :] for place in range(1, len(word)))


def _expanded(name: str, written: Mapping[str, Sequence[str]], above: tuple[str, ...]) -> Iterator[str]:
    for word in written.get(name, ()):
        if not word.startswith("@"):
            yield word
        elif word[1:] not in above:
            yield from _expanded(word[1:], written, (*above, name))


def fold(text: str) -> str:
    """Return the text in lower case without accents: what people leave out on a phone."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.lower().replace("\u00df", "ss").replace("\u2019", "'"))
    return ACCENTS.sub("", plain)


def sentences(text: str, classes: Classes, *, subject: bool = False) -> list[Sentence]:
    """Return the text as sentences with the classes of their words. Linear in the text; a bounded number of words."""
    out: list[Sentence] = []
    words: list[str] = []
    count = 0
    for found in WORD.findall(ADDRESS.sub(AN_ADDRESS, fold(text)) if "@" in text or "://" in text else fold(text)):
        token = found if found[0] in ENDS else found.replace(".", "")
        if token[0] in ENDS:
            if words:
                out.append(_sentence(words, classes, question="?" in token, subject=subject, place=count))
                words = []
            continue
        words.append(token)
        if token in CLAUSE:
            continue
        count += 1
        if len(words) >= SENTENCE:
            out.append(_sentence(words, classes, question=False, subject=subject, place=count))
            words = words[-WINDOW:]
        if count >= WORDS_JUDGED:
            break
    if words:
        out.append(_sentence(words, classes, question=False, subject=subject, place=count))
    return out


def _sentence(words: Sequence[str], classes: Classes, *, question: bool, subject: bool, place: int) -> Sentence:
    places: dict[str, list[int]] = {}
    for here, word in enumerate(words):
        known = _known(word, classes)
        if known is None:
            continue
        names, phrases, opens = known
        for name in names:
            places.setdefault(name, []).append(here)
        for rest, name in phrases:
            if _follows(words, here + 1, rest):
                places.setdefault(name, []).append(here)
        if opens and here + 1 < len(words):
            for rest, name in classes.phrases.get(f"{word} {words[here + 1]}", ()):
                if _follows(words, here + 2, rest):
                    places.setdefault(name, []).append(here)
    found = {name: tuple(one) for name, one in places.items()}
    return Sentence(tuple(words), found, question, subject, max(place - len(words), 0))


def _follows(words: Sequence[str], place: int, rest: Sequence[str]) -> bool:
    if place + len(rest) > len(words):
        return False
    return all(
        word.startswith(part[:-1]) if part.endswith("*") else word == part
        for word, part in zip(words[place:], rest, strict=False)
    )


def knows(word: str, classes: Classes) -> bool:
    """Tell whether a folded word is in a class as it is written; a guess at a typing error does not count."""
    stems = any(word[:length] in classes.stems for length in classes.lengths)
    return word in classes.exact or stems or any(word.endswith(tail) for tail in classes.tails)


Looked = tuple[tuple[str, ...], tuple[tuple[tuple[str, ...], str], ...], bool]


@lru_cache(maxsize=20_000)
def _known(word: str, classes: Classes) -> Looked | None:
    """Return the classes of a word, the phrases it starts, and whether it and the next may start one; None for most."""
    found = (_names(word, classes), classes.phrases.get(word, ()), word in classes.openers)
    return found if any(found) else None


@lru_cache(maxsize=20_000)
def _names(word: str, classes: Classes) -> tuple[str, ...]:
    """Return the classes a word is in. People use few words often: remembering them is most of the speed."""
    found = set(classes.exact.get(word, ()))
    for length in classes.lengths:
        if length > len(word):
            break
        found |= classes.stems.get(word[:length], frozenset())
    for tail, names in () if word in classes.exact else classes.tails.items():  # a whole word says more than its end
        if word.endswith(tail):
            found |= names
    if not found and len(word) >= MISTYPED - 1 and word.isalpha():
        found = _guessed(word, classes)
    return tuple(sorted(found))


def _guessed(word: str, classes: Classes) -> set[str]:
    """Return the classes of the words this one is a typing error of."""
    found = set(classes.mistyped.get(word, ()))
    for form in _without_a_letter(word):
        found |= classes.mistyped.get(form, frozenset())
    for length in classes.mistyped_lengths:
        if length > len(word):
            break
        start = word[:length]
        found |= classes.mistyped_stems.get(start, frozenset())
        for form in _without_a_letter(start):
            found |= classes.mistyped_stems.get(form, frozenset())
    return found


# Matching


@dataclass(frozen=True, slots=True)
class Spoken:
    """A rule that spoke, and the words it saw."""

    rule: Rule
    text: str
    place: int = 0  # words of the message before the sentence


def all_spoken(rules: Sequence[Rule], said: Sequence[Sentence]) -> Iterator[Spoken]:
    """Yield what every rule saw; a rule is only asked about messages, and sentences, that hold each of its classes."""
    stand: dict[str, int] = {}  # class -> the sentences it stands in, a bit each: rules are many, and and-ing is fast
    for place, sentence in enumerate(said):
        for name in sentence.places:
            stand[name] = stand.get(name, 0) | 1 << place
    beside = {name: reduce(or_, (held >> more for more in range(NEAR))) for name, held in stand.items()}
    window = lru_cache(None)(lambda place: _window(said, place))
    for rule in rules:
        if rule.scope == "near":
            held = _held(rule, beside)
            near = [window(place) for place in _windows(said) if held >> place & 1] if held else ()
            yield from spoken(rule, said, near) if near else ()
        elif rule.scope == "message":
            yield from spoken(rule, said)
        elif held := _held(rule, stand):
            yield from spoken(rule, said if rule.short else _those(said, held))


def _held(rule: Rule, stand: Mapping[str, int]) -> int:
    """Return the sentences, a bit each, in which every class of the rule stands."""
    held = -1
    for one in rule.all:
        held &= reduce(or_, (stand.get(part, 0) for part in _parts(one)))
        if not held:
            break
    return held


def _those(said: Sequence[Sentence], held: int) -> list[Sentence]:
    return [sentence for place, sentence in enumerate(said) if held >> place & 1]


def _windows(said: Sequence[Sentence]) -> range:
    return range(max(len(said) - NEAR + 1, 1) if said else 0)


def _window(said: Sequence[Sentence], place: int) -> Sentence:
    """Return up to NEAR sentences that follow each other as one: "U heeft een foto van mij. Kan die weg?"."""
    return reduce(_joined, said[place : place + NEAR])


def _joined(first: Sentence, second: Sentence) -> Sentence:
    after = len(first.words) + 1
    places = dict(first.places)
    for name, here in second.places.items():
        places[name] = (*places.get(name, ()), *(place + after for place in here))
    words = (*first.words, CLAUSE, *second.words)
    return Sentence(words, places, first.question or second.question, subject=False, place=first.place)


def spoken(rule: Rule, said: Sequence[Sentence], near: Sequence[Sentence] | None = None) -> Iterator[Spoken]:
    """Yield the first words of the message to which the rule speaks, if any."""
    if rule.short and sum(len(sentence.words) for sentence in said if not sentence.subject) > rule.short:
        return
    if rule.scope == "message":
        whole = _over_message(rule, said)
        if whole:
            yield Spoken(rule, whole)
        return
    if rule.scope == "near":
        said = [_window(said, place) for place in _windows(said)] if near is None else near
    for sentence in said:
        if rule.scope == "subject" and not sentence.subject:
            continue
        if rule.question is not None and sentence.question != rule.question:
            continue
        text = _in_sentence(rule, sentence)
        if text:
            yield Spoken(rule, text, 0 if sentence.subject else sentence.place)
            return  # a rule counts once, however often it would speak


def _over_message(rule: Rule, said: Sequence[Sentence]) -> str:
    seen = []
    for one in rule.all:
        found = next(((s, p) for s in said for p in _places(s, one)), None)
        if found is None:
            return ""
        seen.append(found[0].said(found[1], found[1] + 2))
    if any(_places(sentence, one) for sentence in said for one in rule.none):
        return ""
    return " ... ".join(seen)


def _in_sentence(rule: Rule, sentence: Sentence) -> str:
    present = sentence.places.keys()
    if any(present.isdisjoint(_parts(one)) for one in rule.all):
        return ""
    groups = [_places(sentence, one) for one in rule.all]
    against = [place for one in rule.none for place in _places(sentence, one)]
    negations = sentence.places.get("not", ())
    for first in groups[0]:
        near = [first, *(_nearest(group, first) for group in groups[1:])]
        low, high = min(near), max(near)
        if high - low > rule.window or any(low - BESIDE <= place <= high + BESIDE for place in against):
            continue
        if rule.negation == "needed":
            fits = any(low - WIDE <= place <= high + AFTER for place in negations)
        else:
            fits = not _turned(sentence, first)
        if (rule.negation == "ignored" or fits) and not _led(rule, sentence, low, high):
            return sentence.said(low, high)
    return ""


def meant(sentence: Sentence) -> list[str]:
    """Return what stands in a sentence as it is meant: classes, `not NAME` where a "not" turns one, `?` if it asks."""
    denied = "not" in sentence.places or "not_that" in sentence.places
    names = [
        f"not {name}" if denied and all(_turned(sentence, place) for place in places) else name
        for name, places in sentence.places.items()
    ]
    return sorted([*names, *(["?"] if sentence.question else [])])


def _turned(sentence: Sentence, deed: int) -> bool:
    """Tell whether a "not" belongs to this deed: near it and in the same clause, or ruling all that follows."""
    words, said = sentence.words, sentence.places
    near = [
        place
        for place in said.get("not", ())
        if deed - NEGATION <= place <= deed + AFTER and (place > deed or not _spent(words, place))
    ]
    ruling = [place for place in said.get("not_that", ()) if deed - FAR <= place < deed]
    return any(
        not _breaks(words, place, deed) and not (place > deed and _joins(words, deed, place))
        for place in (*near, *ruling)
    )


def _breaks(words: Sequence[str], one: int, other: int) -> bool:
    return not BREAKS.isdisjoint(words[min(one, other) : max(one, other)])


def _spent(words: Sequence[str], place: int) -> bool:
    """Tell whether this "not" denies a state ("die ik niet meer gebruik") and so turns no deed around."""
    return (
        words[place] not in NEED_NOT
        and words[place - 1] not in NEED_NOT
        and not MORE.isdisjoint(words[place + 1 : place + 3])
    )


def _led(rule: Rule, sentence: Sentence, low: int, high: int) -> bool:
    """Tell whether another deed is done to what the rule saw: it leads to it, or trails it."""
    for place in (place for name in rule.yields for place in _places(sentence, name)):
        if low - LED <= place < high and not any(low - LED <= told < high for told in _telling(sentence, place, low)):
            return True
        if high < place <= high + TRAILED and not _joins(sentence.words, high, place):
            return True
    return False


def _telling(sentence: Sentence, deed: int, low: int) -> Iterator[int]:
    """Yield the deeds of telling between another deed and what the rule saw, or before it where the rule saw both."""
    for place in _places(sentence, TELLING):
        if deed < place < low or (low <= deed and place < deed):
            yield place


def _joins(words: Sequence[str], one: int, other: int) -> bool:
    return not JOINS.isdisjoint(words[one + 1 : other])


def _places(sentence: Sentence, name: str) -> tuple[int, ...]:
    """Where a class stands; `a|b` is either."""
    parts = _parts(name)
    if len(parts) == 1:
        return sentence.places.get(name, ())
    return tuple(sorted(place for part in parts for place in sentence.places.get(part, ())))


@lru_cache(maxsize=4_000)
def _parts(name: str) -> tuple[str, ...]:
    return tuple(name.split("|"))


def _nearest(places: Sequence[int], to: int) -> int:
    index = bisect_left(places, to)
    near = places[max(index - 1, 0) : index + 1] or places[-1:]
    return min(near, key=lambda place: abs(place - to))
