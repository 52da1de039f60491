"""Our own words in somebody else's mail: a letter of ours that comes back is not a request.

Owns recognising the sentences of our letters. Answering programs without manners send our letter back whole, without a
header that says so, under a subject of their own and without a quote mark; it is full of what requests are made of.
Must never drop what a person wrote: a sentence goes only when most of its words stand in this order in our letters.
"""

import re
from collections.abc import Iterable, Iterator

RUN = 4  # words in the same order: three are often everybody's, five miss what a mail program wrapped or a date broke
LONG = 8  # words: of a sentence this long half must be ours, because dates and names stand between; a shorter one whole
SHORT = 5  # words: a sentence below this is not telling: `Met vriendelijke groet` is everybody's
SENTENCE = re.compile(r".+?(?:[.!?:](?=\s)|\n\s*\n|\Z)", re.DOTALL)
WORD = re.compile(r"[^\W\d_]+")


def runs(texts: Iterable[str]) -> frozenset[str]:
    """Return what is remembered of our letters: every run of words in them."""
    return frozenset(run for text in texts for sentence in SENTENCE.findall(text) for run in _runs(_words(sentence)))


def without(text: str, ours: frozenset[str]) -> str:
    """Return the text without the sentences that are ours; the very same text when there are none."""
    if not ours:
        return text
    sentences = SENTENCE.findall(text)
    kept = [sentence for sentence in sentences if not _is_ours(sentence, ours)]
    return text if len(kept) == len(sentences) else "".join(kept).strip()


def _is_ours(sentence: str, ours: frozenset[str]) -> bool:
    words = _words(sentence)
    found = list(_runs(words))
    need = len(found) / 2 if len(words) >= LONG else len(found)
    return len(words) >= SHORT and sum(run in ours for run in found) >= need


def _words(sentence: str) -> list[str]:
    return [word.lower() for word in WORD.findall(sentence)]


def _runs(words: list[str]) -> Iterator[str]:
    return (" ".join(words[place : place + RUN]) for place in range(len(words) - RUN + 1))
