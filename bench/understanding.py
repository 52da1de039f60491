"""How well mailbot understands a labelled folder: `python bench/understanding.py FOLDER [--json] [--mistakes]`.

The folder holds .eml files and labels.jsonl, an object a line: file, labels, optional, either, language.
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mailbot import data
from mailbot.classify import Decision, Verdict, classify
from mailbot.message import Message, Reading, read
from mailbot.rules import parse


def main() -> None:
    """Print the figures of issue and docs: decisions, kinds, languages, speed, and the mistakes on request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--mistakes", action="store_true")
    options = parser.parse_args()
    files = data.texts("rules")
    rules = parse(data.phrases(files))
    reading = Reading.parse(files)
    for folder in options.folder:
        rows = [json.loads(line) for line in (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
        raws = [(folder / row["file"]).read_bytes() for row in rows]
        started = time.process_time()
        messages = [read(raw, reading) for raw in raws]
        verdicts = [classify(message, rules) for message in messages]
        spent = time.process_time() - started
        figures = measured(rows, verdicts, messages) | {"ms_per_mail": round(1000 * spent / len(rows), 2)}
        if options.json:
            print(json.dumps({"folder": str(folder), **figures}))
            continue
        print(f"== {folder}")
        for name, value in figures.items():
            print(f"  {name:28} {value}")
        if options.mistakes:
            mistakes(rows, verdicts, messages)


def hit(row: dict, said: set[str]) -> tuple[int, int, int]:
    """Return right, missed and wrong kinds of one mail; `either` is one hit, `optional` is never wrong."""
    wanted, either, optional = set(row["labels"]), set(row.get("either", ())), set(row.get("optional", ()))
    if either:
        got = bool(said & either)
        return int(got), int(not got), len(said - either - optional - wanted)
    return len(wanted & said), len(wanted - said), len(said - wanted - optional)


def measured(rows: list[dict], verdicts: list[Verdict], messages: list[Message]) -> dict[str, object]:
    """Return the figures."""
    asked = [(r, v) for r, v in zip(rows, verdicts, strict=True) if r["labels"] or r.get("either")]
    plain = [(r, v) for r, v in zip(rows, verdicts, strict=True) if not (r["labels"] or r.get("either"))]
    right = missed = wrong = exact = 0
    kinds: Counter[str] = Counter()
    for row, verdict in asked:
        one = hit(row, set(verdict.kinds))
        right, missed, wrong = right + one[0], missed + one[1], wrong + one[2]
        exact += one[1] == one[2] == 0
        kinds.update(f"{kind}: missed" for kind in set(row["labels"]) - set(verdict.kinds) if not row.get("either"))
        extra = set(verdict.kinds) - set(row["labels"]) - set(row.get("optional", ())) - set(row.get("either", ()))
        kinds.update(f"{kind}: wrong" for kind in extra)
    long = [(r, v) for r, v, m in zip(rows, verdicts, messages, strict=True) if len(m.written.split()) >= 20]
    return {
        "requests": len(asked),
        "requests as other": _share(sum(v.decision is Decision.OTHER for _, v in asked), len(asked)),
        "requests acknowledged": _share(sum(v.decision is Decision.REQUEST for _, v in asked), len(asked)),
        "kinds recall": round(right / max(right + missed, 1), 3),
        "kinds precision": round(right / max(right + wrong, 1), 3),
        "all kinds right": _share(exact, len(asked)),
        "ordinary": len(plain),
        "ordinary as request": _share(sum(v.decision is Decision.REQUEST for _, v in plain), len(plain)),
        "ordinary as review": _share(sum(v.decision is Decision.REVIEW for _, v in plain), len(plain)),
        "automatic answered": sum(
            v.decision is Decision.REQUEST and not v.automatic
            for r, v in plain
            if r.get("kind") in {"auto", "auto-reply"}
        ),
        "language right": _share(sum(r["language"] == v.language for r, v in long), len(long)),
        "per kind": dict(sorted(kinds.items())),
    }


def _share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / max(whole, 1):.1f} %)"


def mistakes(rows: list[dict], verdicts: list[Verdict], messages: list[Message]) -> None:
    """Print every mail that went wrong, with what was said and why."""
    for row, verdict, message in zip(rows, verdicts, messages, strict=True):
        wanted = row["labels"] or row.get("either")
        _, missed, wrong = hit(row, set(verdict.kinds))
        bad = (
            (missed or wrong or verdict.decision is Decision.OTHER)
            if wanted
            else verdict.decision is not Decision.OTHER
        )
        if not bad:
            continue
        asked = "+".join(row["labels"]) + (" either " + "+".join(row["either"]) if row.get("either") else "")
        kinds = "+".join(verdict.kinds)
        print(f"- {row['file']} wanted [{asked or 'none'}] said {verdict.decision} [{kinds}] {verdict.automatic or ''}")
        print(f"    {message.subject} | {' '.join(message.written.split())[:300]}")
        print("    " + "; ".join(f"{one.rule} ({one.text})" for one in verdict.evidence)[:300])


if __name__ == "__main__":
    main()
