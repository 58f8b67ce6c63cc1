"""Service connections' stand-in: shown without their token, and replaced as a whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from sandbox.cloud.clock import ManualClock
from sandbox.cloud.cloud import Cloud
from sandbox.cloud.entra import AZURE_DEVOPS
from sandbox.cloud.seed import apply, small_estate
from sandbox.process.in_process import session_for

ID = "5c000000-0000-4000-8000-000000000001"
BASE = "https://dev.azure.com/contoso"
PLACE = f"_apis/serviceendpoint/endpoints/{ID}"
ROW = {
    "organization": "contoso",
    "project": "web",
    "id": ID,
    "url": BASE,
    "administrators": ["identity"],
    "used": "-1d",
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 24, tzinfo=UTC))


@pytest.fixture
def cloud(clock: ManualClock) -> Cloud:
    made = Cloud(clock.now)
    homes = [{**row, "members": [*row["members"], "identity"]} for row in small_estate()["organizations"]]
    apply(made, {**small_estate(), "organizations": homes, "service_connections": [ROW]})
    return made


@pytest.fixture
def session(cloud: Cloud) -> requests.Session:
    return signed_in(cloud)


def signed_in(cloud: Cloud) -> requests.Session:
    made = session_for(cloud)
    token, _ = cloud.directory.application_token(AZURE_DEVOPS, cloud.identity.subject)
    made.headers.update({"Authorization": f"Bearer {token}", "X-TFS-FedAuthRedirect": "Suppress"})
    made.params = {"api-version": "7.1"}
    return made


def shown(session: requests.Session) -> dict[str, Any]:
    found: dict[str, Any] = session.get(f"{BASE}/web/{PLACE}").json()
    return found


def test_a_token_is_taken_and_shown_to_nobody(cloud: Cloud, session: requests.Session) -> None:
    before = shown(session)
    assert before["authorization"] == {"parameters": {"apitoken": None}, "scheme": "Token"}
    given = {**before, "authorization": {"parameters": {"apitoken": "a-token-of-some-length"}, "scheme": "Token"}}
    answer = session.put(f"{BASE}/{PLACE}", json=given)
    assert answer.status_code == 200
    assert answer.json()["authorization"]["parameters"] == {"apitoken": None}
    assert cloud.connections[ID].token == "a-token-of-some-length"
    session.put(f"{BASE}/{PLACE}", json=before)
    assert cloud.connections[ID].token == "a-token-of-some-length", "a null keeps it"
    assert "a-token-of-some-length" in cloud.every_secret()
    assert "a-token-of-some-length" not in str(cloud.estate())


def test_what_is_left_out_is_lost_and_what_nobody_may_change_stays(session: requests.Session) -> None:
    before = shown(session)
    kept = {name: before[name] for name in ("id", "name", "authorization", "serviceEndpointProjectReferences")}
    session.put(f"{BASE}/{PLACE}", json={**kept, "createdBy": None, "creationDate": "2000-01-01T00:00:00Z"})
    after = shown(session)
    assert "description" not in after
    assert "data" not in after
    assert (after["createdBy"], after["creationDate"]) == (before["createdBy"], before["creationDate"])
    assert after["modifiedBy"] != before["modifiedBy"]


def test_unused_for_100_days_it_is_disabled(clock: ManualClock, cloud: Cloud) -> None:
    clock.move(timedelta(days=98))
    assert shown(signed_in(cloud))["isDisabled"] is False
    clock.move(timedelta(days=1))
    assert shown(signed_in(cloud))["isDisabled"] is True


@pytest.mark.parametrize(
    ("method", "path", "status", "word"),
    [
        ("GET", f"other/{PLACE}", 404, "ProjectDoesNotExistException"),
        ("PUT", f"{PLACE[:-1]}2", 404, "ServiceEndpointNotFoundException"),
        ("PUT", PLACE, 400, "ArgumentNullException"),
    ],
)
def test_what_it_refuses_has_its_word(
    session: requests.Session, method: str, path: str, status: int, word: str
) -> None:
    answer = session.request(method, f"{BASE}/{path}", json={} if method == "PUT" else None)
    assert (answer.status_code, answer.json()["typeKey"]) == (status, word)


def test_one_that_is_not_there_is_null_and_a_version_has_to_be_named(session: requests.Session) -> None:
    assert session.get(f"{BASE}/web/{PLACE[:-1]}2").json() is None
    session.params = {}
    assert session.get(f"{BASE}/web/{PLACE}").json()["typeKey"] == "VssVersionNotSpecifiedException"


def test_only_a_member_sees_one_and_only_its_administrator_changes_it(cloud: Cloud, session: requests.Session) -> None:
    before = shown(session)
    cloud.connections[ID].administrators.clear()
    assert session.put(f"{BASE}/{PLACE}", json=before).status_code == 403
    cloud.pats.organization("contoso").members.clear()
    assert session.get(f"{BASE}/web/{PLACE}").status_code == 401
