"""`pats.yaml`: `check` tells every mistake; a run goes on wherever that is safe."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.inventory import files
from shared.inventory.pats_yaml import check, load
from shared.model.credentials import ClientCertificate, ClientCredential, ClientSecret, FederatedIdentity, SignIn
from shared.model.errors import Code, Misconfigured
from shared.model.items import Item, Strategy
from tests.lab.inventory_texts import (
    CLIENT,
    EXAMPLE,
    PAT_ID,
    PAT_SHAPED,
    TENANT,
    Tree,
    a_user,
    an_estate,
    an_item,
    fails_alone,
    load_item,
    only_problem,
    own_names,
    stops,
    text_of,
    with_item,
)

# --- a good file -----------------------------------------------------------------------------------------------------


def test_promise_8_the_placeholders_of_the_example_are_refused_in_words_and_stop_a_run() -> None:
    placeholder = "is the placeholder of pats.example.yaml: write your own"
    assert {(problem.path, problem.says) for problem in check(EXAMPLE)} == {
        (path, placeholder)
        for path in ("sign_in.tenant", "sign_in.client_id", "defaults.organization", "users[0].username")
    } | {("users[0].pats[1].organization", placeholder)}
    with pytest.raises(Misconfigured, match=r"sign_in.tenant \(line 4\) is the placeholder"):
        load(EXAMPLE)


def test_the_example_is_in_order_but_for_its_placeholders() -> None:
    text = own_names(EXAMPLE)
    assert check(text) == ()
    read = load(text)
    assert read.invalid == ()
    assert read.sign_in == SignIn(TENANT, CLIENT, FederatedIdentity())
    agents, sonarqube = read.items()
    assert (agents.organization, agents.lifetime, agents.strategy) == ("contoso", timedelta(days=30), Strategy.ROTATE)
    assert (sonarqube.organization, sonarqube.lifetime) == ("fabrikam", timedelta(days=90))
    assert sonarqube.strategy is Strategy.RENEW


def test_what_nobody_says_is_built_in() -> None:
    assert load_item(with_item()) == Item(
        secret="build-feed",
        username="svc@contoso.com",
        organization="contoso",
        scopes=("vso.code",),
        lifetime=timedelta(days=30),
        rotate_before=timedelta(days=7),
        overlap=timedelta(days=1),
        strategy=Strategy.ROTATE,
        max_age=timedelta(days=365),
        verify="connection-data",
        paused=False,
        adopt=False,
        decommission=False,
        recover_deleted=False,
    )
    assert load(with_item()).overlap == timedelta(days=1)


def test_an_item_beats_the_defaults_and_they_beat_what_is_built_in() -> None:
    defaults = {
        "organization": "fabrikam",
        "lifetime": "60d",
        "rotate_before": "50%",
        "overlap": "12h",
        "strategy": "renew",
        "max_age": "90d",
        "verify": "_apis/git/repositories",
    }
    item = load_item(text_of(an_estate(a_user(an_item(lifetime="40d")), defaults=defaults)))
    assert (item.organization, item.lifetime, item.rotate_before) == (
        "fabrikam",
        timedelta(days=40),
        timedelta(days=20),
    )
    assert (item.overlap, item.strategy, item.max_age) == (timedelta(hours=12), Strategy.RENEW, timedelta(days=90))
    assert item.verify == "_apis/git/repositories"
    assert load(text_of(an_estate(defaults=defaults))).overlap == timedelta(hours=12)


@pytest.mark.parametrize("key", ["paused", "decommission", "recover_deleted"])
def test_a_switch_is_off_unless_it_is_true(key: str) -> None:
    assert getattr(load_item(with_item(**{key: True})), key) is True
    assert getattr(load_item(with_item(**{key: False})), key) is False


def test_adopt_is_a_switch_or_the_id_of_a_pat() -> None:
    assert load_item(with_item(adopt=True)).adopt is True
    assert load_item(with_item(adopt=PAT_ID)).adopt == PAT_ID.lower()


def test_a_former_user_has_no_pats() -> None:
    nothing: tuple[Any, ...] = ([], None)
    for pats in nothing:
        text = text_of(an_estate(a_user(pats=pats)))
        assert check(text) == ()
        (user,) = load(text).users
        assert (user.username, user.items) == ("svc@contoso.com", ())


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "pats.yaml"
    path.write_text(with_item(), encoding="utf-8-sig")
    assert files.check(files.read(path)) == ()
    assert len(files.load(files.read(path)).items()) == 1


def test_a_file_is_checked_once_and_again_when_it_changed(tmp_path: Path) -> None:
    path, other = tmp_path / "pats.yaml", tmp_path / "other.yaml"
    path.write_text(with_item(), encoding="utf-8")
    first = files.load(files.read(path))
    assert files.load(files.read(path)) is first, "an instance reads it for every message of the queue"
    other.write_text(with_item(secret="another-pat"), encoding="utf-8")
    assert [one.secret for one in files.load(files.read(other)).items()] == ["another-pat"]
    path.write_text("users: [", encoding="utf-8")
    for _ in range(2):
        with pytest.raises(Misconfigured):
            files.load(files.read(path))


def test_ten_thousand_items_are_read_in_seconds() -> None:
    users = [
        a_user(*(an_item(secret=f"s-{user}-{number}") for number in range(10)), username=f"u{user}@contoso.com")
        for user in range(1000)
    ]
    text = text_of(an_estate(*users))
    started = time.process_time()
    assert len(load(text).items()) == 10_000
    assert time.process_time() - started < 6  # 0.5 s on a quiet machine


# --- defaults and users ----------------------------------------------------------------------------------------------


def test_a_bad_default_fails_only_the_items_that_would_use_it_and_is_told_once() -> None:
    items = [an_item(secret="uses-it"), an_item(secret="has-its-own", lifetime="30d"), an_item(secret="uses-it-too")]
    text = text_of(an_estate(a_user(*items), defaults={"organization": "contoso", "lifetime": "soon"}))
    assert only_problem(text).path == "defaults.lifetime"
    read = load(text)
    assert [item.secret for item in read.items()] == ["has-its-own"]
    assert [one.secret for one in read.invalid] == ["uses-it", "uses-it-too"]
    assert "needs `lifetime` of the defaults" in read.invalid[0].problem


def test_defaults_that_hold_no_keys_fail_every_item() -> None:
    text = text_of(an_estate(a_user(an_item()), defaults=["contoso"]))
    assert only_problem(text).path == "defaults"
    assert [one.secret for one in load(text).invalid] == ["build-feed"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (text_of(an_estate(a_user(an_item()), webhooks=[])), ""),
        (
            text_of(an_estate(a_user(an_item()), defaults={"organization": "contoso", "livetime": "1d"})),
            "defaults",
        ),
        (text_of(an_estate(a_user(an_item(), note="x"))), "users[0]"),
        (text_of(an_estate(a_user(an_item(), password="x"))), "users[0]"),
        (text_of(an_estate(a_user(an_item()))).replace('"users"', '5: 6, ~: 7, "users"'), ""),
    ],
    ids=["top", "defaults", "user", "a password", "not even text"],
)
def test_an_unknown_key_outside_an_item_is_told_and_stops_nothing(text: str, path: str) -> None:
    assert path in {problem.path for problem in check(text)}
    read = load(text)
    assert (len(read.items()), read.invalid) == (1, ())


@pytest.mark.parametrize(
    ("keys", "path", "says"),
    [
        ({"username": "svc"}, "username", "is not a user principal name"),
        ({"username": "a@b@contoso.com"}, "username", "is not a user principal name"),
        ({"username": "svc @contoso.com"}, "username", "is not a user principal name"),
        ({"username": "svc/x@contoso.com"}, "username", "is not a user principal name"),
        ({"username": "svc\u200b@contoso.com"}, "username", "is not a user principal name"),
        ({"username": "svc@contoso.com\n"}, "username", "is not a user principal name"),
        ({"username": "a_b.com#EXT#@contoso.onmicrosoft.com"}, "username", "is a guest"),
        ({"username": False}, "username", "put it in quotes"),
        ({"password_secret_name": "p w"}, "password_secret_name", "1 to 127 letters, digits and hyphens"),
        ({"password_secret_name": None}, "password_secret_name", "is empty"),
        ({"password_secret_name": "patrol-blocked-0"}, "password_secret_name", "patrol's own"),
        ({"password_secret_name": "patrol-enrolled-0"}, "password_secret_name", "patrol's own"),
        ({"username": "22222222-3333-4444-5555-666666666666"}, "username", "service_principals"),
        ({"enrolled": True}, "enrolled", "take one of the two out"),
        ({"enrolled": "yes"}, "enrolled", "must be true or false"),
    ],
)
def test_a_user_that_cannot_sign_in_fails_with_all_its_items(keys: Tree, path: str, says: str) -> None:
    text = text_of(an_estate(a_user(an_item(), an_item(secret="other"), **keys), a_user(username="b@contoso.com")))
    assert only_problem(text).path == f"users[0].{path}"
    read = load(text)
    assert [one.secret for one in read.invalid] == ["build-feed", "other"]
    assert all(says in one.problem for one in read.invalid)
    assert [user.username for user in read.users] == ["b@contoso.com"]


@pytest.mark.parametrize(
    ("user", "says"),
    [
        (a_user(username="svc"), "is not a user principal name"),
        (a_user(pats={"secret": "build-feed"}), "must be a list of PATs"),
        ("svc@contoso.com", "must be a user with username"),
        (None, "must be a user with username"),
    ],
)
def test_a_user_without_a_readable_item_does_not_vanish_from_the_run(user: Any, says: str) -> None:
    fails_alone(text_of(an_estate(user)), only_problem(text_of(an_estate(user))).path, says)
    assert load(text_of(an_estate(user))).users == ()


def test_rule_16_a_user_has_a_password_or_was_enrolled_and_neither_is_a_mistake() -> None:
    user = {"username": "svc@contoso.com", "enrolled": True, "pats": [an_item()]}
    enrolled = load(text_of(an_estate(user))).users[0]
    assert enrolled.enrolled
    assert enrolled.credential_name == "patrol-enrolled-17aa89f71f35"
    for keys in ({}, {"enrolled": False}):
        neither = text_of(an_estate({**user, **keys} if keys else {"username": "svc@contoso.com", "pats": [an_item()]}))
        fails_alone(neither, "users[0].password_secret_name", "or write `enrolled: true`")


def test_a_username_comes_once_whatever_its_case() -> None:
    text = text_of(an_estate(a_user(an_item()), a_user(an_item(secret="other"), username="SVC@contoso.com")))
    assert only_problem(text).path == "users[1].username"
    assert [one.secret for one in load(text).invalid] == ["other"]


def test_a_credential_of_another_user_is_not_overwritten() -> None:
    text = text_of(
        an_estate(
            a_user(an_item(secret="OTHER-password")), a_user(password_secret_name="other-password", username="b@c.de")
        )
    )
    fails_alone(text, "users[0].pats[0].secret", "holds a credential")


# --- what stops a run ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("users: [", 1, ""),
        ("a: 1\n\tb: 2", 2, ""),
        ("a: 1\nb: \x07", 2, "a character that YAML does not allow"),
        ("a: 1\na: 2", 2, "a key comes twice"),
        ("users:\n  - secret: a\n    secret: b", 3, "the key `secret` comes twice"),
        ("a: 1\n---\nb: 2", 2, "another document"),
        ("a:\n  - 2026-02-31", 2, "put it in quotes"),
        ("a: 1\nb: " + "9" * 5000, 2, "put it in quotes"),
        ("a: !!timestamp x", 1, "put it in quotes"),
        ("a: !!bool x", 1, "put it in quotes"),
        ("a: !!python/object/apply:os.getcwd []", 1, "which is a tag in YAML"),
        ("? [a]\n: 1", 1, "a list or a mapping stands where a key belongs"),
        ("a: !!map [[b, c]]", 1, ""),
    ],
)
def test_unreadable_yaml_stops_the_run_and_names_the_line(text: str, line: int, says: str) -> None:
    assert only_problem(text).line == line
    assert says in only_problem(text).says
    assert f"(line {line})" in stops(text, Code.INVENTORY_UNREADABLE)


@pytest.mark.parametrize("text", ["", "# nothing yet", "users", "[]", "42"])
def test_a_file_without_keys_stops_the_run(text: str) -> None:
    assert "it must hold the keys sign_in and users" in stops(text)


@pytest.mark.parametrize(
    ("sign_in", "says"),
    [
        ({"tenant": "common"}, "sign_in.tenant (line 1) name one tenant"),
        ({"tenant": "Organizations"}, "name one tenant"),
        ({"tenant": "contoso"}, "neither a domain of the tenant nor its id"),
        ({"client_id": "patrol"}, "must be a guid"),
        ({"client_id": None}, "is empty"),
        ({"client_secret_name": "a b"}, "1 to 127 letters, digits and hyphens"),
        ({"client_secret": "x"}, "never their values"),
        ({"client_secret_name": None}, "client_secret_name (line 1) is empty: name a secret, or leave the key out"),
        ({"client_certificate_name": "a b"}, "1 to 127 letters, digits and hyphens"),
        (
            {"client_certificate_name": "x"},
            "sign_in (line 1) names both client_secret_name and client_cert",
        ),
    ],
)
def test_an_invalid_sign_in_stops_the_run(sign_in: Tree, says: str) -> None:
    good = an_estate()["sign_in"]
    assert says in stops(text_of(an_estate(sign_in={**good, **sign_in})))


def test_a_missing_part_stops_the_run() -> None:
    estate = an_estate(a_user(an_item()))
    for key in ("sign_in", "users"):
        assert f"{key} (line 1) is missing" in stops(
            text_of({name: part for name, part in estate.items() if name != key})
        )


@pytest.mark.parametrize(
    ("named", "credential"),
    [
        ({"client_secret_name": "x"}, ClientSecret("x")),
        ({"client_certificate_name": "x"}, ClientCertificate("x")),
        ({}, FederatedIdentity()),
    ],
    ids=["secret", "certificate", "neither"],
)
def test_a_sign_in_names_a_client_secret_or_a_certificate_or_trusts_the_managed_identity(
    named: Tree, credential: ClientCredential
) -> None:
    text = text_of(an_estate(sign_in={"tenant": TENANT, "client_id": CLIENT, **named}))
    assert check(text) == ()
    assert load(text).sign_in == SignIn(TENANT, CLIENT, credential)


def test_a_pat_is_not_published_over_the_client_certificate() -> None:
    sign_in = {"tenant": TENANT, "client_id": CLIENT, "client_certificate_name": "Build-Feed"}
    text = text_of(an_estate(a_user(an_item()), sign_in=sign_in))
    assert "build-feed holds a credential" in only_problem(text).says


def test_a_tenant_may_be_its_id() -> None:
    text = text_of(an_estate(sign_in={"tenant": CLIENT, "client_id": CLIENT, "client_secret_name": "x"}))
    assert load(text).sign_in.tenant == CLIENT


def test_a_secret_named_twice_stops_the_run_across_users_and_whatever_its_case() -> None:
    text = text_of(an_estate(a_user(an_item()), a_user(an_item(secret="BUILD-feed"), username="b@contoso.com")))
    assert only_problem(text).path == "users[1].pats[0].secret"
    assert "users[1].pats[0].secret (line 1) BUILD-feed is named twice: also at users[0].pats[0]" in stops(text)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("användare: x".encode("latin-1"))
    for path, says in ((tmp_path / "none.yaml", "No such file"), (latin, "is not UTF-8 text")):
        with pytest.raises(Misconfigured, match=says) as caught:
            files.read(path)
        assert caught.value.code is Code.INVENTORY_UNREADABLE


# --- what check tells ------------------------------------------------------------------------------------------------

MANY_MISTAKES = """\
sign_in:
  tenant: common
  client_id: 11111111-2222-3333-4444-555555555555
  client_secret_name: patrol-client-secret
defaults: {organization: contoso}
users:
  - username: no
    password_secret_name: svc-password
    pats:
      - secret: one
        scopes: [vso.code]
      - secret: two
        scopes:
          - vso.wrok
          - vso.code
        lifetime: 30
        pausd: true
web_hooks: []
"""


def test_every_mistake_is_told_at_once_by_line() -> None:
    assert [(one.line, one.path) for one in check(MANY_MISTAKES)] == [
        (2, "sign_in.tenant"),
        (7, "users[0].username"),
        (14, "users[0].pats[1].scopes[0]"),
        (16, "users[0].pats[1].lifetime"),
        (17, "users[0].pats[1]"),
        (18, ""),
    ]


def test_text_that_yaml_reads_as_something_else_belongs_in_quotes() -> None:
    says = {one.path: one.says for one in check(MANY_MISTAKES)}
    assert says["users[0].username"] == "must be text: put it in quotes"
    assert says["users[0].pats[1].lifetime"] == "must be a duration such as 30d"


def test_a_missing_key_is_at_the_line_of_what_lacks_it() -> None:
    text = MANY_MISTAKES.replace("      - secret: one\n        scopes: [vso.code]\n", "      - scopes: [vso.code]\n")
    assert (10, "users[0].pats[0].secret") in [(one.line, one.path) for one in check(text)]


@pytest.mark.parametrize("key", ["secret", "organization"])
def test_a_pat_in_the_wrong_place_is_not_repeated(key: str) -> None:
    text = with_item(**{key: PAT_SHAPED})
    assert PAT_SHAPED not in repr(check(text))
    assert "looks like a PAT" in only_problem(text).says
    assert PAT_SHAPED not in repr(load(text))


def test_a_password_in_the_place_of_its_name_is_not_repeated() -> None:
    text = text_of(an_estate(a_user(an_item(), password_secret_name="Tr0ub4dor&3")))
    assert "Tr0ub4dor" not in repr(check(text)) + repr(load(text))


def test_aliases_within_aliases_cost_no_time() -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 12))
    problems = check(f"l0: &l0 [x]\n{levels}users: *l11\n")
    assert (11, "users[0]") in [(one.line, one.path) for one in problems]


def test_a_file_that_holds_itself_is_read() -> None:
    assert check("&a [*a]")
    assert check("users: &a [*a]\nsign_in: &b {tenant: *b}")
