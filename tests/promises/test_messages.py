"""Every failure message in one file that is read as text: tests/lab/messages.txt (promise 8).

To write it again after a change that was meant: `python -m tests.promises.test_messages`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.cloud.clock import ManualClock
from sandbox.cloud.cloud import Operation
from sandbox.cloud.entra_estate import UserState
from sandbox.cloud.seed import AGENTS, CLIENT, PATS_VAULT, PERSON
from sandbox.functions_host.azurite import Azurite
from shared import settings
from shared.functions.http_answers import Answer
from shared.inventory import pats_yaml
from shared.model.clock import Deadline
from shared.model.enrollment import Link, SignInPage
from shared.model.errors import Code, PatrolError
from shared.model.secret_text import SecretText
from shared.report.report import Report
from shared.rotation.enroll import Enrolling
from shared.services.blob_links import BlobLinks
from shared.services.blob_reports import BlobReports
from shared.services.blob_told import BlobTold
from shared.services.host_storage import ByConnectionString
from tests.lab import token_estates
from tests.lab.at_browser import Person
from tests.lab.fakes import FakeFlight, Storage
from tests.lab.http_calls import app, call, principal
from tests.lab.lab import START, THEN, Lab, LabClock, LabIdentity, days, hours, item
from tests.lab.readers import logged
from tests.lab.several_vaults import two

GOLDEN = Path(__file__).parents[1] / "lab/messages.txt"
CREDENTIALS = "patrol-demo-creds.vault.azure.net"
SONARQUBE = "sonarqube.contoso.com"
NO_TENANT = '{"error": "invalid_tenant", "error_codes": [90002], "error_description": "AADSTS90002: no such tenant"}'
BAD = '{"error": {"code": "BadParameter", "message": "x"}}'


def published(**more: Any) -> Lab:
    lab = Lab([item(**more)], quick=True)
    if "then" in more:
        lab.sonarqube()
    lab.run()
    lab.wait(days(24))
    lab.quick = False
    return lab


def faulty(
    operation: str, kind: str, *, lab: Lab | None = None, asks: dict[str, Any] | None = None, **details: Any
) -> Report:
    lab = lab or published()
    lab.cloud.add_fault(operation, kind, call=None, **details)
    names = ("build-pat",) if asks else ()
    return lab.run(*names, **(asks or {}))


def with_lab(prepare: Callable[[Lab], Any], *names: str, lab: Lab | None = None, **asks: Any) -> Report:
    lab = lab or published()
    prepare(lab)
    return lab.run(*names, **asks)


def refreshed(prepare: Callable[[Lab], Any], *names: str, **asks: Any) -> Report:
    lab = token_estates.published()
    lab.wait(timedelta(minutes=30))
    lab.quick = False
    prepare(lab)
    return lab.refresh(*names, **asks)


def suspended(operation: str, duration: timedelta) -> Report:
    lab = published()

    def suspend(met: Operation) -> None:
        if met.name == operation:
            lab.cloud.after_effect = None
            lab.wait(duration)

    lab.cloud.after_effect = suspend
    return lab.run()


def with_consumer() -> Lab:
    return published(then=THEN)


def consumer_with(prepare: Callable[[Lab], Any]) -> Report:
    return with_lab(prepare, lab=with_consumer())


def retiring() -> Lab:
    lab = published()
    lab.run()
    lab.wait(hours(25))
    return lab


def wrong_settings() -> None:
    settings.read({"RUN_BUDGET": "soon"}, Path())


def loading(text: str) -> None:
    pats_yaml.load(text)


def replaced_an_hour_ago(lab: Lab) -> None:
    lab.run()
    lab.wait(hours(1))


def skewed(lab: Lab) -> None:
    lab.skew = hours(2)


def moved_and_ended(lab: Lab) -> None:
    lab.cloud.pats.add_organization("fabrikam", members={AGENTS})
    lab.items = [item(organization="fabrikam", decommission=True)]


def edited(lab: Lab) -> None:
    lab.vault.set_secret("build-pat", "pasted by a person")


def foreign(lab: Lab) -> None:
    lab.vault.update("build-pat", "", {"tags": {**lab.current("build-pat").tags, "managed-by": "patrol/other-123456"}})


def crowded(lab: Lab) -> None:
    tags = {**lab.current("build-pat").tags, **{f"own-{number}": "x" for number in range(9)}}
    lab.vault.update("build-pat", "", {"tags": tags})


def rotated_elsewhere() -> None:
    storage, clock = Storage(), LabClock(ManualClock(START))
    taken = FakeFlight(storage, clock, holder="host-7 (process 42)").held("build-pat")
    with taken, FakeFlight(storage, clock).held("build-pat"):
        raise AssertionError("two at once")


def refused_before(lab: Lab) -> None:
    lab.cloud.directory.set_password(AGENTS, "changed")
    lab.run()
    lab.wait(hours(1))


def mark_user(state: UserState) -> Callable[[Lab], None]:
    def change(lab: Lab) -> None:
        lab.cloud.directory.user(AGENTS).state = state

    return change


def three_missing() -> Lab:
    lab = Lab([item("a-pat"), item("b-pat"), item("build-pat")])
    lab.sign_everybody_in()
    lab.vault.denied.add("set")
    return lab


def broken(lab: Lab) -> None:
    def bug(_: Operation) -> None:
        raise ZeroDivisionError("its text is withheld")

    lab.cloud.before_effect = lambda met: bug(met) if met.name == "pats.create" else None


def deleted(lab: Lab) -> None:
    lab.vault.delete("build-pat")
    lab.vault.settle()


def renamed(lab: Lab) -> None:
    """The leaked PAT lost our mark: a person gave it another name in the portal."""
    for pat in lab.live():
        pat.display_name = "renamed in the portal"


ENTRA = {"HTTP_AUTH": "entra", "WEBSITE_AUTH_ENABLED": "True"}


def slow(lab: Lab) -> None:
    lab.items.append(item("other-pat"))
    lab.cloud.after_effect = lambda met: lab.wait(timedelta(minutes=1)) if met.name == "pats.create" else None


def asked(
    door: str,
    *,
    body: bytes = b"",
    method: str | None = None,
    headers: dict[str, str] | None = None,
    environ: dict[str, str] | None = None,
    run_id: str | None = None,
    prepare: Callable[[Lab], Any] = lambda lab: None,
) -> Answer:
    lab = published()
    prepare(lab)
    with tempfile.TemporaryDirectory() as folder:
        using = app(lab, Path(folder), environ=environ or {})
        return call(door, using, body, method=method, headers=headers, run_id=run_id)


ENROLLED = [{"username": AGENTS, "enrolled": True, "pats": [item()]}]


def ended(lab: Lab) -> None:
    lab.enroll()
    lab.wait(hours(1))
    lab.cloud.directory.revoke_tokens(AGENTS)


def somebody_else_at_the_page() -> None:
    lab = Lab(users=ENROLLED)
    lab.cloud.directory.app(CLIENT).redirect_uris = {"http://localhost"}
    lab.cloud.directory.add_user(PERSON, "sandbox-password-alice")
    enrolling = Enrolling(lab.inventory(), lab.world(), lab.settings.mark, lab.inventory().users[0])
    page = enrolling.page("http://localhost")
    enrolling.finish(page, Person(lab, PERSON).fills_in(page.url)[1])


def link_without_storage() -> None:
    storage = ByConnectionString(SecretText(Azurite(1, 1).connection_string))
    lab = Lab()
    deadline = Deadline.after(lab.clock, timedelta(seconds=5), timedelta(0))
    links = BlobLinks(storage, LabIdentity(lab.cloud), requests.Session(), lab.clock, deadline, folder="x")
    links.keep(Link(AGENTS, SignInPage("https://x", "t", SecretText("{}")), "https://x", lab.clock.now()))


def without_storage(lab: Lab) -> None:
    """Reports lie where nobody answers."""
    # Nobody listens there, and the text is the same every time.
    storage = ByConnectionString(SecretText(Azurite(1, 1).connection_string))
    deadline = Deadline.after(lab.clock, timedelta(seconds=5), timedelta(0))
    session, identity = requests.Session(), LabIdentity(lab.cloud)
    lab.runs = BlobReports(storage, identity, session, lab.clock, deadline, lab.tell, folder="patrol/tests-abc123")


def told_to(change: Callable[[Lab], Any]) -> Report:
    """A run that tells one recipient that it failed, after `change`."""
    lab = published()
    lab.recipient(on=["failed"])
    lab.cloud.pats.organization("contoso").policies.creation_restricted = True
    change(lab)
    return lab.run()


def memory_without_storage() -> None:
    storage = ByConnectionString(SecretText(Azurite(1, 1).connection_string))
    lab = Lab()
    deadline = Deadline.after(lab.clock, timedelta(seconds=5), timedelta(0))
    BlobTold(storage, LabIdentity(lab.cloud), requests.Session(), deadline, folder="x").read()


def log_without_a_role() -> Answer:
    lab = logged()
    lab.cloud.vault_logs[PATS_VAULT].denied = True
    with tempfile.TemporaryDirectory() as folder:
        return call("readers", app(lab, Path(folder)))


def audit_log_without_membership() -> Report:
    lab = logged()
    audit = lab.world().audit
    assert audit is not None
    audit.uses("contoso", frozenset(), lab.clock.now())
    raise AssertionError("it was read")


CASES: dict[Code, Callable[[], Report | Answer | None]] = {
    Code.SETTINGS_INVALID: wrong_settings,
    Code.INVENTORY_UNREADABLE: lambda: loading("users: ["),
    Code.INVENTORY_INVALID: lambda: loading("users: []"),
    Code.IDENTITY_UNAVAILABLE: lambda: with_lab(lambda lab: setattr(lab.cloud.identity, "enabled", False)),
    Code.VAULT_FORBIDDEN: lambda: with_lab(lambda lab: lab.vault.denied.add("list")),
    Code.VAULT_UNREACHABLE: lambda: faulty("vault.list", "cut_before_effect"),
    Code.CLOCK_SKEW: lambda: with_lab(skewed),
    Code.TENANT_UNKNOWN: lambda: faulty("entra.discovery", "status", status=400, body=NO_TENANT),
    Code.CLIENT_REFUSED: lambda: with_lab(lambda lab: lab.cloud.directory.apps[CLIENT].secrets.clear()),
    Code.CLIENT_SECRET_UNREADABLE: lambda: with_lab(
        lambda lab: lab.cloud.vaults[CREDENTIALS].delete("patrol-client-secret")
    ),
    Code.CLIENT_CERTIFICATE_UNUSABLE: lambda: with_lab(
        lambda lab: setattr(lab, "sign_in", {"client_certificate_name": "svc-agents-password"})
    ),
    Code.CREDENTIAL_UNREADABLE: lambda: with_lab(
        lambda lab: lab.cloud.vaults[CREDENTIALS].delete("svc-agents-password")
    ),
    Code.SIGN_IN_REFUSED: lambda: with_lab(mark_user(UserState.MFA_REQUIRED)),
    Code.SIGN_IN_UNAVAILABLE: lambda: faulty("entra.discovery", "foreign", status=503),
    Code.SIGN_IN_UNCLEAR: lambda: faulty("entra.token", "foreign", status=403, form="gateway"),
    Code.USER_BLOCKED: lambda: with_lab(refused_before),
    Code.ENROLLMENT_NEEDED: lambda: with_lab(lambda lab: None, lab=Lab(users=ENROLLED)),
    Code.ENROLLMENT_ENDED: lambda: with_lab(ended, lab=Lab(users=ENROLLED)),
    Code.ENROLLMENT_REFUSED: somebody_else_at_the_page,
    Code.NOTE_UNWRITABLE: lambda: with_lab(lambda lab: lab.vault.denied.add("set"), lab=Lab([item()])),
    Code.PRINCIPAL_REFUSED: lambda: refreshed(lambda lab: lab.cloud.directory.apps[token_estates.APP].secrets.clear()),
    Code.TOKEN_NOT_NEWER: lambda: refreshed(lambda lab: setattr(lab.cloud.switches, "service_token_minutes", 20)),
    Code.TOKEN_LIVES: lambda: refreshed(lambda lab: None, token_estates.SECRET, emergency=True),
    Code.ORGANIZATION_UNKNOWN: lambda: with_lab(lambda lab: lab.cloud.pats.rename_organization("contoso", "renamed")),
    Code.ORGANIZATION_DENIED: lambda: with_lab(lambda lab: lab.cloud.pats.organization("contoso").members.clear()),
    Code.DEVOPS_UNAVAILABLE: lambda: faulty("pats.list", "status", status=503),
    Code.DEVOPS_UNCLEAR: lambda: faulty("pats.list", "garbage"),
    Code.DEVOPS_REFUSED: lambda: faulty("pats.list", "status", status=400, body='{"typeKey": "JsonReaderException"}'),
    Code.ITEM_INVALID: lambda: with_lab(lambda lab: lab.items.append(item("other-pat", scopes=["vso.cod"]))),
    Code.INVENTORY_FILE_UNREADABLE: lambda: with_lab(lambda lab: lab.teams.update({"team-web.yaml": "users:\n  - ["})),
    Code.SECRET_UNKNOWN: lambda: published().run("no-such-pat"),
    Code.SECRET_AMBIGUOUS: lambda: two().run("build-pat"),
    Code.PAUSED: lambda: published(paused=True).run("build-pat", force=True),
    Code.OWNER_CHANGED: lambda: with_lab(moved_and_ended),
    Code.EDITED: lambda: with_lab(edited),
    Code.FOREIGN: lambda: with_lab(foreign),
    Code.UNMARKED: lambda: with_lab(lambda lab: lab.vault.seed("build-pat", "theirs"), lab=Lab([item()])),
    Code.DISABLED: lambda: with_lab(lambda lab: lab.vault.update("build-pat", "", {"attributes": {"enabled": False}})),
    Code.SECRET_DELETED: lambda: with_lab(deleted),
    Code.PUBLISH_WOULD_FAIL: lambda: with_lab(crowded),
    Code.IN_OVERLAP: lambda: with_lab(replaced_an_hour_ago, "build-pat", force=True),
    Code.ROTATED_ELSEWHERE: rotated_elsewhere,
    Code.MINT_REFUSED: lambda: faulty("pats.create", "pat_error", error="patLifespanPolicyViolation"),
    Code.MINT_UNCLEAR: lambda: faulty("pats.create", "cut_after_effect"),
    Code.VERIFY_FAILED: lambda: faulty("devops.connection_data", "redirect"),
    Code.VERIFY_UNCLEAR: lambda: faulty("devops.connection_data", "status", status=500),
    Code.PUBLISH_REFUSED: lambda: faulty("vault.set", "status", status=400, body=BAD),
    Code.PUBLISH_FORBIDDEN: lambda: with_lab(lambda lab: lab.vault.denied.add("set")),
    Code.PUBLISH_UNCLEAR: lambda: faulty("vault.set", "cut_before_effect"),
    Code.PUBLISH_LATE: lambda: suspended("devops.connection_data", timedelta(minutes=6)),
    Code.VAULT_CLOSED: lambda: three_missing().run(),
    Code.REVOKE_REFUSED: lambda: faulty("pats.revoke", "pat_error", error="accessDenied", lab=retiring()),
    Code.REVOKE_UNCLEAR: lambda: faulty("pats.revoke", "cut_after_effect", lab=retiring()),
    Code.PAT_UNKNOWN: lambda: faulty(
        "pats.update", "pat_error", error="tokenNotFound", lab=published(strategy="renew")
    ),
    Code.VAULT_REFUSED: lambda: faulty("vault.update", "status", status=400, body=BAD, lab=retiring()),
    Code.VAULT_UNCLEAR: lambda: faulty("vault.update", "cut_after_effect", lab=retiring()),
    Code.CONSUMER_TOKEN_UNREADABLE: lambda: consumer_with(
        lambda lab: lab.cloud.vaults[CREDENTIALS].delete("sonarqube-token")
    ),
    Code.CONSUMER_REFUSED: lambda: consumer_with(lambda lab: lab.cloud.sonarqubes[SONARQUBE].azure.clear()),
    Code.CONSUMER_UNREACHABLE: lambda: faulty("sonarqube.update_azure", "status", status=503, lab=with_consumer()),
    Code.RECIPIENT_INVALID: lambda: told_to(lambda lab: lab.notify[0].update(kind="team")),
    Code.RECIPIENT_UNREADABLE: lambda: told_to(
        lambda lab: lab.cloud.vaults[CREDENTIALS].seed("webhook-0-url", "http://hooks.contoso.com/a-token")
    ),
    Code.RECIPIENT_REFUSED: lambda: told_to(
        lambda lab: lab.cloud.add_fault("notice.webhook", "status", call=None, status=410)
    ),
    Code.RECIPIENT_UNREACHABLE: lambda: told_to(
        lambda lab: lab.cloud.add_fault("notice.webhook", "status", call=None, status=503)
    ),
    Code.NOTICES_UNKEPT: memory_without_storage,
    Code.LOGS_UNREADABLE: log_without_a_role,
    Code.AUDIT_UNREADABLE: audit_log_without_membership,
    Code.LEAKED_PAT_LIVES: lambda: with_lab(renamed, "build-pat", emergency=True),
    Code.UNEXPECTED: lambda: with_lab(broken),
    Code.BODY_INVALID: lambda: asked("rotate", body=b'{"force": 1}'),
    Code.CALLER_UNKNOWN: lambda: asked("rotate", environ=ENTRA),
    Code.ROLE_MISSING: lambda: asked("emergency", environ=ENTRA, headers=principal("Pats.Rotate")),
    Code.METHOD_UNKNOWN: lambda: asked("rotate", method="GET"),
    Code.ITEMS_FAILED: lambda: asked("rotate", prepare=edited),
    Code.TIME_OVER: lambda: asked("rotate", prepare=slow),
    Code.RUN_UNKNOWN: lambda: asked("runs", run_id="f" * 32),
    Code.REPORT_UNREADABLE: lambda: asked("runs", prepare=without_storage),
    Code.LINK_UNKEPT: link_without_storage,
}

# Not shown by a failed row of a run: the run goes on in another way.
SILENT = {Code.PAT_UNKNOWN: "renewing no longer helps: the same run rotates."}


def told(case: Callable[[], Report | Answer | None], code: Code) -> str:
    """The sentences with which a run tells of `code`; ids and instants are levelled."""
    try:
        report = case()
    except PatrolError as failure:
        if failure.code is not code:
            raise
        text = f"{failure.cause}\n  → {failure.remedy}"
    else:
        assert report is not None
        if isinstance(report, Answer):
            assert report.body["code"] == code.value
            return f"{report.body['detail']}\n  → {report.body['remedy']}"
        recipients = [row for row in report.recipients if row.error is not None and row.error.code is code]
        rows = [row for row in report.items if row.error is not None and row.error.code is code]
        if report.misconfigured is not None and report.misconfigured.code is code:
            text = f"{report.misconfigured.message}\n  → {report.misconfigured.remedy}"
        elif recipients and recipients[0].error is not None:
            text = f"{recipients[0].error.message}\n  → {recipients[0].error.remedy}"
        elif code in SILENT and not rows:
            text = SILENT[code]
        else:
            assert rows, [(row.says, row.error) for row in report.items]
            error = rows[0].error
            assert error is not None
            assert rows[0].says.startswith(f"{rows[0].secret}: ")
            text = f"{rows[0].secret}: {error.message}\n  → {error.remedy}"
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", text)
    return re.sub(r"\w+\.py:\d+", "<place>", text)


def pages() -> Iterator[str]:
    yield "Every failure of patrol: its code, what it says of the cause, and (→) what to do.\n"
    for code in Code:
        yield f"{code.value}\n  {told(CASES[code], code)}\n"


def test_promise_8_every_failure_is_told_in_words_that_a_person_has_read() -> None:
    assert list(CASES) == list(Code)
    assert "\n".join(pages()) == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("word", ["Traceback", "{", "None", "<html", "b'", "0x"])
def test_no_message_shows_a_body_or_an_object(word: str) -> None:
    assert word not in GOLDEN.read_text(encoding="utf-8")


if __name__ == "__main__":
    GOLDEN.write_text("\n".join(pages()), encoding="utf-8")
