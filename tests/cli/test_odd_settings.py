"""Whatever a variable holds that patrol or a library reads: no command ends in `patrol itself failed`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.cloud.seed import demo_estate, demo_pats_yaml
from sandbox.process.running import Running, start
from tests.lab.lab import Lab, item
from tests.lab.shell import Shell

ODD = {
    "HTTPS_PROXY": [
        "proxy.contoso.com:8080",
        "http://[",
        "socks5://127.0.0.1:1",
        "http://us er:p@ss@127.0.0.1:9",
        "  ",
    ],
    "NO_PROXY": ["*", "[", "169.254.0.0/99"],
    "REQUESTS_CA_BUNDLE": ["/", "/dev/null", "relative.pem"],
    "IDENTITY_ENDPOINT": ["x", "http://[", "ftp://x/", "http://127.0.0.1:99999/"],
    "IDENTITY_HEADER": ["", "a\nb", "ü"],
    "AZURE_CLIENT_ID": ["x", "a\nb"],
    "AZURE_TOKEN_CREDENTIALS": ["nonsense", "dev"],
    "AZURE_AUTHORITY_HOST": ["https://login.microsoftonline.com/", "https://["],
    "AZURE_LOG_LEVEL": ["nonsense", "DEBUG"],
    "AZURE_SDK_TRACING_IMPLEMENTATION": ["nonsense"],
    "AZURE_HTTP_USER_AGENT": ["ü\n"],
    "AzureWebJobsStorage": ["x", "UseDevelopmentStorage=true"],
    "PATS_FILE": ["/", "/dev/null", "/bin/ls", "a" * 5000, "https://[", "https://x/y", "https://x:z/y"],
    "PYTHONIOENCODING": ["ascii"],
    "HOME": ["/nonexistent"],
}
DAILY = [("HTTPS_PROXY", "http://["), ("AZURE_TOKEN_CREDENTIALS", "nonsense"), ("PATS_FILE", "a" * 5000)]
CASES = [
    pytest.param(
        name, value, id=f"{name} {value[:20]!r}", marks=() if (name, value) in DAILY else pytest.mark.exhaustive
    )
    for name, values in ODD.items()
    for value in values
]


@pytest.fixture(scope="module")
def cloud() -> Iterator[Running]:
    with start(demo_estate()) as running:
        yield running


@pytest.mark.parametrize(("name", "value"), CASES)
def test_promise_8_no_setting_ends_in_a_defect_or_a_traceback(
    cloud: Running, tmp_path: Path, name: str, value: str
) -> None:
    inventory = tmp_path / "pats.yaml"
    inventory.write_text(demo_pats_yaml(), encoding="utf-8")
    both = {name: value, name.lower(): value} if name.endswith("_PROXY") else {name: value}
    ran = cloud.run_product(["-m", "shared", "status"], extra={"PATS_FILE": str(inventory), **both})
    assert ran.returncode in (1, 2), "one of the demo's secrets is expired"
    for says in ("patrol itself failed", "Traceback", "p@ss"):
        assert says not in ran.stderr + ran.stdout
    assert len(ran.stderr.splitlines()) <= 2, "cause and remedy, and nothing of a library"


@pytest.mark.parametrize("columns", ["x", "-1", "0", "9" * 5000, "٣", "99999"])
def test_a_width_that_is_none_is_not_believed(columns: str, tmp_path: Path) -> None:
    shell = Shell(Lab([item()]), tmp_path, terminal=True)
    for command in (("status",), ("check",), ("--help",)):
        code, out, errors = shell(*command, COLUMNS=columns)
        assert code in (0, 1), errors
        assert out


def test_what_is_wrong_with_the_settings_begins_with_that_word(tmp_path: Path) -> None:
    code, out, _ = Shell(Lab([item()]), tmp_path)("check", KEY_VAULT_URL="")
    assert (code, out.startswith("settings: KEY_VAULT_URL is missing: ")) == (2, True)
