"""What the register costs as it grows: `python bench/register.py [SIZE ...]` (default 100 10000).

Prints the median of a commit and the time to open, at each size, and the ratio to the smallest, in one run. With
100000 as a third size it takes a minute or two, most of it to fill.
"""

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from figures import told

from mailbot import storage
from mailbot.case import open_case
from mailbot.client import Filing, LetterState, QueuedLetter, SeenMessage
from mailbot.register import Register

COMMITS = 60
NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)


def filled(register, place, at=NOW):
    address = f"persoon{place}@example.nl"
    number = f"KN-2026-{place:06d}"
    fixed = {"channel": "mail", "language": "nl", "reason": "asks for access: acknowledged"}
    case = open_case(number=number, kinds=["access"], received=at, at=at, **fixed)
    mid, facts = f"<{place:032x}@kosternet.nl>", {"number": number}
    letter = QueuedLetter(mid, "identity", "person", address, "nl", number, facts, at, LetterState.SENT, settled=at)
    seen = SeenMessage(f"{place:064x}", 1, place, f"<{place}@example.nl>", at, "request", number, Filing.FILED)
    return replace(register.new_client(address), cases=(case,), letters=(letter,), messages=(seen,))


def prepared(size, folder):
    """Return a register with `size` clients and the seconds it took to open."""
    register = Register.open(folder)
    sync, storage.os.fsync = storage.os.fsync, lambda _descriptor: None  # filling is not what is measured
    for place in range(size):
        with register.transaction():
            register.commit(filled(register, place))
    storage.os.fsync = sync
    started = time.perf_counter()
    register = Register.open(folder)
    return register, time.perf_counter() - started


def commit(register, place):
    """Seconds for one commit."""
    record = filled(register, place)
    started = time.perf_counter()
    with register.transaction():
        register.commit(replace(record, name=f"{started}"))
    return time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", type=int, nargs="*", default=[100, 10_000])
    sizes = parser.parse_args().size
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in sizes]
        ready = [prepared(size, folder) for size, folder in zip(sizes, folders, strict=True)]
        spent = [[] for _ in sizes]
        for place in range(COMMITS):  # each size in turn, so that a busy disk is busy for all
            for times, size, (register, _) in zip(spent, sizes, ready, strict=True):
                times.append(commit(register, (place * 7919) % size))
        for size, times, (_, opened) in zip(sizes, spent, ready, strict=True):
            print(f"{size} clients: a commit {statistics.median(times) * 1000:.2f} ms, opening {opened:.2f} s")
            ratio = statistics.median(times) / statistics.median(spent[0])
            told(f"times as long a commit as with {sizes[0]} clients", ratio, at_most=1.5)
            told("seconds to open", opened, at_most=5)


if __name__ == "__main__":
    main()
