"""Rule 16 in a real browser: a person enrolls a user of `make serve`, on a phone's width too; the wrong one is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from sandbox.cloud.seed import CREDENTIALS_VAULT, PERSON
from sandbox.functions_host.azurite import free_port
from sandbox.serve import RELEASE, Served, serve
from tests.lab.chromium import BROWSER, DRIVER, Browser, chromium

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs chromium and chromedriver (Debian: chromium-driver)"),
]


@pytest.fixture(scope="module")
def served(npm: None) -> Iterator[Served]:
    with serve(free_port(), "0 0 0 1 1 *") as running:
        yield running


@pytest.fixture(scope="module")
def browser(served: Served) -> Iterator[Browser]:
    with chromium(served.proxy, free_port()) as made:
        yield made


def link(served: Served) -> str:
    headers = {"x-functions-key": served.keys.functions["enroll"]}
    answer = requests.post(f"{served.url}/api/enroll", json={"username": RELEASE}, headers=headers, timeout=60)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["link"])


def versions(served: Served) -> list[str]:
    """Names of the enrollment's versions, one entry each."""
    (vault,) = [one for one in served.cloud.client.estate()["vaults"] if one["host"] == CREDENTIALS_VAULT]
    return [one["name"] for one in vault["secrets"] if one["name"].startswith("patrol-enrolled-")]


@pytest.mark.parametrize("width", [360, 1280])
def test_rule_16_a_person_enrolls_and_the_wrong_one_is_told(
    served: Served, browser: Browser, width: int, tmp_path: Path
) -> None:
    browser.size(width, 800)
    before = len(versions(served))
    opened = link(served)
    browser.open(opened)
    browser.wait_for(f"Sign in as {RELEASE}")
    assert not browser.overflows()
    browser.shoot(tmp_path / "link.png")
    browser.click("a.go")
    browser.wait_for("Sign in to your account")
    browser.type("input[name=upn]", PERSON)
    browser.click("button[name=accept]")
    told = browser.wait_for("Not enrolled")
    assert f"{PERSON} signed in, and not {RELEASE}" in told
    assert not browser.overflows()
    browser.shoot(tmp_path / "wrong.png")
    assert len(versions(served)) == before
    browser.open(opened)
    browser.wait_for("This link is over")

    browser.open(link(served))
    browser.click("a.go")
    browser.wait_for("Sign in to your account")
    browser.click("button[name=accept]")
    done = browser.wait_for("Enrolled")
    assert f"{RELEASE} is enrolled" in done
    assert not browser.overflows()
    browser.shoot(tmp_path / "done.png")
    assert browser.address().endswith("/api/enroll/callback"), "nothing of the sign-in is in the address"
    assert len(versions(served)) >= 1
    secrets = served.cloud.client.secrets()
    assert not [secret for secret in secrets if len(secret) > 20 and secret in browser.source()]


def test_promise_7_nothing_of_a_sign_in_is_in_an_address_afterwards(served: Served, browser: Browser) -> None:
    secrets = [secret for secret in served.cloud.client.secrets() if len(secret) > 20]
    rows = served.cloud.client.log()
    assert rows
    assert not [row for row in rows for secret in secrets if secret in f"{row['path']} {row['query']}"]
