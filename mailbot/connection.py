"""The connection to the mailbox: opened, logged in, looked around, and given up at the first trouble.

Owns one IMAPClient, used from one thread: encryption, login, the folders there are, which one is selected, and what an
error of the library means. Must never use a connection again that showed trouble, and never log what a server says.
"""

import re
import socket
import ssl
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import (
    CapabilityError,
    IMAPClientAbortError,
    IMAPClientError,
    IMAPClientReadOnlyError,
    LoginError,
    ProtocolError,
)

from mailbot import folders
from mailbot.errors import LoginRefused, MailbotError, OwnerMustFix, Refused, TryLater
from mailbot.folders import Namespace

PATIENCE = ("[LIMIT]", "[UNAVAILABLE]", "[INUSE]", "[SERVERBUG]")  # RFC 5530: nothing is wrong with what we asked


@dataclass(frozen=True, slots=True)
class ImapSettings:
    """How to reach the mailbox. `token` gives a fresh XOAUTH2 token for each connection."""

    host: str
    port: int = 993
    security: str = "tls"
    username: str = ""
    password: str = field(default="", repr=False)
    token: Callable[[], str] | None = None
    ca_file: str = ""
    inbox: str = "INBOX"
    clients: str = "Klanten"
    sent: str = ""
    review: str = ""
    connect_timeout: float = 15.0
    read_timeout: float = 60.0


class Connection:
    """One connection. Every method may raise TryLater; the connection is then discarded."""

    def __init__(self, settings: ImapSettings) -> None:
        self.settings = settings
        self.namespace = Namespace()
        self.sent_folder: str = settings.sent
        self._client: IMAPClient | None = None
        self._selected: tuple[str, bool] | None = None
        self._folders: set[str] = set()
        self._uidvalidity = 0
        self._uidnext = 0  # of the inbox when it was last selected
        self._looked_to = 0  # the UIDs below this were asked for

    @property
    def connected(self) -> bool:
        """Whether there is a connection that was not found dead."""
        return self._client is not None

    def connect(self) -> None:
        """Open the connection, log in and look around. LoginRefused, OwnerMustFix or TryLater when it cannot be."""
        self._drop()
        try:
            with self._translated(connecting=True):
                client = self._open()
                self._client = client
                self._login(client)
                self._look_around(client)
        except MailbotError:
            self._drop()  # half a connection would pass for one that works
            raise

    def _open(self) -> IMAPClient:
        settings = self.settings
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        client = IMAPClient(
            settings.host,
            port=settings.port,
            ssl=settings.security == "tls",
            ssl_context=context if settings.security == "tls" else None,
            timeout=SocketTimeout(connect=settings.connect_timeout, read=settings.read_timeout),
        )
        client.normalise_times = False  # aware times: a naive local one is ambiguous when the clock goes back (I37)
        if settings.security == "starttls":
            self._encrypt(client, context)
        # IMAPClient sends a command in two small writes; without this they wait for each other (measured: 44 ms).
        client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def _encrypt(self, client: IMAPClient, context: ssl.SSLContext) -> None:
        self._client = client  # so that it is dropped whatever comes
        if not client.has_capability("STARTTLS"):
            raise OwnerMustFix("imap: the server does not offer STARTTLS: nothing is sent in the clear")
        client.starttls(context)

    def _login(self, client: IMAPClient) -> None:
        settings = self.settings
        try:
            if settings.token is not None:
                client.oauth2_login(settings.username, settings.token())
            else:
                client.login(settings.username, settings.password)
        except LoginError as error:
            if isinstance(error.__context__, IMAPClientAbortError):
                # It says nothing about the password: three of these must not end the watch.
                raise TryLater("imap: the connection was lost during the login") from error
            answer = str(error).upper()
            if any(code in answer for code in PATIENCE):
                raise TryLater("imap: the server takes no login for the moment") from error
            if "[PRIVACYREQUIRED]" in answer:
                raise OwnerMustFix(
                    "imap: the server wants encryption first: set security to starttls or tls"
                ) from error
            raise LoginRefused("imap: the server refused the user name or password: mend [imap]") from error

    def _look_around(self, client: IMAPClient) -> None:
        """Learn the namespace, the folders and the inbox; none of it may be assumed (I15, I16)."""
        self._capabilities = set(client.capabilities())
        listed = client.list_folders()
        delimiter = next((text(item[1]) for item in listed if item[1]), "/")
        prefix = ""
        if b"NAMESPACE" in self._capabilities:
            personal = client.namespace().personal
            if personal:
                prefix, delimiter = text(personal[0][0]), text(personal[0][1]) or delimiter
        self.namespace = Namespace(prefix, delimiter)
        self._folders = {text(item[2]) for item in listed}
        found = folders.find_sent(((item[0], text(item[2])) for item in listed), self.namespace)
        self.sent_folder = self.namespace.path(self.settings.sent) if self.settings.sent else found or ""
        if not self.sent_folder:
            self.sent_folder = self.namespace.path("Sent")
            self._ensure(self.sent_folder)
        chosen = client.select_folder(self.inbox)
        self._selected, self._uidnext = (self.inbox, False), int(chosen.get(b"UIDNEXT", 0))
        self._looked_to = self._uidnext  # whoever connects looks before he waits
        said(client).pop("EXISTS", None)
        self._uidvalidity = int(chosen[b"UIDVALIDITY"])
        self._permanent = tuple(text(flag) for flag in chosen.get(b"PERMANENTFLAGS", ()))

    @property
    def inbox(self) -> str:
        """The watched folder, as this server names it."""
        return self.namespace.path(self.settings.inbox)

    @property
    def clients_parent(self) -> str:
        """The folder the client folders are in, as this server names it."""
        return self.namespace.path(self.settings.clients)

    @property
    def review_folder(self) -> str:
        """The folder whose messages the owner wants looked at again, as this server names it; "" when there is none."""
        return self.namespace.path(self.settings.review) if self.settings.review else ""

    def report(self) -> dict[str, Any]:
        """Return what `mailbot check` shows: what the server can do and what would be used."""
        can = {text(capability) for capability in self._capabilities}
        return {
            "namespace": repr(self.namespace.prefix) + " with " + repr(self.namespace.delimiter),
            "inbox": self.inbox,
            "sent": self.sent_folder,
            "clients": self.clients_parent,
            "review": self.review_folder or "none",
            "waiting": "IDLE and a regular look" if "IDLE" in can else "a regular look (no IDLE)",
            "moving": _moving(can),
            "flags": "own keywords" if "\\*" in self._permanent else "only the standard flags",
            "capabilities": sorted(can),
        }

    def give_up(self) -> None:
        """Leave the connection unused, so that the next look begins with a new one."""
        self._drop()

    def close(self) -> None:
        """Say goodbye, briefly."""
        if self._client is not None:
            with suppress(Exception):
                self._client.logout()
        self._drop()

    def _drop(self) -> None:
        client, self._client, self._selected = self._client, None, None
        if client is not None:
            with suppress(Exception):
                client.shutdown()

    def relist(self) -> None:
        """Look again at which folders there are: the owner may have made some since we connected."""
        with self._translated() as client:
            self._folders = {text(item[2]) for item in client.list_folders()}

    def has_folder(self, folder: str) -> bool:
        """Tell whether the server lists this folder."""
        return folder in self._folders

    def _ensure(self, folder: str) -> None:
        """Make and subscribe the folder when the list does not have it (never folder_exists: I19)."""
        if folder in self._folders or self._client is None:
            return
        try:
            self._client.create_folder(folder)
        except IMAPClientError as error:
            if isinstance(error, IMAPClientAbortError):
                raise
            self._folders = {text(item[2]) for item in self._client.list_folders()}
            if folder not in self._folders:
                raise
        with suppress(IMAPClientError):
            self._client.subscribe_folder(folder)
        self._folders.add(folder)

    def _select(self, folder: str, *, readonly: bool = False) -> None:
        if self._selected == (folder, readonly) or self._client is None:
            return
        self._selected = None
        chosen = self._client.select_folder(folder, readonly=readonly)
        self._selected = (folder, readonly)
        if folder == self.inbox:
            self._uidnext = int(chosen.get(b"UIDNEXT", 0))
            said(self._client).pop("EXISTS", None)

    def _lost(self, error: Exception, *, connecting: bool) -> str:
        why = type(error).__name__
        if not connecting:
            return f"imap: the connection was lost ({why})"
        where = f"{self.settings.host}:{self.settings.port}"
        return f"imap: no connection with {where} ({why}): is it up, and are host, port and security in [imap] right?"

    @contextmanager
    def _translated(self, *, connecting: bool = False) -> Iterator[IMAPClient]:
        """Give the connection, and turn whatever the library raises into what happens next.

        A connection that showed any trouble is never used again (I7): after a time-out it only raises.
        """
        if self._client is None and not connecting:
            raise TryLater("imap: there is no connection")
        try:
            yield self._client
        except (LoginRefused, OwnerMustFix, Refused, TryLater):
            raise
        except ssl.SSLCertVerificationError as error:
            self._drop()
            raise OwnerMustFix(
                f"imap: the server's certificate is not right ({error.verify_message}): mend it, the host or ca_file"
            ) from error
        except CapabilityError as error:
            raise Refused("the server cannot do this") from error
        except IMAPClientReadOnlyError as error:
            raise OwnerMustFix("imap: the mailbox can only be read: give this login the right to move mail") from error
        except (IMAPClientAbortError, ProtocolError, OSError, EOFError) as error:
            self._drop()
            raise TryLater(self._lost(error, connecting=connecting)) from error
        except IMAPClientError as error:
            if connecting:
                raise TryLater("imap: the server does not let us in for the moment") from error
            raise _refusal(error) from error
        except Exception as error:
            self._drop()  # an answer the library trips over: what it says may quote mail, so only its class is kept
            raise TryLater(f"imap: the server's answer could not be understood ({type(error).__name__})") from error


def _refusal(error: IMAPClientError) -> TryLater | Refused:
    """A tagged NO: what its response code means (RFC 5530). Its text may quote a folder, so only the code is kept."""
    answer = str(error).upper()
    if any(code in answer for code in PATIENCE):
        return TryLater("imap: the server asks for patience")
    if "[OVERQUOTA]" in answer:
        return Refused("the mailbox is full: make room, nothing is deleted by mailbot")
    code = re.search(r"\[[A-Z]+\]", answer)
    return Refused(f"the server refused this command {code.group() if code else ''}".rstrip())


def _moving(can: Collection[str]) -> str:
    if "MOVE" in can:
        return "MOVE"
    return "COPY and UID EXPUNGE" if "UIDPLUS" in can else "COPY; the original stays behind, marked as deleted"


def said(client: IMAPClient) -> dict[str, list[Any]]:
    """Return what the server said without being asked: COPYUID and an EXISTS in passing are kept nowhere else."""
    unasked: dict[str, list[Any]] = client._imap.untagged_responses  # noqa: SLF001
    return unasked


def text(value: bytes | str) -> str:
    """Return what the library gives as bytes or as text, as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
