"""What the owner writes back in his own words: understood where it is plain, and nothing else.

Owns comparing a short answer with the phrases of rules/owner.toml. Must never guess: what is left over after greetings
and small words has to be a phrase, whole; a question, a negation or one more thought makes it unclear, and he is asked.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
CASE_NUMBER = re.compile(r"\[?\b[A-Z0-9]{1,8}-\d{4}-\d{4,6}\b\]?", re.IGNORECASE)
REASON = re.compile(r"\s{0,9}(?:[:,;\n]|\s-\s|\b(?:omdat|want|because|since|wegens|vanwege)\b)\s{0,9}", re.IGNORECASE)
LONG = 600  # characters: beyond this it is a letter and no answer


@dataclass(frozen=True, slots=True)
class Phrase:
    """The ways to say one action; with `reason` words may follow, which are it. The examples are tried at start."""

    action: str
    says: tuple[str, ...]
    reason: bool = False
    matches: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a plain answer says."""

    action: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Phrases:
    """All of them, with the words that say nothing (`filler`) and those that begin a closing line (`closings`)."""

    phrases: tuple[Phrase, ...] = ()
    filler: frozenset[str] = frozenset()
    closings: tuple[str, ...] = ()
    questions: dict[str, dict[str, str]] = field(default_factory=dict)  # notice -> what `yes` and `no` mean to it

    def understood(self, text: str) -> Spoken | None:
        """Return what the answer says, or None where it is not plain."""
        said = "\n".join(self._lines(CASE_NUMBER.sub(" ", text)))
        if not said or len(said) > LONG or "?" in said:
            return None
        bare = self._bare(said)
        before, reason = self._split(said)
        for phrase in self.phrases:
            for words in phrase.says:
                if bare and bare == self._bare(words):
                    return Spoken(phrase.action)
                if phrase.reason and reason and before == self._bare(words):
                    return Spoken(phrase.action, " ".join(reason.split()))
        return None

    def wrong(self) -> Iterator[str]:
        """Yield each example that is not understood as its phrase says."""
        for phrase in self.phrases:
            for text in phrase.matches:
                found = self.understood(text)
                if found is None or found.action != phrase.action:
                    yield f"[[word]] {phrase.action}: does not match its example {text!r}"
            for text in phrase.ignores:
                found = self.understood(text)
                if found is not None and found.action == phrase.action:
                    yield f"[[word]] {phrase.action}: matches {text!r}, which it should ignore"

    def _lines(self, text: str) -> Iterator[str]:
        """What is written, up to the closing line or the closing words of a line."""
        closing = re.compile(rf"(?:^|[,.!])\s*(?:{'|'.join(map(re.escape, self.closings))})\b", re.IGNORECASE)
        for line in text.split("\n"):
            match = closing.search(line) if self.closings else None
            said = line[: match.start()] if match else line
            if WORD.search(said):
                yield said.strip()
            if match:
                return

    def _split(self, said: str) -> tuple[tuple[str, ...], str]:
        """The words before the first mark that begins a reason, and the reason itself."""
        match = REASON.search(said)
        return (self._bare(said[: match.start()]), said[match.end() :].strip()) if match else ((), "")

    def _bare(self, text: str) -> tuple[str, ...]:
        return tuple(word for word in WORD.findall(text.casefold()) if word not in self.filler)
