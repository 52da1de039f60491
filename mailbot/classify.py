"""Message + Rules -> Verdict: what is asked, how sure, and the evidence.

Owns adding up what the rules saw. Must never decide what is done about it, nor touch anything outside its arguments.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from math import exp, log

from mailbot import language
from mailbot.header import Address
from mailbot.likeness import Looks
from mailbot.message import Message
from mailbot.rules import Rules, Sentence, Spoken, all_spoken, sentences

JUDGED = 40_000  # characters of text: a request is made in less
ARTICLE = re.compile(
    r"\b(?:art(?:ikel|icle|\.)?s?|artt?\.|§)\s{0,3}(\d{1,2})\b(?:[^.\n]{0,60}?\b(avg|gdpr|dsgvo|ds-gvo|rgpd|verordening|regulation))?"
    r"|\b(avg|gdpr|dsgvo|rgpd)[ ,:-]{1,3}(?:art(?:ikel|icle|\.)?\s{0,2})?(\d{1,2})\b",
    re.IGNORECASE,
)
ANSWERS = re.compile(r"\s{0,4}(re|aw|antw|antwoord|sv)\s?(\[\d+\])?:", re.IGNORECASE)
ARTICLE_WEIGHT = 0.6
REGULATION = re.compile(r"\b(avg|gdpr|ds-?gvo|rgpd|algemene verordening|general data protection)\b", re.IGNORECASE)
AUTOMATIC_FIRST = 1_500  # characters of text in which an automatic answer says what it is


class Decision(StrEnum):
    """`request`: it would be acknowledged. `review`: the owner is asked. `other`: left alone."""

    REQUEST = "request"
    REVIEW = "review"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One rule that spoke: its id, the words it saw, what it counts for. `watch` rules report and count nothing."""

    rule: str
    text: str
    kind: str | None = None
    weight: float = 0.0
    watch: bool = False
    place: int = 0  # words of the text before it
    counts: bool = True  # among the rules; the second opinion is added to their sum


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a message asks for. `reason` names the threshold that decided. `kinds` are names from rules/kinds."""

    decision: Decision
    reason: str
    kinds: tuple[str, ...] = ()
    sub_kinds: tuple[str, ...] = ()  # e.g. termination
    language: str = "nl"  # nl | en | de | fr | ... of what was written
    confidence: float = 0.0
    automatic: str | None = None  # why this is automatic mail (auto-reply, bounce, list, ...), else None
    sender: Address | None = None  # the person: From, or for a form the visitor; never the site
    from_form: bool = False
    behalf: str | None = None  # agent | parent | bereavement | service
    reminder: bool = False
    withdrawn: bool = False
    evidence: tuple[Evidence, ...] = ()
    sums: tuple[tuple[str, float], ...] = ()  # kind -> what its evidence adds up to, surest first
    defects: tuple[str, ...] = ()


def classify(message: Message, rules: Rules) -> Verdict:
    """Return what the message asks for. Pure, total and linear in the text."""
    text = _judged(message)
    said = [*_subject(message, text, rules), *sentences(text, rules.classes)]
    spoke = list(all_spoken(rules.rules, said))
    evidence = [*_evidence(spoke), *_articles(f"{message.subject}\n{text}", rules)]
    told = {one.rule.sets for one in spoke if one.rule.sets and not one.rule.watch}
    automatic = _automatic(message, text, rules)
    heard = _weighed(_of_letter(evidence, text, rules), told, rules)
    looks = rules.likeness.looks(said, 0.0 if heard else _enough(rules))
    evidence += _likeness(looks.kinds, said, rules)
    named = _named(evidence)
    scores = _together(
        heard, looks.kinds, rules, named | (set(looks.kinds) if _formal(text) or "reminder" in told else set())
    )
    return _verdict(message, text, rules, scores, _chance(heard, looks, rules), evidence, told, automatic)


LIKENESS = "likeness"  # the id under which the second opinion stands in the evidence


def _likeness(looks: Mapping[str, float], said: Sequence[Sentence], rules: Rules) -> list[Evidence]:
    """Return the second opinion as evidence: which kinds the text looks like, and the words that spoke most for it."""
    like = {name: chance for name, chance in looks.items() if chance >= rules.thresholds.review_kind}
    telling = rules.likeness.telling(said, like)
    return [
        Evidence(f"{LIKENESS}-{name}", telling[name], name, round(chance, 2), counts=False)
        for name, chance in like.items()
    ]


def _together(
    scores: Mapping[str, float], looks: Mapping[str, float], rules: Rules, plain: AbstractSet[str]
) -> dict[str, float]:
    """Return the mean of what the rules and the lessons say of each kind; a kind without lessons has only its rules.

    A sum of the rules that is sure makes its kind count, whatever the lessons say. Of the plain kinds the lessons count
    for little: those of a formal letter, which cites every right there is, those that are named by their article, and
    those of a reminder, which complains by the way.
    """
    limits = rules.thresholds

    def together(name: str) -> float:
        heard, look = scores.get(name, 0.0), looks.get(name)
        share = 0.0 if look is None else limits.likeness_formal if name in plain else limits.likeness
        mean = (1 - share) * heard + share * (look or 0.0)
        return max(mean, limits.kind) if heard >= limits.sure else mean

    return {name: together(name) for name in {*scores, *looks}}


def _enough(rules: Rules) -> float:
    """Return how much a text must ask, where no rule spoke, before the owner could be asked whatever its kind."""
    limits = rules.thresholds
    return (limits.doubt + log(limits.review / (1 - limits.review)) - limits.likest) / limits.asks


def _chance(scores: Mapping[str, float], looks: Looks, rules: Rules) -> float:
    """Return how sure it is that something is asked: the surest rule, the likest kind and whether it asks at all.

    The weights were fitted on mails that neither rules nor lessons had seen. Where hardly a rule spoke the owner is
    asked at most, unless the lessons leave no doubt; where a rule is sure he is asked at least. Without lessons for a
    kind its rules stand for all three.
    """
    limits, heard = rules.thresholds, max(scores.values(), default=0.0)
    new = max((score for name, score in scores.items() if name not in looks.kinds), default=0.0)
    weight = limits.heard * heard + limits.likest * max(looks.likest, new) + limits.asks * max(looks.asks, new)
    chance = 1 / (1 + exp(limits.doubt - weight)) if heard or looks.kinds else 0.0
    low = limits.review if heard >= limits.sure else 0.0
    sure = heard >= limits.least or min(looks.likest, looks.asks) >= limits.alone
    high = 1.0 if sure else (limits.review + limits.request) / 2
    return min(max(chance, low), high)


def _judged(message: Message) -> str:
    text = message.form.text if message.form else message.written
    return text[:JUDGED]


def _subject(message: Message, text: str, rules: Rules) -> list[Sentence]:
    """The subject as a sentence, unless it came with the mail that is answered: those words are not theirs."""
    if ANSWERS.match(message.subject) and text.strip():
        return []
    return sentences(message.subject, rules.classes, subject=True)


def _evidence(spoke: Iterable[Spoken]) -> list[Evidence]:
    """Each rule once, with the first words it saw: it counts once however often it spoke."""
    first: dict[str, Evidence] = {}
    for one in spoke:
        rule = one.rule
        first.setdefault(rule.id, Evidence(rule.id, one.text, rule.kind, rule.weight, rule.watch, one.place))
    return list(first.values())


def _articles(text: str, rules: Rules) -> list[Evidence]:
    """Return the rights that were named by their article, where the regulation is named too."""
    if not REGULATION.search(text):
        return []
    found: dict[str, Evidence] = {}
    for match in ARTICLE.finditer(text):
        number = match[1] or match[4]
        kind = rules.articles.get(number)
        if kind:
            words = " ".join(match[0].split())
            place = len(text[: match.start()].split())
            found.setdefault(kind, Evidence(f"article-{number}", words, kind, ARTICLE_WEIGHT, place=place))
    if len(found) > MANY_ARTICLES:
        return []  # a list of all rights is a privacy statement, not a request
    return list(found.values())


def _named(evidence: Iterable[Evidence]) -> set[str]:
    """Return the kinds that are named by their article."""
    return {one.kind for one in evidence if one.kind and one.rule.startswith("article-")}


MANY_ARTICLES = 4
FORMAL = 90  # words: a shorter mail that names the law is simply to the point


def _formal(text: str) -> bool:
    return len(text.split()) >= FORMAL and bool(REGULATION.search(text))


def _of_letter(evidence: Sequence[Evidence], text: str, rules: Rules) -> dict[str, float]:
    """Add up; a formal letter says in its opening what it asks, and what follows mostly cites the law."""
    limits = rules.thresholds
    if not _formal(text):
        return _scores(evidence)
    opening = _scores([one for one in evidence if one.place < limits.lead])
    if max(opening.values(), default=0.0) < limits.kind:
        return _scores(evidence)
    named = rules.firm & _named(evidence)
    later = [
        one if one.place < limits.lead or one.kind in named else replace(one, weight=one.weight * limits.later)
        for one in evidence
    ]
    return _scores(sorted(later, key=lambda one: -one.weight))


def _scores(evidence: Iterable[Evidence]) -> dict[str, float]:
    """Add up per kind: independent hints, so 1 - (1-a)(1-b)...; each rule counts once however often it spoke."""
    scores: dict[str, float] = {}
    seen: set[tuple[str, str]] = set()
    for one in evidence:
        if one.kind is None or one.watch or not one.counts or (one.kind, one.rule) in seen:
            continue
        seen.add((one.kind, one.rule))
        scores[one.kind] = 1 - (1 - scores.get(one.kind, 0.0)) * (1 - one.weight)
    return scores


def _weighed(scores: Mapping[str, float], told: set[str], rules: Rules) -> dict[str, float]:
    """Weaken what reads as business, and drop a kind that a surer one explains (asking for data names their source)."""
    limits = rules.thresholds
    factor = limits.ordinary if "ordinary" in told else 1.0
    weighed = {kind: score * factor for kind, score in scores.items()}
    for kind, by in rules.explained.items():
        surer = max((scores.get(one, 0.0) for one in by), default=0.0)
        if kind in weighed and surer >= limits.kind and scores[kind] < rules.surer.get(kind, limits.beside):
            del weighed[kind]
    return weighed


def _verdict(
    message: Message,
    text: str,
    rules: Rules,
    scores: Mapping[str, float],
    top: float,
    evidence: Sequence[Evidence],
    told: set[str],
    automatic: str | None,
) -> Verdict:
    limits = rules.thresholds
    if automatic == "list" and "behalf:service" not in told:
        top = 0.0  # a list's mail is everybody's, unless it is sent on one person's behalf (services do that)
    decision, why = _decision(message, top, rules, told, automatic=automatic)
    floor = limits.kind if decision is Decision.REQUEST else limits.review_kind
    floor = min(floor, max(scores.values(), default=1.0))  # what is asked has a kind: the likeliest
    order = {kind.name: place for place, kind in enumerate(rules.kinds)}
    kinds = sorted((k for k, score in scores.items() if score >= floor), key=lambda k: order.get(k, 99))
    if decision is Decision.OTHER or "withdrawn" in told:
        kinds = []
    sender = message.sender
    if message.form is not None:
        sender = Address(message.form.address, message.form.name) if message.form.address else None
    return Verdict(
        decision=decision,
        reason=why,
        kinds=tuple(kinds),
        sub_kinds=tuple(sorted(one.partition(":")[2] for one in told if one.startswith("sub:") and "erasure" in kinds)),
        language=language.detect(f"{message.subject}\n{text}" if len(text) < SHORT else text, rules.languages),
        confidence=round(top, 3) if decision is not Decision.OTHER else round(1 - top, 3),
        automatic=automatic,
        sender=sender,
        from_form=message.form is not None,
        behalf=next((one.partition(":")[2] for one in sorted(told) if one.startswith("behalf:")), None),
        reminder="reminder" in told,
        withdrawn="withdrawn" in told,
        evidence=tuple(evidence),
        sums=_sums(scores),
        defects=message.defects,
    )


def _sums(scores: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """Return what each kind added up to, the surest first, without those nothing speaks for."""
    shown = ((kind, round(score, 2)) for kind, score in scores.items() if score >= NOTHING)
    return tuple(sorted(shown, key=lambda one: -one[1]))


NOTHING = 0.05  # a sum below this is no hint
SHORT = 200  # characters: below this the subject helps to tell the language


def _decision(
    message: Message, top: float, rules: Rules, told: set[str], *, automatic: str | None
) -> tuple[Decision, str]:
    limits = rules.thresholds
    added = f"the evidence adds up to {top:.2f}"
    service = any(one.startswith("behalf:") for one in told)  # they send automatically, and ask for a person
    surely = limits.request if automatic in {None, ABSENCE} else limits.review if service else limits.automatic
    asked = top >= surely
    maybe, withdrawn = top >= limits.review, "withdrawn" in told
    paths = (
        (message.unreadable and automatic, Decision.OTHER, "automatic and unreadable"),
        (message.unreadable, Decision.REVIEW, message.unreadable or ""),
        (automatic in NEVER_REQUESTS, Decision.OTHER, f"automatic mail ({automatic})"),
        (withdrawn, Decision.REVIEW, "an earlier request seems to be taken back"),
        (asked and automatic, Decision.REVIEW, f"{added}, but it is automatic mail ({automatic}): the owner is asked"),
        (asked, Decision.REQUEST, f"{added}, at least {limits.request} (request); a kind counts from {limits.kind}"),
        (maybe and automatic in {None, ABSENCE}, Decision.REVIEW, f"{added}, at least {limits.review} (review)"),
        (True, Decision.OTHER, f"{added}, below {limits.review} (review)"),
    )
    return next((decision, why) for holds, decision, why in paths if holds)


NEVER_REQUESTS = {"bounce", "delay", "receipt", "calendar", "auto-reply", "form receipt"}
ABSENCE = "absence"  # only its words say that it is automatic, and a person may say them too


def _automatic(message: Message, text: str, rules: Rules) -> str | None:
    """Return what kind of automatic mail this is, or None. A form's mail is sent by the site for a person."""
    if message.form is not None:
        return "form receipt" if message.form.plugin == "receipt" else None
    special = {
        ":sender": (message.sender.address,) if message.sender else (),
        ":subject": (message.subject,),
        ":text": (text[:AUTOMATIC_FIRST].replace("\n", " "),),
    }
    for row in rules.headers:
        values = special.get(row["name"]) or message.headers.get(row["name"], ())
        if any(_pattern(row["value"]).search(value) for value in values):
            return str(row["is"])
    return None


@lru_cache(maxsize=512)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)
