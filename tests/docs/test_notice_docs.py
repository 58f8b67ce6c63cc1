"""docs/notices.md: what it shows of pats.yaml is in order, and its receiver takes what patrol signs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.inventory import pats_yaml
from shared.model.notices import EVENTS, Kind
from shared.model.secret_text import SecretText
from shared.services import notice_bodies
from tests.services.test_recipients import KEY, a_notice

TEXT = (Path(__file__).resolve().parents[2] / "docs/notices.md").read_text(encoding="utf-8")


def block(kind: str) -> str:
    (found,) = re.findall(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL)
    return str(found)


@pytest.fixture
def is_of_patrol() -> Callable[[dict[str, str], bytes, str], bool]:
    room: dict[str, Any] = {}
    exec(block("python"), room)  # the page's own lines
    made: Callable[[dict[str, str], bytes, str], bool] = room["is_of_patrol"]
    return made


def signed(key: str = KEY, ago: timedelta = timedelta(0)) -> tuple[dict[str, str], bytes]:
    notice = a_notice()
    body = notice_bodies.body(Kind.WEBHOOK, notice)
    at = datetime.now(UTC) - ago
    return notice_bodies.headers(Kind.WEBHOOK, notice, body, SecretText(key), at), body


def test_the_page_s_receiver_takes_what_patrol_signs(is_of_patrol: Callable[..., bool]) -> None:
    assert is_of_patrol(*signed(), KEY)
    assert is_of_patrol(*signed(f"whsec_{'A' * 32} {KEY}"), KEY)


def test_the_page_s_receiver_refuses_another_body_key_or_time(is_of_patrol: Callable[..., bool]) -> None:
    headers, body = signed()
    assert not is_of_patrol(headers, body + b" ", KEY)
    assert not is_of_patrol(headers, body, f"whsec_{'A' * 32}")
    assert not is_of_patrol({**headers, "webhook-id": "another"}, body, KEY)
    assert not is_of_patrol(*signed(ago=timedelta(minutes=6)), KEY)


def test_the_page_s_notice_has_the_keys_that_are_sent() -> None:
    shown = json.loads(block("json"))
    sent = json.loads(notice_bodies.body(Kind.WEBHOOK, a_notice(subject="contoso")))
    assert shown.keys() == sent.keys()
    assert shown["data"].keys() == sent["data"].keys()
    assert shown["data"]["items"][0].keys() == sent["data"]["items"][0].keys()


def test_the_page_s_recipients_are_in_order() -> None:
    sign_in = {"tenant": "contoso.onmicrosoft.com", "client_id": "11111111-2222-3333-4444-555555555555"}
    tree = {"sign_in": sign_in, "users": [], **yaml.safe_load(block("yaml").replace("on:", '"on":'))}
    assert pats_yaml.check(json.dumps(tree)) == ()
    assert len(pats_yaml.load(json.dumps(tree)).recipients) == 2


def test_every_event_has_its_row() -> None:
    table = TEXT.split("| Event | When |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE) == [event.value for event in EVENTS]


def test_every_key_has_its_row() -> None:
    from shared.inventory.schema import RecipientPart

    table = TEXT.split("| Key | Meaning | Default |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE) == list(RecipientPart.model_fields)
