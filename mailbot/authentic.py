"""What our own mail server says about who sent a message (RFC 8601).

Owns reading Authentication-Results. Must never believe a field of another server: only the topmost one that carries the
configured name counts; a server that does not strip that name from what comes in cannot be believed at all (section 5).
"""

import re

from mailbot.message import Message

COMMENT = re.compile(r"\([^()]*\)")
RESULT = re.compile(r"^\s*(dmarc|dkim)\s*=\s*(\w+)", re.IGNORECASE)
DOMAIN = re.compile(r"\bheader\.(?:d\s*=\s*|i\s*=\s*[^\s;@]*@)([a-z0-9.-]+)", re.IGNORECASE)


def results(message: Message, authserv_id: str) -> tuple[str, ...]:
    """Return the results our own server wrote, one a method; none when it wrote none or no name is configured."""
    for value in message.headers.get("authentication-results", ()) if authserv_id else ():
        name, _, rest = _plain(value).partition(";")
        if [word.lower() for word in name.split()[:1]] == [authserv_id.lower()]:
            return tuple(part.strip() for part in rest.split(";") if part.strip())
    return ()


def contradicted(message: Message, authserv_id: str) -> bool:
    """Tell whether our own server said that the From address failed its check."""
    found = [RESULT.match(result) for result in results(message, authserv_id)]
    return any(match and (match[1].lower(), match[2].lower()) == ("dmarc", "fail") for match in found)


def aligned(message: Message, authserv_id: str) -> bool:
    """Tell whether our server found the From address real: DMARC passed, or DKIM of its domain (RFC 7489, 3.1)."""
    domain = message.sender.address.rpartition("@")[2].lower() if message.sender else ""
    for result in results(message, authserv_id):
        match = RESULT.match(result)
        if match and match[2].lower() == "pass" and (match[1].lower() == "dmarc" or _same(result, domain)):
            return True
    return False


def _same(result: str, domain: str) -> bool:
    """Relaxed alignment without a list of suffixes: the signing domain is the sender's, or one it lies in."""
    signed = [one.lower() for one in DOMAIN.findall(result)]
    return any(one == domain or ("." in one and domain.endswith(f".{one}")) for one in signed)


def _plain(value: str) -> str:
    """Take the comments out: what stands in them is for people."""
    before = ""
    while before != value:
        before, value = value, COMMENT.sub(" ", value)
    return value
