"""The owner's part in the demo: the mail his phone makes of a button, and what he answers in his own words.

Owns finding the button in what he really got. Must never make a link or a token itself: what no mail offered, he
cannot press.
"""

import re
from collections.abc import Iterable
from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import parse_qs, unquote, urlsplit

MAILTO = re.compile(r"mailto:\S+")


def pressed(mails: Iterable[EmailMessage], number: str, action: str, text: str, owner: str) -> EmailMessage | None:
    """Return the mail that pressing this button makes, in the newest of `mails` that has it; None when none has."""
    for mail in mails:
        for link in MAILTO.findall(_text(mail)):
            parts = urlsplit(link)
            subject, *_ = parse_qs(parts.query)["subject"]
            if subject.startswith(f"[{number}] {action} #"):
                made = _mail(owner, unquote(parts.path), subject)
                made.set_content(text or parse_qs(parts.query).get("body", [""])[0] or "\n")
                return made
    return None


def answered(mails: Iterable[EmailMessage], number: str, text: str, owner: str) -> EmailMessage | None:
    """Return his answer to the newest mail that is about this case alone; None when there is none."""
    for mail in mails:
        if f"[{number}]" in str(mail["Subject"]):
            made = _mail(owner, str(mail["From"].addresses[0].addr_spec), f"Re: {mail['Subject']}")
            made["In-Reply-To"] = str(mail["Message-ID"])
            made.set_content(text)
            return made
    return None


def _mail(sender: str, to: str, subject: str) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = sender, to, subject
    return mail


def _text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    return str(body.get_content()) if body else ""
