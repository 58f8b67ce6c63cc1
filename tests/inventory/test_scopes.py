"""What patrol knows about the scopes of a PAT."""

from __future__ import annotations

import pytest

from shared.inventory import portal_scopes, scopes


@pytest.mark.parametrize(
    "name",
    [
        "app_token",
        "vso.advsec_manage",
        "vso.agentpools_manage",
        "vso.code_status",
        "vso.connected_server",
        "vso.drop_write",
        "vso.environment_manage",
        "vso.extension.data_write",
        "vso.hooks_interact",
        "vso.loadtest",
        "vso.machinegroup_manage",
        "vso.memberentitlementmanagement_write",
        "vso.notification_diagnostics",
        "vso.pipelineresources_use",
        "vso.securefiles_read",
        "vso.threads_full",
        "vso.tokenadministration",
        "vso.variablegroups_manage",
        "vso.work_full",
    ],
)
def test_a_scope_that_a_pat_can_have_is_known(name: str) -> None:
    assert scopes.KNOWN[name].name == name


def test_every_known_scope_has_an_area_and_a_meaning() -> None:
    assert len(scopes.KNOWN) == 91
    assert all(name == one.name and one.area and one.meaning for name, one in scopes.KNOWN.items())
    assert all(name == scopes.FULL_ACCESS or name.startswith("vso.") for name in scopes.KNOWN)


def test_permissions_of_the_app_registration_are_no_scopes_of_a_pat() -> None:
    assert {"user_impersonation", "vso.pats", "vso.pats_manage"} == scopes.SIGN_IN_ONLY
    assert not scopes.SIGN_IN_ONLY & scopes.KNOWN.keys()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("vso.cod", "vso.code"),
        ("vso.agentpool_manage", "vso.agentpools_manage"),
        ("VSO.CODE_WRITE", "vso.code_write"),
        ("code_write", "vso.code_write"),
        ("vso.packaging-write", "vso.packaging_write"),
        ("apptoken", "app_token"),
        ("", None),
        ("bananas", None),
    ],
)
def test_a_misspelt_scope_leads_to_the_one_that_was_meant(written: str, meant: str | None) -> None:
    assert scopes.nearest(written) == meant


def test_a_search_wants_every_word_in_name_area_or_meaning() -> None:
    assert [one.name for one in scopes.search(["push", "repositories"])] == ["vso.code_manage"]
    assert {"vso.build", "vso.build_execute"} <= {one.name for one in scopes.search(["BUILD"])}
    assert scopes.search(["build", "nonsense"]) == ()
    assert len(scopes.search([])) == len(scopes.KNOWN)


def test_every_scope_that_the_portal_names_is_known_and_has_a_spelling_of_its_own() -> None:
    assert portal_scopes.NAMES.keys() <= scopes.KNOWN.keys()
    assert len({portal_scopes.meant(spelling) for spelling in portal_scopes.NAMES.values()}) == len(portal_scopes.NAMES)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Code (read)", "vso.code"),
        ("code (READ & WRITE)", "vso.code_write"),
        ("Code: Read, write, & manage", "vso.code_manage"),
        ("Service Connections (read, query, and manage)", "vso.serviceendpoint_manage"),
        ("Advanced Security (read)", "vso.advsec"),
        ("Full access", "app_token"),
        ("vso.code", None),
        ("Code", None),
        ("", None),
        ("Pass (word)", None),
    ],
)
def test_the_portal_s_spelling_leads_to_the_scope(written: str, name: str | None) -> None:
    assert portal_scopes.meant(written) == name
