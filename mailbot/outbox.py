"""Letters to the server that takes them: aiosmtplib, one recipient a transaction.

Owns what each answer of an SMTP server means. Must never fall back to an unencrypted connection, never decide whether
a letter may go, and never lose the difference between "not sent" and "nobody knows".
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP as WIRE

import aiosmtplib
import idna

from mailbot.errors import LoginRefused, OwnerMustFix, Refused, TryLater

AFTER_DOT = 600.0  # seconds: RFC 5321, 4.5.3.2.6 gives the server ten minutes to say that it has the message
COMMAND = 60.0  # seconds for every other answer
QUIT = 5.0  # a server that does not say goodbye has our letter all the same (S6)
TOO_BIG = 552  # RFC 1870, section 6.1
LOGIN_NO = {530, 534, 535}  # RFC 4954, section 6: asking again with the same password will not help


class NotSent(TryLater):
    """The server did not take the letter now. `maybe`: it may have, and could not say so."""

    def __init__(self, message: str, *, maybe: bool = False, this_letter_only: bool = False) -> None:
        super().__init__(message)
        self.maybe = maybe
        self.this_letter_only = this_letter_only


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """How to reach the server. `token` gives a fresh XOAUTH2 token for each connection."""

    host: str
    port: int = 465
    security: str = "tls"
    username: str = ""
    password: str = field(default="", repr=False)
    token: Callable[[], str] | None = None
    ca_file: str = ""
    command_timeout: float = COMMAND
    after_dot_timeout: float = AFTER_DOT


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server took the letter; `reply` is what it said."""

    reply: str


class Outbox:
    """One connection, opened when a letter must go and kept for the next one."""

    def __init__(self, settings: SmtpSettings) -> None:
        self.settings = settings
        self._client: aiosmtplib.SMTP | None = None

    async def send(self, message: EmailMessage, *, to: str, envelope_from: str) -> Accepted:
        """Offer one letter to one recipient and return the server's word for it.

        Raises NotSent (later, perhaps sent), Refused (never), LoginRefused, OwnerMustFix (TLS).
        """
        recipient = wire_address(to)
        fresh = self._client is None
        client = self._client or await self._open()
        try:
            await self._offer(client, envelope_from, recipient)
        except NotSent as error:
            if fresh or error.this_letter_only:
                raise
            await self.close()  # a kept connection may have died meanwhile: once more on a new one
            client = await self._open()
            await self._offer(client, envelope_from, recipient)
        return await self._data(client, message.as_bytes(policy=WIRE))

    async def probe(self) -> None:
        """Open the connection and log in, and nothing else."""
        if self._client is None:
            await self._open()

    async def _offer(self, client: aiosmtplib.SMTP, envelope_from: str, recipient: str) -> None:
        """MAIL and RCPT: whatever goes wrong here, nothing was sent."""
        options = ["SMTPUTF8"] if not recipient.isascii() else []
        try:
            if options and client.is_ehlo_or_helo_needed:
                await client.ehlo()  # before that nobody knows what the server can
            if options and not client.supports_extension("smtputf8"):
                raise Refused("the server cannot send to an address with these letters (no SMTPUTF8)")
            await client.mail(envelope_from, options=options, encoding="utf-8" if options else "ascii")
            await client.rcpt(recipient, encoding="utf-8" if options else "ascii")
        except aiosmtplib.SMTPSenderRefused as error:
            await self._reset(client)
            raise _about_us(error.code) from error
        except aiosmtplib.SMTPResponseException as error:
            await self._reset(client)
            raise _meaning(error.code, "the recipient") from error
        except (aiosmtplib.SMTPException, OSError, UnicodeError) as error:
            await self._discard()
            raise NotSent(f"the connection to the mail server was lost ({type(error).__name__})") from error

    async def _data(self, client: aiosmtplib.SMTP, body: bytes) -> Accepted:
        """DATA: a yes is any 2xx (S5); a lost connection may mean yes (failure-cases 1.2)."""
        try:
            response = await client.data(body, timeout=self.settings.after_dot_timeout)
        except aiosmtplib.SMTPResponseException as error:
            if 200 <= error.code < 300:  # noqa: PLR2004 - RFC 5321, 4.2.1: the family of yes
                return Accepted(f"{error.code} {error.message}")
            if error.code < 400:  # noqa: PLR2004 - no answer at all: rubbish on the line
                await self._discard()
                raise NotSent("the mail server's answer could not be understood", maybe=True) from error
            await self._reset(client)
            raise _meaning(error.code, "the letter") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            await self._discard()
            raise NotSent(
                "the connection was lost after the letter was handed over: it goes again under the same Message-ID",
                maybe=True,
            ) from error
        return Accepted(f"{response.code} {response.message}")

    async def _open(self) -> aiosmtplib.SMTP:
        settings = self.settings
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",  # never None: that would be opportunistic (1.7)
            tls_context=_context(settings.ca_file) if settings.security != "none" else None,
            timeout=settings.command_timeout,
        )
        try:
            await client.connect()
            await self._login(client)
        except aiosmtplib.SMTPAuthenticationError as error:
            client.close()
            if error.code in LOGIN_NO:
                raise LoginRefused("smtp: the server refused the user name or password: mend [smtp]") from error
            raise NotSent(f"smtp: the login did not work for the moment ({error.code})") from error
        except ssl.SSLCertVerificationError as error:
            raise OwnerMustFix(f"smtp: the server's certificate is not right ({error.verify_message})") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            raise _unreachable(error) from error
        self._client = client
        return client

    async def _login(self, client: aiosmtplib.SMTP) -> None:
        settings = self.settings
        if settings.token is not None:
            await client.auth_xoauth2(settings.username, settings.token())
        elif settings.username and settings.password:
            await client.login(settings.username, settings.password)

    async def _reset(self, client: aiosmtplib.SMTP) -> None:
        """Leave the connection ready for the next letter, or drop it."""
        try:
            await client.rset()
        except (aiosmtplib.SMTPException, OSError):
            await self._discard()

    async def _discard(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    async def close(self) -> None:
        """Say goodbye, briefly. Whether the server answers matters to nobody (S6)."""
        if self._client is not None:
            with suppress(aiosmtplib.SMTPException, OSError, asyncio.TimeoutError):
                await asyncio.wait_for(self._client.quit(), QUIT)
        await self._discard()


def wire_address(address: str) -> str:
    """Return the address as it goes over the wire: the domain in A-labels (RFC 5891). Refused when it cannot be."""
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{domain if domain.isascii() else idna.encode(domain, uts46=True).decode()}"
    except idna.IDNAError as error:
        raise Refused("the domain of the address is no domain name") from error


def _meaning(code: int, what: str) -> TryLater | Refused:
    """Return what an answer means: 4xx is later (S1), 5xx is never (S2), rubbish is later (RFC 5321, 4.2.1)."""
    if 500 <= code < 600:  # noqa: PLR2004 - RFC 5321, 4.2.1: the family of no
        return Refused(f"the mail server refused {what} for good ({code})")
    closing = code == 421  # noqa: PLR2004 - RFC 5321, 3.8: the server is closing the channel
    return NotSent(f"the mail server asks for patience ({code})", this_letter_only=not closing)


def _about_us(code: int) -> TryLater | Refused:
    """Return what a no to MAIL means. It is about us and so about every letter: none may be given up for it at once."""
    if code == TOO_BIG:
        return Refused(f"the mail server finds the letter too big ({code})")
    return NotSent(f"the mail server takes nothing from our address for the moment ({code})")


def _unreachable(error: Exception) -> TryLater | OwnerMustFix:
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return OwnerMustFix(f"smtp: the server's certificate is not right ({cause.verify_message})")
    if type(error) is aiosmtplib.SMTPException:  # STARTTLS or AUTH is not offered: fail closed (S10)
        return OwnerMustFix("smtp: the server does not offer STARTTLS or a login: nothing is sent in the clear")
    return NotSent(f"smtp: the mail server cannot be reached ({type(error).__name__})")


def _context(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file or None)
