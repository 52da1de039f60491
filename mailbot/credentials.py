"""What it takes to get into a server, and where its password comes from.

Owns the keys `[imap]` and `[smtp]` share, and the order: the environment, a credential of systemd, a file, a command,
the configuration itself. A file that others can read is refused. Must never put a secret, or what a command printed,
into an error.
"""

import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from mailbot.errors import OwnerMustFix

Security = Literal["tls", "starttls", "none"]
COMMAND_TIMEOUT = 30  # seconds: a password manager may have to be unlocked, but a start must not hang
S = TypeVar("S", bound="Server")


@dataclass(frozen=True, slots=True)
class Server:
    """The keys `[imap]` and `[smtp]` share. `token` gives a fresh XOAUTH2 token for each connection."""

    host: str = ""
    port: int = 0
    security: Security = "tls"
    username: str = ""
    password: str = field(default="", repr=False)
    password_file: str = ""
    password_command: tuple[str, ...] | str = ""
    token_command: tuple[str, ...] | str = ""
    ca_file: str = ""

    @property
    def token(self) -> Callable[[], str] | None:
        """A source of access tokens, when one is configured."""
        return partial(_run, _words(self.token_command)) if self.token_command else None


def with_secret(server: S, name: str, environ: Mapping[str, str], problems: list[str]) -> S:
    """Return the server with its password, from the first place that has one."""
    if server.token_command:
        return server
    try:
        return replace(server, password=_password(server, name, environ))
    except OwnerMustFix as error:
        problems.extend(f"{name}.password: {problem}" for problem in error.problems)
        return server


def _password(server: Server, name: str, environ: Mapping[str, str]) -> str:
    variable = f"MAILBOT_{name.upper()}__PASSWORD"
    credential = Path(environ.get("CREDENTIALS_DIRECTORY", "/nonexistent")) / f"{name}.password"
    if variable in environ:
        password = environ[variable]
    elif f"{variable}_FILE" in environ:
        password = _secret_file(Path(environ[f"{variable}_FILE"]))
    elif credential.exists():
        password = credential.read_text(encoding="utf-8").rstrip("\r\n")
    elif server.password_file:
        password = _secret_file(Path(server.password_file))
    elif server.password_command:
        password = _run(_words(server.password_command))
    else:
        password = server.password
    return password


def _secret_file(path: Path) -> str:
    try:
        if path.stat().st_mode & 0o077:
            raise OwnerMustFix(f"{path} can be read by others: chmod 600 it")
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise OwnerMustFix(
            f"{path} cannot be read ({error.strerror}): write the password into it, chmod 600"
        ) from error


def _words(command: tuple[str, ...] | str) -> tuple[str, ...]:
    return tuple(shlex.split(command)) if isinstance(command, str) else command


def _run(words: tuple[str, ...]) -> str:
    """Return the first line the command prints. Its output is a secret and is never part of an error."""
    try:
        done = subprocess.run(  # noqa: S603 - the administrator's own command, without a shell
            words, capture_output=True, check=True, timeout=COMMAND_TIMEOUT, text=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        kind = type(error).__name__
        raise OwnerMustFix(f"the command `{words[0]}` gave no secret ({kind}): run it by hand to see why") from None
    return done.stdout.splitlines()[0] if done.stdout else ""
