"""Mail from contact forms: the visitor is the person, what was typed proves nothing, the machinery is left behind."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailbot.case import open_case
from mailbot.client import ClientRecord
from mailbot.config import Organisation, Settings
from mailbot.decide import Delivery, Known, decide
from mailbot.house import furnish
from mailbot.plan import NotifyOwner, OpenCase, RecordEvent, SendLetter
from mailbot.record import Desk, letter_of, written

FORMS = tomllib.loads(Path(__file__).with_name("quotes").joinpath("forms.toml").read_text(encoding="utf-8"))["form"]
HOUSE = furnish(Settings(organisation=Organisation("KosterNET", "info@kosternet.nl", (), "geert@kosternet.example")))
NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
ASKED = "Graag wil ik dat u al mijn gegevens verwijdert. Vroeger kocht ik een paarse printer bij u."
DESK = Desk("kosternet.nl", "geert@kosternet.example", "nl", "info@kosternet.nl")


def mail(form, text=ASKED, *, head=""):
    kind = "html" if form.get("html") else "plain"
    raw = f"{head or form['head']}\nTo: info@kosternet.nl\nMessage-ID: <f1@kosternet.nl>\n"
    raw += f"Content-Type: text/{kind}; charset=utf-8\n\n{form['body'].replace('{text}', text)}"
    return HOUSE.reader.read(raw.encode())


def planned(message, client=None):
    verdict = HOUSE.reader.classify(message)
    known = Known("KN-2026-0001", client=client)
    return verdict, decide(message, verdict, Delivery(1, 1, NOW), known, HOUSE.reader.policy)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form["name"])
def test_the_visitor_is_the_person_and_gets_the_general_letter(form):
    message = mail(form)
    verdict, plan = planned(message)
    assert (message.form.plugin, message.form.address) == (form["plugin"], "els@example.org")
    assert message.form.name in {"Els Mol", ""}
    assert (verdict.sender.address, verdict.kinds, verdict.from_form) == ("els@example.org", ("erasure",), True)
    assert [(one.letter, one.to) for one in plan.actions if isinstance(one, SendLetter)] == [
        ("identity", "els@example.org")
    ]
    assert next(one for one in plan.actions if isinstance(one, OpenCase)).channel == "form"


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form["name"])
def test_address_and_machinery_of_the_visitor_are_in_nothing_that_is_kept_or_sent(form):
    message = mail(form)
    _, plan = planned(message)
    record = written(ClientRecord("x", "els@example.org"), plan, DESK, NOW, (message, Delivery(1, 1, NOW)))
    letters = [HOUSE.composed(one).as_string() for one in record.letters]
    for kept in (message.form.text, message.written, repr(record), *letters):
        assert not any(word in kept for word in ("203.0.113.77", "Gekko", "Mozilla"))
    assert ASKED in " ".join(message.form.text.split())
    assert not any("printer" in kept for kept in (repr(record), *letters))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form["name"])
def test_an_address_that_was_typed_proves_nothing(form):
    on_file = ClientRecord("x", "els@example.org", name="Els Mol", on_file=True)
    stranger, known = ([a for a in planned(mail(form), who)[1].actions if isinstance(a, SendLetter)]
                       for who in (None, on_file))  # fmt: skip
    record = ClientRecord("x", "els@example.org")
    first, second = (HOUSE.composed(letter_of(letters[0], DESK, NOW, record)).get_body(("plain",)).get_content()
                     for letters in (stranger, known))  # fmt: skip
    assert first == second


def test_reply_to_counts_above_what_was_typed_and_never_the_site_itself():
    form = FORMS[0]
    other = form["head"].replace("els@example.org", "ander@example.org")
    assert mail(form, head=other).form.address == "ander@example.org"
    own = form["head"].replace("els@example.org", "wordpress@kosternet.nl")
    assert mail(form, head=own).form.address == "els@example.org"


def test_a_form_without_any_address_opens_a_case_nobody_is_written_about():
    message = mail({"head": "From: info@kosternet.nl\nSubject: New submission from Contact", "body": "Message: {text}"})
    verdict, plan = planned(message)
    assert verdict.sender is None
    assert not [one for one in plan.actions if isinstance(one, SendLetter)]
    assert [one.notice for one in plan.actions if isinstance(one, NotifyOwner)] == ["notice_unanswered"]


RECEIPTS = [
    """Berichtinhoud:\n{text}\n
-- \nDeze e-mail is een ontvangstbevestiging voor je contactformulier op onze site (KosterNET https://kosternet.nl)
waarbij je e-mailadres is gebruikt. Als je dat niet was, negeer dit bericht dan.""",
    """Message Body:\n{text}\n
-- \nThis email is a receipt for your contact form submission on our website (KosterNET https://kosternet.nl)
in which your email address was used. If that was not you, please ignore this message.""",
]


@pytest.mark.parametrize("body", RECEIPTS)
def test_the_receipt_a_visitor_gets_is_never_a_request(body):
    verdict, plan = planned(mail({"head": "From: site@elders.example\nSubject: Elders", "body": body}))
    assert (verdict.decision, verdict.automatic) == ("other", "form receipt")
    assert plan.actions == ()


@pytest.mark.parametrize("body", RECEIPTS)
@pytest.mark.parametrize("subject", ["Fwd: vraag", "Re: vraag"])
def test_a_person_who_passes_a_receipt_on_is_heard(body, subject):
    body = "Ik vulde dit in maar hoorde niets. Graag al mijn gegevens wissen.\n\n" + body
    message = mail({"head": f"From: jan@example.nl\nSubject: {subject}", "body": body})
    verdict, _ = planned(message)
    assert message.form is None
    assert (verdict.kinds, verdict.sender.address) == (("erasure",), "jan@example.nl")


def test_a_receipt_pasted_into_the_form_does_not_silence_the_visitor():
    pasted = f"{ASKED} Ik kreeg: Deze e-mail is een ontvangstbevestiging voor je contactformulier op onze site."
    assert planned(mail(FORMS[0], pasted))[0].kinds == ("erasure",)


def test_an_answer_to_a_forms_mail_is_the_answerers_own():
    quoted = "\n".join(f"> {line}" for line in FORMS[0]["body"].replace("{text}", ASKED).split("\n"))
    message = mail({"head": "From: jan@example.nl\nSubject: Re: vraag", "body": f"Dank je wel!\n\n{quoted}"})
    assert message.form is None
    assert planned(message)[0].decision == "other"


def test_a_border_the_visitor_draws_ends_nothing():
    drawn = "Goedemorgen.\n---\nGraag al mijn gegevens wissen.\n--\nEls"
    assert planned(mail(FORMS[0], drawn))[0].kinds == ("erasure",)
    assert "---" in mail(FORMS[0], drawn).form.text


def test_who_types_a_clients_address_into_the_form_is_not_taken_for_the_client():
    message = mail(FORMS[0])
    case = open_case(number="KN-2026-0001", kinds=["erasure"], received=NOW, at=NOW, channel="mail", language="nl",
                     reason="asked")  # fmt: skip
    _, plan = planned(message, ClientRecord("x", "els@example.org", on_file=True, cases=(case,)))
    assert not [one for one in plan.actions if isinstance(one, SendLetter | OpenCase)]
    assert next(one for one in plan.actions if isinstance(one, RecordEvent)).facts["elsewhere"] is True


def test_a_person_who_lists_who_they_are_is_no_form():
    body = "Naam: Jan\nE-mail: ander@example.org\nVraag: graag al mijn gegevens wissen.\n"
    message = mail({"head": "From: jan@example.nl\nSubject: verzoek", "body": body})
    assert message.form is None
    assert planned(message)[0].sender.address == "jan@example.nl"
