"""Names of folders: an address made safe for any server, and where things belong in a namespace.

Owns names, as plain values. Must never talk to a server: `mailbox.py` does, and asks here what to call things.
"""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass

LONGEST = 60  # characters: longer names are cut by some servers and by every phone's folder list
SENT_NAMES = ("sent", "sent items", "sent messages", "verzonden", "verzonden items", "verzonden berichten")
UNSAFE = re.compile(r"[^a-z0-9@+_.-]+")
RUNS = re.compile(r"([-_.])[-_.]+")


@dataclass(frozen=True, slots=True)
class Namespace:
    """Where our own folders live: a prefix such as `INBOX.` and the delimiter between levels."""

    prefix: str = ""
    delimiter: str = "/"

    def path(self, written: str) -> str:
        """Return a path the owner wrote with `/` as this server wants it, inside the prefix (I16)."""
        if written.upper() == "INBOX":
            return "INBOX"
        path = self.delimiter.join(part for part in written.split("/") if part)
        return path if path.startswith(self.prefix) else self.prefix + path


def client_folder(address: str, parent: str, delimiter: str, taken: Collection[str]) -> str:
    """Return the folder for a client: readable, safe on any server and not yet taken by somebody else.

    The register keeps what was chosen; this only proposes. A dot is a level on many servers (I16, I17), `%` and `*`
    are wildcards (I19), and anything beyond ASCII depends on the server (I18): none of them is used where it matters.
    """
    name = _readable(address, delimiter)
    used = {one.lower() for one in taken}
    for attempt in range(1, len(used) + 2):
        folder = f"{parent}{delimiter}{name if attempt == 1 else f'{name}-{attempt}'}"
        if folder.lower() not in used:
            return folder
    return f"{parent}{delimiter}{_mark(address)}"


def _readable(address: str, delimiter: str) -> str:
    if address.endswith(".invalid"):
        return f"onbekend-{address[:8]}"
    plain = unicodedata.normalize("NFKD", address).encode("ascii", "ignore").decode().lower()
    name = UNSAFE.sub("-", plain).replace(delimiter, "_")
    name = RUNS.sub(r"\1", name).strip("-_.") or _mark(address)
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9]}-{_mark(address)}"


def _mark(address: str) -> str:
    return hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def find_sent(folders: Iterable[tuple[tuple[bytes, ...], str]], namespace: Namespace) -> str | None:
    """Return the folder for sent mail: by its special use (RFC 6154), else by a name people give it."""
    listed = list(folders)
    for flags, name in listed:
        if b"\\sent" in {flag.lower() for flag in flags}:
            return name
    by_name = {name.removeprefix(namespace.prefix).lower(): name for _, name in listed}
    return next((by_name[name] for name in SENT_NAMES if name in by_name), None)
