"""The scopes a PAT can have (Azure DevOps documentation, OAuth scopes; AzureAuth's list for the newest)."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

_PREFIX: Final = "vso."
FULL_ACCESS: Final = "app_token"
SIGN_IN_ONLY: Final = frozenset({"user_impersonation", "vso.pats", "vso.pats_manage"})
"""Permissions of the app registration; a PAT cannot have them."""


@dataclass(frozen=True, slots=True)
class Scope:
    """`area` as the documentation groups them; `meaning`: what it lets a PAT do."""

    name: str
    area: str
    meaning: str


def _area(area: str, **meanings: str) -> list[Scope]:
    return [Scope(_PREFIX + name.replace("__", "."), area, meaning) for name, meaning in meanings.items()]


_ALL = [
    Scope(FULL_ACCESS, "everything", "do all that the user may do; needs allow_full_access"),
    *_area(
        "advanced security",
        advsec="read alerts",
        advsec_write="read and upload alerts",
        advsec_manage="read, upload and configure alerts",
    ),
    *_area(
        "agents",
        agentpools="read agent pools and queues",
        agentpools_manage="register agents, manage pools and queues",
        environment_manage="manage environments",
        machinegroup_manage="manage deployment groups",
    ),
    *_area("analytics", analytics="query analytics"),
    *_area("auditing", auditlog="read the audit log", auditstreams_manage="manage audit streams"),
    *_area("build", build="read builds", build_execute="read and queue builds"),
    *_area(
        "code",
        code="read source and commits",
        code_write="read and push",
        code_manage="read, push and manage repositories",
        code_full="everything in version control",
        code_status="read and set commit and pull request status",
    ),
    *_area("connected server", connected_server="reach endpoints from an on-premises server"),
    *_area(
        "users",
        entitlements="read licenses",
        memberentitlementmanagement="read users and their licenses",
        memberentitlementmanagement_write="manage users and their licenses",
        graph="read users and groups",
        graph_manage="manage users and groups",
        identity="read identities",
        identity_manage="manage identities",
        profile="read the profile",
        profile_write="write the profile",
    ),
    *_area(
        "extensions",
        extension="read installed extensions",
        extension_manage="install and manage extensions",
        extension__data="read data of extensions",
        extension__data_write="read and write data of extensions",
        gallery="read the marketplace",
        gallery_acquire="acquire from the marketplace",
        gallery_publish="publish to the marketplace",
        gallery_manage="manage in the marketplace",
    ),
    *_area("GitHub", githubconnections="read connections", githubconnections_manage="manage connections"),
    *_area(
        "notifications",
        notification="read subscriptions",
        notification_write="manage subscriptions",
        notification_manage="manage subscriptions and settings",
        notification_diagnostics="diagnose subscriptions",
    ),
    *_area(
        "packaging",
        packaging="read feeds and packages",
        packaging_write="push packages",
        packaging_manage="manage feeds and packages",
        symbols="read symbols",
        symbols_write="publish symbols",
        symbols_manage="manage symbols",
        drop="read drops",
        drop_write="write drops",
        drop_manage="manage drops",
    ),
    *_area(
        "pipelines",
        pipelineresources_use="use protected resources",
        pipelineresources_manage="manage protected resources",
        release="read releases",
        release_execute="read and start releases",
        release_manage="manage releases",
        securefiles_read="read secure files",
        securefiles_write="add secure files",
        securefiles_manage="manage secure files",
        serviceendpoint="read service connections",
        serviceendpoint_query="use service connections",
        serviceendpoint_manage="manage service connections",
        taskgroups_read="read task groups",
        taskgroups_write="write task groups",
        taskgroups_manage="manage task groups",
        variablegroups_read="read variable groups",
        variablegroups_write="write variable groups",
        variablegroups_manage="manage variable groups",
    ),
    *_area(
        "projects",
        project="read projects and teams",
        project_write="write projects and teams",
        project_manage="create and delete projects and teams",
        dashboards="read dashboards",
        dashboards_manage="manage dashboards",
        settings="read settings",
        settings_write="write settings",
        wiki="read wikis",
        wiki_write="write wikis",
    ),
    *_area("security", security_manage="manage permissions"),
    *_area(
        "service hooks",
        hooks="read subscriptions",
        hooks_write="manage subscriptions",
        hooks_interact="see and act on deliveries",
    ),
    *_area(
        "tests",
        test="read test plans and results",
        test_write="write test plans and results",
        loadtest="read load tests",
        loadtest_write="write load tests",
    ),
    *_area("threads", threads_full="read and write comment threads"),
    *_area("tokens", tokens="manage delegated tokens", tokenadministration="manage tokens of other users"),
    *_area("work items", work="read work items", work_write="write work items", work_full="everything in boards"),
]

KNOWN: Final[Mapping[str, Scope]] = {scope.name: scope for scope in _ALL}


@functools.lru_cache(maxsize=1024)
def nearest(text: str) -> str | None:
    """The known scope that looks most like `text`, or None. Remembered: one mistake is often copied to many items."""
    # Compared without the prefix, which alone would make any two scopes look alike.
    names = {name.removeprefix(_PREFIX): name for name in KNOWN}
    found = difflib.get_close_matches(text.lower().strip().removeprefix(_PREFIX), names, n=1, cutoff=0.6)
    return names[found[0]] if found else None


def search(words: Iterable[str]) -> tuple[Scope, ...]:
    """The scopes whose name, area or meaning holds every word."""
    wanted = [word.lower() for word in words]
    return tuple(
        scope
        for scope in KNOWN.values()
        if all(word in f"{scope.name} {scope.area} {scope.meaning}".lower() for word in wanted)
    )
