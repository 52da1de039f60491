"""How well mailbot understands a labelled folder: `python bench/understanding.py FOLDER [--json] [--mistakes]`.

The folder holds .eml files and labels.jsonl, an object a line: file, labels, optional, either, language.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mailbot import data
from mailbot.classify import Decision, Verdict, classify
from mailbot.message import Message, Reading, read
from mailbot.rules import parse


def main() -> None:
    """Print the figures of every folder, per kind, and of all folders together beside the aims; mistakes on request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--mistakes", action="store_true")
    options = parser.parse_args()
    judge = Judge()
    pooled: list[Judged] = []
    for folder in options.folder:
        judged, spent = judge.folder(folder)
        pooled += judged
        figures = measured(judged) | {"ms_per_mail": round(1000 * spent / max(len(judged), 1), 2)}
        show(str(folder), figures, as_json=options.json)
        if options.mistakes and not options.json:
            mistakes(judged)
    if len(options.folder) > 1 or not options.json:
        show("all", measured(pooled), as_json=options.json, aims=aims(pooled))


@dataclass(frozen=True)
class Judged:
    """A labelled mail and what was made of it."""

    row: dict
    message: Message
    verdict: Verdict

    @property
    def asks(self) -> bool:
        """Whether the label says that it is a request."""
        return bool(self.row["labels"] or self.row.get("either"))


class Judge:
    """The shipped rules, ready to read a folder."""

    def __init__(self) -> None:
        """Read the rules once."""
        files = data.texts("rules")
        self.rules = parse(data.phrases(files))
        self.reading = Reading.parse(files)

    def folder(self, folder: Path) -> tuple[list[Judged], float]:
        """Return every mail of a folder with its verdict, and the seconds of CPU spent."""
        rows = [json.loads(line) for line in (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
        raws = [(folder / row["file"]).read_bytes() for row in rows]
        started = time.process_time()
        messages = [read(raw, self.reading) for raw in raws]
        verdicts = [classify(message, self.rules) for message in messages]
        spent = time.process_time() - started
        return [Judged(*one) for one in zip(rows, messages, verdicts, strict=True)], spent


def show(
    name: str, figures: dict[str, object], *, as_json: bool, aims: list[tuple[str, float, str, bool]] = ()
) -> None:
    """Print figures, and the aims with met or MISSED."""
    if as_json:
        print(json.dumps({"folder": name, **figures, "aims": [list(one) for one in aims]}))
        return
    print(f"== {name}")
    for label, value in figures.items():
        if label != "per kind":
            print(f"  {label:28} {value}")
    for kind, (right, missed, wrong, recall, precision) in figures["per kind"].items():
        print(
            f"  {kind:20} recall {recall:.2f}  precision {precision:.2f}"
            f"  ({right} right, {missed} missed, {wrong} wrong)"
        )
    for label, value, aim, met in aims:
        print(f"  {'met   ' if met else 'MISSED'} {label}: {value:.3f} (aim {aim})")


def hit(row: dict, said: set[str]) -> tuple[int, int, int]:
    """Return right, missed and wrong kinds of one mail; `either` is one hit, `optional` is never wrong."""
    wanted, either, optional = set(row["labels"]), set(row.get("either", ())), set(row.get("optional", ()))
    if either:
        got = bool(said & either)
        return int(got), int(not got), len(said - either - optional - wanted)
    return len(wanted & said), len(wanted - said), len(said - wanted - optional)


def measured(judged: list[Judged]) -> dict[str, object]:
    """Return the figures."""
    asked, plain = [one for one in judged if one.asks], [one for one in judged if not one.asks]
    counts = [hit(one.row, set(one.verdict.kinds)) for one in asked]
    right, missed, wrong = (sum(one[place] for one in counts) for place in range(3))
    long = [one for one in judged if len(one.message.written.split()) >= WORDS]
    return {
        "requests": len(asked),
        "requests as other": _share(decided(asked, Decision.OTHER), len(asked)),
        "requests acknowledged": _share(decided(asked, Decision.REQUEST), len(asked)),
        "kinds recall": round(right / max(right + missed, 1), 3),
        "kinds precision": round(right / max(right + wrong, 1), 3),
        "all kinds right": _share(sum(one[1] == one[2] == 0 for one in counts), len(asked)),
        "ordinary": len(plain),
        "ordinary as request": _share(decided(plain, Decision.REQUEST), len(plain)),
        "ordinary as review": _share(decided(plain, Decision.REVIEW), len(plain)),
        "automatic answered": answered(plain),
        "language right": _share(sum(one.row["language"] == one.verdict.language for one in long), len(long)),
        "per kind": per_kind(asked),
    }


WORDS = 20  # of a mail: in a shorter one the language cannot be told for sure


def decided(judged: list[Judged], decision: Decision) -> int:
    """Return how many were decided so."""
    return sum(one.verdict.decision is decision for one in judged)


def answered(plain: list[Judged]) -> int:
    """Return how many automatic mails would be answered."""
    automatic = [one for one in plain if one.row.get("kind") in {"auto", "auto-reply"}]
    return sum(one.verdict.decision is Decision.REQUEST and not one.verdict.automatic for one in automatic)


def per_kind(asked: list[Judged]) -> dict[str, tuple[int, int, int, float, float]]:
    """Return right, missed, wrong, recall and precision of each kind; where either kind will do, one is a hit."""
    counts: dict[str, list[int]] = {}
    for one in asked:
        said, wanted = set(one.verdict.kinds), set(one.row["labels"])
        either, optional = set(one.row.get("either", ())), set(one.row.get("optional", ()))
        if either:
            wanted = (said & either) or set(sorted(either)[:1])
        for kind in said | wanted:
            place = 0 if kind in said & wanted else 1 if kind in wanted else 2
            if place < 2 or kind not in either | optional:
                counts.setdefault(kind, [0, 0, 0])[place] += 1
    return {
        kind: (right, missed, wrong, right / max(right + missed, 1), right / max(right + wrong, 1))
        for kind, (right, missed, wrong) in sorted(counts.items())
    }


def aims(judged: list[Judged]) -> list[tuple[str, float, str, bool]]:
    """Return the aims of the project: what, how much, the aim, and whether it is met."""
    asked, plain = [one for one in judged if one.asks], [one for one in judged if not one.asks]
    counts = [hit(one.row, set(one.verdict.kinds)) for one in asked]
    right, missed, wrong = (sum(one[place] for one in counts) for place in range(3))
    long = [one for one in judged if len(one.message.written.split()) >= WORDS]
    low = (
        ("requests as other", decided(asked, Decision.OTHER) / max(len(asked), 1), 0.01),
        ("ordinary as request", decided(plain, Decision.REQUEST) / max(len(plain), 1), 0.005),
        ("ordinary as review", decided(plain, Decision.REVIEW) / max(len(plain), 1), 0.04),
        ("automatic answered", answered(plain), 0),
    )
    high = (
        ("kinds recall", right / max(right + missed, 1), 0.93),
        ("kinds precision", right / max(right + wrong, 1), 0.93),
        ("all kinds right", sum(one[1] == one[2] == 0 for one in counts) / max(len(asked), 1), 0.85),
        ("requests acknowledged", decided(asked, Decision.REQUEST) / max(len(asked), 1), 0.85),
        ("language right", sum(o.row["language"] == o.verdict.language for o in long) / max(len(long), 1), 0.97),
    )
    return [
        *((name, value, f"at most {aim}", value <= aim) for name, value, aim in low),
        *((name, value, f"at least {aim}", value >= aim) for name, value, aim in high),
    ]


def _share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / max(whole, 1):.1f} %)"


def mistakes(judged: list[Judged]) -> None:
    """Print every mail that went wrong, with what was said and why."""
    for one in judged:
        row, verdict, message = one.row, one.verdict, one.message
        _, missed, wrong = hit(row, set(verdict.kinds))
        left = verdict.decision is Decision.OTHER
        if not (missed or wrong or left if one.asks else not left):
            continue
        asked = "+".join(row["labels"]) + (" either " + "+".join(row["either"]) if row.get("either") else "")
        kinds = "+".join(verdict.kinds)
        print(f"- {row['file']} wanted [{asked or 'none'}] said {verdict.decision} [{kinds}] {verdict.automatic or ''}")
        print(f"    {message.subject} | {' '.join(message.written.split())[:300]}")
        print("    " + "; ".join(f"{each.rule} ({each.text})" for each in verdict.evidence)[:300])


if __name__ == "__main__":
    main()
