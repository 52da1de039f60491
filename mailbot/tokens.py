"""Signed words for the owner's links: one action on one case, once.

Owns making and checking them. Must never be put into mail to anybody but the owner. A token is no decision: it only
shows that a word came from a link we sent him (HMAC-SHA256, RFC 2104; compared in constant time).
"""

import hmac
from base64 import b32encode
from hashlib import sha256
from re import compile as pattern

LENGTH = 24  # base32 characters: 120 bits, out of reach of guessing and still short in a subject
TOKEN = pattern(r"#([a-z2-7]{8})\.([a-z2-7]{24})\b")


def issue(secret: bytes, number: str, action: str, occasion: str) -> str:
    """Return the token for `action` on case `number`; another `occasion` (the notice it is in) gives another one."""
    nonce = _short(sha256(occasion.encode()).digest())[:8]
    return f"#{nonce}.{_mac(secret, number, action, nonce)}"


def valid(secret: bytes, number: str, action: str, text: str) -> str | None:
    """Return the token in `text` when it was issued for exactly this action and case, else None."""
    for nonce, mac in TOKEN.findall(text.lower()):
        if hmac.compare_digest(mac, _mac(secret, number, action, nonce)):
            return f"#{nonce}.{mac}"
    return None


def _mac(secret: bytes, number: str, action: str, nonce: str) -> str:
    text = f"owner's word\0{number}\0{action}\0{nonce}".encode()
    return _short(hmac.new(secret, text, sha256).digest())[:LENGTH]


def _short(digest: bytes) -> str:
    return b32encode(digest).decode().lower()
