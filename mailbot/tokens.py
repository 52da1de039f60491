"""Signed words for the owner's links: one action on one case, once, for sixty days.

Owns making and checking them. Must never be put into mail to anybody but the owner. A token is no decision: it only
shows that a word came from a link we sent him (HMAC-SHA256, RFC 2104; compared in constant time). A token that gets
about (a forwarded notice, a quoted subject) still works once at most, and only from the owner's own address.
"""

import hmac
from base64 import b32encode
from collections.abc import Iterable
from datetime import date, timedelta
from hashlib import sha256
from re import compile as pattern

LENGTH = 24  # base32 characters: 120 bits, out of reach of guessing and still short in a subject
TOKEN = pattern(r"#([a-z2-7]{10})\.([a-z2-7]{24})\b")
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
DAY_LETTERS = 4  # of base32: days since the epoch, until the year 4840
KEPT_DAYS = 60  # a button works this long: longer than the first month of a case, shorter than a lost phone matters
EPOCH = date(1970, 1, 1)


def issue(secret: bytes, number: str, action: str, occasion: str, today: date) -> str:
    """Return the token for `action` on case `number`; another `occasion` (the notice it is in) gives another one."""
    nonce = _day(today) + _short(sha256(occasion.encode("utf-8", "surrogatepass")).digest())[:6]
    return f"#{nonce}.{_mac(secret, number, action, nonce)}"


def valid(secret: bytes, number: str, action: str, text: str) -> str | None:
    """Return the token in `text` when it was issued for exactly this action and case, else None."""
    for nonce, mac in TOKEN.findall(text.lower()):
        if hmac.compare_digest(mac, _mac(secret, number, action, nonce)):
            return f"#{nonce}.{mac}"
    return None


def expired(token: str, today: date) -> bool:
    """Tell whether a token is older than its sixty days."""
    count = 0
    for letter in token[1 : 1 + DAY_LETTERS]:
        count = count * len(LETTERS) + LETTERS.index(letter)
    return EPOCH + timedelta(days=count + KEPT_DAYS) < today


def worth_keeping(used: Iterable[str], today: date) -> tuple[str, ...]:
    """Return the used tokens that must still be remembered: an expired one is refused anyway."""
    return tuple(token for token in used if TOKEN.fullmatch(token) and not expired(token, today))


def _day(today: date) -> str:
    count, out = (today - EPOCH).days, ""
    for _ in range(DAY_LETTERS):
        count, digit = divmod(count, len(LETTERS))
        out = LETTERS[digit] + out
    return out


def _mac(secret: bytes, number: str, action: str, nonce: str) -> str:
    text = f"owner's word\0{number}\0{action}\0{nonce}".encode()
    return _short(hmac.new(secret, text, sha256).digest())[:LENGTH]


def _short(digest: bytes) -> str:
    return b32encode(digest).decode().lower()
