"""Learn from the invented mails of bench/lessons: `python bench/likeness.py` writes rules/likeness.json.

Needs scikit-learn, which nothing else does: `pip install scikit-learn`. The lessons are invented, a text a line below
a heading `## KIND[+KIND] LANGUAGE` or `## none LANGUAGE`. Add some, run this, and measure with bench/understanding.py.
"""

import hashlib
import sys
from collections import Counter
from math import log, sqrt
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import msgspec
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from mailbot import data
from mailbot.likeness import ANY, Weights, pieces
from mailbot.rules import LIKENESS_FILE, Sentence, parse, sentences

LESSONS = ROOT / "bench" / "lessons"
UNIT = 0.02  # steps in which weights are kept: finer changes nothing
RARE = 3  # lessons a piece must be in
STRENGTH = 10.0  # of the fit: how far a weight may go for one lesson


def lessons() -> tuple[list[tuple[str, frozenset[str]]], str]:
    """Return the texts with their kinds, and a digest of all files."""
    digest, found = hashlib.sha256(), []
    for path in sorted(LESSONS.glob("*.txt")):
        digest.update(path.read_bytes())
        kinds: frozenset[str] = frozenset()
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("## "):
                name = line[3:].split()[0]
                kinds = frozenset() if name == "none" else frozenset(name.split("+"))
            elif line.strip():
                found.append((line.strip(), kinds))
    return found, digest.hexdigest()


def seen(said: list[Sentence]) -> tuple[list[list[str]], list[list[str]]]:
    """Return what stands in a text: the pieces of each word of each sentence, and the classes of each."""
    words = [pieces(word) for one in said for word in sorted(set(one.words)) if word.isalpha()]
    classes = [[name] for one in said for name in one.meant()]
    return words, classes


def rarity(texts, side):
    counts = Counter(piece for text in texts for piece in {p for one in text[side] for p in one})
    return {piece: log(len(texts) / count) + 1 for piece, count in sorted(counts.items()) if count >= RARE}


def row(text, rare, places):
    """The numbers mailbot/likeness.py adds up: each side divided by its own length."""
    values = Counter()
    for side in (0, 1):
        known = [piece for one in text[side] for piece in one if piece in rare[side]]
        length = sqrt(sum(rare[side][piece] ** 2 for piece in known)) or 1.0
        for piece in known:
            values[places[side][piece]] += rare[side][piece] / length
    return values


def matrix(rows, width):
    cells = [(at, column, value) for at, one in enumerate(rows) for column, value in one.items()]
    where, columns, values = zip(*cells, strict=True)
    return csr_matrix((values, (where, columns)), shape=(len(rows), width))


def main():
    found, digest = lessons()
    files = data.phrases(data.texts("rules"))
    rules = parse({name: text for name, text in files.items() if name != LIKENESS_FILE})
    texts = [seen(sentences(text, rules.classes)) for text, _ in found]
    rare = [rarity(texts, side) for side in (0, 1)]
    names = [*sorted({kind for _, kinds in found for kind in kinds}), ANY]
    offset = len(rare[0])
    places = [{p: at for at, p in enumerate(rare[0])}, {p: offset + at for at, p in enumerate(rare[1])}]
    table = matrix([row(text, rare, places) for text in texts], offset + len(rare[1]))
    fits = []
    for name in names:
        wanted = [bool(kinds) if name == ANY else name in kinds for _, kinds in found]
        fits.append(LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=1000).fit(table, wanted))
        print(f"{name:20} {sum(wanted)} of {len(wanted)}")

    def steps(side):
        return {
            piece: tuple(round(value / UNIT) for value in (rare[side][piece], *(fit.coef_[0][at] for fit in fits)))
            for piece, at in places[side].items()
        }

    bias = tuple(round(float(fit.intercept_[0]), 3) for fit in fits)
    weights = Weights(digest, UNIT, tuple(names), bias, steps(0), steps(1))
    text = (
        msgspec.json.encode(weights).decode().replace("],", "],\n") + "\n"
    )  # a piece a line: small, and a change can be read
    (ROOT / "rules" / LIKENESS_FILE).write_text(text, encoding="utf-8")
    print(f"{len(found)} lessons, {sum(map(len, rare))} pieces, {len(text) // 1024} KB")


if __name__ == "__main__":
    main()
