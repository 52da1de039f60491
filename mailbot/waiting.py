"""Waiting for a hint that something changed in the mailbox.

Owns IDLE (RFC 2177) and the bell that ends a wait. Must never read what the server says as an event: any byte is a
hint, and the scan by UID is the truth.
"""

import select
import socket
import ssl
from contextlib import suppress

from imapclient import IMAPClient


class Bell:
    """Ends a wait at once. `ring` is the one method here another thread may call."""

    def __init__(self) -> None:
        self._ear, self._bell = socket.socketpair()
        self._ear.settimeout(0)
        self._bell.settimeout(0)

    def ring(self) -> None:
        """End the wait that runs, or the next one."""
        with suppress(BlockingIOError, OSError):
            self._bell.send(b"!")

    def heard(self, seconds: float, beside: socket.socket | None = None) -> bool:
        """Wait until it rings, or until there is something to read `beside`; False when the time is over."""
        poller = select.poll()
        poller.register(self._ear, select.POLLIN)
        if beside is not None:
            poller.register(beside, select.POLLIN | select.POLLHUP | select.POLLERR)
        ready = {descriptor for descriptor, _ in poller.poll(seconds * 1000)}
        if self._ear.fileno() in ready:
            with suppress(BlockingIOError):
                while self._ear.recv(64):
                    pass
        return bool(ready)


def enter_idle(client: IMAPClient) -> bool:
    """Enter IDLE; False when the server will not. Lines may come before its `+`, where IMAPClient.idle() fails."""
    imap = client._imap  # noqa: SLF001 - the parts idle() itself is made of
    tag = client._idle_tag = imap._command("IDLE")  # noqa: SLF001
    while imap._get_response() is not None:  # noqa: SLF001 - None is the `+`
        if imap.tagged_commands.get(tag):
            imap.tagged_commands.pop(tag)
            return False
    return True


def buffered(client: IMAPClient, read_timeout: float) -> bool:
    """Tell whether bytes came along with the server's `+`: they sit in imaplib's buffer, not in the socket."""
    sock, reader = client.socket(), client._imap.file  # noqa: SLF001 - the only place where they can be seen
    sock.settimeout(0)
    try:
        return bool(reader.peek(1)) if hasattr(reader, "peek") else False
    except (ssl.SSLWantReadError, BlockingIOError):
        return False
    finally:
        sock.settimeout(read_timeout)
