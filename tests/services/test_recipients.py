"""Recipients of notices: what each kind is sent, what its answers mean, and where nothing is sent at all."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import requests

from sandbox.cloud.clock import ManualClock
from sandbox.cloud.cloud import Cloud
from sandbox.process import certificates
from sandbox.process.in_process import session_for
from shared.model.clock import Deadline, SystemClock
from shared.model.errors import Busy, Code, NotDone, PatrolError, Refused, Unclear
from shared.model.notices import EVENTS, Event, Kind, Notice, NoticeItem, Recipient
from shared.model.secret_text import SecretText
from shared.services import notice_bodies
from shared.services.answers import Answer
from shared.services.notice_addresses import is_allowed, why_not_address
from shared.services.notice_post import DirectPost, NotAllowed, SessionPost, Unresolved, target
from shared.services.recipients import NoticeRecipients, judge
from tests.lab.lab import LabClock

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
# What a library of somebody else's (standardwebhooks 1.1.0) makes of this key, id, time and body.
VECTOR = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def a_notice(event: Event = Event.FAILED, items: int = 2, name: str = "build-pat", **more: object) -> Notice:
    named = tuple(
        NoticeItem(f"{name}-{number}", "svc@contoso.com", "contoso", NOW + timedelta(days=number), "v" * 32)
        for number in range(items)
    )
    notice = Notice(
        "n" * 32,
        event,
        "mint-refused",
        "",
        "Azure DevOps made no PAT: `patLifespanPolicyViolation`.",
        "Ask an administrator.",
        NOW,
        "contoso-patrol",
        "contoso-pats.vault.azure.net",
        "a" * 32,
        named,
        items,
        since=NOW,
        serious_at=NOW + timedelta(days=1),
    )
    return replace(notice, **more)  # type: ignore[arg-type]


@dataclass
class Told:
    """One recipient of the sandbox, told through the real adapter."""

    kind: str
    key: str = ""
    cloud: Cloud = field(init=False)
    manual: ManualClock = field(init=False)

    def __post_init__(self) -> None:
        self.manual = ManualClock(NOW)
        self.cloud = Cloud(self.manual.now, seed=1)
        self.url = SecretText(self.cloud.add_recipient("flows.contoso.com", self.kind, self.key))
        self.to = Recipient(Kind(self.kind), "the-url", signing_secret_name="the-key" if self.key else "")

    def tell(self, notice: Notice, *, key: str | None = None, url: str | None = None) -> str:
        clock = LabClock(self.manual)
        http = session_for(self.cloud, lambda seconds: clock.sleep(timedelta(seconds=seconds)))
        signing = SecretText(key or self.key) if key or self.key else None
        recipients = NoticeRecipients(SessionPost(http), clock)
        given = SecretText(url) if url else self.url
        return recipients.tell(self.to, given, signing, notice, Deadline.after(clock, timedelta(minutes=2)))

    @property
    def state(self) -> list[dict[str, object]]:
        return self.cloud.recipients["flows.contoso.com"].shown


@pytest.mark.parametrize("event", [*EVENTS, Event.TEST])
@pytest.mark.parametrize("kind", [kind.value for kind in Kind])
def test_rule_19_each_kind_shows_each_event(kind: str, event: Event) -> None:
    told = Told(kind, KEY if kind == "webhook" else "")
    assert told.tell(a_notice(event)).startswith("HTTP 20")
    (shown,) = told.state
    text = json.dumps(shown, ensure_ascii=False)
    for part in ("contoso-patrol", "patLifespanPolicyViolation", "Ask an administrator.", "build-pat-0", "a" * 32):
        assert part in text, part


@pytest.mark.parametrize("kind", list(Kind))
def test_rule_17_an_item_of_another_vault_is_told_with_it(kind: Kind) -> None:
    home, web = "contoso-pats.vault.azure.net", "contoso-web.vault.azure.net"
    items = (NoticeItem("build-pat", vault=home), NoticeItem("web-pat", vault=web))
    text = notice_bodies.body(kind, replace(a_notice(), items=items)).decode()
    assert text.count(web) == 1
    if kind is not Kind.WEBHOOK:
        assert text.count(home) == 1, "once for all that are at home"


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("items", [0, 1, 50, 5000])
def test_rule_19_a_notice_stays_under_20_kb_however_many_items(kind: Kind, items: int) -> None:
    notice = a_notice(items=min(items, 50), name="n" * 120, items_in_all=items, cause="c" * 1000, remedy="r" * 1000)
    made = notice_bodies.body(kind, notice)
    assert len(made) <= notice_bodies.LARGEST
    if items > 50:
        assert str(items) in made.decode() or f"{items - 5} more" in made.decode()


@pytest.mark.parametrize("kind", list(Kind))
def test_rule_19_hostile_names_are_text(kind: Kind) -> None:
    hostile = "[x](https://evil.example) <!channel> **b** \u202e\x1b[31m\n# h"
    notice = a_notice(items=1, subject=hostile, cause=hostile, remedy=hostile)
    made = json.loads(notice_bodies.body(kind, notice))
    if kind is Kind.WEBHOOK:
        assert made["subject"] == hostile  # data, for programs
        return
    text = json.dumps(made, ensure_ascii=False)
    assert "\u202e" not in text
    assert "\\u001b" not in text
    if kind is Kind.SLACK:
        assert "<!channel>" not in made["text"]
        kinds = {block["text"]["type"] for block in made["attachments"][0]["blocks"]}
        assert kinds == {"plain_text"}
    else:
        card = made["attachments"][0]["content"] if kind is Kind.TEAMS else made
        assert {block["type"] for block in card["body"]} == {"RichTextBlock"}


def test_rule_19_the_signature_is_that_of_standard_webhooks() -> None:
    id_, seconds, body = VECTOR
    notice = a_notice(id=id_)
    at = datetime.fromtimestamp(seconds, UTC)
    made = notice_bodies.headers(Kind.WEBHOOK, notice, body, SecretText(KEY), at)
    assert (made["webhook-id"], made["webhook-timestamp"]) == (id_, str(seconds))
    assert made["webhook-signature"] == SIGNED
    both = notice_bodies.headers(Kind.WEBHOOK, notice, body, SecretText(f"whsec_{'A' * 32} {KEY}"), at)
    assert both["webhook-signature"].split(" ")[1] == SIGNED


def test_rule_19_a_webhook_without_a_key_is_not_signed() -> None:
    assert notice_bodies.headers(Kind.WEBHOOK, a_notice(), b"", None, NOW).keys() == {"Content-Type"}


@pytest.mark.parametrize("key", ["whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_???", " "])
def test_promise_8_a_key_that_is_none_is_told_and_nothing_is_sent(key: str) -> None:
    told = Told("webhook", KEY)
    with pytest.raises(NotDone) as caught:
        told.tell(a_notice(), key=key)
    assert caught.value.code is Code.RECIPIENT_UNREADABLE
    assert key.strip() == "" or key not in str(caught.value)
    assert told.cloud.calls() == []


def test_rule_19_another_address_or_key_is_refused_in_words_without_either() -> None:
    told = Told("webhook", KEY)
    with pytest.raises(Refused) as caught:
        told.tell(a_notice(), key=f"whsec_{'A' * 32}")
    assert caught.value.code is Code.RECIPIENT_REFUSED
    with pytest.raises(Refused) as caught:
        told.tell(a_notice(), url="https://flows.contoso.com/hooks/another-token-of-it")
    assert "another-token-of-it" not in str(caught.value)
    assert "the-url" in str(caught.value)


def test_rule_19_a_2xx_of_teams_proves_nothing() -> None:
    """The wrong kind is taken with 202 like the right one, and nobody sees it."""
    told = Told("teams-card")
    told.to = replace(told.to, kind=Kind.TEAMS)
    assert told.tell(a_notice()) == "HTTP 202"
    assert told.state == []


ANSWERS = [
    (Kind.TEAMS, 202, b"", {}, "HTTP 202"),
    (Kind.TEAMS, 200, b"<html>", {"Content-Type": "text/html"}, Unclear),
    (Kind.SLACK, 200, b"ok", {}, "HTTP 200"),
    (Kind.SLACK, 200, b"<html>sign in</html>", {}, Unclear),
    (Kind.WEBHOOK, 204, b"", {}, "HTTP 204"),
    (Kind.WEBHOOK, 200, b"whatever", {}, "HTTP 200"),
    (Kind.WEBHOOK, 302, b"", {"Location": "https://elsewhere.example"}, Refused),
    (Kind.WEBHOOK, 307, b"", {}, Refused),
    (Kind.SLACK, 400, b"invalid_payload", {}, Refused),
    (Kind.TEAMS, 401, b"", {}, Refused),
    (Kind.WEBHOOK, 410, b"", {}, Refused),
    (Kind.WEBHOOK, 429, b"", {}, Busy),
    (Kind.WEBHOOK, 503, b"", {}, Busy),
]


@pytest.mark.parametrize(("kind", "status", "body", "headers", "means"), ANSWERS)
def test_rule_2_what_an_answer_means(
    kind: Kind, status: int, body: bytes, headers: dict[str, str], means: str | type[PatrolError]
) -> None:
    answer = Answer(status, requests.structures.CaseInsensitiveDict(headers), body)
    if isinstance(means, str):
        assert judge(Recipient(kind, "the-url"), answer) == means
        return
    with pytest.raises(means) as caught:
        judge(Recipient(kind, "the-url"), answer)
    assert "example" not in str(caught.value)
    assert str(status) in str(caught.value)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://flows.contoso.com/x", "https"),
        ("ftp://flows.contoso.com/x", "https"),
        ("flows.contoso.com/x", "https"),
        ("https://user:word@flows.contoso.com/x", "user"),
        ("https:///x", "host"),
        ("https://flows.contoso.com:0/x", "host"),
        ("https://flows.contoso.com:99999/x", "no address"),
        ("https://flows.contoso.com/x y", "blank"),
        ("https://flows.contoso.com/ä", "blank"),
        ("https://flows.contoso.com/x#y", "#"),
    ],
)
def test_promise_8_what_is_no_address_is_told_without_showing_it(url: str, what: str) -> None:
    problem = why_not_address(url)
    assert problem is not None
    assert what in problem.what
    assert "contoso" not in problem.what + problem.remedy
    told = Told("webhook")
    with pytest.raises(NotDone) as caught:
        told.tell(a_notice(), url=url)
    assert (caught.value.code, told.cloud.calls()) == (Code.RECIPIENT_UNREADABLE, [])


PRIVATE = ["10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "100.64.0.1", "::1", "fd00::1", "::ffff:10.0.0.1"]
NEVER = [
    *("169.254.169.254", "168.63.129.16", "fe80::1", "0.0.0.0", "224.0.0.1"),
    *("64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "::ffff:169.254.169.254"),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_rule_19_private_addresses_only_where_pats_yaml_allows_them(address: str) -> None:
    assert not is_allowed(address, private=False)
    assert is_allowed(address, private=True)


@pytest.mark.parametrize("address", NEVER)
def test_rule_19_what_gives_away_an_identity_is_never_asked(address: str) -> None:
    assert not is_allowed(address, private=True)


@pytest.mark.parametrize("address", ["20.50.2.1", "2603:1030::1", "64:ff9b::1432:201"])
def test_rule_19_public_addresses_are_asked(address: str) -> None:
    assert is_allowed(address, private=False)


# --- over a real socket -----------------------------------------------------------------------------------------------

HOST = "hooks.contoso.com"


@dataclass
class Listening:
    """A TLS server on this machine that keeps the first line and the headers of what it is asked."""

    port: int
    bundle: Path
    asked: list[tuple[str, dict[str, str]]]


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listening]:
    asked: list[tuple[str, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.requestline, dict(self.headers.items())))
            moved = "moved" in self.path
            self.send_response(308 if moved else 204)
            self.send_header("Location", f"https://{HOST}:{server.server_port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    made = certificates.make(tmp_path, frozenset({HOST}))

    class Server(HTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that does not take the certificate."""

    server = Server(("127.0.0.1", 0), Handler)
    context: ssl.SSLContext = made.server
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Listening(server.server_port, made.bundle, asked)
    server.shutdown()
    server.server_close()


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch, listening: Listening) -> Listening:
    """No proxy, and the throw-away authority."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(listening.bundle))
    return listening


def post(direct: Listening, path: str, *addresses: str, private: bool = True) -> Answer:
    sender = DirectPost(lambda _, __: addresses or ("127.0.0.1",))
    return sender(f"https://{HOST}:{direct.port}{path}", b"{}", {"X-Of": "test"}, (30.0, 30.0), private)


AS_WRITTEN = "/a%2fb/%7Euser/x?sp=%2Ftriggers%2fmanual&sig=a-b_c~d%3d&e='(!)'&&f"


def test_rule_19_the_address_is_sent_as_it_is_written(direct: Listening) -> None:
    assert post(direct, AS_WRITTEN).status == 204
    ((line, headers),) = direct.asked
    assert line == f"POST {AS_WRITTEN} HTTP/1.1"
    assert headers["Host"] == f"{HOST}:{direct.port}"
    assert "Authorization" not in headers


def test_rule_19_it_connects_to_the_address_that_was_checked_for_the_host_that_was_named(direct: Listening) -> None:
    """The certificate is the host's, which no resolver of this machine knows."""
    assert post(direct, "/x", "127.0.0.1").status == 204
    with pytest.raises(requests.exceptions.SSLError):
        DirectPost(lambda _, __: ("127.0.0.1",))(
            f"https://other.contoso.com:{direct.port}/x", b"", {}, (30.0, 30.0), True
        )
    assert len(direct.asked) == 1


def test_rule_19_a_redirect_is_not_followed(direct: Listening) -> None:
    assert post(direct, "/moved").status == 308
    assert len(direct.asked) == 1


def test_rule_19_nothing_is_sent_to_a_private_address(direct: Listening) -> None:
    with pytest.raises(NotAllowed):
        post(direct, "/x", private=False)
    with pytest.raises(NotAllowed):
        post(direct, "/x", "20.50.2.1", "127.0.0.1", private=False)
    with pytest.raises(NotAllowed):
        DirectPost()(f"https://127.0.0.1:{direct.port}/x", b"", {}, (30.0, 30.0), False)
    assert direct.asked == []


def test_rule_19_one_address_that_is_not_reached_does_not_hide_the_next(direct: Listening) -> None:
    assert post(direct, "/x", "127.0.0.3" if _refuses("127.0.0.3", direct.port) else "::1", "127.0.0.1").status == 204


def _refuses(address: str, port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex((address, port)) != 0


def test_rule_19_a_name_that_nobody_knows_is_no_answer(direct: Listening) -> None:
    def nowhere(_: str, __: int) -> tuple[str, ...]:
        raise OSError("no such name")

    with pytest.raises(Unresolved):
        DirectPost(nowhere)(f"https://{HOST}:{direct.port}/x", b"", {}, (30.0, 30.0), True)
    clock = SystemClock()
    recipients = NoticeRecipients(DirectPost(nowhere), clock)
    deadline = Deadline.after(clock, timedelta(0), timedelta(0))
    with pytest.raises(Busy) as caught:
        recipients.tell(
            Recipient(Kind.WEBHOOK, "the-url"), SecretText(f"https://{HOST}/token-x"), None, a_notice(), deadline
        )
    assert "token-x" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "behind"),
    [
        ("https://a.example", "/"),
        ("https://a.example?x=1", "/?x=1"),
        ("https://a.example:444/b?c=d", "/b?c=d"),
        ("https://[::1]:444/b", "/b"),
    ],
)
def test_what_stands_behind_the_host(url: str, behind: str) -> None:
    assert target(url) == behind
