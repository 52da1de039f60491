"""The table of failure cases is whole: each case once, each with a test that exists or the reason why it needs none."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "failure-cases.md"
CASES = [f"1.{place}" for place in range(1, 8)]
CASES += [
    f"{letter}{place}"
    for letter, count in {"I": 40, "S": 16, "M": 25, "P": 16, "T": 12, "R": 10}.items()
    for place in range(1, count + 1)
]
NAMED = re.compile(r"`(tests/\w+\.py)::(\w+)`")
REASONED = re.compile(r"(cannot happen|not handled), because \w.{10,}")
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split(" | "))
    for line in TABLE.read_text(encoding="utf-8").splitlines()
    if re.match(r"\| (\d\.\d|[A-Z]\d+) \|", line)
]


@cache
def names_in(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds) and node.name.startswith("test_")}


def test_every_case_stands_there_exactly_once():
    assert Counter(row[0] for row in ROWS) == Counter(CASES)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_case_has_tests_that_exist_or_a_reason_to_have_none(row):
    assert len(row) == 4
    assert all(row)
    shown = row[3]
    assert "open" not in row, "every case has its tests or its reason"
    named = NAMED.findall(shown)
    assert named or REASONED.fullmatch(shown), shown
    assert not [f"{path}::{name}" for path, name in named if name not in names_in(path)]


def test_how_the_cases_are_met():
    met = Counter("by a test" if NAMED.search(row[3]) else row[3].partition(",")[0] for row in ROWS)
    print(f"{len(ROWS)} cases: " + ", ".join(f"{kind} {count}" for kind, count in met.items()))
    assert met["not handled"] <= 5, "few"
