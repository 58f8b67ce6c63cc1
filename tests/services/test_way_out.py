"""The way out: proxies, certificates, bundles, cookies, and an identity behind a proxy, each told as what it is."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import ManagedIdentityCredential
from requests.adapters import HTTPAdapter
from urllib3 import HTTPSConnectionPool
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import MaxRetryError, NameResolutionError

from sandbox.cloud.seed import AGENTS, CLIENT
from sandbox.process.in_process import SandboxAdapter, session_for
from shared import wiring
from shared.model.clock import Deadline
from shared.model.consumers import SonarQube
from shared.model.credentials import ClientProof, ClientSecret, SignIn
from shared.model.errors import Busy, Code, Misconfigured, NotDone, PatrolError, SignInUnclear, Unclear
from shared.model.items import User
from shared.model.pats import Claim
from shared.model.secret_text import SecretText
from shared.rotation.world import World
from shared.services.identity import NoToken, OwnIdentity
from shared.services.managed_identity import ManagedAssertion
from shared.services.pat_api import UserPats
from shared.services.transport import session
from shared.services.way_out import lost
from tests.lab.certificate_texts import a_certificate, a_key, pem
from tests.lab.lab import Lab, LabIdentity, days, item

SIGN_IN = SignIn("contoso.onmicrosoft.com", CLIENT, ClientSecret("patrol-client-secret"))
PROOF = ClientProof(SecretText("sandbox-client-secret-demo"), "1")
TO = SonarQube("https://sonarqube.contoso.com", "contoso-azure", "sonarqube-token")


class Proxy:
    """Answers every CONNECT with one status, and counts."""

    def __init__(self, status: int) -> None:
        self.status, self.asked = status, 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self.socket.accept()
            except OSError:
                return
            with caller:
                caller.recv(4096)
                self.asked += 1
                caller.sendall(f"HTTP/1.1 {self.status} No\r\nContent-Length: 0\r\n\r\n".encode())


@contextmanager
def proxy(status: int) -> Iterator[Proxy]:
    serving = Proxy(status)
    try:
        yield serving
    finally:
        serving.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        serving.socket.close()
        serving.thread.join(5)


def calls_of(lab: Lab, http: requests.Session) -> dict[str, Callable[[], object]]:
    """One call of each adapter over the session."""
    world: World = wiring.world(
        lab.settings, timedelta(hours=1), clock=lab.clock, http=http, identity=LabIdentity(lab.cloud), tell=lab.tell
    )
    api = UserPats(http, SecretText("a-token"), lab.clock, Deadline.after(lab.clock, timedelta(hours=1)))
    return {
        "vault": lambda: world.vault.current("build-pat"),
        "write": lambda: world.vault.publish("build-pat", SecretText("x"), lab.clock.now() + days(1), {}),
        "listing": world.vault.listing,
        "sign-in": lambda: world.directory.sign_in(SIGN_IN, User(AGENTS, "x"), SecretText("x"), PROOF),
        "token": lambda: world.tokens.issue("contoso.onmicrosoft.com", CLIENT, PROOF),
        "PATs": lambda: api.active("contoso"),
        "mint": lambda: api.mint("contoso", "x", ("vso.code",), lab.clock.now() + days(1)),
        "SonarQube": lambda: world.consumers.check(TO, (SecretText("squ_x"),), "contoso"),
    }


ADAPTERS = ("vault", "write", "listing", "sign-in", "token", "PATs", "mint", "SonarQube")


def through(proxied: str) -> requests.Session:
    made = session(4)
    made.trust_env = False
    made.proxies = {"https": proxied}
    return made


@pytest.mark.parametrize("status", [407, 403, 404])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_promise_8_a_proxy_s_refusal_is_told_by_its_own_status_and_asked_once(adapter: str, status: int) -> None:
    lab = Lab([item()])
    with proxy(status) as refusing:
        call = calls_of(lab, through(f"http://127.0.0.1:{refusing.port}"))[adapter]
        with pytest.raises(PatrolError) as caught:
            call()
    failure = caught.value
    assert f"HTTP {status}" in failure.cause
    assert "HTTPS_PROXY" in failure.cause
    assert ("user:password" in failure.remedy) == (status == 407)
    assert refusing.asked == 1
    if isinstance(failure, SignInUnclear):
        assert not failure.sent
    else:
        assert isinstance(failure, NotDone | Misconfigured | Unclear)
        assert isinstance(failure, Unclear) == (adapter == "token")


def test_a_proxy_that_is_not_well_is_asked_again() -> None:
    lab = Lab([item()])
    with proxy(503) as refusing:
        call = calls_of(lab, through(f"http://127.0.0.1:{refusing.port}"))["vault"]
        with pytest.raises(Busy):
            call()
    assert refusing.asked == 4


def test_promise_8_a_proxy_that_speaks_no_tls_is_told_so() -> None:
    with proxy(200) as plain, pytest.raises(requests.RequestException) as caught:
        through(f"https://127.0.0.1:{plain.port}").get("https://dev.azure.com/x", timeout=5)
    known = lost(caught.value)
    assert (known.left, known.passes) == (False, False)
    assert "http://" in known.remedy


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(
    "address", ["http://", "http://[", "ftp://proxy:21", "socks5://proxy:1080", "http://proxy:x", " "]
)
def test_promise_8_a_proxy_s_address_that_is_none_is_told_by_its_setting_and_nothing_left(
    adapter: str, address: str
) -> None:
    lab = Lab([item()])
    with pytest.raises(Misconfigured) as caught:
        calls_of(lab, through(address))[adapter]()
    assert caught.value.code is Code.SETTINGS_INVALID
    assert "HTTPS_PROXY holds no address of a proxy" in caught.value.cause
    assert "http://host:port" in caught.value.remedy


def test_promise_8_a_log_of_keys_that_cannot_be_written_is_told_by_its_own_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    bundle = tmp_path / "roots.pem"
    bundle.write_text(pem(None, a_certificate(a_key(), begins=now, ends=now + days(9))))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    monkeypatch.setenv("SSLKEYLOGFILE", "/nope/keys")
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(Misconfigured, match="SSLKEYLOGFILE") as caught:
        calls_of(Lab([item()]), session(4))["vault"]()
    assert "REQUESTS_CA_BUNDLE" not in str(caught.value)


def test_promise_8_a_name_that_nothing_resolves_is_told_as_that() -> None:
    pool = HTTPSConnectionPool("contoso-pats.vault.azure.net")
    unknown = NameResolutionError(pool.host, HTTPSConnection(pool.host), socket.gaierror(-2, "not known"))
    failure = lost(requests.ConnectionError(MaxRetryError(pool, "/secrets", unknown)))
    assert (failure.left, failure.passes) == (False, True)
    assert "name cannot be resolved" in failure.cause
    assert "DNS" in failure.remedy
    assert "HTTPS_PROXY" in failure.remedy


def test_a_proxy_that_nobody_runs_is_named() -> None:
    with pytest.raises(requests.RequestException) as caught:
        through("http://127.0.0.1:9").get("https://dev.azure.com/x", timeout=5)
    known = lost(caught.value)
    assert (known.left, known.passes) == (False, True)
    assert "HTTPS_PROXY" in known.cause


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_promise_8_a_bundle_that_is_not_there_is_misconfigured_by_its_setting(
    adapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
    monkeypatch.setenv("NO_PROXY", "*")
    lab = Lab([item()])
    with pytest.raises(Misconfigured) as caught:
        calls_of(lab, session(4))[adapter]()
    assert caught.value.code is Code.SETTINGS_INVALID
    assert "REQUESTS_CA_BUNDLE" in caught.value.cause
    assert "/no/such" not in str(caught.value)


def test_the_bundle_is_read_once_for_all_connections_and_again_when_it_changed(tmp_path: Path) -> None:
    bundle = tmp_path / "roots.pem"
    now = datetime.now(UTC).replace(microsecond=0)
    bundle.write_text(pem(None, a_certificate(a_key(), begins=now, ends=now + days(9))))

    def checked_by(host: str) -> ssl.SSLContext:
        adapter = session(4).get_adapter(f"https://{host}")
        assert isinstance(adapter, HTTPAdapter)
        asked = requests.Request("GET", f"https://{host}/").prepare()
        _, pool = adapter.build_connection_pool_key_attributes(asked, str(bundle))
        assert "ca_certs" not in pool
        context = pool["ssl_context"]
        assert isinstance(context, ssl.SSLContext)
        return context

    first = checked_by("dev.azure.com")
    assert (first.verify_mode, first.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert first.cert_store_stats()["x509"] == 1
    assert checked_by("contoso-pats.vault.azure.net") is first
    os.utime(bundle, ns=(0, 0))
    assert checked_by("dev.azure.com") is not first


@pytest.fixture
def untrusted(tmp_path: Path) -> Iterator[int]:
    """A TLS server whose certificate nobody knows."""
    now = datetime.now(UTC).replace(microsecond=0)
    held = tmp_path / "server.pem"
    held.write_text(pem(a_key(), a_certificate(a_key(), begins=now - days(1), ends=now + days(9))))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(held)
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                caller, _ = server.accept()
            except OSError:
                return
            try:
                context.wrap_socket(caller, server_side=True).close()
            except OSError:
                caller.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)


@pytest.mark.parametrize(("name", "taken"), [("localhost", True), ("vault.azure.net", False)])
def test_promise_7_a_trusted_certificate_of_another_host_is_refused(tmp_path: Path, name: str, taken: bool) -> None:
    """The context that all connections share still asks for the name of each."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    bundle = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(bundle)
    with ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        made = session(4)
        made.trust_env, made.verify = False, str(bundle)
        try:
            if taken:
                assert made.get(f"https://localhost:{server.server_port}/", timeout=20).status_code == 204
            else:
                with pytest.raises(requests.exceptions.SSLError, match=r"doesn't match|not valid for|mismatch"):
                    made.get(f"https://localhost:{server.server_port}/", timeout=20)
        finally:
            server.shutdown()


class Nothing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def test_promise_8_a_certificate_that_nobody_knows_names_the_bundle(untrusted: int) -> None:
    made = session(4)
    made.trust_env = False
    with pytest.raises(requests.exceptions.SSLError) as caught:
        made.get(f"https://localhost:{untrusted}/", timeout=5)
    known = lost(caught.value)
    assert (known.left, known.passes) == (False, False)
    assert "REQUESTS_CA_BUNDLE" in known.remedy
    assert "certificate" in known.cause


# --- the identity -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:41741/msi/token", "http://169.254.169.254/metadata/identity"])
def test_promise_8_an_identity_behind_a_proxy_names_no_proxy_and_sends_it_nothing(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", "the-identity-s-own-key")
    with proxy(200) as reached:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{reached.port}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{reached.port}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "")
        transport = RequestsTransport(session=session(4), session_owner=False)
        identity = ManagedIdentityCredential(transport=transport, retry_total=0)
        with pytest.raises(NoToken) as caught:
            OwnIdentity(identity).get_token("https://vault.azure.net/.default")
        assert isinstance(caught.value.known, Misconfigured)
        assert "NO_PROXY" in caught.value.known.cause
        with pytest.raises(Misconfigured, match="NO_PROXY"):
            ManagedAssertion(lambda: identity, "login.microsoftonline.com")()
    assert reached.asked == 0


def test_a_refusal_of_patrol_s_own_identity_is_not_the_vault_s() -> None:
    lab = Lab([item()])
    lab.cloud.identity.enabled = False
    with pytest.raises(NotDone) as caught:
        calls_of(lab, session_for(lab.cloud))["write"]()
    assert caught.value.code is Code.IDENTITY_UNAVAILABLE
    assert "role" not in caught.value.remedy


# --- the environment --------------------------------------------------------------------------------------------------


def test_each_host_goes_its_own_way_whichever_was_asked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://proxy.contoso.com:8080")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "vault.azure.net")
    ways = session(1)

    def found(url: str, **own: str) -> Any:
        return ways.merge_environment_settings(url, own, None, None, None)["proxies"]

    for _ in range(2):
        assert "https" not in found("https://contoso.vault.azure.net/secrets")
        assert found("https://dev.azure.com/contoso")["https"] == "http://proxy.contoso.com:8080"
    own = "http://another.contoso.com:8080"
    assert found("https://dev.azure.com/contoso", https=own)["https"] == own, "a caller's own choice is its own"
    found("https://dev.azure.com/contoso")["https"] = "changed by a caller"
    assert found("https://dev.azure.com/contoso")["https"] == "http://proxy.contoso.com:8080"


# --- cookies ----------------------------------------------------------------------------------------------------------


class WithCookies(SandboxAdapter):
    """Every service sets the cookies that it is recorded to set; what comes back is kept."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab.cloud)
        self.sent: list[tuple[str, str | None]] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **given: Any) -> requests.Response:
        self.sent.append((request.url or "", request.headers.get("Cookie")))
        response = super().send(request, *args, **given)
        for cookie in ("fpc=of-the-first-user; path=/", "VstsSession=of-the-first-user; path=/; secure"):
            response.raw.headers.add("Set-Cookie", cookie)
        # requests reads cookies from the message of http.client.
        response.raw._original_response = type("Original", (), {"msg": _Message(response.raw.headers)})()
        return response


class _Message:
    def __init__(self, headers: Any) -> None:
        self._headers = headers

    def get_all(self, name: str, default: Any = None) -> Any:
        return self._headers.getlist(name) or default


def test_promise_5_no_cookie_travels_from_one_user_to_another_or_with_a_proof() -> None:
    lab = Lab([item()])
    made = session(4)
    made.trust_env = False
    adapter = WithCookies(lab)
    made.mount("https://", adapter)
    world = wiring.world(
        lab.settings, timedelta(hours=1), clock=lab.clock, http=made, identity=LabIdentity(lab.cloud), tell=lab.tell
    )
    world.vault.listing()
    for _ in range(2):
        password = world.credentials.read("svc-agents-password").value
        api = world.directory.sign_in(SIGN_IN, User(AGENTS, "x"), password, PROOF)
        fresh = api.mint("contoso", "x", ("vso.code",), lab.clock.now() + days(9))
        world.verifier.verify(Claim(AGENTS, "contoso"), fresh.value)
    assert len(adapter.sent) > 10
    assert {cookie for _, cookie in adapter.sent} == {None}
    assert not list(made.cookies)
    plain = requests.Session()
    plain.mount("https://", adapter)
    plain.get("https://login.microsoftonline.com/x", timeout=5)
    assert list(plain.cookies), "a session without the policy would have kept them"


def test_promise_5_a_proof_goes_out_on_a_session_of_its_own() -> None:
    lab = Lab([item()])
    world: Any = wiring.world(lab.settings, timedelta(hours=1), identity=LabIdentity(lab.cloud))
    assert world.verifier._alone is not world.directory._authority._session
    assert world.directory._authority is world.tokens._authority
    assert world.directory._authority._session is world.verifier._session
