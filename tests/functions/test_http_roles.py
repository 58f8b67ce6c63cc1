"""Who may call under `HTTP_AUTH=entra`: claims are believed only when the platform wrote them, and roles are ours."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from shared.functions.http_answers import Answer
from tests.lab.http_calls import app, call, principal
from tests.lab.lab import Lab, item

ROLES = {"rotate": "Pats.Rotate", "emergency": "Pats.Emergency", "pats": "Pats.Read"}
ENTRA = {"HTTP_AUTH": "entra", "WEBSITE_AUTH_ENABLED": "True"}


def asked(door: str, folder: Path, headers: dict[str, str], environ: dict[str, str] | None = None) -> Answer:
    lab = Lab([item()])
    lab.run()
    body = {"secrets": ["build-pat"]} if door == "emergency" else b""
    return call(door, app(lab, folder, environ=ENTRA if environ is None else environ), body, headers=headers)


@pytest.mark.parametrize("door", ROLES)
def test_the_role_of_the_door_opens_it_and_no_other_does(door: str, tmp_path: Path) -> None:
    assert asked(door, tmp_path, principal(ROLES[door])).status == 200
    assert asked(door, tmp_path, principal(*ROLES.values())).status == 200
    others = [role for role in ROLES.values() if role != ROLES[door]]
    refused = asked(door, tmp_path, principal(*others))
    assert (refused.status, refused.body["code"]) == (403, "role-missing")
    assert ROLES[door] in str(refused.body["detail"])


def test_roles_are_also_read_where_claims_are_not_mapped(tmp_path: Path) -> None:
    headers = principal(claims=[{"typ": "roles", "val": "Pats.Read"}, {"typ": "oid", "val": "someone"}])
    assert asked("pats", tmp_path, headers).status == 200


@pytest.mark.parametrize("enabled", ["", "False", "0", "yes"])
def test_a_forged_header_is_not_believed_where_the_platform_does_not_authenticate(enabled: str, tmp_path: Path) -> None:
    environ = {"HTTP_AUTH": "entra", "WEBSITE_AUTH_ENABLED": enabled}
    answer = asked("rotate", tmp_path, principal("Pats.Rotate"), environ)
    assert (answer.status, answer.body["code"]) == (500, "settings-invalid")
    assert "App Service authentication" in str(answer.body["detail"])


def encoded(document: Any) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "not base64!",
        base64.b64encode(b"not JSON").decode(),
        base64.b64encode(b"\xff\xfe").decode(),
        base64.b64encode(b"[" * 20_000).decode(),
        encoded([]),
        encoded("Pats.Rotate"),
        encoded({"claims": [{"typ": "roles", "val": "Pats.Rotate"}]}),
        encoded({"auth_typ": "github", "claims": [{"typ": "roles", "val": "Pats.Rotate"}]}),
        encoded({"auth_typ": "aad", "claims": [{"typ": "roles", "val": "Pats.Rotate"}], "more": "x" * 40_000}),
    ],
)
def test_whoever_is_not_known_is_401(header: str | None, tmp_path: Path) -> None:
    answer = asked("rotate", tmp_path, {} if header is None else {"x-ms-client-principal": header})
    assert (answer.status, answer.body["code"]) == (401, "caller-unknown")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "claims",
    [
        None,
        {},
        "Pats.Rotate",
        [],
        ["Pats.Rotate"],
        [{"typ": "roles", "val": ["Pats.Rotate"]}],
        [{"typ": "roles", "val": "pats.rotate"}],
        [{"typ": "roles", "val": "Pats.Rotate Pats.Read"}],
        [{"typ": "groups", "val": "Pats.Rotate"}],
        [{"typ": "name", "val": "Pats.Rotate"}],
        [{"val": "Pats.Rotate"}],
    ],
)
def test_nothing_but_a_role_claim_is_a_role(claims: Any, tmp_path: Path) -> None:
    """Also where the principal itself says that another claim holds the roles."""
    assert asked("rotate", tmp_path, principal(claims=claims, role_typ="groups")).status == 403


def test_with_function_keys_the_host_has_checked_the_key_and_claims_count_for_nothing(tmp_path: Path) -> None:
    assert asked("rotate", tmp_path, {}, {}).status == 200
