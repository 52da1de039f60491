"""How much a text looks like the lessons: invented mails whose kinds are known (bench/lessons).

Owns the second opinion beside the rules: weights of words and of word classes, made by `bench/likeness.py` and kept as
data in rules/likeness.json. Must never read a disk, never decide (classify.py weighs it beside the rules), and never
be made from anybody's real mail.

Of a sentence count its words, its classes of words, and the pairs of classes in it that tell most. A word is known by
itself and by every four letters in it, so a typing error, an ending or a compound still counts. Weights add up over
words, so a text costs one look-up a word; the sum is divided by its own length and made a chance.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from math import exp, sqrt
from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    from mailbot.rules import Sentence

ANY = "any"  # the last name: whether it asks for anything at all
LETTERS = 4  # of a word at a time
SOME = 0.8  # what the most telling sentences count beside the whole text, for whether anything is asked
NEAR = 3  # sentences that are judged together: a request is made in fewer
SENTENCES = 80  # of one text that are judged: a longer one has said it by then
REMEMBERED = 5_000  # words whose weights are kept added up: 3 MB

T = TypeVar("T")
Pull = tuple[tuple[float, ...], float]  # what a word adds for each name, and to the length


class Weights(msgspec.Struct, forbid_unknown_fields=True):
    """The file: names, and for each piece its rarity and its weights in steps of `unit`."""

    lessons: str  # SHA-256 of the files it was made from
    unit: float
    names: tuple[str, ...]
    bias: tuple[float, ...]
    words: dict[str, tuple[int, ...]]
    classes: dict[str, tuple[int, ...]]
    together: dict[str, dict[str, tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class Looks:
    """What a text looks like, each from 0 to 1. Without weights it looks like nothing."""

    kinds: Mapping[str, float] = field(default_factory=dict)
    likest: float = 0.0
    asks: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """Weights that are ready to be added up. Without names it has no opinion."""

    names: tuple[str, ...] = ()
    bias: tuple[float, ...] = ()
    words: Mapping[str, bytes] = field(default_factory=dict)  # as steps: twenty thousand tuples of floats are 9 MB
    classes: Mapping[str, Pull] = field(default_factory=dict)
    together: Mapping[str, Mapping[str, Pull]] = field(default_factory=dict)  # of two classes in one sentence
    unit: float = 0.0
    known: dict[str, Pull] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Likeness":
        """Return the weights in rules/likeness.json; msgspec.ValidationError or DecodeError says what is wrong."""
        found = msgspec.json.decode(text.encode(), type=Weights)
        return cls(
            found.names,
            found.bias,
            {piece: array("h", steps).tobytes() for piece, steps in found.words.items()},
            {name: _pull(steps, found.unit) for name, steps in found.classes.items()},
            {
                name: {other: _pull(steps, found.unit) for other, steps in others.items()}
                for name, others in found.together.items()
            },
            found.unit,
        )

    def looks(self, said: Sequence["Sentence"], enough: float = 0.0) -> Looks:
        """Return how much the text looks like a request: of each kind, of the likest kind, and of any at all.

        Of a kind half is the whole text and half its most telling sentences. Whether anything is asked is told by these
        sentences nearly alone: a long story must not drown a request. A text that asks less than `enough` is not looked
        at for its kinds: most mail asks nothing, and one sum costs less than thirteen.
        """
        if not self.names or not said:
            return Looks()
        pulls = [self._sentence(one) for one in said[:SENTENCES]]
        if enough and (asks := self._asks(pulls)) < enough:
            return Looks(asks=asks)
        parts = [(self._sum(words), self._sum(classes)) for words, classes in pulls]
        whole = self._chance(parts)
        best = [max(row) for row in zip(whole, *(self._chance(window) for window in _windows(parts)), strict=True)]
        *likes, asks = (SOME * most + (1 - SOME) * all_ for most, all_ in zip(best, whole, strict=True))
        kinds = {name: (most + all_) / 2 for name, most, all_ in zip(self.names[:-1], best, whole, strict=False)}
        return Looks(kinds, max(likes), asks)

    def telling(self, said: Sequence["Sentence"], names: Iterable[str], most: int = 4) -> dict[str, str]:
        """Return for each of these kinds the words that spoke most for it, in the order they stand."""
        stood: dict[str, list[Pull]] = {}
        for one in said[:SENTENCES]:
            for word in one.words:
                if word.isalpha() and word not in stood:
                    stood[word] = [self._word(word)]
            for name, places in one.places.items():
                for word in {one.words[place] for place in places} if name in self.classes else ():
                    if word in stood:
                        stood[word].append(self.classes[name])
        spoke = {word: _total(weights for weights, _ in pulls if weights) for word, pulls in stood.items()}
        return {name: _most(spoke, self.names.index(name), most) for name in names}

    def _sentence(self, one: "Sentence") -> tuple[list[Pull], list[Pull]]:
        words = (self._word(word) for word in sorted(set(one.words)) if word.isalpha())
        return [pull for pull in words if pull[1]], list(self._classes(one.meant()))

    def _asks(self, pulls: Sequence[tuple[list[Pull], list[Pull]]]) -> float:
        """Return what `looks` says of any request at all, by its one sum."""
        parts = [[(sum(w[-1] for w, _ in side), sum(more for _, more in side)) for side in pair] for pair in pulls]

        def chance(window: Sequence[list[tuple[float, float]]]) -> float:
            total = self.bias[-1]
            for side in (0, 1):
                weight, length = sum(part[side][0] for part in window), sum(part[side][1] for part in window)
                total += weight / sqrt(length) if length else 0.0
            return 1 / (1 + exp(-max(-30.0, min(30.0, total))))

        whole = chance(parts)
        return SOME * max(whole, *(chance(window) for window in _windows(parts)), 0.0) + (1 - SOME) * whole

    def _classes(self, names: Sequence[str]) -> Iterator[Pull]:
        """Yield what each class adds, and what two of them add by standing in one sentence."""
        yield from (self.classes[name] for name in names if name in self.classes)
        for at, name in enumerate(names):
            others = self.together.get(name)
            if others:
                yield from (others[other] for other in names[at + 1 :] if other in others)

    def _word(self, word: str) -> Pull:
        found = self.known.get(word)
        if found is None:
            steps = (self.words[piece] for piece in pieces(word) if piece in self.words)
            found = self._sum(_pull(array("h", one), self.unit) for one in steps)
            if len(self.known) < REMEMBERED:
                self.known[word] = found
        return found

    def _sum(self, pulls: Iterable[Pull]) -> Pull:
        known = [pull for pull in pulls if pull[1]]
        return _total(weights for weights, _ in known) or (0.0,) * len(self.names), sum(more for _, more in known)

    def _chance(self, parts: Sequence[tuple[Pull, Pull]]) -> list[float]:
        sums = self.bias
        for side in (0, 1):
            total, length = self._sum(part[side] for part in parts)
            if length:
                scale = 1 / sqrt(length)
                sums = tuple(one + weight * scale for one, weight in zip(sums, total, strict=True))
        return [1 / (1 + exp(-max(-30.0, min(30.0, one)))) for one in sums]


def _windows(parts: Sequence[T]) -> list[Sequence[T]]:
    """Cut a text into the stretches that are judged by themselves: three sentences, or one where there are no more."""
    if len(parts) <= NEAR:
        return [[part] for part in parts] if len(parts) > 1 else []
    return [parts[at : at + NEAR] for at in range(len(parts) - NEAR + 1)]


def _total(weights: Iterable[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(map(sum, zip(*weights, strict=True)))


def _most(spoke: Mapping[str, tuple[float, ...]], place: int, most: int) -> str:
    best = set(nlargest(most, spoke, key=lambda word: spoke[word][place]))
    return " ".join(word for word in spoke if word in best)


def pieces(word: str) -> list[str]:
    """Return the word itself and every four letters of it, its ends marked."""
    whole = f"^{word[:40]}$"
    return [whole, *dict.fromkeys(whole[at : at + LETTERS] for at in range(len(whole) - LETTERS + 1))]


def _pull(steps: Iterable[int], unit: float) -> Pull:
    rarity, *weights = (step * unit for step in steps)
    return tuple(rarity * weight for weight in weights), rarity * rarity
