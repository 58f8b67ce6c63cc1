"""What a token needs, as a table: pure, without clock or network."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.model.credentials import ClientSecret
from shared.model.errors import Code
from shared.model.items import TokenItem
from shared.model.secret_state import (
    TOKEN_CONTENT_TYPE,
    Foreign,
    Nothing,
    PublishedToken,
    SecretSeen,
    TokenSecret,
    Unmarked,
    classify_token,
)
from shared.model.steps import Because, Fail, Hold, Recover, Rotate, Step
from shared.model.tags import Mark
from shared.model.token_tags import Replaced, TokenStamp, read, write
from shared.rules.plan import Asked
from shared.rules.token_plan import OVERLAP, is_short, lasts_longer, over, plan, replaced
from tests.lab.token_estates import APP, minutes

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MARK = Mark.of("prod", "contoso.vault.azure.net")
FORCE = Asked(published_before=NOW, force=True)


def an_item(**more: object) -> TokenItem:
    fields: dict[str, object] = {
        "secret": "ado-token",
        "client_id": APP,
        "credential": ClientSecret("app-secret"),
        "organization": "contoso",
    }
    return TokenItem(**{**fields, **more})  # type: ignore[arg-type]


def a_token(left: float = 60, life: float = 60, **more: object) -> PublishedToken:
    stamp = TokenStamp(MARK.text, str(more.pop("client_id", APP)), str(more.pop("organization", "contoso")))
    ends = NOW + minutes(left)
    fields: dict[str, object] = {
        "stamp": stamp,
        "created": ends - minutes(life),
        "expires_on": ends,
        "enabled": True,
        "tags": {},
        "version": "c" * 32,
    }
    return PublishedToken(**{**fields, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("life", "share", "left", "step"),
    [
        (60, 50, 35.02, Hold),
        (60, 50, 35, Rotate),
        (60, 75, 45.02, Hold),
        (60, 75, 45, Rotate),
        (60, 1, 35, Rotate),
        (90, 50, 45.02, Hold),
        (90, 50, 45, Rotate),
        (24 * 60, 50, 12 * 60, Rotate),
        (24 * 60, 50, 12 * 60 + 1, Hold),
        (30, 50, 29, Rotate),
        (60, 50, 0, Rotate),
    ],
)
def test_rule_6_a_token_is_due_at_its_share_and_never_later_than_at_the_floor(
    life: float, share: int, left: float, step: type[Step]
) -> None:
    assert isinstance(plan(an_item(refresh_below=share), a_token(left, life), NOW), step)


@pytest.mark.parametrize(
    ("secret", "item", "step"),
    [
        (Nothing(), {}, Rotate(Because.NOTHING_PUBLISHED)),
        (Nothing(deleted=True), {}, Code.SECRET_DELETED),
        (Nothing(deleted=True), {"recover_deleted": True}, Recover()),
        (Foreign("patrol/other-123456"), {}, Code.FOREIGN),
        (Foreign("patrol/other-123456"), {"adopt": True}, Code.FOREIGN),
        (Unmarked(), {}, Code.UNMARKED),
        (Unmarked(), {"adopt": True}, Rotate(Because.ADOPTED)),
        (Unmarked(edited=True), {}, Code.EDITED),
        (Unmarked(edited=True), {"adopt": True}, Code.EDITED),
        (a_token(0), {}, Rotate(Because.EXPIRED)),
        (a_token(expires_on=None), {}, Rotate(Because.EXPIRED)),
        (a_token(30), {}, Rotate(Because.NEAR_EXPIRY)),
        (a_token(30), {"paused": True}, Hold(Because.PAUSED)),
        (a_token(enabled=False), {}, Code.DISABLED),
        (a_token(client_id="22222222-0000-4000-8000-00000000000f"), {}, Rotate(Because.USER_CHANGED)),
        (a_token(), {"client_id": APP.upper()}, Hold(Because.FRESH, until=NOW + minutes(25))),
        (a_token(organization="fabrikam"), {}, Rotate(Because.ORGANIZATION_CHANGED)),
        (a_token(organization="Contoso"), {}, Hold(Because.FRESH, until=NOW + minutes(25))),
    ],
)
def test_what_a_token_needs(secret: TokenSecret, item: dict[str, object], step: Step | Code) -> None:
    planned = plan(an_item(**item), secret, NOW)
    assert (planned.code if isinstance(planned, Fail) else planned) == step


@pytest.mark.parametrize(
    ("secret", "item", "step"),
    [
        (a_token(created=NOW - timedelta(seconds=1)), {}, Rotate(Because.FORCED)),
        (a_token(created=NOW), {}, Hold(Because.ALREADY_REPLACED)),
        (a_token(20, created=NOW), {}, Rotate(Because.NEAR_EXPIRY)),
        (a_token(enabled=False, created=NOW - minutes(1)), {}, Rotate(Because.FORCED)),
        (a_token(), {"paused": True}, Code.PAUSED),
        (Unmarked(edited=True), {}, Code.EDITED),
        (Unmarked(), {}, Code.UNMARKED),
        (Foreign("patrol/other-123456"), {}, Code.FOREIGN),
    ],
)
def test_rule_8_force_acts_on_what_was_published_before(
    secret: TokenSecret, item: dict[str, object], step: Step | Code
) -> None:
    planned = plan(an_item(**item), secret, NOW, FORCE)
    assert (planned.code if isinstance(planned, Fail) else planned) == step


def test_rule_10_an_edited_secret_is_taken_back_by_force_and_adopt_only() -> None:
    asked = Asked(published_before=NOW, force=True, adopt=True)
    assert plan(an_item(), Unmarked(edited=True), NOW, asked) == Rotate(Because.TAKEN_BACK)


@pytest.mark.parametrize("secret", [a_token(40), Nothing(), Unmarked()])
def test_promise_8_an_emergency_says_that_a_token_cannot_be_ended(secret: TokenSecret) -> None:
    planned = plan(an_item(), secret, NOW, Asked(published_before=NOW, emergency=True))
    assert isinstance(planned, Fail)
    assert planned.code is Code.TOKEN_LIVES
    assert "cannot be revoked" in planned.cause
    if isinstance(secret, PublishedToken):
        assert "2026-03-01T12:40:00Z" in planned.cause


def test_the_replaced_version_is_over_after_a_quarter_of_an_hour_and_never_the_current_one() -> None:
    old, current = Replaced("a" * 32, NOW), Replaced("c" * 32, NOW)
    secret = a_token(stamp=TokenStamp(MARK.text, APP, "contoso", (old, current)))
    assert over(secret, NOW - timedelta(seconds=1)) == ()
    assert over(secret, NOW) == (old,)
    kept = replaced(secret, NOW, frozenset())
    assert kept == (Replaced("c" * 32, NOW + OVERLAP), old)
    assert replaced(secret, NOW, frozenset({old.version})) == kept[:1]
    assert replaced(Unmarked(), NOW, frozenset()) == ()


def test_no_more_versions_are_remembered_than_a_tag_holds() -> None:
    older = tuple(Replaced(f"{number:032x}", NOW - minutes(number)) for number in range(1, 6))
    secret = a_token(stamp=TokenStamp(MARK.text, APP, "contoso", older))
    kept = replaced(secret, NOW, frozenset())
    assert [one.version for one in kept] == ["c" * 32, f"{1:032x}", f"{2:032x}"]
    written = write(TokenStamp(MARK.text, APP, "contoso", kept), {"team": "blue"})
    assert read(written) == TokenStamp(MARK.text, APP, "contoso", kept)
    assert written["team"] == "blue"
    assert all(len(value) <= 256 for value in written.values())


def test_a_due_token_is_replaced_only_by_one_that_lasts_longer() -> None:
    secret = a_token(20)
    assert lasts_longer(NOW + minutes(21), secret, Because.NEAR_EXPIRY)
    assert not lasts_longer(NOW + minutes(20), secret, Because.NEAR_EXPIRY)
    assert lasts_longer(NOW + minutes(19), secret, Because.FORCED)
    assert lasts_longer(NOW + minutes(19), Nothing(), Because.NOTHING_PUBLISHED)


def test_short_is_what_one_more_failed_look_breaks() -> None:
    assert not is_short(NOW + minutes(25), NOW)
    assert is_short(NOW + minutes(24), NOW)
    assert not is_short(None, NOW)


def a_row(tags: dict[str, str], content_type: str | None = TOKEN_CONTENT_TYPE) -> SecretSeen:
    return SecretSeen("ado-token", True, NOW, NOW + minutes(60), content_type, tags, "c" * 32)


PAT_TAGS = {"managed-by": MARK.text, "authorization-id": "a0000000-0000-4000-8000-000000000001"}


@pytest.mark.parametrize(
    ("tags", "content_type", "kind"),
    [
        ({"managed-by": MARK.text, "client-id": APP}, TOKEN_CONTENT_TYPE, PublishedToken),
        ({"managed-by": MARK.text.upper().replace("PATROL/", "patrol/"), "client-id": APP}, None, PublishedToken),
        ({"managed-by": "patrol/other-123456", "client-id": APP}, TOKEN_CONTENT_TYPE, Foreign),
        ({**PAT_TAGS, "managed-by": "patrol/other-123456"}, None, Foreign),
        ({"managed-by": "terraform", "client-id": APP}, None, Unmarked),
        ({**PAT_TAGS, "client-id": APP}, None, Unmarked),
        ({}, None, Unmarked),
    ],
)
def test_rule_3_the_mark_says_whose_a_secret_is(tags: dict[str, str], content_type: str | None, kind: type) -> None:
    assert isinstance(classify_token(a_row(tags, content_type), MARK), kind)


def test_rule_10_a_token_that_lost_its_tags_counts_as_edited() -> None:
    assert classify_token(a_row({}), MARK) == Unmarked(edited=True)


@pytest.mark.parametrize("text", ["x@2026-03-01T12:00:00Z", f"{'a' * 32}@soon", f"{'a' * 32}@2026-13-01T12:00:00Z", ""])
def test_a_forged_tag_is_ignored(text: str) -> None:
    stamp = read({"managed-by": MARK.text, "client-id": APP, "predecessors": text})
    assert stamp is not None
    assert stamp.replaced == ()
