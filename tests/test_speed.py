"""What keeps it quick, by counting rather than by the clock: short cuts that change no verdict, and work done once."""

import imaplib
import os
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from fixtures.house import Clock, mail, opened, settings_for, turn

from mailbot import config, data, forms, message
from mailbot.lines import Group, alternatives, needs
from mailbot.register import Register
from mailbot.rules import all_spoken, sentences, spoken

MAILS = Path(__file__).with_name("mails")
QUOTES = tomllib.loads(data.texts("rules")["quotes.toml"])
SAID = sorted({
    *(line for path in MAILS.glob("*.eml") for line in path.read_text(encoding="utf-8", errors="replace").split("\n")),
    *(line for rows in QUOTES.values() for row in rows for line in (*row["matches"], *row["ignores"])),
})  # fmt: skip
RULES = forms.FormRules.parse(data.texts("rules")["forms.toml"])
LABELS = sorted(RULES.address_labels - RULES.name_labels)  # From: and Van: stand above quotes too


@pytest.mark.parametrize("shown", ["{}: jan@example.nl", "  **{}** :\njan@example.nl", "\t{}:   jan@example.nl"])
@pytest.mark.parametrize("label", LABELS)
def test_the_short_look_for_a_form_misses_no_way_to_label_an_address(label, shown):
    text = f"Naam: Jan\n{shown.format(label.title().replace(' ', '  '))}\nBericht: wis mijn gegevens"
    found = forms.find("nieuw", text, {}, RULES)
    assert found is not None
    assert found.address == "jan@example.nl"


def test_a_loose_alternative_in_a_sign_stops_the_start():
    with pytest.raises(ValueError, match="parentheses"):
        forms.Signs.of(["^a|b"])


@pytest.mark.parametrize("name", sorted(QUOTES))
def test_a_group_of_patterns_finds_what_each_of_them_finds(name):
    regexes = [row["regex"] for row in QUOTES[name]]
    group = Group.of(regexes)
    plain = [re.compile(regex, re.IGNORECASE) for regex in regexes]
    for line in (shown for said in SAID for shown in (said, said.upper(), f"> {said}", f"Hoi. {said} Jan")):
        assert group.matches(line) == any(regex.search(line[:400]) for regex in plain), line
        found = [match for regex in plain if (match := regex.search(f"{line[:400]} {line[:400]}"))]
        assert group.begins_in(line, line) == any(match.start() < len(line) and bool(line.strip()) for match in found)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("zie (ook |hier )?hieronder", {"hieronder"}),
        ("(van|namens) (mijn )?bericht", {"bericht"}),
        ("(below|onder) [a-z]+", {"below", "onder"}),
        ("(below|a.b) x", set()),
        (r"klik\?s? hier|daar", {" hier", "daar"}),
        ("nieuwsbrieven?", {"nieuwsbrieve"}),
        ("[abc]{3}", set()),
    ],
)
def test_the_words_a_pattern_needs_are_in_all_it_matches(pattern, words):
    needed = [needs(part) for part in alternatives(pattern)]
    assert (set().union(*needed) if all(needed) else set()) == words


class Counted:
    """Counts fsyncs, IMAP commands by name and readings of a message, in this process."""

    def __init__(self, monkeypatch):
        self.fsyncs, self.commands, self.readings = 0, Counter(), 0
        sync, command, new = os.fsync, imaplib.IMAP4._command, message.email.message_from_bytes

        def synced(descriptor):
            self.fsyncs += 1
            sync(descriptor)

        def commanded(imap, name, *args):
            self.commands[args[0] if name == "UID" else name] += 1
            return command(imap, name, *args)

        def parsed(raw):
            self.readings += 1
            return new(raw)

        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(imaplib.IMAP4, "_command", commanded)
        monkeypatch.setattr(message.email, "message_from_bytes", parsed)


async def counted(settings, monkeypatch):
    app = opened(settings)
    await app._connect()
    with monkeypatch.context() as patched:
        counts = Counted(patched)
        summary = await app.once()
    await app.close()
    return counts, summary


async def test_each_request_costs_no_more_commands_and_fsyncs_than_it_must(mail_user, smtp, tmp_path, monkeypatch):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    nothing, _ = await counted(settings, monkeypatch)
    for place in range(10):
        mail_user.deliver(mail("Ik wil graag inzage in mijn gegevens.", sender=f"jan{place}@example.nl"))
    ten, summary = await counted(settings, monkeypatch)
    assert (summary.requests, summary.filed, summary.letters_sent) == (10, 10, 10)
    assert ten.readings == 10, "each message is parsed once"
    extra = ten.commands - nothing.commands
    print(f"IMAP commands for ten requests: {dict(extra)}; fsyncs {ten.fsyncs - nothing.fsyncs}")
    for name in ("CREATE", "SUBSCRIBE", "MOVE"):
        assert extra[name] == 10
    assert extra["APPEND"] == 20, "one copy in Sent, one in the client's folder"
    assert extra["STATUS"] <= 12
    assert sum(extra[name] for name in ("FETCH", "SEARCH", "SELECT", "EXAMINE", "NOOP")) <= 8
    assert ten.fsyncs - nothing.fsyncs <= 80, "three commits of two, a folder for each new shard, the office"


async def test_ordinary_mail_costs_no_commands_and_no_fsyncs_of_its_own(mail_user, smtp, tmp_path, monkeypatch):
    settings = settings_for(mail_user, smtp.port, tmp_path)
    await turn(settings)
    spent = []
    for count in (1, 20):
        for place in range(count):
            mail_user.deliver(mail("Hoi, hoe laat zijn jullie open?", sender=f"piet{place}@example.org"))
        counts, summary = await counted(settings, monkeypatch)
        assert (summary.ordinary, counts.readings) == (count, count)
        spent.append((counts.commands, counts.fsyncs))
    assert spent[0] == spent[1]


def test_asking_only_rules_and_sentences_that_can_speak_changes_no_evidence(mail_user, smtp, tmp_path):
    house = opened(settings_for(mail_user, smtp.port, tmp_path)).house
    texts = [house.reader.read(path.read_bytes()).written for path in sorted(MAILS.glob("*.eml"))]
    examples = [text for rule in house.rules.rules for text in (*rule.matches, *rule.ignores)]
    for text in (*texts, *examples, " ".join(examples[::7])):
        said = sentences(text, house.rules.classes)
        plainly = [one for rule in house.rules.rules for one in spoken(rule, said)]
        assert list(all_spoken(house.rules.rules, said)) == plainly, text


async def test_on_a_day_without_news_the_records_are_not_read_every_minute(mail_user, smtp, tmp_path, monkeypatch):
    settings = settings_for(mail_user, smtp.port, tmp_path, owner=config.OwnerSettings(digest="00:00"))
    tuesday = Clock()  # on a Monday there is always a digest
    tuesday.forward(days=(1 - tuesday().weekday()) % 7)
    app = opened(settings, tuesday)
    for _ in range(3):
        await app.once()
    read = []
    monkeypatch.setattr(Register, "clients", lambda _self: iter(read.append(1) or ()))
    await app.once()
    assert read == []
    mail_user.deliver(mail("Ik wil graag inzage in mijn gegevens."))
    await app.once()
    await app.close()
    assert read, "news is looked at at once"
