"""The messages of the queue: what is written reads the same again, anything else is refused and never shown."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.process.running import ROOT
from shared.fan_out import queue_message
from shared.fan_out.queue_message import (
    KIND,
    MOST_DELIVERIES,
    MOST_MESSAGES,
    OLD_KIND,
    DueWork,
    Message,
    NotAMessage,
    read,
    write,
)
from shared.inventory import texts
from shared.model import run_ids

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SAID = "Tr0ub4dor-and-3-secret"
"""What a foreign message may carry: it must not come out again."""

instants = st.integers(1, 2_000_000_000_000_000).map(
    lambda micro: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=micro)
)
seconds = instants.map(lambda at: at.replace(microsecond=0))
usernames = st.from_regex(r"[^\s@/\\:?#%<>]{1,64}@[0-9A-Za-z-]{1,20}\.[a-z]{2,9}", fullmatch=True).filter(
    # As pats.yaml takes them.
    str.isprintable
)


def message(username: str = "svc@contoso.com", **more: Any) -> Message:
    return Message(run_ids.new(NOW), 1, 2, DueWork(username, NOW), **more)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    of = draw(st.integers(1, MOST_MESSAGES))
    due = st.builds(DueWork, usernames, seconds)
    return Message(run_ids.new(draw(seconds)), draw(st.integers(1, of)), of, draw(st.none() | due))


@given(messages())
def test_what_is_written_reads_the_same_again_and_is_ascii(written: Message) -> None:
    assert read(write(written).encode("ascii")) == written


def test_the_longest_message_fits_into_the_queue() -> None:
    longest = replace(message("\U0001d4ea" * 256), part=MOST_MESSAGES, of=MOST_MESSAGES)
    assert len(write(longest).encode()) < 48 * 1024, "64 KB as base64"
    assert read(write(longest).encode()) == longest


def wire(**changes: Any) -> bytes:
    """A good message with other values; `...` leaves a key out."""
    good = json.loads(write(message()))
    return json.dumps({key: value for key, value in {**good, **changes}.items() if value is not ...}).encode()


def old_wire(**changes: Any) -> bytes:
    """The same as an older version wrote it."""
    return wire(kind=OLD_KIND, **changes)


MALFORMED = [
    b"",
    SAID.encode(),
    b"\x80\x81",
    b"\xff\xfe" + SAID.encode("utf-16-le"),
    b"[" * 100_000,
    b"[]",
    b"null",
    b'"' + SAID.encode() + b'"',
    json.dumps({"secret": SAID}).encode(),
    wire(kind=...),
    wire(kind=SAID),
    wire(kind=[KIND]),
    wire(password=SAID),
    wire(run_id=...),
    wire(run_id=SAID),
    wire(run_id="f" * 32),
    wire(run_id=7),
    wire(part=...),
    wire(part=0),
    wire(part=True),
    wire(part=1.0),
    wire(part="1"),
    wire(part=3),
    wire(of=0),
    wire(of=1_000_001),
    wire(of=None),
    wire(username=...),
    wire(username=""),
    wire(username=f"{SAID} with a space"),
    wire(username=SAID * 20),
    wire(username={"upn": SAID}),
    wire(deadline=...),
    wire(deadline=SAID),
    wire(deadline="2026-03-01T12:00:00"),
    wire(deadline="2026-03-01 12:00:00+00:00"),
    wire(deadline="0001-01-01T00:00:00+23:59"),
    wire(deadline=1_772_366_400),
    wire(secrets=["a-pat"]),
    wire(force=True),
    wire(dry_run=False),
    wire(published_before="2026-03-01T12:00:00Z"),
    wire(organizations=["contoso"]),
    wire(username=f"{SAID}\u2028@contoso.com"),
    wire(username=f"{SAID}\u2029@contoso.com"),
    wire(username=f"{SAID}\u202e@contoso.com"),
    wire(username=f"{SAID}\u2066@contoso.com"),
    wire(username=f"{SAID}\u200b@contoso.com"),
    wire(username=f"{SAID}\u0085@contoso.com"),
    wire(username=f"{SAID}\ud83d@contoso.com"),
    wire(username=f"{SAID}\x00@contoso.com"),
    wire(kind=f"{KIND}{SAID}"),
    old_wire(username=...),
    old_wire(deadline=...),
    old_wire(password=SAID),
    old_wire(secrets=[SAID]),
    old_wire(secrets=["a-pat"], force=True, published_before="2026-03-01T12:00:00Z"),
    old_wire(dry_run=True),
    old_wire(force=False),
]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_promise_7_what_is_not_a_message_is_refused_and_not_shown(body: bytes) -> None:
    with pytest.raises(NotAMessage) as refused:
        read(body)
    assert SAID not in str(refused.value)
    assert refused.value.__cause__ is None
    assert str(refused.value), "says what is wrong"


def test_the_message_that_the_malformed_ones_differ_from_is_good() -> None:
    assert read(wire()).due == message().due


def test_a_message_of_an_older_version_for_what_is_due_is_understood_and_its_organizations_are_not_believed() -> None:
    found = read(old_wire(organizations=[f"{number}" for number in range(8000)]))
    assert found == replace(message(), run_id=found.run_id)


def test_a_message_of_an_older_version_that_asks_by_name_is_set_aside_with_what_to_do() -> None:
    with pytest.raises(NotAMessage, match=r"older version of patrol .* send the request again"):
        read(old_wire(secrets=["a-pat"], force=True, published_before="2026-03-01T12:00:00Z"))


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_body_does_more_than_to_be_refused(body: bytes) -> None:
    with pytest.raises(NotAMessage):
        read(body)


@given(messages(), st.data())
def test_a_message_with_any_one_value_changed_is_read_or_refused(sent: Message, data: st.DataObject) -> None:
    found = json.loads(write(sent))
    anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=3)
    found[data.draw(st.sampled_from(sorted(found)))] = data.draw(anything)
    try:
        read_back = read(json.dumps(found).encode())
    except NotAMessage:
        return
    assert read(write(read_back).encode()) == read_back


def test_promise_7_a_message_has_no_place_for_a_secret_nor_for_an_order() -> None:
    assert set(json.loads(wire())) == queue_message._KEYS
    assert {field.name for field in fields(Message)} == {"run_id", "part", "of", "due"}
    assert {str(field.type) for field in fields(DueWork)} == {"str", "datetime"}


def test_an_instant_of_another_time_zone_is_the_same_instant() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=2)))
    assert read(wire(deadline=there.isoformat())).due == message().due


def test_names_of_organizations_have_the_form_that_pats_yaml_takes() -> None:
    assert queue_message.ORGANIZATION.pattern == texts.ORGANIZATION


@given(usernames)
def test_every_user_of_pats_yaml_can_be_named(username: str) -> None:
    assert texts.user_name(username) == username
    assert read(write(message(username)).encode()).due == DueWork(username, NOW)


def test_the_host_sets_a_message_aside_after_as_many_deliveries_as_the_code_believes() -> None:
    host = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
    assert host["extensions"]["queues"]["maxDequeueCount"] == MOST_DELIVERIES
