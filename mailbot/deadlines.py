"""The dates of a request, and why they are what they are.

Owns date arithmetic and its explanation; nothing else. Must never look at the clock: today is passed in.

Sources: the statement (four weeks by mail, 30 days for each right); GDPR 12(3) (one month, two more with reasons);
Regulation 1182/71, articles 3(1), 3(2)(c) and 3(4) (counting and rolling); Algemene termijnenwet, article 3 (Dutch
public holidays).
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import MAXYEAR, date, datetime, timedelta
from functools import lru_cache

PROMISE_DAYS = 28  # "within four weeks"
STATEMENT_DAYS = 30  # "within 30 days"
LEGAL_MONTHS = 1
EXTENDED_MONTHS = 3  # one month and two further ones, counted from receipt
SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Terms:
    """The dates that follow from the day of receipt. `extended_to` is None until the extension was told.

    `legal_limit` never moves for an identity check; `suspended_to` is what it becomes when the wait counts.
    """

    received: date
    promise: date
    statement_term: date
    legal_limit: date
    extended_to: date | None
    explanation: tuple[str, ...]
    suspended_to: date | None = None
    suspended_since: date | None = None

    def as_facts(self) -> dict[str, str | None]:
        """Return the day of receipt and the dates as ISO dates, by their names in the contract."""
        return {
            "received": self.received.isoformat(),
            "promise": self.promise.isoformat(),
            "statement_term": self.statement_term.isoformat(),
            "legal_limit": self.legal_limit.isoformat(),
            "extended_to": self.extended_to.isoformat() if self.extended_to else None,
        }

    @property
    def limit(self) -> date:
        """The last day the law allows as things stand."""
        return self.extended_to or self.legal_limit


def terms(received: date, *, extended: bool = False, waited: int = 0, waiting_since: date | None = None) -> Terms:
    """Return the dates for a request received on this day (an aware moment counts as its own local day).

    `waited` is how many days the limit stood still for an identity check, `waiting_since` the day it began to do so
    when it still does (EDPB 01/2022, 159). They move no other date, and the unsuspended limit is always told too.
    """
    day = received.date() if isinstance(received, datetime) else received
    if day.year > MAXYEAR - 1:
        day = day.replace(year=MAXYEAR - 1)
    legal, why_legal = _month_limit(day, LEGAL_MONTHS)
    longer, why_longer = _month_limit(day, EXTENDED_MONTHS)
    promise, statement = day + timedelta(days=PROMISE_DAYS), day + timedelta(days=STATEMENT_DAYS)
    explanation = [
        f"Received on {_long(day)}.",
        f"Promise: four weeks (28 days) after receipt is {_long(promise)}; a promise does not move for a weekend.",
        f"Statement: 30 days after receipt is {_long(statement)}; it does not move either.",
        f"Law (GDPR 12(3), Regulation 1182/71): {why_legal}.",
    ]
    if extended:
        explanation.append(f"Extended by two further months (GDPR 12(3)): {why_longer}.")
    later = None
    if waited:
        later, why_later = _month_limit(day, EXTENDED_MONTHS if extended else LEGAL_MONTHS, waited)
        explanation.append(f"Suspended {waited} day(s) while identity was awaited: {why_later}. Without: see above.")
    if waiting_since:
        explanation.append(
            f"Suspended since {_long(waiting_since)}, until identity is known; without the suspension: see above."
        )
    return Terms(day, promise, statement, legal, longer if extended else None, tuple(explanation), later, waiting_since)


def _month_limit(day: date, months: int, waited: int = 0) -> tuple[date, str]:
    """Return the end of a period in months and how it was found (Regulation 1182/71, articles 3(2)(c) and 3(4)).

    `waited` days come on top before the end rolls to a working day.
    """
    ends = add_months(day, months)
    word = "one month ends" if months == 1 else f"{months} months after receipt end"
    why = f"{word} on {_long(ends)}"
    if ends.day != day.day:
        why += " (the last day of that month, which has no such day number)"
    if waited:
        ends += timedelta(days=waited)
        why += f"; {waited} day(s) later is {_long(ends)}"
    rolled = ends
    while not is_working_day(rolled):
        rolled += timedelta(days=1)
    if rolled != ends:
        why += f"; that is {holiday_name(ends) or 'in a weekend'}, so the next working day counts: {_long(rolled)}"
    return rolled, why


def add_months(day: date, months: int) -> date:
    """Return the same day number so many months later, else the last day of that month."""
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def is_working_day(day: date) -> bool:
    """Tell whether the day is no Saturday, Sunday or Dutch public holiday (Algemene termijnenwet, article 3)."""
    return day.weekday() < SATURDAY and day not in public_holidays(day.year)


def holiday_name(day: date) -> str | None:
    """Return the name of the public holiday on this day, or None."""
    return public_holidays(day.year).get(day)


@lru_cache(maxsize=32)
def public_holidays(year: int) -> dict[date, str]:
    """Return the public holidays of one year. 5 May counts every year, so the optional category is read too."""
    from holidays import country_holidays  # noqa: PLC0415 - a slow import that most commands never need

    return dict(country_holidays("NL", years=year, categories=("public", "optional"), language="en_US").items())


def working_days_between(start: date, end: date) -> int:
    """Return how many working days lie after `start` up to and including `end`; 0 when `end` is not later."""
    return sum(is_working_day(start + timedelta(days=step)) for step in range(1, (end - start).days + 1))


def _long(day: date) -> str:
    return f"{day:%A} {day.isoformat()}"
