"""The app's settings: read once, and every mistake told at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from shared import settings
from shared.model.errors import Code, Misconfigured
from shared.model.tags import Mark
from shared.settings import SETTINGS, Settings
from tests.lab.readers import AGENT, SONAR_APP

REPOSITORY = Path(__file__).resolve().parent.parent
ROOT = Path("root")
VAULT = "https://contoso-pats.vault.azure.net"
LOGGED = (
    "/subscriptions/5b000000-0000-4000-8000-000000000005/resourceGroups/rg-patrol"
    "/providers/Microsoft.KeyVault/vaults/contoso-pats"
)


def read(**environ: str) -> Settings:
    return settings.read({"KEY_VAULT_URL": VAULT, **environ}, ROOT)


def refusal(environ: Mapping[str, str]) -> str:
    with pytest.raises(Misconfigured) as caught:
        settings.read(environ, ROOT)
    assert caught.value.code is Code.SETTINGS_INVALID
    assert caught.value.remedy
    return caught.value.cause


def test_the_vault_is_enough() -> None:
    assert read() == Settings(
        key_vault_url=VAULT,
        credentials_vault_url=VAULT,
        enrollments_vault_url=VAULT,
        pats_file=ROOT / "pats.yaml",
        deployment_name="contoso-pats",
        run_budget=timedelta(minutes=20),
        parallel_users=8,
    )


def test_every_setting_can_be_given() -> None:
    known = read(
        CREDENTIALS_VAULT_URL="https://contoso-users.vault.azure.net/",
        ENROLLMENTS_VAULT_URL="https://contoso-enrolled.vault.azure.net/",
        PATS_FILE="estates/one.yaml",
        DEPLOYMENT_NAME="Prod-1",
        RUN_BUDGET="10m",
        PARALLEL_USERS="16",
        HTTP_BUDGET="30s",
        HTTP_AUTH="entra",
        VAULT_LOGS=f"{LOGGED}, {LOGGED}-2",
        KNOWN_READERS=f"{AGENT.upper()}, {SONAR_APP}",
        WEBSITE_AUTH_ENABLED="True",
        AZURE_AUTHORITY_HOST="https://login.microsoftonline.us/",
    )
    assert known.credentials_vault_url == "https://contoso-users.vault.azure.net"
    assert known.enrollments_vault_url == "https://contoso-enrolled.vault.azure.net"
    assert known.pats_file == ROOT / "estates/one.yaml"
    assert (known.deployment_name, known.run_budget, known.parallel_users) == ("Prod-1", timedelta(minutes=10), 16)
    assert known.authority_host == "login.microsoftonline.us"
    assert known.vault_logs == (LOGGED, f"{LOGGED}-2")
    assert known.known_readers == frozenset({AGENT, SONAR_APP})
    assert (known.http_budget, known.http_auth, known.platform_authenticates) == (timedelta(seconds=30), "entra", True)


@pytest.mark.parametrize("budget", ["4s", "201s", "4m", "45", "1d", "0s", "s"])
def test_a_request_s_budget_stays_below_what_the_load_balancer_allows(budget: str) -> None:
    assert "HTTP_BUDGET is not valid" in refusal({"KEY_VAULT_URL": VAULT, "HTTP_BUDGET": budget})


@pytest.mark.parametrize(("budget", "seconds"), [("5s", 5), ("200s", 200), ("1m", 60)])
def test_a_request_s_budget_may_be_in_seconds(budget: str, seconds: int) -> None:
    assert read(HTTP_BUDGET=budget).http_budget == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["Entra", "anonymous", "key", "function-key,entra"])
def test_who_may_call_is_never_guessed(text: str) -> None:
    assert "HTTP_AUTH is not valid" in refusal({"KEY_VAULT_URL": VAULT, "HTTP_AUTH": text})


@pytest.mark.parametrize("text", ["contoso-pats", "https://contoso-pats.vault.azure.net", f"{LOGGED}/secrets/x", ","])
def test_logs_are_named_by_resource_ids_of_vaults(text: str) -> None:
    assert "VAULT_LOGS is not valid" in refusal({"KEY_VAULT_URL": VAULT, "VAULT_LOGS": text})


@pytest.mark.parametrize("text", ["agents", f"{AGENT};{SONAR_APP}", f"{AGENT}0", ","])
def test_readers_are_known_by_object_ids(text: str) -> None:
    assert "KNOWN_READERS is not valid" in refusal({"KEY_VAULT_URL": VAULT, "KNOWN_READERS": text})


def test_an_absolute_path_of_the_inventory_stays_as_it_is(tmp_path: Path) -> None:
    assert read(PATS_FILE=str(tmp_path / "pats.yaml")).pats_file == tmp_path / "pats.yaml"


def test_an_empty_setting_counts_as_missing() -> None:
    assert read(RUN_BUDGET="", PARALLEL_USERS="  ", CREDENTIALS_VAULT_URL="") == read()


def test_the_mark_tells_two_vaults_apart_and_not_two_spellings_of_one() -> None:
    other = settings.read({"KEY_VAULT_URL": "https://fabrikam.vault.azure.net"}, ROOT)
    same = settings.read({"KEY_VAULT_URL": "https://Contoso-Pats.VAULT.azure.net:443/"}, ROOT)
    assert read().vault_host == same.vault_host == "contoso-pats.vault.azure.net"
    assert read().mark == same.mark == Mark.of("contoso-pats", "contoso-pats.vault.azure.net")
    assert read().mark != other.mark


def test_one_vault_in_two_spellings_is_one_vault() -> None:
    known = read(CREDENTIALS_VAULT_URL="https://CONTOSO-pats.vault.azure.net:443/")
    assert known.credentials_vault_url == known.enrollments_vault_url == known.key_vault_url


@pytest.mark.parametrize(
    "url",
    [
        "contoso.vault.azure.net",
        "http://contoso.vault.azure.net",
        "https://contoso",
        "https://10.0.0.4",
        "https://127.1",
        "https://0x7f.0.0.0x1",
        "https://[::1]",
        "https://[::1",
        "https://contoso.vault.azure.net/secrets",
        "https://contoso.vault.azure.net?x=1",
        "https://contoso.vault.azure.net#x",
        "https://me@contoso.vault.azure.net",
        "https://contoso.vault.azure.net:8443",
        "https://contoso.vault.azure.net:port",
        "https://con toso.vault.azure.net",
        "https://contoso_pats.vault.azure.net",
        "https://contoso.vault.azure.net.",
        "https://",
    ],
)
@pytest.mark.parametrize("name", ["KEY_VAULT_URL", "CREDENTIALS_VAULT_URL", "ENROLLMENTS_VAULT_URL"])
def test_only_an_https_address_of_a_named_host_is_a_vault(name: str, url: str) -> None:
    assert refusal({"KEY_VAULT_URL": VAULT, name: url}).startswith(f"{name} ")


REFERENCE = "@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/url/)"


@pytest.mark.parametrize("name", ["KEY_VAULT_URL", "CREDENTIALS_VAULT_URL", "PATS_FILE", "RUN_BUDGET", "HTTP_AUTH"])
def test_a_reference_that_was_not_resolved_is_told_as_one(name: str) -> None:
    told = refusal({"KEY_VAULT_URL": VAULT, name: REFERENCE})
    assert told.startswith(f"{name} holds a reference that the platform did not resolve")
    assert told.count(name) == 1, "and not for what it breaks besides"
    assert "secrets/url" not in told


@pytest.mark.parametrize("quote", ['"', "'", "`", "\u201c"])
@pytest.mark.parametrize(
    ("name", "text"),
    [("KEY_VAULT_URL", VAULT), ("PATS_FILE", "pats.yaml"), ("PARALLEL_USERS", "8"), ("AZURE_CLIENT_ID", "guid")],
)
def test_quotes_that_were_kept_are_seen(name: str, text: str, quote: str) -> None:
    told = refusal({"KEY_VAULT_URL": VAULT, name: f"{quote}{text}{quote}"})
    assert told.startswith(f"{name} begins with a quote ({quote})")
    assert "https://" not in told


@pytest.mark.parametrize("name", ["KEY_VAULT_URL", "RUN_BUDGET", "PARALLEL_USERS", "DEPLOYMENT_NAME", "HTTP_AUTH"])
def test_promise_7_a_value_in_the_wrong_setting_is_not_repeated(name: str) -> None:
    assert "Tr0ub4dor" not in refusal({"KEY_VAULT_URL": VAULT, name: "Tr0ub4dor&3"})


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("a", True),
        ("0-Z", True),
        ("a" * 40, True),
        ("a" * 41, False),
        ("a/b", False),
        ("a b", False),
        ("a_b", False),
        ("ä", False),
    ],
)
def test_a_deployment_name_is_1_to_40_letters_digits_and_hyphens(name: str, fits: bool) -> None:
    if fits:
        assert read(DEPLOYMENT_NAME=name).deployment_name == name
    else:
        assert "DEPLOYMENT_NAME" in refusal({"KEY_VAULT_URL": VAULT, "DEPLOYMENT_NAME": name})


@pytest.mark.parametrize(
    ("number", "fits"),
    [
        ("1", True),
        ("64", True),
        ("0", False),
        ("65", False),
        ("-1", False),
        ("8.0", False),
        ("٣", False),
        ("9" * 5000, False),
    ],
    ids=["1", "64", "0", "65", "negative", "not whole", "other digits", "5,000 digits"],
)
def test_users_side_by_side_are_1_to_64(number: str, fits: bool) -> None:
    if fits:
        assert read(PARALLEL_USERS=number).parallel_users == int(number)
    else:
        assert "PARALLEL_USERS" in refusal({"KEY_VAULT_URL": VAULT, "PARALLEL_USERS": number})


@pytest.mark.parametrize(
    ("budget", "fits"),
    [("1m", True), ("25m", True), ("0m", False), ("26m", False), ("1h", False), ("20", False), ("20 minutes", False)],
)
def test_a_run_ends_before_the_host_ends_it(budget: str, fits: bool) -> None:
    if fits:
        assert read(RUN_BUDGET=budget).run_budget == timedelta(minutes=int(budget[:-1]))
    else:
        assert "RUN_BUDGET" in refusal({"KEY_VAULT_URL": VAULT, "RUN_BUDGET": budget})


def test_the_longest_budget_leaves_the_host_time_to_spare() -> None:
    hours, minutes, _ = json.loads((REPOSITORY / "host.json").read_text())["functionTimeout"].split(":")
    assert timedelta(hours=int(hours), minutes=int(minutes)) > settings.LONGEST_BUDGET


@pytest.mark.parametrize("host", ["http://login.microsoftonline.com", "https://", "https://[", "localhost", "10.0.0.1"])
def test_a_sign_in_authority_is_a_named_host(host: str) -> None:
    assert "AZURE_AUTHORITY_HOST" in refusal({"KEY_VAULT_URL": VAULT, "AZURE_AUTHORITY_HOST": host})


def test_every_mistake_is_told_at_once() -> None:
    told = refusal(
        {
            "CREDENTIALS_VAULT_URL": "http://x",
            "DEPLOYMENT_NAME": "a b",
            "RUN_BUDGET": "soon",
            "PARALLEL_USERS": "many",
        }
    )
    assert "KEY_VAULT_URL is missing" in told
    for name in ("CREDENTIALS_VAULT_URL", "DEPLOYMENT_NAME", "RUN_BUDGET", "PARALLEL_USERS"):
        assert name in told
    assert told.count("; ") == 4


def test_the_schedule_is_the_hosts_and_is_not_read() -> None:
    assert [one.name for one in SETTINGS if one.read_by == "host"] == ["ROTATION_SCHEDULE"]
    assert read(ROTATION_SCHEDULE="not even close") == read()


def test_every_default_in_the_table_is_the_one_that_is_used() -> None:
    written = {
        one.name: one.default for one in SETTINGS if re.fullmatch(r"[\w.]+", one.default) and one.default != "required"
    }
    assert written.keys() == {
        "PATS_FILE",
        "RUN_BUDGET",
        "HTTP_BUDGET",
        "PARALLEL_USERS",
        "FAN_OUT_ABOVE",
        "QUEUE_INSTANCES",
        "VAULT_LOGS",
        "KNOWN_READERS",
    }
    assert read(**written) == read()


def test_the_example_of_local_settings_has_every_setting_and_can_be_read() -> None:
    values = json.loads((REPOSITORY / "local.settings.json.example").read_text())["Values"]
    assert {one.name for one in SETTINGS} <= values.keys()
    assert all(values[one.name] == one.default for one in SETTINGS if one.name in ("ROTATION_SCHEDULE", "RUN_BUDGET"))
    assert settings.read(values, ROOT).key_vault_url != settings.read(values, ROOT).credentials_vault_url


def test_the_inventory_may_be_a_blob_or_a_folder_of_blobs() -> None:
    place = read(PATS_FILE="https://contoso.blob.core.windows.net/inventory/teams/").pats_file
    assert str(place) == "https://contoso.blob.core.windows.net/inventory/teams/"
    assert place.name == "teams"
    wrong = {"KEY_VAULT_URL": VAULT, "PATS_FILE": "https://contoso.blob.core.windows.net/inventory/a.yaml?sig=abc"}
    assert "PATS_FILE carries more than the blob's address" in refusal(wrong)
    assert "sig=abc" not in refusal(wrong)


def test_the_cloud_of_the_inventory_is_that_of_the_sign_in() -> None:
    there = {
        "AZURE_AUTHORITY_HOST": "login.microsoftonline.us",
        "PATS_FILE": "https://contoso.blob.core.usgovcloudapi.net/inventory/",
    }
    assert read(**there).pats_file == settings.pats_file(there, ROOT)
    assert "storage account of this cloud" in refusal({"KEY_VAULT_URL": VAULT, "PATS_FILE": there["PATS_FILE"]})
