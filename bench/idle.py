"""What a daemon costs that has nothing to do: `python bench/idle.py [--clients 10000] [--seconds 120]`. Needs Dovecot.

Prints the time from the start of the process to its first look at the mailbox, as written in the register, its memory
while idle, and its CPU over some minutes of real idling, times what an hour has more of them. Nineteen in twenty of the
clients have a case that is closed; of the rest ten have one that runs, and the others none.
"""

import argparse
import asyncio
import math
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "bench")]

import register as registers
from figures import told
from fixtures.dovecot import Dovecot
from test_daemon import Daemon, started, until, written

from mailbot import storage
from mailbot.case import Event, record
from mailbot.register import Register

MEMORY, CPU, START = 80.0, 1.0, 1.0  # MB, seconds of CPU an hour, seconds
RUNNING = 10


def life(register: Register, place: int):
    """Return a client with a closed case; with one that runs for the first few, without one for one in twenty."""
    began = datetime.now(UTC) - timedelta(days=5 if place < RUNNING else 300)
    client = registers.filled(register, place, began)
    (case,) = client.cases
    if place < RUNNING:
        return client
    if place % 20 == 0:
        return replace(client, cases=(), letters=())
    for name, days in (("acknowledged", 0), ("answered", 20), ("closed", 40)):
        facts = {"kinds": ["access"]} if name == "answered" else {}
        case = record(case, Event(began + timedelta(days=days), name, "as it goes", facts))
    return replace(client, cases=(case,))


def filled(folder: Path, clients: int) -> None:
    register = Register.open(folder)
    sync, storage.os.fsync = storage.os.fsync, lambda _descriptor: None  # filling is not what is measured
    with register.transaction():
        for place in range(clients):
            register.commit(life(register, place))
    storage.os.fsync = sync
    register.close()


def looked_at(office: Path) -> float:
    """The moment at which the register knows how far the mailbox goes; minus infinity before that."""
    done = office.exists() and b'"watch":{' in office.read_bytes()
    return time.perf_counter() if done else -math.inf


def cpu(daemon: Daemon) -> float:
    """Seconds of CPU the process used, all its threads."""
    tasks = Path(f"/proc/{daemon.child.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


async def quiet(daemon: Daemon) -> None:
    """Wait until what a start brings along is done: the second look, then five seconds with hardly any CPU."""
    await until(lambda: daemon.heard("STATUS") and daemon.said.count("STATUS=watching") > 1, 90)
    for _ in range(12):
        before = cpu(daemon)
        await asyncio.sleep(5)
        if cpu(daemon) - before < 0.005:
            return


def memory(daemon: Daemon) -> float:
    """Resident megabytes."""
    lines = Path(f"/proc/{daemon.child.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


async def idle(server: Dovecot, clients: int, seconds: int) -> None:
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        config = written(server.user(), 9, folder)  # nothing is sent, so no mail server is needed
        filled(folder / "register", clients)
        begun = time.perf_counter()
        starting = asyncio.create_task(started(config, folder))
        looked = await until(lambda: max(looked_at(folder / "register" / "office.json") - begun, 0), 60)
        daemon = await starting
        ready = time.perf_counter() - begun
        told(f"seconds from the start to the first look at the mailbox, {clients} clients", looked, at_most=START)
        told(f"seconds until the daily work over all clients is done too ({cpu(daemon):.2f} s of CPU)", ready)
        if seconds:
            await quiet(daemon)
            before = cpu(daemon)
            await asyncio.sleep(seconds)
            spent = cpu(daemon) - before
            looks = daemon.heard("STATUS") and daemon.said.count("STATUS=watching")
            told(f"MB resident while idle, {clients} clients", memory(daemon), at_most=MEMORY)
            told(f"seconds of CPU an hour ({spent * 1000:.0f} ms in {seconds} s with {looks - 1} looks)",
                 spent * 3_600 / seconds, at_most=CPU)  # fmt: skip
        daemon.child.kill()
        await daemon.child.communicate()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=120)
    options = parser.parse_args()
    server = Dovecot("plain")
    asyncio.run(idle(server, 0, 0))
    asyncio.run(idle(server, options.clients, options.seconds))
    server.close()


if __name__ == "__main__":
    main()
