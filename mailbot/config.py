"""Settings from the command line, the environment, systemd credentials and one TOML file; all problems at once.

Owns where a setting comes from and whether it makes sense by itself. Must never print a secret, and never change
anything: a wrong configuration is listed in full and nothing is started.

Order (contract): command line, environment (`MAILBOT_IMAP__PASSWORD`, and `..._FILE`), `$CREDENTIALS_DIRECTORY`,
the file, the default.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import date, time
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, cast, get_type_hints
from zoneinfo import ZoneInfo

import msgspec

from mailbot.credentials import Server, with_secret
from mailbot.errors import OwnerMustFix, Refused

EXAMPLE = Path(__file__).with_name("example.toml")  # every key with its default; `mailbot init` writes it
DEFAULT_FILES = (Path("/etc/mailbot/mailbot.toml"), Path("mailbot.toml"))
SECRETS = ("password",)
ADDRESS = re.compile(r"[^@\s<>,;\"()]{1,64}@[^@\s<>,;\"()]{1,255}")
PREFIX = re.compile(r"[A-Z0-9]{1,8}")


@dataclass(frozen=True, slots=True)
class Organisation:
    """Who promises, and to whom the notices go."""

    name: str = ""
    address: str = ""
    aliases: tuple[str, ...] = ()
    owner: str = ""
    timezone: str = "Europe/Amsterdam"
    complaint_url: str = "https://autoriteitpersoonsgegevens.nl/"
    prefix: str = "KN"  # of the case numbers: KN-2026-0001

    @property
    def addresses(self) -> frozenset[str]:
        """Every address that is ours, in lower case: never a person to write to."""
        return frozenset(a.lower() for a in (self.address, *self.aliases, self.owner) if a)


@dataclass(frozen=True, slots=True)
class Imap(Server):
    """The mailbox that is watched."""

    port: int = 993
    inbox: str = "INBOX"
    clients: str = "Klanten"
    sent: str = ""
    review: str = ""  # moving a message into or out of this folder corrects a verdict
    history_from: date | None = None  # first start: older mail is registered from this date; None: from now
    authserv_id: str = ""  # whose Authentication-Results may be believed (RFC 8601); empty: nobody's
    poll_seconds: int = 240  # a scan without any hint from the server


@dataclass(frozen=True, slots=True)
class Smtp(Server):
    """The server that takes our letters."""

    port: int = 465
    empty_envelope_sender: bool = False  # true hides bounces of our letters; some servers refuse it


@dataclass(frozen=True, slots=True)
class RegisterSettings:
    """Where the register lies."""

    directory: str = "/var/lib/mailbot"


@dataclass(frozen=True, slots=True)
class Identity:
    """When a copy of an identity document may be asked for (GDPR 12(6); promises, section 3)."""

    policy: Literal["on_doubt", "always"] = "on_doubt"
    suspend: bool = False  # true: the legal limit waits for the check; the promise never does


@dataclass(frozen=True, slots=True)
class FilingSettings:
    """What happens to mail that is no request."""

    ordinary: Literal["leave", "when_answered", "at_once"] = "leave"


@dataclass(frozen=True, slots=True)
class LettersSettings:
    """Letters to persons."""

    hold: bool = False
    languages: tuple[str, ...] = ("nl", "en")


@dataclass(frozen=True, slots=True)
class OwnerSettings:
    """When the owner hears from us."""

    digest: str = "08:30"

    @property
    def digest_time(self) -> time:
        """Local time of day of the digest."""
        return time.fromisoformat(self.digest)


@dataclass(frozen=True, slots=True)
class Overrides:
    """Folders whose files replace the shipped rules and templates, file by file."""

    rules: str = ""
    templates: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration. Sections and keys are those of the contract."""

    organisation: Organisation = field(default_factory=Organisation)
    imap: Imap = field(default_factory=Imap)
    smtp: Smtp = field(default_factory=Smtp)
    register: RegisterSettings = field(default_factory=RegisterSettings)
    identity: Identity = field(default_factory=Identity)
    filing: FilingSettings = field(default_factory=FilingSettings)
    letters: LettersSettings = field(default_factory=LettersSettings)
    owner: OwnerSettings = field(default_factory=OwnerSettings)
    overrides: Overrides = field(default_factory=Overrides)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone all terms and moments are told in."""
        return ZoneInfo(self.organisation.timezone)


def locate(explicit: str | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file to read: the one named, else `$MAILBOT_CONFIG`, else the first default that exists."""
    named = explicit or environ.get("MAILBOT_CONFIG")
    if named:
        return Path(named)
    return next((path for path in DEFAULT_FILES if path.exists()), None)


def load(explicit: str | None = None, environ: Mapping[str, str] | None = None, *, secrets: bool = True) -> Settings:
    """Return the settings, or raise OwnerMustFix with every problem found.

    `secrets=False` leaves passwords unresolved: enough for commands that open no connection.
    """
    environ = os.environ if environ is None else environ
    path = locate(explicit, environ)
    if path is None:
        places = ", ".join(map(str, DEFAULT_FILES))
        raise OwnerMustFix(
            f"no configuration found ({places}): write one with `mailbot init`, or name it with --config"
        )
    table = _read(path)
    if secrets and _holds_secret(table) and path.stat().st_mode & 0o077:
        raise OwnerMustFix(f"{path}: holds a password and can be read by others: chmod 600 it, or use password_file")
    return resolve(table, environ, where=str(path), secrets=secrets)


def resolve(table: dict[str, object], environ: Mapping[str, str], *, where: str, secrets: bool = True) -> Settings:
    """Return the settings a parsed TOML `table` and the environment make together; raise with all problems."""
    problems: list[str] = []
    settings: Settings = _section(Settings, _with_environment(table, environ), where, "", problems)
    if secrets:
        for name in ("imap", "smtp"):
            server = with_secret(getattr(settings, name), name, environ, problems)
            settings = replace(settings, **{name: server})
    problems += _nonsense(settings, where)
    if problems:
        raise OwnerMustFix(problems)
    return settings


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OwnerMustFix(f"{path}: cannot be read ({error.strerror}): name another file with --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OwnerMustFix(f"{path}: is not valid TOML ({error}): mend that line") from error


def _holds_secret(table: Mapping[str, object]) -> bool:
    return any(isinstance(part, dict) and part.get(key) for part in table.values() for key in SECRETS)


def _with_environment(table: dict[str, object], environ: Mapping[str, str]) -> dict[str, object]:
    """`MAILBOT_IMAP__HOST=x` stands above `[imap] host`. Secrets are looked up later, with their `_FILE` form."""
    merged: dict[str, object] = {name: dict(part) if isinstance(part, dict) else part for name, part in table.items()}
    for variable, text in environ.items():
        section, _, key = variable.removeprefix("MAILBOT_").lower().partition("__")
        if not variable.startswith("MAILBOT_") or not key or key.removesuffix("_file") in SECRETS:
            continue
        part = merged.setdefault(section, {})
        if isinstance(part, dict):
            part[key] = _typed(section, key, text)
    return merged


def _typed(section: str, key: str, text: str) -> object:
    """The environment knows only text: numbers, booleans and lists are read as TOML where the key wants one."""
    kinds = get_type_hints(Settings)
    wanted = get_type_hints(kinds[section]).get(key, str) if section in kinds else str
    if wanted is str or getattr(wanted, "__origin__", None) is Literal:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _section(kind: type[Any], table: object, where: str, path: str, problems: list[str]) -> Any:  # noqa: ANN401 - one walk for every section
    """Return `kind` filled from `table`; each key that is unknown or does not fit becomes a problem."""
    if not isinstance(table, dict):
        problems.append(f"{where}: [{path}] must be a section with keys")
        return kind()
    hints = get_type_hints(kind)
    known = {item.name for item in fields(kind)}
    values: dict[str, object] = {}
    for key, value in table.items():
        name = f"{path}.{key}" if path else key
        if key not in known:
            problems.append(f"{where}: {name} is not a setting: remove it, or look for a typing error")
        elif is_dataclass(hints[key]):
            values[key] = _section(cast("type[Any]", hints[key]), value, where, name, problems)
        else:
            try:
                values[key] = msgspec.convert(value, hints[key])
            except msgspec.ValidationError as error:
                problems.append(f"{where}: {name}: {str(error)[0].lower()}{str(error)[1:]}")
    return kind(**values)


def _nonsense(settings: Settings, where: str) -> Iterator[str]:
    """Values that fit their type and still cannot be meant."""
    organisation = settings.organisation
    for key in ("name", "address", "owner"):
        if not getattr(organisation, key):
            yield f"{where}: organisation.{key} is missing"
    for key in ("address", "owner"):
        value = getattr(organisation, key)
        if value and not ADDRESS.fullmatch(value):
            yield f"{where}: organisation.{key} is not one mail address"
    if organisation.owner and organisation.owner.lower() in {
        a.lower() for a in (organisation.address, *organisation.aliases)
    }:
        yield f"{where}: organisation.owner is the watched address itself: notices would come back as mail to handle"
    if not PREFIX.fullmatch(organisation.prefix):
        yield f"{where}: organisation.prefix must be 1 to 8 capital letters or digits"
    try:
        ZoneInfo(organisation.timezone)
    except (KeyError, ValueError, OSError):
        yield f"{where}: organisation.timezone is not a known time zone (example: Europe/Amsterdam)"
    try:
        time.fromisoformat(settings.owner.digest)
    except ValueError:
        yield f"{where}: owner.digest must be a time of day such as 08:30"
    for name in ("imap", "smtp"):
        yield from _server_nonsense(getattr(settings, name), f"{where}: {name}")


def _server_nonsense(server: Server, name: str) -> Iterator[str]:
    if not server.host:
        yield f"{name}.host is missing"
    if server.password and server.password == server.password.strip() and "\n" in server.password:
        yield f"{name}.password has more than one line: keep only the password"
    if not 0 < server.port < 65536:  # noqa: PLR2004 - the port numbers there are
        yield f"{name}.port must be 1 to 65535"
    if server.security == "none" and server.host and not _is_loopback(server.host):
        yield f'{name}.security = "none" is only for loopback: use tls or starttls'
    if server.ca_file and not Path(server.ca_file).is_file():
        yield f"{name}.ca_file does not exist"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def write_example(path: Path) -> None:
    """Write the commented configuration, readable by its owner only; refuse to touch a file that exists."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Refused(f"{path} exists already and was left as it is: name another file") from error
    except OSError as error:
        raise OwnerMustFix(f"{path}: cannot be written ({error.strerror})") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(EXAMPLE.read_text(encoding="utf-8"))
