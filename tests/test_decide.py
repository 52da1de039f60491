"""Decisions about one message, with plain values: whom we answer, and whom never."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mailbot.answerable import Sent
from mailbot.authentic import contradicted
from mailbot.case import Event, open_case, record
from mailbot.classify import Decision, Verdict
from mailbot.client import ClientRecord, Filing, QueuedLetter, SeenMessage
from mailbot.decide import Delivery, Known, decide
from mailbot.header import Address
from mailbot.limits import Caps
from mailbot.message import Message
from mailbot.plan import FileUnder, NotifyOwner, OpenCase, Plan, RecordEvent, SendLetter, StopLetters
from mailbot.policy import Policy
from mailbot.rules import KindOfRequest

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
JAN = Address("jan@example.nl", "Jan")
KINDS = {
    "access": KindOfRequest("access"),
    "objection": KindOfRequest("objection", "never", urgent=True),
    "consent_withdrawal": KindOfRequest("consent_withdrawal", "never"),
}
POLICY = Policy(frozenset({"info@kosternet.nl", "geert@kosternet.example"}), kinds=KINDS,
                no_reply=("noreply*", "owner-*", "*-request"))  # fmt: skip
MESSAGE = Message("d" * 64, message_id="<1@example.nl>", sender=JAN, recipients=(Address("info@kosternet.nl"),))
ASKS = Verdict(Decision.REQUEST, "0.9", ("access",), sender=JAN)
HERE = Delivery(1, 5, NOW)
NOBODY = Known("KN-2026-0001")


def planned(message=MESSAGE, verdict=ASKS, delivery=HERE, known=NOBODY, policy=POLICY):
    return decide(message, verdict, delivery, known, policy)


def letters(plan):
    return [action for action in plan.actions if isinstance(action, SendLetter)]


def kinds_of(plan, kind):
    return [action for action in plan.actions if isinstance(action, kind)]


def test_a_request_opens_a_case_is_acknowledged_and_filed_last():
    plan = planned()
    assert [action.number for action in kinds_of(plan, OpenCase)] == ["KN-2026-0001"]
    assert [one.letter for one in letters(plan)] == ["identity"]
    assert letters(plan)[0].in_reply_to == "<1@example.nl>"
    assert isinstance(plan.actions[-1], FileUnder)


def test_a_plan_without_a_reason_cannot_exist():
    with pytest.raises(ValueError, match="reason"):
        Plan("")


@pytest.mark.parametrize("kind", ["objection", "consent_withdrawal"])
def test_no_papers_are_asked_for_what_needs_none(kind):
    assert letters(planned(verdict=replace(ASKS, kinds=(kind,))))[0].letter == "acknowledgement"


def test_somebody_on_file_is_not_asked_for_papers_unless_the_server_contradicts_him():
    known = replace(NOBODY, client=ClientRecord("x", "jan@example.nl", on_file=True))
    assert letters(planned(known=known))[0].letter == "acknowledgement"
    results = {"authentication-results": ("mx.kosternet.nl; dmarc=fail header.from=example.nl",)}
    policy = replace(POLICY, authserv_id="mx.kosternet.nl")
    assert letters(planned(replace(MESSAGE, headers=results), known=known, policy=policy))[0].letter == "identity"
    assert contradicted(replace(MESSAGE, headers=results), "another") is False


def test_an_objection_is_told_at_once():
    plan = planned(verdict=replace(ASKS, kinds=("objection",)))
    assert [one.notice for one in kinds_of(plan, NotifyOwner)] == ["notice_request"]


HEADERS = [
    {"auto-submitted": ("auto-generated",)},
    {"auto-submitted": ("no", "auto-replied; x=1")},
    {"list-id": ("<x.example>",)},
    {"list-unsubscribe": ("<https://x>",)},
    {"precedence": ("Bulk",)},
    {"x-auto-response-suppress": ("OOF, AutoReply",)},
    {"x-autoreply": ("yes",)},
    {"x-loop": ("x",)},
    {"x-mailbot": ("identity",)},
]


@pytest.mark.parametrize("headers", HEADERS, ids=str)
def test_mail_that_may_not_be_answered_is_registered_all_the_same(headers):
    plan = planned(replace(MESSAGE, headers=headers))
    assert letters(plan) == []
    assert kinds_of(plan, OpenCase)
    assert kinds_of(plan, NotifyOwner), "the owner must know that nobody was answered"


@pytest.mark.parametrize(
    "message",
    [
        replace(MESSAGE, return_path=""),
        replace(MESSAGE, recipients=(Address("iemand@anders.nl"),)),
        replace(MESSAGE, reply_to=(Address("ander@example.org"),)),
    ],
)
def test_a_mail_whose_answer_would_reach_somebody_else_gets_none(message):
    assert letters(planned(message)) == []


@pytest.mark.parametrize("address", ["noreply@x.nl", "owner-lijst@x.nl", "lijst-request@x.nl", "jàn@example.nl"])
def test_an_address_that_belongs_to_no_person_gets_no_letter(address):
    someone = Address(address)
    plan = planned(replace(MESSAGE, sender=someone), replace(ASKS, sender=someone))
    assert letters(plan) == []
    assert kinds_of(plan, OpenCase)


def test_no_safe_sender_means_a_case_without_a_letter():
    plan = planned(replace(MESSAGE, sender=None), replace(ASKS, sender=None))
    assert kinds_of(plan, OpenCase)
    assert letters(plan) == []
    assert plan.client.endswith(".invalid")


def test_our_own_and_the_owners_mail_opens_nothing():
    own = Address("info@kosternet.nl")
    plan = planned(replace(MESSAGE, sender=own), replace(ASKS, sender=own))
    assert not kinds_of(plan, OpenCase)
    assert not letters(plan)


@pytest.mark.parametrize(
    ("sent", "caps"),
    [
        (Sent(address_day=3), Caps()),
        (Sent(domain_day=20), Caps()),
        (Sent(overall_hour=60), Caps()),
    ],
)
def test_beyond_a_cap_a_letter_waits_for_the_owner(sent, caps):
    (letter,) = letters(planned(known=replace(NOBODY, sent=sent), policy=replace(POLICY, caps=caps)))
    assert letter.hold


def test_a_domain_many_people_share_has_no_cap_of_its_own():
    caps = Caps(shared_domains=frozenset({"example.nl"}))
    (letter,) = letters(planned(known=replace(NOBODY, sent=Sent(domain_day=99)), policy=replace(POLICY, caps=caps)))
    assert letter.hold is None


def test_a_flood_stops_all_letters():
    assert kinds_of(planned(known=replace(NOBODY, sent=Sent(requests_hour=100))), StopLetters)


def test_history_is_registered_and_never_acknowledged():
    plan = planned(delivery=replace(HERE, backlog=True))
    assert kinds_of(plan, OpenCase)[0].backlog
    assert letters(plan) == []


def a_case(kinds=("access",)):
    return open_case(
        number="KN-2026-0007", kinds=kinds, received=NOW, channel="mail", language="nl", at=NOW, reason="r"
    )


def test_a_reply_joins_its_case_without_a_second_letter():
    case = a_case()
    client = ClientRecord("x", "jan@example.nl", cases=(case,))
    plan = planned(known=replace(NOBODY, thread=(client, case), client=client))
    assert not kinds_of(plan, OpenCase)
    assert not letters(plan)
    assert [one.event for one in kinds_of(plan, RecordEvent)] == ["joined"]


def test_the_same_request_again_joins_and_another_one_opens_a_case():
    client = ClientRecord("x", "jan@example.nl", cases=(a_case(),))
    known = replace(NOBODY, client=client)
    assert not kinds_of(planned(known=known), OpenCase)
    assert kinds_of(planned(verdict=replace(ASKS, kinds=("objection",)), known=known), OpenCase)


def test_a_reminder_without_a_thread_joins_the_open_case():
    client = ClientRecord("x", "jan@example.nl", cases=(a_case(),))
    verdict = Verdict(Decision.OTHER, "0.1", sender=JAN, reminder=True)
    plan = planned(verdict=verdict, known=replace(NOBODY, client=client))
    assert [one.event for one in kinds_of(plan, RecordEvent)] == ["reminded"]


def test_an_automatic_answer_to_our_letter_opens_nothing_and_answers_nothing():
    case = a_case()
    client = ClientRecord("x", "jan@example.nl", cases=(case,))
    verdict = Verdict(Decision.OTHER, "automatic", sender=JAN, automatic="auto-reply")
    plan = planned(verdict=verdict, known=replace(NOBODY, thread=(client, case)))
    assert not kinds_of(plan, OpenCase) + letters(plan) + kinds_of(plan, NotifyOwner)


def test_a_bounce_of_our_letter_is_tied_to_its_case_and_told():
    letter = QueuedLetter("<x@kosternet.nl>", "identity", "person", "jan@example.nl", "nl", "KN-2026-0007", {}, NOW)
    verdict = Verdict(Decision.OTHER, "automatic", automatic="bounce")
    plan = planned(replace(MESSAGE, sender=None), verdict, known=replace(NOBODY, letter=letter))
    assert [one.event for one in kinds_of(plan, RecordEvent)] == ["bounced"]
    assert [one.notice for one in kinds_of(plan, NotifyOwner)] == ["notice_bounce"]


def test_doubt_opens_a_case_in_review_and_leaves_the_message_where_it_is():
    plan = planned(verdict=replace(ASKS, decision=Decision.REVIEW))
    assert kinds_of(plan, OpenCase)[0].review
    assert not letters(plan)
    assert not kinds_of(plan, FileUnder)
    assert [one.notice for one in kinds_of(plan, NotifyOwner)] == ["notice_review"]


def test_the_same_bytes_a_third_time_are_left_alone():
    elsewhere = SeenMessage("d" * 64, 1, 4, None, NOW, "request", "KN-2026-0001", Filing.FILED)
    assert kinds_of(planned(known=replace(NOBODY, copies=(elsewhere,))), FileUnder)
    assert planned(known=replace(NOBODY, copies=(elsewhere, elsewhere))).actions == ()


def test_a_copy_of_what_the_owner_must_look_at_stays_in_sight_as_well():
    doubtful = SeenMessage("d" * 64, 1, 4, None, NOW, "review", "KN-2026-0001", Filing.NONE)
    assert not kinds_of(planned(known=replace(NOBODY, copies=(doubtful,))), FileUnder)


@pytest.mark.parametrize(
    ("events", "kinds", "opens"),
    [
        ((), ("erasure",), False),
        (("answered",), ("access",), False),
        (("answered",), ("access", "erasure"), True),
        (("not_a_request",), ("access",), True),
        (("answered", "closed"), ("access",), True),
    ],
)
def test_a_new_request_in_the_thread_of_an_answered_case_has_terms_of_its_own(events, kinds, opens):
    case = a_case()
    for event in events:
        case = record(case, Event(NOW, event, "r"))
    client = ClientRecord("x", "jan@example.nl", cases=(case,))
    plan = planned(verdict=replace(ASKS, kinds=kinds), known=replace(NOBODY, thread=(client, case), client=client))
    assert bool(kinds_of(plan, OpenCase)) is opens
