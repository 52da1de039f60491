"""How fast mailbot reads and judges, without any server: `python bench/reading.py [--mails 500]`.

Prints mails a second for the mailbox of bench/mails.py, the same as a multiple of a bare compat32 parse, and how the
time grows with the length of a text: per character, a long text may cost no more than a short one. All of it is CPU
time of one process, so a busy machine changes little.
"""

import argparse
import email
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from figures import told
from mails import mails

from mailbot.config import Organisation, Settings
from mailbot.house import furnish

LENGTHS = (2_500, 10_000, 40_000)  # characters: what is judged of a message ends at 40,000


def best(step, items, rounds: int = 2) -> float:
    """Seconds of CPU for the step over all items, the best of some rounds."""
    spent = []
    for _ in range(rounds):
        started = time.process_time()
        for item in items:
            step(item)
        spent.append(time.process_time() - started)
    return min(spent)


def bare(raw: bytes) -> None:
    for part in email.message_from_bytes(raw).walk():
        part.get_payload(decode=True)


def long(raws: list[bytes], length: int) -> bytes:
    """One plain mail of about this many characters, from what people wrote in these."""
    said = b"".join(part for raw in raws for part in raw.split(b"\r\n\r\n")[2:3] if part.isascii() and b"=" not in part)
    return b"From: jan@example.nl\r\nSubject: lang\r\n\r\n" + (said * (1 + length // len(said)))[:length]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=500)
    count = parser.parse_args().mails
    settings = Settings(organisation=Organisation("KosterNET", "info@kosternet.nl", (), "geert@kosternet.example"))
    reader = furnish(settings).reader
    raws = [one.raw for one in mails(count, 0.1)]
    messages = [reader.read(raw) for raw in raws]
    parsing, reading = best(bare, raws), best(reader.read, raws)
    judging = best(reader.classify, messages)
    print(f"{count} mails: reading {count / reading:.0f}/s, judging {count / judging:.0f}/s, "
          f"both {count / (reading + judging):.0f}/s; a compat32 parse {count / parsing:.0f}/s")  # fmt: skip
    told("times as long as a compat32 parse, to read and judge", (reading + judging) / parsing)
    each = {length: best(reader.understood, [long(raws, length)] * 10) / 10 for length in LENGTHS}
    print("  a text of " + ", ".join(f"{length} characters {1000 * spent:.1f} ms" for length, spent in each.items()))
    growth = (each[LENGTHS[-1]] / LENGTHS[-1]) / (each[LENGTHS[0]] / LENGTHS[0])
    told("times as long a character in a text 16 times as long", growth, at_most=1.5)


if __name__ == "__main__":
    main()
