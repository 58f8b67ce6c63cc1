"""What only the wire shows: pages, odd shapes, and each of the service's words."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from http.client import RemoteDisconnected
from pathlib import Path
from typing import Any, cast

import pytest
import requests
import urllib3
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

from sandbox.cloud.seed import AGENTS, CLIENT, PATS_VAULT, demo_estate, demo_pats_yaml
from sandbox.process.running import Running, start
from shared.model.credentials import ClientSecret, SignIn
from shared.model.errors import Absent, Code, Refused, Unclear
from shared.model.items import User
from shared.model.ports import PatApi
from shared.model.secret_text import SecretText
from shared.report.report import Outcome
from shared.services import pat_token_errors
from shared.services.devops_answers import Bearer
from shared.services.pat_api import read_instant
from shared.services.transport import retry_after, session
from shared.services.way_out import never_sent
from tests.lab.lab import Lab, days, item, row

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WORDS = [*pat_token_errors.REMEDIES, "aWordOfTomorrow"]


def signed_in(lab: Lab) -> PatApi:
    world = lab.world()
    sign_in = SignIn("contoso.onmicrosoft.com", CLIENT, ClientSecret("patrol-client-secret"))
    proof = world.proofs.of(sign_in.credential, world.clock.now())
    return world.directory.sign_in(
        sign_in, User(AGENTS, "x"), world.credentials.read("svc-agents-password").value, proof
    )


def test_every_documented_word_has_a_remedy() -> None:
    assert len(pat_token_errors.REMEDIES) == 36  # and `none`, the 37th


@pytest.mark.parametrize("status", [200, 400, 403])
@pytest.mark.parametrize("word", WORDS)
def test_promise_8_each_word_of_the_pat_api_is_a_plain_refusal_with_its_remedy(word: str, status: int) -> None:
    lab = Lab([item()], quick=True)
    lab.run()
    lab.wait(days(24))
    lab.quick = False
    lab.cloud.add_fault("pats.create", "pat_error", call=None, error=word, status=status)
    report = lab.run()
    failure = row(report).error
    assert row(report).outcome is Outcome.FAILED
    assert failure is not None
    assert failure.code is Code.MINT_REFUSED
    assert word in failure.message
    assert failure.remedy == pat_token_errors.remedy(word)
    assert len(lab.cloud.calls("pats.create")) == 1
    assert len(lab.live()) == 1
    assert lab.works("build-pat")


@pytest.mark.parametrize("word", WORDS)
def test_each_word_on_renew_get_and_revoke(word: str) -> None:
    lab = Lab([item()])
    lab.watch.by_hand = True
    pat = lab.cloud.pats.seed(AGENTS, "contoso", "x", valid_from=lab.clock.now())
    api = signed_in(lab)
    kind = Absent if word in pat_token_errors.GONE else Refused
    for operation in ("pats.get", "pats.update", "pats.revoke"):
        lab.cloud.add_fault(operation, "pat_error", call=None, error=word)
    with pytest.raises(kind):
        api.get("contoso", pat.authorization_id)  # type: ignore[arg-type]
    with pytest.raises(kind):
        api.extend("contoso", pat.authorization_id, "x", ("vso.code",), lab.clock.now())  # type: ignore[arg-type]
    if kind is Refused:
        with pytest.raises(Refused) as caught:
            api.revoke("contoso", pat.authorization_id)  # type: ignore[arg-type]
        assert caught.value.code is Code.REVOKE_REFUSED


@pytest.mark.parametrize("empty_pages", [False, True])
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_rule_5_a_listing_is_all_its_pages(size: int, empty_pages: bool) -> None:
    lab = Lab([item()])
    lab.cloud.switches.page_size_limit, lab.cloud.switches.empty_pat_pages = size, empty_pages
    for number in range(15):
        lab.cloud.pats.seed(AGENTS, "contoso", f"name {number}", valid_from=lab.clock.now())
    assert len(signed_in(lab).active("contoso")) == 15


def test_a_page_that_repeats_is_no_listing() -> None:
    lab = Lab([item()])
    api = signed_in(lab)
    body = '{"continuationToken":"again","patTokens":[]}'
    lab.cloud.add_fault("pats.list", "status", call=None, status=200, body=body)
    with pytest.raises(Unclear):
        api.active("contoso")


def test_a_byte_order_mark_is_read_over() -> None:
    lab = Lab([item()])
    lab.cloud.switches.body_mark = True
    assert row(lab.run()).outcome is Outcome.DONE


@pytest.mark.parametrize("count", [0, 1, 25, 26, 60])
def test_rule_5_a_vault_listing_goes_on_over_short_and_empty_pages(count: int) -> None:
    lab = Lab([item()])
    for number in range(count):
        lab.vault.seed(f"secret-{number}", "x")
    assert len(lab.world().vault.listing().secrets) == count


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("2026-03-01T12:00:05Z", 5),
        ("2026-03-01T12:00:05.3Z", 5),
        ("2026-03-01T12:00:05.9999999Z", 5),
        ("2026-03-01T12:00:59.123Z", 59),
    ],
)
def test_instants_are_cut_to_whole_seconds(text: str, second: int) -> None:
    assert read_instant(text) == NOW.replace(second=second)


@pytest.mark.parametrize("text", [None, 5, "", "2026-03-01", "2026-03-01T12:00:05", "2026-13-01T12:00:05Z", "x" * 30])
def test_anything_else_is_no_instant(text: object) -> None:
    with pytest.raises(Unclear):
        read_instant(text)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7),
        ("0", 0),
        ("-3", 0),
        ("1.5", 1.5),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("soon", None),
        ("nan", None),
        ("inf", 86400),
        ("1e400", 86400),
        ("Thu, 01 Jan 1970 00:00:00 +99999999999999999999", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400),
        ("\ud83d", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == (None if seconds is None else timedelta(seconds=seconds))


def test_only_a_request_that_never_left_is_called_so() -> None:
    assert never_sent(requests.exceptions.ConnectTimeout())
    assert not never_sent(requests.exceptions.ReadTimeout())
    assert not never_sent(requests.exceptions.ConnectionError("Connection aborted"))
    assert not never_sent(requests.exceptions.SSLError("EOF occurred in violation of protocol"))
    with pytest.raises(requests.exceptions.ConnectionError) as caught:
        requests.get("https://127.0.0.1:9", timeout=1)
    assert never_sent(caught.value)


@pytest.mark.parametrize(
    ("blamed_for", "sent"),
    [
        (NewConnectionError(cast("Any", None), "refused"), False),
        (ConnectTimeoutError("too late"), False),
        (OSError("Tunnel connection failed: 403 Forbidden"), False),
        (RemoteDisconnected("Remote end closed connection without response"), True),
        (ConnectionResetError(104, "Connection reset by peer"), True),
        (TimeoutError("timed out"), True),
    ],
)
def test_promise_1_a_proxy_is_blamed_for_every_broken_connection_and_believed_only_before_the_request(
    blamed_for: Exception, sent: bool
) -> None:
    reason = urllib3.exceptions.ProxyError("Unable to connect to proxy", blamed_for)
    failure = MaxRetryError(cast("Any", None), "/secrets/build-pat", reason)
    assert never_sent(requests.exceptions.ProxyError(failure)) is not sent
    assert not never_sent(requests.exceptions.ProxyError("who knows"))


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("vault.set", "cut_after_effect"),
        pytest.param("vault.set", "cut_before_effect", marks=pytest.mark.exhaustive),
        *(
            pytest.param(operation, kind, marks=pytest.mark.exhaustive)
            for operation in ("pats.create", "pats.revoke", "vault.update")
            for kind in ("cut_before_effect", "cut_after_effect")
        ),
    ],
)
def test_promise_1_a_connection_cut_behind_a_proxy_is_doubt_and_no_published_value_dies(
    operation: str, kind: str, tmp_path: Path
) -> None:
    """As real processes: only a real proxy and TLS show what urllib3 makes of it."""
    inventory = tmp_path / "pats.yaml"
    inventory.write_text(demo_pats_yaml(), encoding="utf-8")
    with start(demo_estate()) as cloud:
        cloud.client.add_fault(operation, kind, call=1)
        extra = {"PATS_FILE": str(inventory), "PARALLEL_USERS": "1"}
        dead_before = dead(cloud)
        assert cloud.run_product(["-m", "shared", "run"], extra=extra).returncode in (0, 1)
        assert not cloud.client.pending_faults()
        assert dead(cloud) <= dead_before
        assert cloud.run_product(["-m", "shared", "run"], extra=extra).returncode == 0
        assert dead(cloud) == set()


def dead(cloud: Running) -> set[str]:
    """The PATs of current versions that do not live."""
    known = cloud.client.estate(reveal=True)
    alive = {pat["authorization_id"]: pat["value"] for pat in known["pats"] if pat["state"] == "active"}
    (secrets,) = (vault["secrets"] for vault in known["vaults"] if vault["host"] == PATS_VAULT)
    current = [one["versions"][-1] for one in secrets if "authorization-id" in one["versions"][-1]["tags"]]
    assert len(current) > 5
    return {
        one["tags"]["authorization-id"] for one in current if alive.get(one["tags"]["authorization-id"]) != one["value"]
    }


@pytest.mark.parametrize(
    "asked",
    [
        requests.Request("GET", "https://vssps.dev.azure.com/x", auth=Bearer(SecretText("ours"))),
        # As the SDKs of Azure and msal ask: a header, and no `auth`.
        requests.Request("GET", "https://contoso-pats.vault.azure.net/secrets", {"Authorization": "Bearer ours"}),
    ],
    ids=["Azure DevOps", "an SDK"],
)
def test_promise_7_a_netrc_is_sent_nowhere_and_never_replaces_the_bearer(
    asked: requests.Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert session(1).prepare_request(asked).headers["Authorization"] == "Bearer ours"


def test_requests_with_a_body_do_not_wait_for_each_other_behind_a_proxy() -> None:
    """Measured: 40 ms for each, by delayed acknowledgements (urllib3 leaves Nagle's algorithm on for proxies)."""
    adapter: Any = session(4).get_adapter("https://dev.azure.com")
    manager = adapter.proxy_manager_for("http://127.0.0.1:3128")
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in manager.connection_pool_kw["socket_options"]
