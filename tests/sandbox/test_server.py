"""The sandbox as a process: TLS under real names, the CONNECT proxy, the launcher's clock, the control port."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import requests

from sandbox.cloud.seed import AGENTS, CLIENT, CREDENTIALS_VAULT, PATS_VAULT, TENANT
from sandbox.process.client import ControlRefused
from sandbox.process.running import Running, start

DISCOVERY = f"https://login.microsoftonline.com/{TENANT}/v2.0/.well-known/openid-configuration"
SDKS = """
import os
from azure.identity import DefaultAzureCredential
from azure.keyvault.secrets import SecretClient
import datetime, json, msal, requests

credential = DefaultAzureCredential()
creds = SecretClient(os.environ["CREDENTIALS_VAULT_URL"], credential)
vault = SecretClient(os.environ["KEY_VAULT_URL"], credential)
app = msal.ConfidentialClientApplication(
    "{client}",
    client_credential=creds.get_secret("patrol-client-secret").value,
    authority="https://login.microsoftonline.com/{tenant}",
)
result = app.acquire_token_by_username_password(
    "{user}", creds.get_secret("svc-agents-password").value, ["499b84ac-1321-427f-aa17-267ca6975798/.default"]
)
now = datetime.datetime.now(datetime.timezone.utc)
url = "https://vssps.dev.azure.com/contoso/_apis/tokens/pats?api-version=7.1-preview.1"
body = {{
    "displayName": "made-by-test", "scope": "vso.code", "allOrgs": False,
    "validTo": (now + datetime.timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ"),
}}
made = requests.post(url, json=body, headers={{"Authorization": "Bearer " + result["access_token"]}}, timeout=30)
pat = made.json()["patToken"]
probe = requests.get(
    "https://dev.azure.com/contoso/_apis/connectionData", auth=("", pat["token"]), timeout=30, allow_redirects=False
)
vault.set_secret("made-by-test", pat["token"], tags={{"authorization-id": pat["authorizationId"]}})
names = [row.name for row in vault.list_properties_of_secrets()]
print(json.dumps({{
    "now": now.isoformat(), "probe": probe.status_code, "listed": "made-by-test" in names,
    "valid_from": pat["validFrom"],
}}))
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    with start("demo") as running:
        yield running


@pytest.fixture
def session(sandbox: Running) -> Iterator[requests.Session]:
    environment = sandbox.environment()
    with requests.Session() as made:
        made.trust_env = False
        made.proxies = {"https": environment["HTTPS_PROXY"], "http": environment["HTTP_PROXY"]}
        made.verify = environment["REQUESTS_CA_BUNDLE"]
        yield made
    sandbox.client.clear_faults()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(SDKS.format(client=CLIENT, tenant=TENANT, user=AGENTS), encoding="utf-8")
    return path


def test_real_names_answer_under_tls_with_the_sandboxes_date(sandbox: Running, session: requests.Session) -> None:
    answer = session.get(DISCOVERY, timeout=10)
    assert answer.json()["token_endpoint"].startswith("https://login.microsoftonline.com/")
    assert len(answer.raw.headers.getlist("Date")) == 1
    assert abs(parsedate_to_datetime(answer.headers["Date"]) - sandbox.client.now()) < timedelta(seconds=5)


@pytest.mark.parametrize(
    "url", ["https://example.com/", "https://dev.azure.com:8443/", "https://other.vault.azure.net/"]
)
def test_a_tunnel_to_anything_else_is_refused(session: requests.Session, url: str) -> None:
    with pytest.raises(requests.exceptions.ProxyError, match="403"):
        session.get(url, timeout=10)


def test_plain_requests_through_the_proxy_are_refused(session: requests.Session) -> None:
    answer = session.get("http://dev.azure.com/contoso", timeout=10)
    assert answer.status_code == 403
    assert "forwards nothing" in answer.text


def test_everything_listens_on_loopback_only(sandbox: Running) -> None:
    port = int(sandbox.environment()["HTTPS_PROXY"].rpartition(":")[2])
    with socket.socket() as other:
        other.settimeout(2)
        with pytest.raises((ConnectionRefusedError, TimeoutError)):
            other.connect(("127.0.0.2", port))


def test_nothing_trusts_the_sandbox_without_its_bundle(session: requests.Session) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        session.get(DISCOVERY, verify=True, timeout=10)


def test_a_cut_and_a_hang_reach_the_client(sandbox: Running, session: requests.Session) -> None:
    sandbox.client.add_fault("entra.discovery", "cut_before_effect")
    sandbox.client.add_fault("entra.discovery", "hang", call=2, seconds=30)
    with pytest.raises(requests.exceptions.ConnectionError):
        session.get(DISCOVERY, timeout=10)
    with pytest.raises(requests.exceptions.ReadTimeout):
        session.get(DISCOVERY, timeout=0.5)
    assert session.get(DISCOVERY, timeout=10).status_code == 200


def test_the_real_sdks_run_under_the_moved_clock(sandbox: Running, script: Path) -> None:
    before = moved = sandbox.client.now()
    for _ in range(2):
        moved = sandbox.client.move_clock(timedelta(days=200))
        ran = sandbox.run_product([str(script)])
        assert ran.returncode == 0, ran.stderr
        said = json.loads(ran.stdout)
        assert abs(datetime.fromisoformat(said["now"]) - moved) < timedelta(seconds=30)
        assert (said["probe"], said["listed"]) == (200, True)
    assert moved - before >= timedelta(days=400)
    mine = [row for row in sandbox.client.estate()["pats"] if row["display_name"] == "made-by-test"]
    assert [row["state"] for row in mine] == ["expired", "active"]
    assert not sandbox.client.secrets() & set(json.dumps(sandbox.client.log()).split('"'))


def test_a_running_program_follows_the_clock(sandbox: Running, tmp_path: Path) -> None:
    program = tmp_path / "waits.py"
    program.write_text(
        textwrap.dedent(
            """
            import sys, time
            print(time.time(), flush=True)
            sys.stdin.close()
            started = time.monotonic()
            first = last = time.time()
            while last - first < 86000 and time.monotonic() - started < 20:
                time.sleep(0.05)
                last = time.time()
            print(time.time())
            """
        ),
        encoding="utf-8",
    )
    with sandbox.start_product([str(program)]) as child:
        assert child.stdout is not None
        first = float(child.stdout.readline())
        sandbox.client.move_clock(timedelta(days=1))
        rest, _ = child.communicate(timeout=30)
    assert 86400 <= float(rest) - first < 86430
    deadline = time.monotonic() + 5
    while sandbox.client.clock()["followers"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sandbox.client.clock()["followers"] == 0


def test_a_follower_that_was_killed_keeps_nobody_waiting(sandbox: Running, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import time; print(flush=True); time.sleep(60)", encoding="utf-8")
    with sandbox.start_product([str(program)]) as child:
        assert child.stdout is not None
        child.stdout.readline()
        end = time.monotonic() + 5
        while not sandbox.client.clock()["followers"] and time.monotonic() < end:
            time.sleep(0.01)
        assert sandbox.client.clock()["followers"] == 1
        child.kill()
    while sandbox.client.clock()["followers"] and time.monotonic() < end:
        time.sleep(0.01)
    assert sandbox.client.clock()["followers"] == 0, "the clock was not moved: nobody has missed it"


def test_exit_codes_modules_and_texts_pass_through_the_launcher(sandbox: Running, tmp_path: Path) -> None:
    (tmp_path / "small.py").write_text("import sys; print(sys.argv[1:]); sys.exit(3)", encoding="utf-8")
    ran = sandbox.run_product(["-m", "small", "a", "--b"], cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (3, "['a', '--b']\n")


def test_a_stray_environment_does_not_reach_the_product(sandbox: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "stray")
    monkeypatch.setenv("https_proxy", "http://stray.example")
    environment = sandbox.environment({"RUN_BUDGET": "1m"})
    assert "AZURE_CLIENT_SECRET" not in environment
    assert environment["https_proxy"] == environment["HTTPS_PROXY"] != "http://stray.example"
    assert environment["RUN_BUDGET"] == "1m"
    assert environment["KEY_VAULT_URL"] == f"https://{PATS_VAULT}"
    assert environment["CREDENTIALS_VAULT_URL"] == f"https://{CREDENTIALS_VAULT}"


def test_the_control_port(sandbox: Running) -> None:
    client = sandbox.client
    estate = client.estate()
    assert "value" not in estate["pats"][0]
    assert client.estate(reveal=True)["pats"][0]["value"] in client.secrets()
    live = next(row for row in estate["pats"] if row["display_name"] == "legacy tool, made by hand")
    client.revoke_pat(live["authorization_id"])
    client.change_user(AGENTS, state="mfa_required")
    client.change_user(AGENTS, state="normal", password="sandbox-password-agents")
    client.change_client(CLIENT, disabled=True)
    client.change_client(CLIENT, disabled=False)
    client.deny(PATS_VAULT, "set")
    client.deny(PATS_VAULT)
    client.seed({"organizations": [{"name": "tailspin", "members": [AGENTS]}]})
    client.rename_organization("tailspin", "tailspin-two")
    client.policies("contoso", max_lifetime=86400, allowed=[AGENTS])
    client.policies()
    assert client.switch(page_size_limit=5)["page_size_limit"] == 5
    client.switch(page_size_limit=100)
    client.add_fault("vault.*", "status", status=503, call=None)
    assert [fault["operation"] for fault in client.pending_faults()] == ["vault.*"]
    client.clear_faults()
    client.clear_log()
    assert client.log() == []
    after = client.estate()
    assert [row["state"] for row in after["pats"] if row["authorization_id"] == live["authorization_id"]] == ["revoked"]
    assert "tailspin-two" in {row["name"] for row in after["organizations"]}


def test_a_senseless_request_to_the_control_port_says_why(sandbox: Running) -> None:
    with pytest.raises(ControlRefused, match="no_such"):
        sandbox.client.switch(no_such=1)
    with pytest.raises(ControlRefused, match="no policy"):
        sandbox.client.policies(no_such=1)
    with pytest.raises(ControlRefused, match="400"):
        sandbox.client.revoke_pat("unknown")


TIMER = """
import azure.functions as func

app = func.FunctionApp()


@app.function_name("rotate_due")
@app.timer_trigger(schedule="%ROTATION_SCHEDULE%", arg_name="timer")
def rotate_due(timer: func.TimerRequest) -> None:
    print("fired", timer.past_due)
    {body}
"""


@pytest.mark.parametrize(("body", "code"), [("pass", 0), ("raise RuntimeError('one item failed')", 1)])
def test_the_timer_fires_once_and_tells_of_failure(sandbox: Running, tmp_path: Path, body: str, code: int) -> None:
    pytest.importorskip("azure.functions")
    (tmp_path / "function_app.py").write_text(TIMER.format(body=body), encoding="utf-8")
    ran = sandbox.run_product(["-m", "sandbox.functions_host.fire_timer"], cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (code, "fired False\n"), ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stderr.endswith("RuntimeError: one item failed\n") is bool(code)


def test_serve_prints_what_a_shell_needs_and_ends_on_sigterm(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-m", "sandbox", "serve"], cwd=root, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(16)]
        child.terminate()
        assert child.wait(10) == 0
    names = {line.partition("=")[0].removeprefix("export ") for line in lines if line.startswith("export ")}
    assert {
        "HTTPS_PROXY",
        "REQUESTS_CA_BUNDLE",
        "IDENTITY_ENDPOINT",
        "KEY_VAULT_URL",
        "PATS_FILE",
        "SANDBOX_CONTROL",
    } <= names
    bundle = next(line for line in lines if "REQUESTS_CA_BUNDLE" in line).partition("=")[2].strip()
    assert not Path(bundle).exists()


@pytest.mark.parametrize(
    "estate", ['{"clients": [{"client_id": "x", "consented": true}]}', '{"users": [{}]}', "[]", "{"]
)
def test_a_senseless_estate_is_told_and_no_traceback(estate: str, tmp_path: Path) -> None:
    described = tmp_path / "estate.json"
    described.write_text(estate)
    ran = subprocess.run(
        [sys.executable, "-m", "sandbox", "serve", "--seed", str(described)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("sandbox: ")
    assert "Traceback" not in ran.stderr
