"""The outbox against a real SMTP server with faults to order: what each answer means."""

import asyncio
from email.message import EmailMessage

import pytest
from fixtures.smtp import smtp_server

from mailbot.errors import OwnerMustFix, Refused
from mailbot.outbox import NotSent, Outbox, SmtpSettings, wire_address


def letter():
    message = EmailMessage()
    message["Subject"] = "Hallo"
    message["Message-ID"] = "<1@kosternet.nl>"
    message.set_content("Tekst\n.\nmet een punt\n")
    return message


def outbox(port, **changes):
    values = {"host": "127.0.0.1", "port": port, "security": "none", "command_timeout": 5.0, "after_dot_timeout": 5.0}
    return Outbox(SmtpSettings(**{**values, **changes}))


async def sent(box, to="jan@example.nl"):
    return await box.send(letter(), to=to, envelope_from="info@kosternet.nl")


async def test_a_letter_arrives_whole_at_one_recipient_and_the_connection_is_kept(smtp):
    box = outbox(smtp.port)
    await sent(box)
    await sent(box, "piet@example.nl")
    assert [rcpts for _, rcpts in smtp.envelopes] == [["jan@example.nl"], ["piet@example.nl"]]
    assert smtp.envelopes[0][0] == "info@kosternet.nl"
    assert "\n.\n" in smtp.mails[0].get_content().replace("\r\n", "\n")
    await box.close()


@pytest.mark.parametrize("answer", ["450 later", "452 full", "421 closing"])
async def test_a_4xx_is_later_and_nothing_was_sent(smtp, answer):
    smtp.rcpt["jan"] = answer
    box = outbox(smtp.port)
    with pytest.raises(NotSent) as caught:
        await sent(box)
    assert caught.value.maybe is False
    assert smtp.raw == []
    smtp.rcpt.clear()
    await sent(box, "piet@example.nl")
    await box.close()


@pytest.mark.parametrize("stage", ["rcpt", "data"])
async def test_a_5xx_is_never(smtp, stage):
    getattr(smtp, stage)["jan"] = "550 no"
    box = outbox(smtp.port)
    with pytest.raises(Refused, match="550"):
        await sent(box)
    await sent(box, "piet@example.nl")
    await box.close()


async def test_any_2xx_after_the_dot_is_a_yes(smtp):
    smtp.data["jan"] = "251"
    accepted = await sent(outbox(smtp.port))
    assert accepted.reply.startswith("251")


@pytest.mark.parametrize("fault", ["drop", "keep-and-drop"])
async def test_a_connection_lost_after_the_dot_may_mean_yes(smtp, fault):
    smtp.data["jan"] = fault
    box = outbox(smtp.port)
    with pytest.raises(NotSent) as caught:
        await sent(box)
    assert caught.value.maybe is True
    smtp.data.clear()
    await sent(box)
    assert smtp.raw
    await box.close()


async def test_a_kept_connection_that_died_is_replaced_without_a_word(smtp):
    box = outbox(smtp.port)
    await sent(box)
    box._client.transport.abort()
    await sent(box)
    assert len(smtp.raw) == 2
    await box.close()


async def test_a_server_that_is_away_is_for_later():
    with pytest.raises(NotSent, match="cannot be reached"):
        await sent(outbox(1))


async def test_without_starttls_nothing_is_sent_in_the_clear(smtp):
    with pytest.raises(OwnerMustFix, match="STARTTLS"):
        await sent(outbox(smtp.port, security="starttls"))
    assert smtp.raw == []


async def test_a_login_that_is_not_offered_stops_the_letter(smtp):
    with pytest.raises(OwnerMustFix, match="login"):
        await sent(outbox(smtp.port, username="info@kosternet.nl", password="geheim"))
    assert smtp.raw == []


async def test_an_address_the_server_cannot_write_is_refused():
    async with smtp_server(utf8=False) as plain:
        with pytest.raises(Refused, match="SMTPUTF8"):
            await sent(outbox(plain.port), "jàn@example.nl")


async def test_a_domain_with_accents_goes_as_a_labels(smtp):
    await sent(outbox(smtp.port), "jan@münchen.example")
    assert smtp.envelopes[0][1] == ["jan@xn--mnchen-3ya.example"]


def test_a_domain_that_is_none_is_refused():
    with pytest.raises(Refused):
        wire_address("jan@ex\u2028ample")


async def test_a_server_that_never_answers_is_given_up_in_time():
    async def silent(_reader, writer):
        await asyncio.sleep(30)
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    with pytest.raises(NotSent):
        await sent(outbox(server.sockets[0].getsockname()[1], command_timeout=0.3))
    server.close()
