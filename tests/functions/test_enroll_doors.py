"""Enrolling over the deployed app (rule 16): a link for one use, the page behind it, and the way back."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.entra_estate import UserState
from sandbox.cloud.key_vault import Version
from sandbox.cloud.seed import AGENTS, CLIENT, CREDENTIALS_VAULT, PERSON
from shared.functions.http_answers import TextAnswer
from shared.functions.http_routes import App
from shared.model.items import User
from tests.lab.at_browser import Person
from tests.lab.fakes import FakeLinks
from tests.lab.http_calls import app, at_link, back, call, principal
from tests.lab.lab import Lab, item

HOST = "contoso-patrol.azurewebsites.net"
NAME = User(AGENTS, "", enrolled=True).credential_name
ENROLLED: list[dict[str, Any]] = [{"username": AGENTS, "enrolled": True, "pats": [item()]}]


@pytest.fixture
def lab() -> Lab:
    made = Lab(users=ENROLLED, sign_in={}, links=FakeLinks())
    made.cloud.directory.app(CLIENT).redirect_uris = {f"https://{HOST}/api/enroll/callback"}
    made.cloud.directory.add_user(PERSON, "sandbox-password-alice")
    made.cloud.directory.user(AGENTS).state = UserState.MFA_REQUIRED
    return made


@pytest.fixture
def using(lab: Lab, tmp_path: Path) -> App:
    return app(lab, tmp_path, environ={"WEBSITE_HOSTNAME": HOST})


def ticket_of(using: App) -> str:
    answer = call("enroll", using, {"username": AGENTS})
    assert answer.status == 201, answer.body
    link = str(answer.body["link"])
    assert link.startswith(f"https://{HOST}/api/enroll/")
    return link.rpartition("/")[2]


def address(page: TextAnswer) -> str:
    found = re.search(r'<a class="go" href="([^"]+)">', page.text)
    assert found is not None
    return unescape(found[1])


def html_text(page: TextAnswer) -> str:
    return " ".join(unescape(re.sub("<[^>]+>", " ", page.text)).split())[-400:]


def kept(lab: Lab) -> list[Version]:
    vault = lab.cloud.vaults[CREDENTIALS_VAULT]
    try:
        return list(vault.secret(NAME).versions.values())
    except KeyError:
        return []


def test_rule_16_a_link_leads_to_a_sign_in_and_the_next_run_needs_nobody(lab: Lab, using: App) -> None:
    """With the managed identity alone: no certificate and no secret of the app anywhere."""
    ticket = ticket_of(using)
    page = at_link(using, ticket)
    assert (page.status, page.mimetype) == (200, "text/html")
    assert f"Sign in as {AGENTS}" in page.text
    target, fields = Person(lab, AGENTS).fills_in(address(page))
    assert target == f"https://{HOST}/api/enroll/callback"
    done = back(using, fields)
    assert done.status == 200
    assert re.search("Good until 2026-05-30", html_text(done)), html_text(done)
    assert len(kept(lab)) == 1
    assert lab.run().exit_code() == 0
    assert lab.works("build-pat")


def test_rule_16_a_link_is_good_for_one_sign_in(lab: Lab, using: App) -> None:
    ticket = ticket_of(using)
    assert at_link(using, ticket).status == 200
    assert at_link(using, ticket).status == 200, "who only looks, such as a preview of a chat, uses nothing up"
    _, fields = Person(lab, AGENTS).fills_in(address(at_link(using, ticket)))
    assert back(using, fields).status == 200
    for over in (at_link(using, ticket), back(using, fields)):
        assert over.status == 410
        assert "used or too old" in over.text
    assert len(kept(lab)) == 1
    assert isinstance(lab.links, FakeLinks)
    assert lab.links.kept == {}


def test_rule_16_a_link_is_over_after_ten_minutes(lab: Lab, using: App) -> None:
    ticket = ticket_of(using)
    url = address(at_link(using, ticket))
    lab.wait(timedelta(minutes=9, seconds=59))
    _, fields = Person(lab, AGENTS).fills_in(url)
    lab.wait(timedelta(seconds=1))
    assert at_link(using, ticket).status == 410
    assert back(using, fields).status == 410
    assert kept(lab) == []


@pytest.mark.parametrize("ticket", ["", "x", "a" * 64, "../../patrol-runs", "%2e%2e"])
def test_rule_16_what_is_no_ticket_opens_nothing(using: App, ticket: str) -> None:
    assert at_link(using, ticket).status == 410


def test_rule_16_the_wrong_person_is_told_on_a_page_and_nothing_is_kept(lab: Lab, using: App) -> None:
    ticket = ticket_of(using)
    _, fields = Person(lab, PERSON).fills_in(address(at_link(using, ticket)))
    told = back(using, fields)
    assert told.status == 400
    assert f"{PERSON} signed in, and not {AGENTS}" in told.text
    assert "ask for a new one" in told.text
    assert kept(lab) == []
    assert back(using, fields).status == 410, "the link is used, whatever came of it"


def test_rule_16_whoever_declines_is_told_on_a_page(lab: Lab, using: App) -> None:
    _, fields = Person(lab, AGENTS, declines=True).fills_in(address(at_link(using, ticket_of(using))))
    told = back(using, fields)
    assert told.status == 400
    assert "AADSTS65004" in told.text
    assert kept(lab) == []


def test_rule_16_a_missing_consent_is_told_on_a_page(lab: Lab, using: App) -> None:
    lab.cloud.directory.app(CLIENT).consented = {"vso.pats"}
    _, fields = Person(lab, AGENTS).fills_in(address(at_link(using, ticket_of(using))))
    told = back(using, fields)
    assert told.status == 400
    assert "vso.pats_manage" in told.text
    assert kept(lab) == []


def test_promise_7_pages_have_no_script_and_tell_no_other_page_where_they_were(lab: Lab, using: App) -> None:
    ticket = ticket_of(using)
    page = at_link(using, ticket)
    _, fields = Person(lab, AGENTS).fills_in(address(page))
    pages = [page, back(using, fields), at_link(using, ticket)]
    for seen in pages:
        assert "<script" not in seen.text
        assert "default-src 'none'" in seen.headers["Content-Security-Policy"]
        assert seen.headers["Referrer-Policy"] == "no-referrer"
    (version,) = kept(lab)
    for secret in (version.value, fields["code"]):
        assert not any(secret in seen.text for seen in pages)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "is missing"),
        ({"username": PERSON}, "pats.yaml has no user"),
        ({"username": "22222222-3333-4444-5555-666666666666"}, "service_principals"),
        ({"username": AGENTS, "more": 1}, "is not known"),
    ],
)
def test_rule_16_a_name_that_is_none_is_told_before_there_is_a_link(using: App, body: Any, says: str) -> None:
    answer = call("enroll", using, body)
    assert answer.status == 400
    assert says in str(answer.body["detail"])


def test_rule_16_with_entra_in_front_a_role_of_its_own_asks_for_links(lab: Lab, tmp_path: Path) -> None:
    environ = {"WEBSITE_HOSTNAME": HOST, "HTTP_AUTH": "entra", "WEBSITE_AUTH_ENABLED": "true"}
    using = app(lab, tmp_path, environ=environ)
    asked = {"username": AGENTS}
    assert call("enroll", using, asked).status == 401
    assert call("enroll", using, asked, headers=principal("Pats.Rotate", "Pats.Emergency", "Pats.Read")).status == 403
    answer = call("enroll", using, asked, headers=principal("Pats.Enroll"))
    assert answer.status == 201
    assert at_link(using, str(answer.body["link"]).rpartition("/")[2]).status == 200, "without a role"


def test_rule_16_an_app_that_keeps_nothing_or_knows_no_address_says_so(lab: Lab, tmp_path: Path) -> None:
    assert "WEBSITE_HOSTNAME" in str(call("enroll", app(lab, tmp_path), {"username": AGENTS}).body["detail"])
    nowhere = Lab(users=ENROLLED, sign_in={})
    answer = call("enroll", app(nowhere, tmp_path, environ={"WEBSITE_HOSTNAME": HOST}), {"username": AGENTS})
    assert answer.status == 500
    assert "storage" in str(answer.body["detail"])


def test_promise_7_what_goes_wrong_inside_tells_an_unknown_reader_nothing(lab: Lab, using: App) -> None:
    ticket = ticket_of(using)
    _, fields = Person(lab, AGENTS).fills_in(address(at_link(using, ticket)))
    (using.root / "pats.yaml").write_text("users: [")
    told = back(using, fields)
    assert told.status == 503
    assert "pats.yaml" not in told.text
    assert AGENTS not in told.text
