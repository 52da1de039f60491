"""Learn from the invented mails of bench/lessons: `python bench/likeness.py` writes rules/likeness.json.

Needs scikit-learn, which nothing else does: `pip install scikit-learn`. The lessons are invented, a text a line below
a heading `## KIND[+KIND] LANGUAGE` or `## none LANGUAGE`. Add some, run this, and measure with bench/understanding.py.
"""

import hashlib
import sys
from collections import Counter
from itertools import combinations
from math import log, sqrt
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import msgspec

from mailbot import data
from mailbot.likeness import ANY, Weights, pieces
from mailbot.rules import LIKENESS_FILE, Sentence, parse, sentences

LESSONS = ROOT / "bench" / "lessons"
PEOPLE = ROOT / "tests" / "understanding" / "people.txt"
UNIT = 0.02  # steps in which weights are kept: finer changes nothing
RARE = 3  # lessons a piece must be in
PAIRS = 1_500  # of classes in one sentence that are kept: those that tell most
AND = " & "
STRENGTH = 10.0  # of the fit: how far a weight may go for one lesson


def lessons() -> tuple[list[tuple[str, frozenset[str]]], str]:
    """Return the texts with their kinds, and a digest of all files; the invented mails of the tests are lessons too."""
    digest, found = hashlib.sha256(), []
    for path in [*sorted(LESSONS.glob("*.txt")), PEOPLE]:
        digest.update(path.read_bytes())
        read = from_table if path == PEOPLE else from_list
        found += read(path.read_text(encoding="utf-8").splitlines())
    return found, digest.hexdigest()


def from_list(lines):
    """A text a line below a heading `## KIND[+KIND] LANGUAGE`."""
    kinds: frozenset[str] = frozenset()
    for line in lines:
        if line.startswith("## "):
            kinds = frozenset(line[3:].split()[0].split("+")) - {"none"}
        elif line.strip():
            yield line.strip(), kinds


def from_table(lines):
    """`kinds | subject | text`, as tests/understanding/people.txt has them."""
    for line in lines:
        if line.strip() and not line.startswith("#"):
            kinds, subject, text = (part.strip() for part in line.split("|", maxsplit=2))
            yield f"{subject}. {text}" if subject else text, frozenset(kinds.split("+")) - {""}


def seen(said: list[Sentence]) -> tuple[list[list[str]], list[list[str]]]:
    """Return what stands in a text: the pieces of each word of each sentence; its classes, and each two of them."""
    words = [pieces(word) for one in said for word in sorted(set(one.words)) if word.isalpha()]
    classes = [[name] for one in said for name in one.meant()]
    pairs = [[f"{one}{AND}{other}"] for sentence in said for one, other in combinations(sentence.meant(), 2)]
    return words, classes + pairs


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
    from scipy.sparse import csr_matrix

    cells = [(at, column, value) for at, one in enumerate(rows) for column, value in one.items()]
    where, columns, values = zip(*cells, strict=True)
    return csr_matrix((values, (where, columns)), shape=(len(rows), width))


def fitted(texts, kinds_of, names, rare):
    """Return where each piece stands, and for each name a fit over all texts."""
    from sklearn.linear_model import LogisticRegression

    offset = len(rare[0])
    places = [{p: at for at, p in enumerate(rare[0])}, {p: offset + at for at, p in enumerate(rare[1])}]
    table = matrix([row(text, rare, places) for text in texts], offset + len(rare[1]))
    fits = []
    for name in names:
        wanted = [bool(kinds) if name == ANY else name in kinds for kinds in kinds_of]
        fits.append(LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=1000).fit(table, wanted))
    return places, fits


def telling(places, fits, rare):
    """Return the rarities with, of all pairs of classes, only those whose weights are the largest."""
    pairs = [piece for piece in rare[1] if AND in piece]
    strength = {pair: rare[1][pair] * max(abs(float(fit.coef_[0][places[1][pair]])) for fit in fits) for pair in pairs}
    kept = set(sorted(pairs, key=lambda pair: -strength[pair])[:PAIRS])
    return [rare[0], {piece: value for piece, value in rare[1].items() if AND not in piece or piece in kept}]


def main():
    found, digest = lessons()
    files = data.phrases(data.texts("rules"))
    rules = parse({name: text for name, text in files.items() if name != LIKENESS_FILE})
    texts = [seen(sentences(text, rules.classes)) for text, _ in found]
    kinds_of = [kinds for _, kinds in found]
    names = [*sorted({kind for kinds in kinds_of for kind in kinds}), ANY]
    rare = [rarity(texts, side) for side in (0, 1)]
    rare = telling(*fitted(texts, kinds_of, names, rare), rare)
    places, fits = fitted(texts, kinds_of, names, rare)

    def steps(side, piece):
        weights = (fit.coef_[0][places[side][piece]] for fit in fits)
        return tuple(round(value / UNIT) for value in (rare[side][piece], *weights))

    together: dict[str, dict[str, tuple[int, ...]]] = {}
    for pair in (piece for piece in rare[1] if AND in piece):
        one, other = pair.split(AND)
        together.setdefault(one, {})[other] = steps(1, pair)
    weights = Weights(
        lessons=digest,
        unit=UNIT,
        names=tuple(names),
        bias=tuple(round(float(fit.intercept_[0]), 3) for fit in fits),
        words={piece: steps(0, piece) for piece in rare[0]},
        classes={piece: steps(1, piece) for piece in rare[1] if AND not in piece},
        together=together,
    )
    text = msgspec.json.encode(weights).decode().replace("],", "],\n") + "\n"  # a piece a line: a change can be read
    (ROOT / "rules" / LIKENESS_FILE).write_text(text, encoding="utf-8")
    for name in names:
        print(f"{name:20} {sum(name in kinds or (name == ANY and bool(kinds)) for kinds in kinds_of)} of {len(found)}")
    print(f"{len(found)} lessons, {sum(map(len, rare))} pieces, {len(text) // 1024} KB")


if __name__ == "__main__":
    main()
