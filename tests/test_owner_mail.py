"""The owner works by mail: his links are followed once, and nobody else's."""

import re
from dataclasses import replace
from datetime import date, timedelta
from email.message import EmailMessage
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from fixtures.house import Clock, cases, mail, settings_for, turn

from mailbot import owner, tokens
from mailbot.app import open_app
from mailbot.arrivals import stop_letters
from mailbot.authentic import aligned
from mailbot.header import Address
from mailbot.message import Message
from mailbot.ticks import queue_digest

OWNER = "geert@kosternet.example"
DOUBT = "Goedemiddag, klacht over hoe het ging met mijn gegevens? Groet, Jan"
SECRET = b"geheim"


def buttons(mail):
    """The links of a notice: label of the action -> mailto."""
    page = mail.get_body(("plain",)).get_content()
    found = re.findall(r"mailto:\S+", page)
    return {parse_qs(urlsplit(one).query)["subject"][0].split()[1]: one for one in found}


def clicked(link, sender=OWNER, reason=""):
    """The mail a phone makes of a link."""
    parts = parse_qs(urlsplit(link).query)
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, "info@kosternet.nl", parts["subject"][0]
    mail.set_content(reason or parts.get("body", [""])[0] or "\n")
    return mail.as_bytes()


@pytest.fixture
async def house(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    objection = b"From: Jan <jan@example.nl>\r\nTo: info@kosternet.nl\r\nSubject: bezwaar\r\n\r\nIk maak bezwaar tegen het gebruik van mijn gegevens voor reclame.\r\n"  # noqa: E501 - one mail
    mail_user.deliver(objection)
    await turn(settings)
    return mail_user, smtp, settings


def last_notice(smtp):
    return smtp.to(OWNER)[-1]


def last_word(smtp):
    """What the owner was told last about a word of his, on one line."""
    told = [one for one in smtp.to(OWNER) if one["X-Mailbot"] == "notice-word"]
    return " ".join(told[-1].get_body(("plain",)).get_content().split()) if told else ""


async def say(house, link, **parts):
    mail_user, smtp, settings = house
    mail_user.deliver(clicked(link, **parts))
    await turn(settings)
    return last_notice(smtp)


async def test_a_click_is_followed_and_its_letter_waits_for_a_second_one(house):
    _, smtp, settings = house
    links = buttons(last_notice(smtp))
    answers = {"answer", "partly", "refuse", "founded", "not-founded"}
    assert set(links) == {*answers, "extend", "no-request", "ask", "withdraw"}, (
        "identity is never asked for an objection"
    )
    told = await say(house, links["answer"])
    assert cases(settings)[0]["state"] == "answered"
    assert [m["X-Mailbot"] for m in smtp.to("jan@example.nl")] == ["acknowledgement"]
    await say(house, buttons(told)["release-outcome-done"])
    assert [m["X-Mailbot"] for m in smtp.to("jan@example.nl")] == ["acknowledgement", "outcome-done"]


async def test_what_cannot_be_taken_back_is_asked_twice(house):
    _, smtp, settings = house
    told = await say(house, buttons(last_notice(smtp))["no-request"])
    assert cases(settings)[0]["state"] == "acknowledged"
    assert "zeker" in told.get_body(("plain",)).get_content()
    await say(house, buttons(told)["no-request!"])
    assert cases(settings)[0]["state"] == "no_request"


async def test_a_refusal_needs_its_reason(house):
    _, smtp, settings = house
    link = buttons(last_notice(smtp))["refuse"]
    told = await say(house, link)
    assert "schrijf de reden" in told.get_body(("plain",)).get_content()
    assert cases(settings)[0]["state"] == "acknowledged"


async def test_a_link_works_once_and_only_for_the_owner(house):
    _, smtp, settings = house
    link = buttons(last_notice(smtp))["answer"]
    await say(house, link, sender="dief@example.org")
    assert "niet van uw adres komt" in last_word(smtp)
    assert cases(settings)[0]["state"] == "acknowledged"
    await say(house, link)
    told = await say(house, link, reason="nog eens")
    assert "al een keer gebruikt" in told.get_body(("plain",)).get_content()


async def test_a_forged_token_does_nothing_and_leaves_a_trace(house):
    _, smtp, settings = house
    link = buttons(last_notice(smtp))["answer"]
    told = await say(house, link.replace("answer", "close"))
    assert "klopt niet" in told.get_body(("plain",)).get_content()
    assert cases(settings)[0]["state"] == "acknowledged"


async def test_a_person_who_answers_a_forwarded_notice_is_heard_and_does_nothing(house):
    mail_user, smtp, settings = house
    link = buttons(last_notice(smtp))["answer"]
    for days in range(2):
        await say(house, link, sender="jan@example.nl", reason=f"Ik wacht al {days} dagen, wilt u dit nakijken")
    assert "doorgestuurd" in last_word(smtp)
    (case,) = cases(settings)
    assert case["state"] == "acknowledged"
    assert [one["event"] for one in case["events"]].count("word_refused") == 1, "once a day, whatever comes"
    assert [one["event"] for one in case["events"]].count("joined") == 2, "what he wrote was not lost"
    assert len(mail_user.folder("Klanten/jan@example.nl")) == 4


async def test_where_our_server_checks_senders_an_unproven_word_is_refused(house):
    mail_user, smtp, settings = house
    settings = replace(settings, imap=replace(settings.imap, authserv_id="mx.kosternet.nl"))
    link = buttons(last_notice(smtp))["answer"]
    forged = b"Authentication-Results: mx.elsewhere.nl; dmarc=pass\r\n" + clicked(link)
    mail_user.deliver(forged)
    await turn(settings)
    assert "bevestigt niet" in last_notice(smtp).get_body(("plain",)).get_content()
    assert cases(settings)[0]["state"] == "acknowledged"
    assert cases(settings)[0]["events"][-1]["event"] == "word_refused"
    real = b"Authentication-Results: mx.kosternet.nl; spf=none; dkim=pass header.d=kosternet.example\r\n" + clicked(
        link
    )
    mail_user.deliver(real)
    await turn(settings)
    assert cases(settings)[0]["state"] == "answered"


@pytest.mark.parametrize(
    ("field", "real"),
    [
        ("mx.x; dmarc=pass (p=reject) header.from=kosternet.example", True),
        ("mx.x; dkim=pass header.d=elsewhere.example; dmarc=fail", False),
        ("mx.x; dkim=pass header.i=@mail.kosternet.example", False),
        ("mx.x; dkim=pass header.i=geert@kosternet.example", True),
        ("mx.x; spf=pass smtp.mailfrom=kosternet.example", False),
        ("mx.x; none (dmarc=pass)", False),
        ("mx.y; dmarc=pass", False),
        ("MX.X 1; dkim=fail; dkim=pass header.d=kosternet.example", True),
    ],
)
def test_only_our_own_server_and_an_aligned_pass_count(field, real):
    message = Message("d", sender=Address(OWNER), headers={"authentication-results": (field,)})
    assert aligned(message, "mx.x") is real


async def test_an_old_button_does_nothing(house):
    _, smtp, settings = house
    link = buttons(last_notice(smtp))["answer"]
    clock = Clock()
    clock.forward(days=61)
    house[0].deliver(clicked(link))
    await turn(settings, clock)
    told = last_word(smtp)
    assert "ouder dan zestig dagen" in told
    assert "mailto:" in told, "with fresh buttons"
    assert cases(settings)[0]["state"] == "acknowledged"


def reply(text, notice, sender=OWNER, extra=""):
    """The owner's own answer to a notice, as his mail program makes it."""
    subject = f"Re: {notice['Subject']}"
    quote = "\n".join(f"> {line}" for line in notice.get_body(("plain",)).get_content().splitlines())
    thread = f"In-Reply-To: {notice['Message-ID']}\r\n{extra}"
    return mail(f"{text}\n\nOp 24 november schreef KosterNET:\n{quote}", sender=sender, subject=subject, headers=thread)


async def write(house, text, notice=None, **parts):
    mail_user, smtp, settings = house
    mail_user.deliver(reply(text, notice or last_notice(smtp), **parts))
    await turn(settings)
    return last_word(smtp)


async def test_his_own_words_are_followed_where_they_are_plain(house):
    _, smtp, settings = house
    told = await write(house, "Verlengen: wacht op boekhouder\n\nGroet, Geert")
    assert "Er ligt een brief" in told
    assert cases(settings)[0]["extended_to"] is None, "an extension exists when its letter was sent"
    await write(house, "ja, versturen")
    case = cases(settings)[0]
    assert case["extended_to"] is not None
    assert [one["event"] for one in case["events"]][-1] == "extended"
    assert "boekhouder" in smtp.to("jan@example.nl")[-1].get_body(("plain",)).get_content()


async def test_what_is_not_plain_is_asked_back_with_buttons(house):
    _, _, settings = house
    told = await write(house, "Volgens mij heeft Piet dat vorige week al gedaan, of niet?")
    assert "begrijp niet zeker" in told
    assert "mailto:" in told
    assert cases(settings)[0]["state"] == "acknowledged"
    assert "Weet u het zeker" in await write(house, "geen verzoek")
    assert "ik laat" in await write(house, "nee")
    assert cases(settings)[0]["state"] == "acknowledged"
    await write(house, "Geen verzoek.")
    await write(house, "Ja")
    assert cases(settings)[0]["state"] == "no_request"


async def test_an_answer_to_the_overview_names_its_case_or_there_is_only_one(house):
    mail_user, _, settings = house
    register = owner.open_register(settings)
    app = open_app(settings, daemon=False)
    queue_digest(app.world, app.world.now(), app.world.now(), anyway=True)
    await app.close()
    register.close()
    await turn(settings)
    overview = last_notice(house[1])
    assert overview["X-Mailbot"] == "digest"
    mail_user.deliver(mail("Ik wil inzage in mijn gegevens.", sender="piet@example.nl"))
    await turn(settings)
    assert "over welk verzoek" in await write(house, "gedaan", overview)
    await write(house, "KN-2026-0001 gedaan", overview)
    assert [one["state"] for one in cases(settings)] == ["answered", "acknowledged"]


async def test_words_from_elsewhere_or_by_a_robot_are_no_words(house):
    _, smtp, settings = house
    notice = last_notice(smtp)
    count = len(smtp.to(OWNER))
    await write(house, "gedaan", notice, sender="jan@example.nl")
    await write(house, "gedaan", notice, extra="Auto-Submitted: auto-replied\r\n")
    mail_user = house[0]
    mail_user.deliver(
        f"From: {OWNER}\r\nTo: info@kosternet.nl\r\nSubject: [KN-2026-0001] hoi\r\n\r\ngedaan\r\n".encode()
    )
    await turn(settings)
    assert cases(settings)[0]["state"] == "acknowledged"
    assert not [one for one in smtp.to(OWNER)[count:] if one["X-Mailbot"] == "notice-word"]


def answer(to="jan@example.nl", subject="Re: bezwaar", thread="", mid="<a1@kosternet.nl>"):
    return (
        f"From: info@kosternet.nl\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: {mid}\r\n{thread}\r\nGeregeld.\r\n"
    ).encode()


async def test_the_owners_own_reply_in_sent_is_asked_about_once(house):
    mail_user, smtp, settings = house
    letter = smtp.to("jan@example.nl")[0]
    thread = f"In-Reply-To: {letter['Message-ID']}\r\n"
    mail_user.append(answer(thread=thread), folder="Sent")
    mail_user.append(answer(to="boekhouder@example.org", thread=thread, mid="<a2@kosternet.nl>"), folder="Sent")
    mail_user.append(answer(subject="iets anders", mid="<a3@kosternet.nl>"), folder="Sent")
    for _ in range(2):
        await turn(settings)
    asked = [one for one in smtp.to(OWNER) if one["X-Mailbot"] == "notice-answer-seen"]
    assert len(asked) == 1
    assert [one["event"] for one in cases(settings)[0]["events"]].count("answer_seen") == 1
    assert cases(settings)[0]["state"] == "acknowledged"
    await say(house, buttons(asked[0])["answered"])
    assert cases(settings)[0]["state"] == "answered"
    assert len(smtp.to("jan@example.nl")) == 1, "he answered himself: no letter is laid ready"


async def test_a_case_number_in_sent_is_enough_and_ja_confirms(house):
    mail_user, _, settings = house
    mail_user.append(answer(subject="Uw verzoek KN-2026-0001"), folder="Sent")
    await turn(settings)
    await write(house, "Ja")
    assert cases(settings)[0]["state"] == "answered"


async def test_an_extension_that_waited_too_long_is_not_sent(house):
    _, smtp, settings = house
    await write(house, "verlengen: het archief is groot")
    notice = last_notice(smtp)
    clock = Clock()
    clock.forward(days=40)
    house[0].deliver(reply("versturen", notice))
    await turn(settings, clock)
    assert "extended" not in [one["X-Mailbot"] for one in smtp.to("jan@example.nl")]
    assert cases(settings)[0]["extended_to"] is None
    assert "notice-letter-failed" in [one["X-Mailbot"] for one in smtp.to(OWNER)]


async def test_letters_that_are_all_held_go_again_once_he_said_so_twice(house):
    mail_user, smtp, settings = house
    app = open_app(settings, daemon=False)
    stop_letters(app.world, "flood", app.world.now())
    await app.close()
    mail_user.deliver(mail("Ik wil inzage in mijn gegevens.", sender="piet@example.nl"))
    await turn(settings)
    stop = next(one for one in smtp.to(OWNER) if one["X-Mailbot"] == "notice-stop")
    assert smtp.to("piet@example.nl") == []
    assert "nog geen brief" in await write(house, "eerst even kijken", stop)
    assert "Weet u het zeker" in await write(house, "Ja, versturen", stop)
    assert smtp.to("piet@example.nl") == []
    assert "weer uit" in await write(house, "ja")
    assert len(smtp.to("piet@example.nl")) == 1


async def test_no_token_goes_to_anybody_but_the_owner(house):
    _, smtp, _ = house
    await say(house, buttons(last_notice(smtp))["answer"])
    for sent, (_, to) in zip(smtp.mails, smtp.envelopes, strict=True):
        if to != [OWNER]:
            assert not tokens.TOKEN.search(unquote(sent.as_string()))


def test_a_token_is_for_one_action_on_one_case_for_sixty_days():
    day = date(2026, 11, 24)
    token = tokens.issue(SECRET, "KN-2026-0001", "answer", "x", day)
    assert tokens.valid(SECRET, "KN-2026-0001", "answer", f"[..] {token.upper()}") == token
    assert tokens.valid(SECRET, "KN-2026-0002", "answer", token) is None
    assert tokens.valid(SECRET, "KN-2026-0001", "close", token) is None
    assert tokens.valid(b"anders", "KN-2026-0001", "answer", token) is None
    assert (
        tokens.valid(SECRET, "KN-2026-0001", "answer", token.replace(token[4], "7" if token[4] != "7" else "6", 1))
        is None
    )
    assert not tokens.expired(token, day + timedelta(days=60))
    assert tokens.expired(token, day + timedelta(days=61))
    assert tokens.worth_keeping([token, "#rommel"], day) == (token,)
    assert tokens.worth_keeping([token], day + timedelta(days=61)) == ()


async def test_the_owner_says_by_mail_whether_an_objection_is_founded(house):
    _, smtp, settings = house
    told = await say(house, buttons(last_notice(smtp))["founded"])
    assert cases(settings)[0]["tracks"] == {"objection": "done"}
    await say(house, buttons(told)["release-objection-founded"])
    assert smtp.to("jan@example.nl")[-1]["X-Mailbot"] == "objection-founded"


async def test_an_answer_in_part_needs_what_stays_and_why(house):
    _, smtp, settings = house
    told = await say(house, buttons(last_notice(smtp))["partly"])
    assert cases(settings)[0]["state"] == "acknowledged"
    told = await say(
        house,
        buttons(told)["partly"],
        reason="de factuur van mei, omdat de wet dat vraagt, tot en met 31 december 2033",
    )
    await say(house, buttons(told)["release-outcome-partly"])
    letter = " ".join(smtp.to("jan@example.nl")[-1].get_body(("plain",)).get_content().split())
    assert "waarom: de factuur van mei, omdat de wet dat vraagt, tot en met 31 december 2033." in letter


async def test_what_the_owner_calls_a_request_has_an_acknowledgement_laid_ready(mail_user, smtp, tmp_path):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    mail_user.deliver(mail("Ik vroeg me af of mijn oude spullen nog bij jullie staan. Misschien kunnen die weg?"))
    await turn(settings)
    mail_user.deliver(clicked(buttons(last_notice(smtp))["recognise"]))
    await turn(settings)
    assert smtp.to("jan@example.nl") == [], "never unasked"
    mail_user.deliver(clicked(buttons(last_notice(smtp))["release-acknowledgement"]))
    await turn(settings)
    assert [one["X-Mailbot"] for one in smtp.to("jan@example.nl")] == ["acknowledgement"]
    assert cases(settings)[0]["state"] == "acknowledged"


async def test_an_answered_case_can_be_closed_from_what_he_is_told_back(house):
    _, smtp, settings = house
    told = await say(house, buttons(last_notice(smtp))["answer"])
    await say(house, buttons(told)["release-outcome-done"])
    told = [one for one in smtp.to(OWNER) if one["X-Mailbot"] == "notice-word"][-1]
    assert "close" in buttons(told)
    assert "Weet u het zeker" in " ".join(
        (await say(house, buttons(told)["close"])).get_body(("plain",)).get_content().split()
    )
    assert cases(settings)[0]["state"] == "answered"
