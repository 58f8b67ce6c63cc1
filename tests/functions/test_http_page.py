"""`GET /api/page` and `status --html`: one renderer, every answer a document, and a key that leaves no trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.functions import http_routes
from tests.lab.fakes import FakeHistory
from tests.lab.http_calls import app, principal, text_call
from tests.lab.lab import Lab, days, hours, item
from tests.lab.shell import Shell
from tests.views.test_html import parsed

PAT = "a" * 52


@pytest.fixture
def lab() -> Lab:
    lab = Lab([item(), item("other-pat")])
    lab.runs = FakeHistory(lab.clock)
    lab.run()
    return lab


@pytest.fixture
def using(lab: Lab, tmp_path: Path) -> http_routes.App:
    return app(lab, tmp_path)


def text_of(document: str) -> str:
    return " ".join("".join(parsed(document[document.index("<body>") :]).text).split())


def test_the_door_shows_the_estate_one_pat_and_one_run(lab: Lab, using: http_routes.App) -> None:
    answer = text_call("page", using)
    assert (answer.status, answer.mimetype) == (200, "text/html")
    assert "All 2 PATs are well." in text_of(answer.text)
    assert "build-pat healthy" in text_of(text_call("page", using, {"secret": "BUILD-pat"}).text)
    (run_id,) = lab.runs.heads  # type: ignore[attr-defined]
    assert "Run of 2026-03-01 12:00: succeeded" in text_of(text_call("page", using, {"run": run_id.upper()}).text)


def test_a_function_key_in_the_address_leaves_no_trace_and_opens_every_link(using: http_routes.App) -> None:
    answer = text_call("page", using, {"code": "the-key=="})
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    links = [found["href"] or "" for tag, found in parsed(answer.text).tags if tag == "a"]
    assert {link for link in links if link.startswith("?secret=build-pat")} == {"?secret=build-pat&code=the-key%3D%3D"}
    (hidden,) = [found for tag, found in parsed(answer.text).tags if tag == "input" and found["type"] == "hidden"]
    assert (hidden["name"], hidden["value"]) == ("code", "the-key==")
    assert "code=" not in text_call("page", using).text


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ({"secret": "no-such-pat"}, 404, "pats.yaml has no item for the secret no-such-pat"),
        ({"run": "0" * 32}, 404, "No report is kept under this id"),
        ({"run": "nonsense"}, 404, "No report is kept under this id"),
        ({"state": "fine"}, 400, "state is none of healthy, due"),
        ({"page": "two"}, 400, "page is no number"),
        ({"stat": "due"}, 400, "stat is no query parameter here"),
        ({"secret": PAT}, 400, "looks like a PAT"),
        ({"q": f"x {PAT}"}, 400, "looks like a PAT"),
    ],
)
def test_promise_8_what_goes_wrong_is_a_document_that_says_what_to_do(
    using: http_routes.App, query: dict[str, str], status: int, says: str
) -> None:
    answer = text_call("page", using, query)
    assert answer.status == status
    assert says in text_of(answer.text)
    assert PAT not in answer.text, "promise 7"


def test_other_methods_are_refused_in_words(using: http_routes.App) -> None:
    answer = text_call("page", using, method="POST")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")
    assert "This route takes GET alone." in text_of(answer.text)


def test_its_role_is_that_of_the_other_doors_that_look(lab: Lab, tmp_path: Path) -> None:
    entra = app(lab, tmp_path, environ={"HTTP_AUTH": "entra", "WEBSITE_AUTH_ENABLED": "True"})
    assert text_call("page", entra, headers=principal("Pats.Read")).status == 200
    assert text_call("page", entra, headers=principal("Pats.Rotate")).status == 403
    assert text_call("page", entra).status == 401


def test_the_state_of_every_item_is_shown_when_the_storage_gives_no_answer(lab: Lab, using: http_routes.App) -> None:
    lab.runs.down = True  # type: ignore[attr-defined]
    assert "The last run is not known: gave no answer" in text_of(text_call("page", using).text)


def test_promise_7_no_value_is_on_any_page(lab: Lab, using: http_routes.App) -> None:
    lab.wait(days(23))
    lab.run()
    shown = "".join(text_call("page", using, query).text for query in ({}, {"secret": "build-pat"}))
    assert not [secret for secret in lab.cloud.every_secret() if len(secret) > 8 and secret in shown]


# --- the same as a file -----------------------------------------------------------------------------------------------


def test_status_writes_the_page_into_a_file_and_exits_as_ever(tmp_path: Path) -> None:
    shell = Shell(Lab([item(), item("other-pat")]), tmp_path)
    assert shell("run")[0] == 0
    code, out, errors = shell("status", "--html", str(tmp_path / "page.html"))
    assert (code, out) == (0, "")
    assert errors == f"Wrote {tmp_path}/page.html.\n"
    document = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "All 2 PATs are well." in text_of(document)
    assert "<form" not in document
    shell.lab.wait(days(26) + hours(18))
    code, _, _ = shell("status", "--html", str(tmp_path / "page.html"))
    assert code == 1
    assert "2 PATs need you." in text_of((tmp_path / "page.html").read_text(encoding="utf-8"))


def test_a_file_holds_what_was_named(tmp_path: Path) -> None:
    shell = Shell(Lab([item(), item("other-pat"), item("third-pat")]), tmp_path)
    shell("run")
    file = tmp_path / "page.html"
    shell("status", "build-pat", "other-pat", "--html", str(file))
    assert "third-pat" not in file.read_text(encoding="utf-8")
    shell("status", "build-pat", "--html", str(file))
    assert "build-pat healthy" in text_of(file.read_text(encoding="utf-8"))
    code, document = shell.json("status", "--state", "expired", "--html", str(file))
    assert (code, document["pats"]) == (0, [])
    assert "No PAT is like that; there are 3." in text_of(file.read_text(encoding="utf-8"))


def test_a_file_that_cannot_be_written_is_told_and_no_half_is_left(tmp_path: Path) -> None:
    shell = Shell(Lab([item()]), tmp_path)
    code, _, errors = shell("status", "--html", str(tmp_path / "none" / "page.html"))
    assert code == 2
    assert "cannot be written (No such file or directory). Name another file with --html." in " ".join(errors.split())
