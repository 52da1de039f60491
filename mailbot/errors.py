"""The error tree: three classes, told apart by what happens next.

Owns the exceptions a command ends with and their exit codes (the contract's table).
Must never be used for decisions: those are values with a reason.
"""

from collections.abc import Iterable


class MailbotError(Exception):
    """Something a person can act on. `str()` is what, where and what to do; never a secret or an address."""

    exit_code = 1


class OwnerMustFix(MailbotError):
    """The configuration, rules, templates or register must be mended first. Lists every problem at once."""

    exit_code = 2

    def __init__(self, problems: Iterable[str] | str) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class LoginRefused(OwnerMustFix):
    """The server refused the login. Trying again may get the address banned, so the program stops (exit code 3)."""

    exit_code = 3


class TryLater(MailbotError):
    """The other side is away or asks for patience: leave things as they are and back off (exit code 75)."""

    exit_code = 75


class Refused(MailbotError):
    """A permanent no from the other side or from our own rules: record it and tell the owner (exit code 1)."""


def where(error: BaseException) -> str:
    """Return the class of the error and the last place it came through, and nothing it says."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else "?"
    return f"{type(error).__name__} at {place}"
