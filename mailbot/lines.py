"""Patterns of one line, many at a time: what quotes, signatures and disclaimers look like, found in nearly no time.

Owns sorting patterns so that most lines are passed over without trying them. Must never change what they match: a mail
has many lines and few of these, and trying each pattern at each letter took most of the time reading took.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

LINE = 400  # characters of a line that patterns look at: longer lines are no quote headers
PIECES = re.compile(r"\\.|\[\^?\]?[^\]]*\]|\{[\d,]+\}|\(\?[:!=]|.", re.DOTALL)  # what a pattern is written with
TELLING = 3  # letters: a shorter word is in most lines


Find = Callable[[str], re.Match[str] | None]


@dataclass(frozen=True, slots=True)
class Group:
    """Patterns of one line, as pairs: `worth` looks for words that a line needs to match at all, `find` tries it.

    Those that begin with `^` are tried at the start of a line and nowhere else; that is quick enough without a look
    for words, unless they begin with just anything.
    """

    tried: tuple[tuple[Find | None, Find], ...]
    only: Find | None = None  # where there is but one thing to try

    @classmethod
    def of(cls, patterns: Iterable[str]) -> "Group":
        """Return the group that matches where one of these would be found."""
        sorts: dict[tuple[bool, bool], list[str]] = {}
        for one in (part for pattern in patterns for part in alternatives(pattern)):
            bare = one.removeprefix("^")
            at_start = one != bare
            gated = bool(needs(bare)) and (not at_start or bare.startswith(("[^", ".", "(.", "([^")))
            sorts.setdefault((at_start, gated), []).append(bare)
        tried = tuple(_tried(some, at_start=start, gated=gated) for (start, gated), some in sorts.items())
        return cls(tried, tried[0][1] if len(tried) == 1 and tried[0][0] is None else None)

    def matches(self, line: str) -> bool:
        """Tell whether the line holds one of the patterns."""
        if self.only is not None:
            return self.only(line[:LINE]) is not None
        return any(True for _ in self._found(line[:LINE]))

    def begins_in(self, line: str, following: str) -> bool:
        """Tell whether a pattern matches from a place in this line on; its end may have been wrapped to the next."""
        if not line.strip():
            return False
        return any(found.start() < len(line) for found in self._found(f"{line[:LINE]} {following[:LINE]}"))

    def _found(self, cut: str) -> Iterator[re.Match[str]]:
        low = cut.lower()
        for worth, find in self.tried:
            if worth is None or worth(low):
                found = find(cut)
                if found is not None:
                    yield found


def _tried(patterns: Sequence[str], *, at_start: bool, gated: bool) -> tuple[Find | None, Find]:
    regex = re.compile("|".join(f"(?:{one})" for one in patterns), re.IGNORECASE)
    find = regex.match if at_start else regex.search
    if not gated:
        return None, find
    words = {word for one in patterns for word in needs(one)}
    least = sorted(word for word in words if not any(other in word for other in words if other != word))
    return re.compile("|".join(map(re.escape, least))).search, find


def alternatives(pattern: str) -> list[str]:
    """Return the parts of a pattern between the `|` outside all brackets."""
    parts, depth = [""], 0
    for piece in PIECES.findall(pattern):
        depth += piece.startswith("(") - (piece == ")")
        if piece == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def needs(pattern: str) -> frozenset[str]:
    """Return words, in lower case, of which whatever this alternative matches holds at least one; none if it need not.

    Letters that stand side by side are a word, unless they may be left out; brackets give the words of what is in them.
    """
    pieces, found, word, place = PIECES.findall(pattern), [], "", 0
    while place < len(pieces):
        piece = pieces[place]
        inside, end = _bracket(pieces, place)
        following = pieces[end] if end < len(pieces) else ""
        optional = following in {"?", "*"} or following.startswith("{")
        if len(piece) == 1 and piece not in "().^$|?*+[]" and not optional:
            word += piece.lower()
        else:
            found.append(frozenset({word}))
            word = ""
            if inside and not optional and not piece.startswith(("(?!", "(?=")):
                found.append(_of_each(alternatives("".join(inside))))
        place = end
    found.append(frozenset({word}))
    best = max(found, key=lambda words: min(map(len, words), default=0))
    return best if min(map(len, best), default=0) >= TELLING else frozenset()


def _of_each(parts: Iterable[str]) -> frozenset[str]:
    each = [needs(part) for part in parts]
    return frozenset().union(*each) if all(each) else frozenset()


def _bracket(pieces: Sequence[str], start: int) -> tuple[Sequence[str], int]:
    """Return what is in the bracket that opens here, and the place after it; nothing when none opens."""
    depth, place = 0, start
    while place < len(pieces):
        depth += pieces[place].startswith("(") - (pieces[place] == ")")
        place += 1
        if depth <= 0:
            break
    return (pieces[start + 1 : place - 1] if pieces[start].startswith("(") else ()), place
