"""PATS_FILE as a folder: files that teams own, together one inventory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shared.inventory import files, pats_yaml
from shared.inventory.pats_yaml import Problem
from shared.model import inventory_files
from shared.model.errors import Code, Misconfigured
from shared.model.items import Inventory
from tests.lab.inventory_texts import CLIENT, TENANT, Tree, a_user, an_estate, an_item, text_of

HEAD = f"""\
sign_in: {{tenant: {TENANT}, client_id: {CLIENT}}}
defaults:
  organization: contoso
  lifetime: 60d
"""
WEB = """\
users:
  - username: svc-web@contoso.com
    password_secret_name: svc-web-password
    pats:
      - secret: web-pat
        scopes: [vso.code]
"""
DATA = WEB.replace("web", "data")


def written(folder: Path, texts: Mapping[str, str | bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def load(folder: Path, **texts: str | bytes) -> Inventory:
    return files.load(files.read(written(folder, {f"{name}.yaml": text for name, text in texts.items()})))


def check(folder: Path, **texts: str | bytes) -> tuple[Problem, ...]:
    return files.check(files.read(written(folder, {f"{name}.yaml": text for name, text in texts.items()})))


def stops(folder: Path, **texts: str | bytes) -> Misconfigured:
    assert check(folder, **texts), "what stops a run is told by check"
    with pytest.raises(Misconfigured) as caught:
        load(folder, **texts)
    return caught.value


def told(problems: tuple[Problem, ...]) -> list[tuple[str, int | None, str]]:
    return [(problem.file, problem.line, problem.says) for problem in problems]


def secrets(read: Inventory) -> list[str]:
    return [item.secret for item in read.items()]


def test_the_files_of_a_folder_are_one_inventory_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = written(tmp_path / "pats", {"README.md": "no", "old.yaml.bak": "[", ".hidden.yaml": "["})
    (folder / "deeper.yaml").mkdir()
    (folder / "deeper.yaml").rmdir()
    assert check(folder, platform=HEAD, web=WEB, data=DATA) == ()
    read = load(folder, platform=HEAD, web=WEB, data=DATA)
    assert secrets(read) == ["data-pat", "web-pat"]
    assert {item.lifetime.days for item in read.items()} == {60}, "the defaults hold for every file"
    assert read.unread == ()


def test_a_folder_is_read_again_when_a_file_of_it_changed(tmp_path: Path) -> None:
    first = load(tmp_path, platform=HEAD, web=WEB)
    assert load(tmp_path, platform=HEAD, web=WEB) is first
    assert secrets(load(tmp_path, web=WEB.replace("web-pat", "next-pat"))) == ["next-pat"]


def test_every_mistake_names_its_file_and_line(tmp_path: Path) -> None:
    web = WEB.replace("vso.code", "vso.cod").replace("pats:", "pat:\n    pats:")
    assert told(check(tmp_path, platform=HEAD + "defualts: {}\n", web=web)) == [
        ("platform.yaml", 5, "a key here is not known; did you mean defaults?"),
        ("web.yaml", 4, "`pat` must not be here: pats.yaml holds names of Key Vault secrets, never their values"),
        ("web.yaml", 7, "is not a known scope; did you mean vso.code?"),
    ]
    (invalid,) = load(tmp_path).invalid
    assert invalid.secret == "web-pat"
    assert invalid.problem.startswith("web.yaml:7 users[0].pats[0].scopes[0] is not a known scope")


def test_promise_8_a_secret_of_two_files_is_told_with_both_and_works_for_neither(tmp_path: Path) -> None:
    """Which of them is meant nobody can say; the teams that have nothing to do with it go on."""
    texts = {
        "platform": HEAD,
        "web": WEB,
        "other": DATA.replace("data-pat", "WEB-pat"),
        "ops": DATA.replace("data", "ops"),
    }
    says = "is named twice: also at"
    assert told(check(tmp_path, **texts)) == [
        ("other.yaml", 5, f"WEB-pat {says} web.yaml:5 users[0].pats[0] (names are case-insensitive)"),
        ("web.yaml", 5, f"web-pat {says} other.yaml:5 users[0].pats[0] (names are case-insensitive)"),
    ]
    read = load(tmp_path)
    assert secrets(read) == ["ops-pat"]
    assert sorted(item.key for item in read.invalid) == ["web-pat", "web-pat"]
    assert "web-pat" in read.managed()


def test_a_token_and_a_pat_of_two_files_in_one_secret_are_both_set_aside(tmp_path: Path) -> None:
    tokens = f"service_principals: [{{client_id: {CLIENT}, entra_token: {{secret: web-pat}}}}]\n"
    read = load(tmp_path, platform=HEAD, web=WEB, tokens=tokens)
    assert (secrets(read), read.tokens) == ([], ())
    assert [item.secret for item in (*read.invalid, *read.invalid_tokens)] == ["web-pat", "web-pat"]


def test_a_user_of_two_files_is_one_user(tmp_path: Path) -> None:
    more = WEB.replace("web-pat", "more-pat").replace("svc-web@", "SVC-web@").replace("web-password", "WEB-password")
    assert check(tmp_path, platform=HEAD, web=WEB, more=more) == ()
    read = load(tmp_path)
    assert len(read.users) == 1
    assert secrets(read) == ["more-pat", "web-pat"]


def test_promise_6_a_user_that_two_files_let_sign_in_otherwise_signs_in_by_neither(tmp_path: Path) -> None:
    other = WEB.replace("web-pat", "more-pat").replace("svc-web-password", "another-password")
    texts = {"platform": HEAD, "web": WEB, "more": other, "data": DATA}
    says = "svc-web@contoso.com signs in by another secret at {}: both must name the same one"
    assert told(check(tmp_path, **texts)) == [
        ("more.yaml", 2, says.format("web.yaml:2 users[0]")),
        ("web.yaml", 2, says.format("more.yaml:2 users[0]")),
    ]
    read = load(tmp_path)
    assert [user.username for user in read.users] == ["svc-data@contoso.com"]
    assert {item.secret for item in read.invalid} == {"web-pat", "more-pat"}


def test_a_user_twice_in_one_file_is_a_mistake_all_the_same(tmp_path: Path) -> None:
    twice = WEB + WEB.replace("users:\n", "").replace("web-pat", "more-pat")
    (problem,) = check(tmp_path, platform=HEAD, web=twice)
    assert (problem.file, problem.line) == ("web.yaml", 7)
    assert "comes twice" in problem.says


# --- a file that cannot be used ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "line", "says"),
    [
        ("users:\n  - [\n", 2, "is not readable: something does not end where it should"),
        ("users: []\nusers: []\n", 2, "is not readable: the key `users` comes twice"),
        ("användare: x".encode("latin-1"), None, "is not UTF-8 text: save it as UTF-8"),
        (b"#" * (inventory_files.LARGEST + 1), None, "has 4.0 MB, more than the 4 MB of one file: split it"),
        ("", None, "holds no keys"),
        ("# soon\n", None, "holds no keys"),
        ("- web-pat\n", None, "holds no keys"),
    ],
)
def test_promise_5_a_file_that_cannot_be_read_fails_its_items_and_no_others(
    broken: str | bytes, line: int | None, says: str, tmp_path: Path
) -> None:
    (problem,) = check(tmp_path, platform=HEAD, web=broken, data=DATA)
    assert (problem.file, problem.line) == ("web.yaml", line)
    assert says in problem.says
    read = load(tmp_path)
    assert secrets(read) == ["data-pat"]
    (invalid,) = read.invalid
    assert (invalid.secret, invalid.code) == ("web.yaml", Code.INVENTORY_FILE_UNREADABLE)
    assert says in invalid.problem
    assert invalid.remedy
    assert read.unread == ("web.yaml",)


def test_users_that_are_no_list_are_a_file_whose_items_nobody_knows(tmp_path: Path) -> None:
    read = load(tmp_path, platform=HEAD, web="users: web\n", data=DATA)
    assert told(check(tmp_path)) == [("web.yaml", 1, "must be a list of technical users")]
    assert (secrets(read), read.unread) == (["data-pat"], ("web.yaml",))


def test_the_file_with_sign_in_need_name_no_user(tmp_path: Path) -> None:
    assert check(tmp_path, platform=HEAD, web=WEB) == ()


def test_a_misspelt_users_is_a_file_whose_items_nobody_knows(tmp_path: Path) -> None:
    read = load(tmp_path, platform=HEAD, web=WEB.replace("users:", "user:"), data=DATA)
    assert told(check(tmp_path)) == [("web.yaml", 1, "a key here is not known; did you mean users?")]
    assert (secrets(read), read.unread) == (["data-pat"], ("web.yaml",))


# --- sign_in and what holds for everybody -----------------------------------------------------------------------------


def test_a_folder_without_sign_in_stops(tmp_path: Path) -> None:
    failure = stops(tmp_path, web=WEB, data=DATA)
    assert failure.code is Code.INVENTORY_INVALID
    assert failure.cause == f"none of the files in {tmp_path} has `sign_in`."


def test_an_empty_folder_stops(tmp_path: Path) -> None:
    failure = stops(tmp_path)
    assert (failure.code, failure.cause) == (
        Code.INVENTORY_UNREADABLE,
        f"{tmp_path} holds no file whose name ends with .yaml.",
    )


def test_a_sign_in_that_cannot_be_read_stops_and_says_where(tmp_path: Path) -> None:
    failure = stops(tmp_path, platform=HEAD + "users: [\n", web=WEB)
    assert "has `sign_in` that can be read, and platform.yaml:5 is not readable" in failure.cause


def test_a_sign_in_that_is_wrong_stops_with_file_and_line(tmp_path: Path) -> None:
    failure = stops(tmp_path, platform=HEAD.replace(TENANT, "common"), web=WEB)
    assert failure.cause.startswith("platform.yaml:1 sign_in.tenant name one tenant")


def test_promise_7_two_sign_ins_stop_whoever_wrote_the_second(tmp_path: Path) -> None:
    """A password goes where `sign_in` points."""
    failure = stops(tmp_path, platform=HEAD, web=WEB + "sign_in: {tenant: evil.example, client_id: x}\n")
    assert "platform.yaml:1 sign_in stands at web.yaml:7 sign_in too: keep one" in failure.cause
    assert {(one.file, one.line) for one in check(tmp_path)} == {("platform.yaml", 1), ("web.yaml", 7)}


def test_defaults_of_a_team_take_its_items_out_and_change_no_others(tmp_path: Path) -> None:
    read = load(tmp_path, platform=HEAD, web=WEB + "defaults: {lifetime: 90d}\n", data=DATA)
    assert told(check(tmp_path)) == [("web.yaml", 7, "stands at platform.yaml:2 defaults too: keep that one")]
    assert [(item.secret, item.lifetime.days) for item in read.items()] == [("data-pat", 60)]
    (invalid,) = read.invalid
    assert invalid.secret == "web-pat"


@pytest.mark.parametrize(
    ("key", "value"), [("notify", "[{kind: slack, url_secret_name: a-url}]"), ("administrator", "svc-web@contoso.com")]
)
def test_who_is_told_and_who_is_administrator_stand_beside_sign_in(key: str, value: str, tmp_path: Path) -> None:
    read = load(tmp_path, platform=HEAD, web=f"{WEB}{key}: {value}\n")
    (problem,) = check(tmp_path)
    assert (problem.file, problem.line) == ("web.yaml", 7)
    assert problem.says == "holds for everybody: move it to the file that has sign_in (platform.yaml:1)"
    assert (read.recipients, read.administrator) == ((), "")
    assert len(read.invalid_recipients) == (key == "notify")
    assert secrets(read) == ["web-pat"]


def test_what_one_file_needs_to_sign_in_no_other_publishes_over(tmp_path: Path) -> None:
    (problem,) = check(
        tmp_path, platform=HEAD, web=WEB, data=DATA.replace("secret: data-pat", "secret: svc-web-password")
    )
    assert (problem.file, problem.line) == ("data.yaml", 5)
    assert "holds a credential" in problem.says


# --- more than an inventory -------------------------------------------------------------------------------------------


def test_a_folder_that_holds_more_than_an_inventory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"holds 1001 files, more than 1000"):
        files.check_many("x", inventory_files.MOST_FILES + 1)
    with pytest.raises(Misconfigured, match=r"more than 64 MB together"):
        files.check_much("x", inventory_files.MOST_BYTES + 1)


def test_a_file_s_name_is_shown_without_what_controls_a_terminal(tmp_path: Path) -> None:
    read = load(written(tmp_path, {"platform.yaml": HEAD, "a\x1b[31m.yaml": "["}))
    assert "\x1b" not in repr(read.unread)
    assert len(read.unread) == 1


def test_several_files_say_together_what_one_would(tmp_path: Path) -> None:
    more = WEB.replace("web-pat", "more-pat")
    tokens = f"service_principals: [{{client_id: {CLIENT}, entra_token: {{secret: token}}}}]\n"
    folder = written(
        tmp_path, {"p.yaml": HEAD, "web.yaml": WEB, "more.yaml": more, "data.yaml": DATA, "t.yaml": tokens}
    )
    whole = pats_yaml.load(files.as_one_text(files.read(folder)))
    assert sorted(secrets(whole)) == sorted(secrets(load(folder)))
    assert [token.secret for token in whole.tokens] == ["token"]


def test_two_items_of_one_setting_are_told_across_users() -> None:
    then = {"kind": "sonarqube", "url": "https://sonar.contoso.com", "alm_setting": "x", "token_secret_name": "t"}
    users: list[Tree] = [
        a_user(an_item(secret="one", then=then)),
        a_user(an_item(secret="two", then=then), username="two@contoso.com"),
    ]
    estate: dict[str, Any] = an_estate(*users)
    (problem,) = pats_yaml.check(text_of(estate))
    assert problem.path == "users[1].pats[0].then"
