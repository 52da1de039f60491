"""A process that reads and judges what its parent hands it, within limits of time and memory.

Owns those limits and the frames between the two. Must never open a file or a connection, and must never be given a
secret: whatever a message does to a parser ends here.

A frame is four bytes of length and as many bytes. The first one from the parent holds the two pure steps and the
seconds a message may take (pickled: the parent is trusted); each one after that is a list of messages. Each answer is a
list of what was understood, in msgpack, because the parent must not trust a worker.
"""

import os
import pickle
import resource
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import msgspec

from mailbot.classify import Verdict
from mailbot.message import Message

MEMORY = 384 * 1024 * 1024  # bytes of address space: a message of 8 MB needs some 60 beside the 50 of Python itself
SECONDS = 10  # of CPU a message: the longest readable one takes a tenth of a second
LENGTH = struct.Struct(">I")

Steps = tuple[Callable[[bytes], Message], Callable[[Message], Verdict]]


@dataclass(frozen=True, slots=True)
class Understood:
    """What a message is and what it asks."""

    message: Message
    verdict: Verdict


def framed(body: bytes) -> bytes:
    """Return the body as it goes over the pipe."""
    return LENGTH.pack(len(body)) + body


def main() -> None:
    """Serve until the parent closes the pipe. Dies of its limits, by the kernel's hand or by an exception."""
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the frames
    first = _frame(incoming)
    if first is None:
        return
    (read, classify), seconds = pickle.loads(first)  # noqa: S301 - from our own parent
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold people's mail
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    while (body := _frame(incoming)) is not None:
        understood = []
        for raw in msgspec.msgpack.decode(body, type=list[bytes]):
            _allow(seconds)
            message = read(raw)
            understood.append(Understood(message, classify(message)))
        outgoing.write(framed(msgspec.msgpack.encode(understood)))
        outgoing.flush()


def _allow(seconds: int) -> None:
    """Give the next message its time; a message that takes more ends the process (SIGXCPU)."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds + 1, hard))


def _frame(incoming: BinaryIO) -> bytes | None:
    head = incoming.read(LENGTH.size)
    return incoming.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else None


if __name__ == "__main__":
    try:
        main()
    except MemoryError:
        sys.exit(1)
