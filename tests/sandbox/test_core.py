"""The sandbox's pure state: sign-in, PATs and secrets, without HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.cloud.clock import ManualClock
from sandbox.cloud.cloud import Cloud
from sandbox.cloud.entra import AZURE_DEVOPS
from sandbox.cloud.entra_estate import UserState
from sandbox.cloud.entra_refusals import EntraRefused
from sandbox.cloud.key_vault import Vault, VaultRefused
from sandbox.cloud.pat_paging import ListQuery
from sandbox.cloud.pat_values import (
    SCOPES,
    NoOrganization,
    PatHttpRefused,
    PatRefused,
    new_value,
    read_instant,
    write_instant,
)
from sandbox.cloud.seed import (
    AGENTS,
    CLIENT,
    PATS_VAULT,
    TENANT,
    apply,
    demo_estate,
    demo_pats_yaml,
    mark,
    small_estate,
)

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECRET = "sandbox-client-secret-demo"
PASSWORD = "sandbox-password-agents"
SCOPE = f"{AZURE_DEVOPS}/.default"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def cloud(clock: ManualClock) -> Cloud:
    made = Cloud(clock.now)
    apply(made, small_estate())
    return made


def a_pat(cloud: Cloud, **changes: Any) -> dict[str, Any]:
    body = {"displayName": "one", "scope": "vso.code", "validTo": "2026-12-24T12:00:00Z", "allOrgs": False, **changes}
    return dict(cloud.pats.create(AGENTS, "contoso", body)[0])


def code_of(cloud: Cloud, **changes: str) -> int:
    asked = {
        "tenant": TENANT,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "username": AGENTS,
        "password": PASSWORD,
        "scope": SCOPE,
        **changes,
    }
    with pytest.raises(EntraRefused) as refused:
        cloud.directory.sign_in(**asked)
    return refused.value.code


def refusal(call: Callable[[], object]) -> tuple[int, str, str]:
    with pytest.raises(VaultRefused) as refused:
        call()
    return refused.value.status, refused.value.code, refused.value.inner


def sign_in(cloud: Cloud) -> Any:
    scope = f"{SCOPE} openid offline_access"
    return cloud.directory.sign_in(TENANT, CLIENT, SECRET, AGENTS, PASSWORD, scope)


class TestSignIn:
    def test_a_good_password_gives_tokens_that_end_after_an_hour(self, cloud: Cloud, clock: ManualClock) -> None:
        token = sign_in(cloud)
        assert cloud.directory.bearer(token.access_token, AZURE_DEVOPS) is not None
        clock.move(timedelta(hours=1))
        assert cloud.directory.bearer(token.access_token, AZURE_DEVOPS) is None
        assert token.scope == f"{AZURE_DEVOPS}/vso.pats {AZURE_DEVOPS}/vso.pats_manage {SCOPE}"

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"tenant": "nowhere.example"}, 90002),
            ({"tenant": "common"}, 9001023),
            ({"client_id": "00000000-0000-0000-0000-000000000000"}, 700016),
            ({"client_secret": "wrong-one"}, 7000215),
            ({"client_secret": ""}, 7000218),
            ({"username": "nobody@contoso.com"}, 50034),
            ({"password": "wrong-one"}, 50126),
            ({"scope": "openid"}, 70011),
            ({"scope": "https://graph.microsoft.com/.default"}, 500011),
            ({"scope": f"{AZURE_DEVOPS}/vso.code_full"}, 65001),
        ],
    )
    def test_each_wrong_part_has_its_number(self, cloud: Cloud, changes: dict[str, str], code: int) -> None:
        assert code_of(cloud, **changes) == code

    @pytest.mark.parametrize(
        ("state", "code"),
        [
            (UserState.LOCKED, 50053),
            (UserState.MFA_REQUIRED, 50076),
            (UserState.DISABLED, 50057),
            (UserState.PASSWORD_EXPIRED, 50055),
            (UserState.CONSENT_MISSING, 65001),
            (UserState.NOT_ASSIGNED, 50105),
            (UserState.CONDITIONAL_ACCESS, 53003),
        ],
    )
    def test_each_state_of_a_user_has_its_number(self, cloud: Cloud, state: UserState, code: int) -> None:
        cloud.directory.user(AGENTS).state = state
        assert code_of(cloud) == code

    def test_a_wrong_password_is_told_before_anything_a_good_one_would_meet(self, cloud: Cloud) -> None:
        cloud.directory.user(AGENTS).state = UserState.MFA_REQUIRED
        assert code_of(cloud, password="wrong-one") == 50126

    def test_ten_wrong_passwords_lock_even_the_right_one_out_for_a_while(
        self, cloud: Cloud, clock: ManualClock
    ) -> None:
        codes = [code_of(cloud, password="wrong-one") for _ in range(10)]
        assert codes == [50126] * 9 + [50053]
        assert code_of(cloud) == 50053
        clock.move(timedelta(minutes=30))
        sign_in(cloud)
        assert cloud.directory.user(AGENTS).token_requests == 12

    def test_a_wrong_client_secret_never_counts_against_the_user(self, cloud: Cloud) -> None:
        for _ in range(20):
            assert code_of(cloud, client_secret="wrong-one") == 7000215
        assert cloud.directory.user(AGENTS).wrong_passwords == 0

    def test_a_refresh_token_outlives_its_use_and_dies_when_sessions_are_revoked(self, cloud: Cloud) -> None:
        refresh = sign_in(cloud).refresh_token
        for _ in range(2):
            cloud.directory.refresh(TENANT, CLIENT, SECRET, refresh, SCOPE)
        cloud.directory.set_password(AGENTS, "sandbox-password-new")  # the client is a confidential one
        cloud.directory.refresh(TENANT, CLIENT, SECRET, refresh, SCOPE)
        cloud.directory.revoke_tokens(AGENTS)
        with pytest.raises(EntraRefused, match="50173"):
            cloud.directory.refresh(TENANT, CLIENT, SECRET, refresh, SCOPE)

    def test_every_value_is_remembered_for_leak_searches(self, cloud: Cloud) -> None:
        token = sign_in(cloud)
        pat = a_pat(cloud)
        wanted = {token.access_token, token.refresh_token, token.id_token, pat["token"], PASSWORD, SECRET}
        assert wanted <= cloud.every_secret()


class TestPatValues:
    @pytest.mark.parametrize(
        ("sent", "returned"),
        [
            ("2020-12-01T23:46:23.319Z", "2020-12-01T23:46:23.32Z"),
            ("2020-11-02T22:56:52.1033333Z", "2020-11-02T22:56:52.1033333Z"),
            ("2020-11-02T22:56:52Z", "2020-11-02T22:56:52Z"),
            ("2020-11-02T22:56:59.9995Z", "2020-11-02T22:57:00Z"),
            ("2020-10-24T05:04:19.1466667+02:00", "2020-10-24T03:04:19.1466667Z"),
        ],
    )
    def test_instants_sit_on_three_hundredths(self, sent: str, returned: str) -> None:
        assert write_instant(read_instant(sent)) == returned

    def test_a_value_has_the_documented_shape(self, cloud: Cloud) -> None:
        shape = "[A-Za-z0-9]{52}" + "JQQJ" + "99[A-Za-z0-9][A-L][A-Za-z0-9]{12}" + "AAAA" + "AZDO[A-Za-z0-9]{4}"
        value = new_value(cloud.chance)
        assert re.fullmatch(shape, value)
        assert len(value) == 84
        assert value[76:80] == "AZDO"

    def test_known_scopes(self) -> None:
        assert {"app_token", "vso.code_full", "vso.extension.data_write", "vso.environment_manage"} <= SCOPES
        assert "vso.pats" not in SCOPES

    def test_the_same_seed_gives_the_same_values(self, clock: ManualClock) -> None:
        clouds = [Cloud(clock.now, seed=7), Cloud(clock.now, seed=7)]
        for each in clouds:
            apply(each, demo_estate())
        assert clouds[0].estate(reveal=True) == clouds[1].estate(reveal=True)


class TestPats:
    def test_only_creation_shows_the_value(self, cloud: Cloud) -> None:
        made = a_pat(cloud)
        assert made["token"]
        assert made["targetAccounts"] == [cloud.pats.organization("contoso").guid]
        assert cloud.pats.get(AGENTS, "contoso", made["authorizationId"])["token"] is None
        body = {"authorizationId": made["authorizationId"], "validTo": "2027-01-24T12:00:00Z"}
        after = cloud.pats.update(AGENTS, "contoso", body)
        assert after == {**made, "token": None, "validTo": "2027-01-24T12:00:00Z"}
        assert cloud.pats.authenticate("contoso", made["token"]) is not None

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"displayName": ""}, "displayNameRequired"),
            ({"displayName": "x" * 300}, "invalidDisplayName"),
            ({"scope": "vso.nonsense"}, "invalidScope"),
            ({"scope": ""}, "invalidScope"),
            ({"validTo": "2026-11-24T11:00:00Z"}, "invalidValidTo"),
            ({"validTo": "2027-11-26T12:00:00Z"}, "invalidValidTo"),
            ({"validTo": "tomorrow"}, "invalidValidTo"),
            ({"allOrgs": True}, "globalPATCreationBlocked"),
        ],
    )
    def test_refusals_of_a_creation(self, cloud: Cloud, changes: dict[str, Any], error: str) -> None:
        with pytest.raises(PatRefused) as refused:
            a_pat(cloud, **changes)
        assert refused.value.error == error
        assert cloud.live_pats() == []

    def test_a_value_dies_by_revoke_expiry_organization_or_user(self, cloud: Cloud, clock: ManualClock) -> None:
        cloud.pats.add_organization("fabrikam", members={AGENTS})
        made = a_pat(cloud)
        assert cloud.pats.authenticate("CONTOSO", made["token"]) is not None
        assert cloud.pats.authenticate("fabrikam", made["token"]) is None
        cloud.directory.user(AGENTS).state = UserState.DISABLED
        assert cloud.pats.authenticate("contoso", made["token"]) is None
        cloud.directory.user(AGENTS).state = UserState.NORMAL
        clock.move(timedelta(days=30))
        assert cloud.pats.authenticate("contoso", made["token"]) is None
        again = a_pat(cloud, validTo="2027-01-24T12:00:00Z")
        assert cloud.pats.revoke(AGENTS, "contoso", again["authorizationId"]) is True
        assert cloud.pats.authenticate("contoso", again["token"]) is None

    def test_the_lifespan_policy_clamps_from_now_and_on_update_from_creation(
        self, cloud: Cloud, clock: ManualClock
    ) -> None:
        cloud.pats.organization("contoso").policies.max_lifetime = timedelta(days=10)
        made = a_pat(cloud)
        assert made["validTo"] == "2026-12-04T12:00:00Z"
        clock.move(timedelta(days=5))
        body = {"authorizationId": made["authorizationId"], "validTo": "2027-01-24T12:00:00Z"}
        assert cloud.pats.update(AGENTS, "contoso", body)["validTo"] == "2026-12-04T12:00:00Z"
        cloud.pats.organization("contoso").policies.lifetime_form = "refuse"
        with pytest.raises(PatRefused, match="patLifespanPolicyViolation"):
            a_pat(cloud, validTo="2027-01-24T12:00:00Z")

    def test_the_other_policies_and_their_allow_list(self, cloud: Cloud) -> None:
        policies = cloud.pats.organization("contoso").policies
        policies.full_scope_restricted = True
        with pytest.raises(PatRefused, match="fullScopePatPolicyViolation"):
            a_pat(cloud, scope="app_token")
        policies.creation_restricted = True
        with pytest.raises(PatRefused, match="disablePatCreationPolicyViolation"):
            a_pat(cloud)
        policies.allowed = {AGENTS.upper()}
        a_pat(cloud, scope="app_token")

    def test_expired_and_revoked_pats_are_final(self, cloud: Cloud, clock: ManualClock) -> None:
        expired, revoked = a_pat(cloud), a_pat(cloud, validTo="2027-06-01T00:00:00Z")
        clock.move(timedelta(days=31))
        cloud.pats.revoke(AGENTS, "contoso", revoked["authorizationId"])
        later = "2027-06-01T00:00:00Z"
        with pytest.raises(PatRefused, match="expiredPatCannotBeExtended"):
            cloud.pats.update(AGENTS, "contoso", {"authorizationId": expired["authorizationId"], "validTo": later})
        with pytest.raises(PatRefused, match="failedToUpdateAccessToken"):
            cloud.pats.update(AGENTS, "contoso", {"authorizationId": revoked["authorizationId"], "validTo": later})

    def test_unknown_ids_and_second_revokes_follow_their_switches(self, cloud: Cloud) -> None:
        nobody = "00000000-0000-0000-0000-000000000000"
        made = a_pat(cloud)["authorizationId"]
        with pytest.raises(PatRefused, match="authorizationNotFound"):
            cloud.pats.get(AGENTS, "contoso", nobody)
        with pytest.raises(PatHttpRefused, match="SessionTokenNotFoundException"):
            cloud.pats.revoke(AGENTS, "contoso", nobody)
        assert cloud.pats.revoke(AGENTS, "contoso", made) is True
        assert cloud.pats.revoke(AGENTS, "contoso", made) is False
        with pytest.raises(PatRefused, match="authorizationNotFound"):
            cloud.pats.get(AGENTS, "contoso", made)
        cloud.switches.set(
            {"unknown_get": "404", "unknown_revoke": "204", "second_revoke": "404", "get_revoked": "returned"}
        )
        with pytest.raises(PatHttpRefused, match="404"):
            cloud.pats.get(AGENTS, "contoso", nobody)
        assert cloud.pats.revoke(AGENTS, "contoso", nobody) is False
        with pytest.raises(PatHttpRefused, match="404"):
            cloud.pats.revoke(AGENTS, "contoso", made)
        assert cloud.pats.get(AGENTS, "contoso", made)["authorizationId"] == made

    def test_nobody_sees_other_peoples_pats(self, cloud: Cloud) -> None:
        cloud.directory.add_user("other@contoso.com", "sandbox-password-other")
        made = a_pat(cloud)["authorizationId"]
        with pytest.raises(PatHttpRefused, match="401"):
            cloud.pats.list_pats("other@contoso.com", "contoso", ListQuery())
        cloud.pats.organization("contoso").members.add("other@contoso.com")
        assert cloud.pats.list_pats("other@contoso.com", "contoso", ListQuery()).pats == []
        with pytest.raises(PatRefused):
            cloud.pats.get("other@contoso.com", "contoso", made)

    def test_a_renamed_organization_is_unknown_under_its_old_name(self, cloud: Cloud) -> None:
        value = a_pat(cloud)["token"]
        cloud.pats.rename_organization("contoso", "contoso-two")
        with pytest.raises(NoOrganization):
            cloud.pats.list_pats(AGENTS, "contoso", ListQuery())
        assert cloud.pats.authenticate("contoso-two", value) is not None

    def test_a_new_pat_may_be_refused_at_first(self, cloud: Cloud) -> None:
        cloud.switches.new_pat_refusals = 2
        value = a_pat(cloud)["token"]
        assert [cloud.pats.authenticate("contoso", value) is not None for _ in range(3)] == [False, False, True]


class TestListing:
    def pages(self, cloud: Cloud, **query: str) -> list[list[str]]:
        token, pages = "", []
        while True:
            page = cloud.pats.list_pats(AGENTS, "contoso", ListQuery(continuation=token, **query))
            pages.append([str(pat["displayName"]) for pat in page.pats])
            token = page.continuation
            if not token:
                return pages

    def test_filters_and_order(self, cloud: Cloud) -> None:
        for name, days, revoked in (("b", 1, False), ("a", 2, False), ("c", 3, True)):
            start = START - timedelta(days=days)
            cloud.pats.seed(AGENTS, "contoso", name, valid_from=start, revoked=revoked)
        cloud.pats.seed(AGENTS, "contoso", "d", valid_from=START - timedelta(days=90))
        assert self.pages(cloud) == [["b", "a"]]
        assert self.pages(cloud, filter="all") == [["b", "a", "c", "d"]]
        assert self.pages(cloud, filter="expired") == [["d"]]
        assert self.pages(cloud, filter="revoked") == [["c"]]
        assert self.pages(cloud, filter="all", sort="displayName", ascending="true") == [["a", "b", "c", "d"]]

    def test_pages_are_clamped_small_or_empty(self, cloud: Cloud) -> None:
        for number in range(120):
            cloud.pats.seed(AGENTS, "contoso", f"{number:03d}")
        assert [len(page) for page in self.pages(cloud, top="500")] == [100, 20]
        cloud.switches.page_size_limit = 50
        cloud.switches.empty_pat_pages = True
        pages = self.pages(cloud, sort="displayName")
        assert [len(page) for page in pages] == [50, 0, 50, 0, 20]
        assert [name for page in pages for name in page] == [f"{number:03d}" for number in range(120)]

    def test_a_token_is_opaque_and_keeps_its_options(self, cloud: Cloud) -> None:
        for number in range(3):
            cloud.pats.seed(AGENTS, "contoso", f"{number}")
        page = cloud.pats.list_pats(AGENTS, "contoso", ListQuery(top="1"))
        assert "=" in page.continuation  # must be encoded by the caller
        with pytest.raises(PatHttpRefused, match="400"):
            cloud.pats.list_pats(AGENTS, "contoso", ListQuery(top="1", filter="all", continuation=page.continuation))
        with pytest.raises(PatHttpRefused, match="400"):
            cloud.pats.list_pats(AGENTS, "contoso", ListQuery(continuation="nonsense"))

    def test_a_revoke_between_two_pages_loses_nothing(self, cloud: Cloud) -> None:
        pats = [cloud.pats.seed(AGENTS, "contoso", f"{number}") for number in range(4)]
        query = {"sort": "displayName", "top": "2"}
        first = cloud.pats.list_pats(AGENTS, "contoso", ListQuery(**query))
        cloud.pats.revoke_as_person(pats[0].authorization_id)
        second = cloud.pats.list_pats(AGENTS, "contoso", ListQuery(**query, continuation=first.continuation))
        assert [pat["displayName"] for pat in second.pats] == ["2", "3"]


class TestVault:
    @pytest.fixture
    def vault(self, cloud: Cloud) -> Vault:
        return cloud.vaults[PATS_VAULT]

    def test_a_set_makes_a_version_that_inherits_nothing(self, vault: Vault, clock: ManualClock) -> None:
        first = vault.set_secret("One", "value-1", {"a": "b"}, "text/plain", expires=1_800_000_000)
        clock.move(timedelta(seconds=1.7))
        second = vault.set_secret("one", "value-2")
        assert second["id"].startswith(f"https://{PATS_VAULT}/secrets/One/")
        assert "tags" not in second
        assert "exp" not in second["attributes"]
        assert isinstance(second["attributes"]["created"], int)
        assert vault.get("ONE")["value"] == "value-2"
        assert vault.get("one", first["id"].rpartition("/")[2])["value"] == "value-1"

    def test_versions_come_by_id_not_by_time(self, vault: Vault) -> None:
        made = [vault.set_secret("one", f"value-{number}")["id"] for number in range(6)]
        listed = [item["id"] for item in vault.list_versions("one").items]
        assert listed == sorted(made)
        assert listed != made

    def test_listing_shows_tags_and_never_values_and_pages_irregularly(self, vault: Vault, cloud: Cloud) -> None:
        for number in range(60):
            vault.set_secret(f"name-{number:02d}", "value-1", {"n": str(number)}, "text/plain", enabled=number != 3)
        sizes, names, skip = [], [], None
        while True:
            page = vault.list_secrets(skip=skip)
            sizes.append(len(page.items))
            names += [item["id"].rpartition("/")[2] for item in page.items]
            assert all("value" not in item and item["tags"] for item in page.items)
            skip = page.skip
            if skip is None:
                break
        assert sizes == [0, 0, 25, 25, 10]
        assert names == [f"name-{number:02d}" for number in range(60)]
        cloud.switches.first_vault_pages = "short"
        assert len(vault.list_secrets().items) == 7
        assert vault.list_secrets(skip=(1, "name-06")).items == []
        cloud.switches.irregular_vault_pages = False
        assert len(vault.list_secrets().items) == 25

    def test_patch_leaves_what_is_absent_and_replaces_tags(self, vault: Vault) -> None:
        vault.set_secret("one", "value-1", {"a": "b", "c": "d"}, "text/plain")
        bundle = vault.update("one", "", {"tags": {"e": "f"}, "attributes": {"exp": 1_800_000_000}})
        assert "value" not in bundle
        assert bundle["tags"] == {"e": "f"}
        assert bundle["contentType"] == "text/plain"
        assert "tags" not in vault.update("one", "", {"tags": {}})
        assert vault.get("one")["attributes"]["exp"] == 1_800_000_000

    def test_a_disabled_secret_looks_like_a_permission_error(self, vault: Vault) -> None:
        vault.set_secret("one", "value-1", enabled=False)
        with pytest.raises(VaultRefused) as refused:
            vault.get("one")
        assert (refused.value.status, refused.value.code, refused.value.inner) == (403, "Forbidden", "SecretDisabled")

    def test_soft_delete_blocks_the_name_until_recovered_or_purged(self, vault: Vault, clock: ManualClock) -> None:
        vault.set_secret("one", "value-1")
        assert vault.delete("one")["recoveryId"].endswith("/deletedsecrets/one")
        clock.move(timedelta(seconds=4))
        assert refusal(lambda: vault.set_secret("one", "value-2")) == (409, "Conflict", "ObjectIsDeletedButRecoverable")
        assert [item["id"].rpartition("/")[2] for item in vault.list_deleted().items] == ["one"]
        vault.recover("one")
        vault.settle()
        assert vault.get("one")["value"] == "value-1"
        vault.delete("one")
        vault.settle()
        vault.purge("one")
        assert refusal(lambda: vault.get_deleted("one")) == (404, "SecretNotFound", "")
        assert vault.set_secret("one", "value-3")["value"] == "value-3"

    def test_a_deletion_settles_by_time(self, vault: Vault, clock: ManualClock) -> None:
        vault.set_secret("one", "value-1")
        vault.delete("one")
        with pytest.raises(VaultRefused) as refused:
            vault.get_deleted("one")
        assert refused.value.message == "Deleted Secret not found: one"
        assert vault.list_deleted().items == []
        being_deleted = (409, "Conflict", "ObjectIsBeingDeleted")
        for call in (
            lambda: vault.set_secret("one", "value-2"),
            lambda: vault.recover("one"),
            lambda: vault.purge("one"),
        ):
            assert refusal(call) == being_deleted
        assert refusal(lambda: vault.get("one")) == (404, "SecretNotFound", "")
        clock.move(timedelta(seconds=4))
        assert vault.get_deleted("one")["recoveryId"]

    def test_a_recovery_settles_by_time_and_not_by_reads(self, vault: Vault, clock: ManualClock) -> None:
        vault.set_secret("one", "value-1")
        vault.delete("one")
        vault.settle()
        vault.recover("one")
        being_recovered = (409, "Conflict", "ObjectIsBeingRecovered")
        for _ in range(3):
            assert refusal(lambda: vault.get("one")) == (404, "SecretNotFound", "")
        for call in (
            lambda: vault.set_secret("one", "value-2"),
            lambda: vault.update("one", "", {"tags": {"a": "b"}}),
            lambda: vault.delete("one"),
        ):
            assert refusal(call) == being_recovered
        clock.move(timedelta(seconds=4))
        assert vault.get("one")["value"] == "value-1"
        vault.set_secret("one", "value-2")

    def test_a_recovery_may_be_counted_in_reads_instead(self, vault: Vault, cloud: Cloud) -> None:
        cloud.switches.set({"recover_refusals": 2, "recover_settle_seconds": 0.0, "delete_settle_seconds": 0.0})
        vault.set_secret("one", "value-1")
        vault.delete("one")
        vault.recover("one")
        for _ in range(2):
            assert refusal(lambda: vault.get("one")) == (404, "SecretNotFound", "")
        assert vault.get("one")["value"] == "value-1"
        vault.delete("one")
        vault.recover("one")
        vault.set_secret("one", "value-2")  # whoever wrote it has seen that it is back
        assert vault.get("one")["value"] == "value-2"

    def test_versions_of_nothing_are_an_empty_list(self, vault: Vault) -> None:
        assert (vault.list_versions("nothing").items, vault.list_versions("nothing").skip) == ([], None)
        vault.set_secret("one", "value-1")
        vault.delete("one")
        assert vault.list_versions("one").items == []
        vault.denied = {"versions"}
        assert refusal(lambda: vault.list_versions("nothing"))[0] == 403

    def test_a_backup_comes_back_with_all_its_versions(self, vault: Vault, cloud: Cloud) -> None:
        first = vault.set_secret("one", "value-1", {"a": "b"})
        vault.set_secret("one", "value-2")
        blob = vault.backup("one")
        assert blob in cloud.every_secret()
        assert refusal(lambda: vault.restore(blob)) == (409, "Conflict", "")
        other = cloud.add_vault("other.vault.azure.net")
        other.restore(blob)
        assert other.get("one")["value"] == "value-2"
        assert other.get("one", first["id"].rpartition("/")[2])["tags"] == {"a": "b"}

    @pytest.mark.parametrize(
        "wrong",
        [
            {"name": "under_score"},
            {"name": "x" * 128},
            {"value": "x" * (25 * 1024 + 1)},
            {"tags": {str(number): "" for number in range(16)}},
            {"tags": {"a": "x" * 513}},
            {"content_type": "x" * 256},
        ],
    )
    def test_limits(self, vault: Vault, wrong: dict[str, Any]) -> None:
        with pytest.raises(VaultRefused) as refused:
            vault.set_secret(**{"name": "one", "value": "value-1", **wrong})
        assert (refused.value.status, refused.value.code) == (400, "BadParameter")

    def test_fifteen_tags_of_512_letters_are_taken_and_a_sixteenth_is_told(self, vault: Vault) -> None:
        tags = {f"{number:0512}": "x" * 512 for number in range(15)}
        assert vault.set_secret("one", "value-1", tags)["tags"] == tags
        with pytest.raises(VaultRefused) as refused:
            vault.set_secret("one", "value-1", {**tags, "one-more": ""})
        assert refused.value.message == "Property has invalid value"

    def test_permissions_and_throttling(self, vault: Vault, cloud: Cloud, clock: ManualClock) -> None:
        vault.denied = {"set"}
        with pytest.raises(VaultRefused) as refused:
            vault.set_secret("one", "value-1")
        assert refused.value.inner == "ForbiddenByRbac"
        assert "\r\n" in refused.value.message
        assert "setSecret/action" in refused.value.message
        vault.denied = set()
        cloud.switches.vault_creations_per_10s = 2
        vault.set_secret("one", "value-1")
        vault.set_secret("two", "value-1")
        with pytest.raises(VaultRefused, match="429"):
            vault.set_secret("three", "value-1")
        clock.move(timedelta(seconds=10))
        vault.set_secret("three", "value-1")


class TestDemo:
    def test_every_state_is_there(self, clock: ManualClock) -> None:
        cloud = Cloud(clock.now)
        apply(cloud, demo_estate())
        estate = cloud.estate()
        assert {row["state"] for row in estate["pats"]} == {"active", "expired", "revoked"}
        names = {secret["name"] for secret in estate["vaults"][0]["secrets"]}
        assert {"agents-linux-pat", "legacy-tool-pat"} <= names
        assert "new-pipeline-pat" not in names
        wiki = cloud.vaults[PATS_VAULT].secret("wiki-export-pat").latest
        assert wiki.tags["predecessors"] == "a0000000-0000-4000-8000-000000000005@2026-11-22T12:00:00Z"
        assert wiki.expires is not None
        assert cloud.pats.pat(wiki.tags["authorization-id"]).value == wiki.value

    def test_the_mark_is_made_of_the_facts(self) -> None:
        assert re.fullmatch(r"patrol/patrol-demo-pats-[0-9a-f]{6}/one", mark("one"))
        assert re.fullmatch(r"patrol/team-[0-9a-f]{6}/one", mark("one", name="team"))

    def test_the_inventory_names_what_the_estate_holds(self) -> None:
        text = demo_pats_yaml()
        assert TENANT in text
        assert CLIENT in text
        assert "adopt: true" in text

    def test_values_show_only_when_revealed(self, clock: ManualClock) -> None:
        cloud = Cloud(clock.now)
        apply(cloud, demo_estate())
        shown = str(cloud.estate())
        assert not [value for value in cloud.every_secret() if value in shown]
        assert cloud.pats.all()[0].value in str(cloud.estate(reveal=True))


def test_an_unknown_switch_is_refused(cloud: Cloud) -> None:
    with pytest.raises(ValueError, match="no_such"):
        cloud.switches.set({"no_such": 1})
    with pytest.raises(ValueError, match="takes int"):
        cloud.switches.set({"page_size_limit": "ten"})
