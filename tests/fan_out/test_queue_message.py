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
from shared.fan_out.queue_message import KIND, MOST_DELIVERIES, MOST_NAMES, Message, NotAMessage, read, write
from shared.inventory import schema
from shared.model import run_ids
from shared.model.secret_text import SecretText

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SAID = "Tr0ub4dor-and-3-secret"
"""What a foreign message may carry: it must not come out again."""

instants = st.integers(1, 2_000_000_000_000_000).map(
    lambda micro: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=micro)
)
seconds = instants.map(lambda at: at.replace(microsecond=0))
names = st.from_regex(r"[0-9A-Za-z-]{1,127}", fullmatch=True)
organizations = st.from_regex(schema.ORGANIZATION, fullmatch=True)
usernames = st.from_regex(r"[^\s@/\\:?#%<>]{1,64}@[0-9A-Za-z-]{1,20}\.[a-z]{2,9}", fullmatch=True).filter(
    # As pats.yaml takes them.
    str.isprintable
)


def message(**more: Any) -> Message:
    return Message(run_ids.new(NOW), 1, 2, "svc@contoso.com", NOW, **more)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    of = draw(st.integers(1, 1_000_000))
    wanted = draw(st.none() | st.lists(names, min_size=1, max_size=5).map(tuple))
    force = wanted is not None and draw(st.booleans())
    return Message(
        run_id=run_ids.new(draw(seconds)),
        part=draw(st.integers(1, of)),
        of=of,
        username=draw(usernames),
        deadline=draw(seconds),
        names=wanted,
        force=force,
        dry_run=draw(st.booleans()),
        published_before=draw(instants) if force else draw(st.none() | instants),
        organizations=draw(st.lists(organizations, max_size=3).map(tuple)),
    )


@given(messages())
def test_what_is_written_reads_the_same_again(one: Message) -> None:
    assert read(write(one).encode()) == one


def test_the_longest_message_fits_into_the_queue() -> None:
    longest = message(
        names=tuple(f"{number:0127}" for number in range(MOST_NAMES)),
        force=True,
        published_before=NOW,
        organizations=tuple(f"o{number:049}" for number in range(MOST_NAMES)),
    )
    assert len(write(longest).encode()) < 48 * 1024, "64 KB as base64"
    assert read(write(longest).encode()) == longest


def wire(**changes: Any) -> bytes:
    """A good message with other values; `...` leaves a key out."""
    good = json.loads(write(message(names=("a-pat",), force=True, published_before=NOW, organizations=("contoso",))))
    return json.dumps({key: value for key, value in {**good, **changes}.items() if value is not ...}).encode()


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
    wire(secrets="a-pat"),
    wire(secrets=[]),
    wire(secrets=None),
    wire(secrets=["a-pat", SAID + "!"]),
    wire(secrets=["../a-pat"]),
    wire(secrets=["a-pat"] * (MOST_NAMES + 1)),
    wire(secrets=[7]),
    wire(secrets=...),
    wire(force=1),
    wire(force="true"),
    wire(dry_run=None),
    wire(published_before=...),
    wire(published_before=None),
    wire(published_before=SAID),
    wire(organizations="contoso"),
    wire(organizations=["../contoso"]),
    wire(organizations=[SAID + " "]),
    wire(organizations=[None]),
]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_promise_7_what_is_not_a_message_is_refused_and_not_shown(body: bytes) -> None:
    with pytest.raises(NotAMessage) as refused:
        read(body)
    assert SAID not in str(refused.value)
    assert refused.value.__cause__ is None
    assert str(refused.value), "says what is wrong"


def test_the_message_that_the_malformed_ones_differ_from_is_good() -> None:
    assert read(wire()).names == ("a-pat",)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_body_does_more_than_to_be_refused(body: bytes) -> None:
    with pytest.raises(NotAMessage):
        read(body)


@given(messages(), st.data())
def test_a_message_with_any_one_value_changed_is_read_or_refused(one: Message, data: st.DataObject) -> None:
    found = json.loads(write(one))
    anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=3)
    found[data.draw(st.sampled_from(sorted(found)))] = data.draw(anything)
    try:
        read_back = read(json.dumps(found).encode())
    except NotAMessage:
        return
    assert read(write(read_back).encode()) == read_back


def test_promise_7_a_message_has_no_place_for_a_secret() -> None:
    kinds = {str(one.type) for one in fields(Message)}
    assert kinds <= {"str", "int", "bool", "datetime", "datetime | None", "tuple[str, ...]", "tuple[str, ...] | None"}
    assert SecretText.__name__ not in " ".join(kinds)
    assert set(json.loads(wire())) | {"dry_run"} == set(queue_message._KEYS)


def test_an_instant_of_another_time_zone_is_the_same_instant() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=2)))
    assert read(wire(published_before=there.isoformat())).published_before == NOW


def test_rule_8_a_forced_message_without_its_instant_would_rotate_at_every_delivery() -> None:
    with pytest.raises(NotAMessage, match="published_before"):
        read(write(replace(message(names=("a-pat",)), force=True)).encode())


def test_names_have_the_form_that_pats_yaml_takes() -> None:
    assert queue_message.ORGANIZATION.pattern == schema.ORGANIZATION
    assert queue_message._NAME.pattern == schema.SECRET_NAME


def test_the_host_sets_a_message_aside_after_as_many_deliveries_as_the_code_believes() -> None:
    host = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
    assert host["extensions"]["queues"]["maxDequeueCount"] == MOST_DELIVERIES
