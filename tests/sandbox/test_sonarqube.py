"""SonarQube's stand-in as its published source behaves, over its wire."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import requests

from sandbox.cloud.clock import ManualClock
from sandbox.cloud.cloud import Cloud
from sandbox.cloud.seed import AGENTS, apply, small_estate
from sandbox.process.in_process import session_for

BASE = "https://sonarqube.contoso.com/api/alm_settings"
ADMIN, READER = "squ_" + "a" * 40, "squ_" + "r" * 40
SERVER = {
    "host": "sonarqube.contoso.com",
    "tokens": [{"value": ADMIN}, {"value": READER, "admin": False}],
    "azure": [{"key": "contoso-azure", "url": "https://dev.azure.com/contoso"}],
}


@pytest.fixture
def cloud() -> Cloud:
    made = Cloud(ManualClock(datetime(2026, 11, 24, tzinfo=UTC)).now)
    apply(made, {**small_estate(), "sonarqubes": [SERVER]})
    return made


@pytest.fixture
def session(cloud: Cloud) -> requests.Session:
    made = session_for(cloud)
    made.headers["Authorization"] = f"Bearer {ADMIN}"
    return made


def test_a_setting_is_listed_without_its_pat_updated_and_validated(cloud: Cloud, session: requests.Session) -> None:
    value = cloud.pats.seed(AGENTS, "contoso", "x", "vso.code").value
    listed = session.get(f"{BASE}/list_definitions").json()
    assert listed["azure"] == [{"key": "contoso-azure", "url": "https://dev.azure.com/contoso"}]
    form = {"key": "contoso-azure", "url": "https://dev.azure.com/contoso", "personalAccessToken": value}
    assert session.post(f"{BASE}/update_azure", data=form).status_code == 204
    assert session.get(f"{BASE}/validate", params={"key": "contoso-azure"}).status_code == 204
    # A blank PAT keeps the one that is there.
    assert session.post(f"{BASE}/update_azure", data={**form, "personalAccessToken": ""}).status_code == 204
    assert cloud.estate()["sonarqubes"][0]["azure"][0]["authorization_id"] == cloud.live_pats()[0].authorization_id
    assert value not in str(cloud.estate())


def test_a_setting_is_listed_for_projects_deleted_and_created_anew(cloud: Cloud, session: requests.Session) -> None:
    value = cloud.pats.seed(AGENTS, "contoso", "x", "vso.code").value
    row = {"key": "contoso-azure", "alm": "azure", "url": "https://dev.azure.com/contoso"}
    assert session.get(f"{BASE}/list").json() == {"almSettings": [row]}
    form = {"key": "contoso-azure", "url": "https://dev.azure.com/contoso", "personalAccessToken": value}
    again = session.post(f"{BASE}/create_azure", data=form)
    assert (again.status_code, "already exists" in again.json()["errors"][0]["msg"]) == (400, True)
    assert session.post(f"{BASE}/delete", params={"key": "contoso-azure"}).status_code == 204
    assert session.get(f"{BASE}/list").json() == {"almSettings": []}
    assert session.post(f"{BASE}/delete", data={"key": "contoso-azure"}).status_code == 404
    assert session.post(f"{BASE}/create_azure", params=form).status_code == 204  # in the query, as some clients do
    assert session.get(f"{BASE}/validate", params={"key": "contoso-azure"}).status_code == 204
    cloud.sonarqubes["sonarqube.contoso.com"].one_setting = True
    assert session.post(f"{BASE}/create_azure", data={**form, "key": "second"}).status_code == 400
    assert session.post(f"{BASE}/create_azure", data={**form, "personalAccessToken": ""}).status_code == 400


@pytest.mark.parametrize(("page", "status"), [("302", 400), ("203", 204)])
def test_validate_takes_any_2xx_for_well_a_page_for_people_too(
    cloud: Cloud, session: requests.Session, page: str, status: int
) -> None:
    cloud.switches.sign_in_page = page
    answer = session.get(f"{BASE}/validate", params={"key": "contoso-azure"})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("authorization", "status"),
    [(f"Bearer {READER}", 403), ("Bearer nobody", 401), ("", 401), ("Basic " + "eHg6", 401)],
)
def test_only_an_administrator_s_token_opens_it(session: requests.Session, authorization: str, status: int) -> None:
    session.headers["Authorization"] = authorization
    assert session.get(f"{BASE}/list_definitions").status_code == status


def test_a_token_may_come_as_the_user_name_of_basic(session: requests.Session) -> None:
    del session.headers["Authorization"]
    assert session.get(f"{BASE}/list_definitions", auth=(ADMIN, "")).status_code == 200


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"url": "https://dev.azure.com/contoso"}, 400),
        ({"key": "contoso-azure"}, 400),
        ({"key": "x" * 201, "url": "https://dev.azure.com/contoso"}, 400),
        ({"key": "unknown", "url": "https://dev.azure.com/contoso"}, 404),
    ],
)
def test_what_it_refuses_has_its_message(session: requests.Session, form: dict[str, str], status: int) -> None:
    answer = session.post(f"{BASE}/update_azure", data=form)
    assert answer.status_code == status
    assert answer.json()["errors"][0]["msg"]
