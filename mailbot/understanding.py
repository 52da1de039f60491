"""Reading and judging in processes of their own: when a message is large or odd, and when there are many.

Owns the workers (worker.py) and what becomes of a message that breaks one: it is unreadable, and so the owner's to look
at. Must never judge by itself, never give a worker a secret, and never believe an answer that has not the shape of one.

An ordinary message is read where it is used, in a millisecond. A worker starts when it is first needed and ends with
the look at the mailbox, so that an idle daemon stays small.
"""

import asyncio
import logging
import os
import pickle
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import msgspec

from mailbot.classify import Verdict
from mailbot.message import Message, digest_of
from mailbot.policy import Policy
from mailbot.worker import LENGTH, SECONDS, Steps, Understood, framed

LOG = logging.getLogger(__name__)
WORKERS = min(2, os.cpu_count() or 1)  # more would only wait for the mail server
MANY = 100  # messages that make it worth starting workers: they take half a second of CPU to start
GROUP = 10  # messages a frame
LARGE = 128 * 1024  # bytes
PATIENCE = 6  # times the CPU a message may take, by the clock: a busy machine gives a worker part of its time
ANSWER = 64 * 1024 * 1024  # bytes: no answer is that long
HEADERS = re.compile(rb"\r?\n\r?\n")
HEADER_BYTES = 16 * 1024
LONG_LINE = re.compile(rb"[^\n]{10000}")
SIGNS = ((b"boundary=", 20), (b"=?", 200), (b"<div", 5_000), (b"<table", 500), (b"\n--", 500), (b"\0", 1))


def is_odd(raw: bytes) -> bool:
    """Tell whether a message is larger or stranger than what people send, by counting and nothing else."""
    if len(raw) > LARGE:
        return True
    end = HEADERS.search(raw, 0, HEADER_BYTES)
    strange = end is None and len(raw) > HEADER_BYTES
    return strange or bool(LONG_LINE.search(raw)) or any(raw.count(sign) >= most for sign, most in SIGNS)


class Broke(Exception):
    """A worker ended before it answered."""


class Worker:
    """One process, one question at a time."""

    def __init__(self, process: asyncio.subprocess.Process, seconds: int) -> None:
        self._process = process
        self._seconds = seconds

    @classmethod
    async def start(cls, steps: Steps, seconds: int) -> "Worker":
        """Return a worker that knows the two pure steps and gives each message so many seconds of CPU."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mailbot.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1024 * 1024,
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        worker = cls(process, seconds)
        await worker._say(pickle.dumps((steps, seconds)))
        return worker

    async def ask(self, raws: Sequence[bytes]) -> list[Understood]:
        """Return what these messages are, in order. Broke when the worker dies of one of them."""
        try:
            async with asyncio.timeout(self._seconds * (PATIENCE + len(raws))):
                await self._say(msgspec.msgpack.encode(raws))
                answer = await self._heard()
            understood = msgspec.msgpack.decode(answer, type=list[Understood])
        except (TimeoutError, OSError, asyncio.IncompleteReadError, msgspec.MsgspecError) as error:
            raise Broke(type(error).__name__) from error
        if len(understood) != len(raws):
            raise Broke("it answered something else")
        return understood

    async def _say(self, body: bytes) -> None:
        if self._process.stdin is None:
            raise Broke("it has no ears")
        self._process.stdin.write(framed(body))
        await self._process.stdin.drain()

    async def _heard(self) -> bytes:
        if self._process.stdout is None:
            raise Broke("it has no voice")
        (length,) = LENGTH.unpack(await self._process.stdout.readexactly(LENGTH.size))
        if length > ANSWER:
            raise Broke("it answers at too great a length")
        return await self._process.stdout.readexactly(length)

    async def stop(self) -> None:
        """End it at once: it holds nothing that could be lost."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.communicate()


class Understanding:
    """The workers. One task at a time asks; it is answered by as many processes as the machine has use for."""

    def __init__(self, seconds: int = SECONDS) -> None:
        self._seconds = seconds
        self._idle: list[Worker] = []
        self._steps: Steps | None = None

    async def of(self, raws: Sequence[bytes], steps: Steps, *, many: bool = False) -> list[Understood | None]:
        """Return what each message is; None for one that the caller can read for itself without danger.

        `many` hands all of them to workers, for speed. Never raises because of a message.
        """
        if self._steps != steps:
            await self.close()
            self._steps = steps
        out: list[Understood | None] = [None] * len(raws)
        chosen = [place for place, raw in enumerate(raws) if many or is_odd(raw)]
        groups = [chosen[start : start + GROUP] for start in range(0, len(chosen), GROUP)]

        async def work() -> None:
            while groups:
                places = groups.pop(0)
                answers = await self._together([raws[place] for place in places], steps)
                for place, answer in zip(places, answers, strict=True):
                    out[place] = answer

        await asyncio.gather(*(work() for _ in range(min(WORKERS if many else 1, len(groups)))))
        return out

    async def _together(self, raws: Sequence[bytes], steps: Steps) -> Sequence[Understood]:
        """A group at once; when one of them breaks the worker, each by itself."""
        try:
            return await self._asked(raws, steps)
        except Broke as error:
            if len(raws) == 1:
                return [await self._unreadable(raws[0], steps, str(error))]
        return [(await self._together([raw], steps))[0] for raw in raws]

    async def _unreadable(self, raw: bytes, steps: Steps, why: str) -> Understood:
        """What is left of a message that breaks a reader: who sent it, if its headers at least can be read."""
        LOG.warning("a message of %d bytes broke its reader (%s): it is the owner's to look at", len(raw), why)
        end = HEADERS.search(raw)
        message = Message("")
        with suppress(Broke):
            message = (await self._asked([raw[: end.end() if end else 0]], steps))[0].message
        digest, why = digest_of(raw), "too heavy to read"
        bare = replace(message, digest=digest, unreadable=why, text="", written="", form=None, defects=(why,))
        return Understood(bare, steps[1](bare))

    async def _asked(self, raws: Sequence[bytes], steps: Steps) -> list[Understood]:
        worker = self._idle.pop() if self._idle else await Worker.start(steps, self._seconds)
        try:
            answers = await worker.ask(raws)
        except BaseException:
            await worker.stop()
            raise
        self._idle.append(worker)
        return answers

    async def close(self) -> None:
        """End every worker."""
        while self._idle:
            await self._idle.pop().stop()


@dataclass(slots=True)
class Reader:
    """The pure steps, bound to the rules in force, so that a reload swaps them in one go."""

    read: Callable[[bytes], Message]
    classify: Callable[[Message], Verdict]
    policy: Policy
    number: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        self.number = re.compile(rf"\b{re.escape(self.policy.prefix)}-\d{{4}}-\d{{4,6}}\b", re.IGNORECASE)

    def understood(self, raw: bytes, already: Understood | None = None) -> tuple[Message, Verdict]:
        """Return what the message is and asks; read here unless a worker did so already."""
        if already is not None:
            return already.message, already.verdict
        message = self.read(raw)
        return message, self.classify(message)
