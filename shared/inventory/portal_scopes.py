"""Scopes as the portal spells them, for people who copy them from there.

Source: Azure DevOps documentation, OAuth scopes, column "Name"; the PAT page of the portal writes `&` for "and".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

NAMES: Final[Mapping[str, str]] = {
    "vso.advsec": "AdvancedSecurity (read)",
    "vso.advsec_write": "AdvancedSecurity (read and write)",
    "vso.advsec_manage": "AdvancedSecurity (read, write, and manage)",
    "vso.agentpools": "Agent Pools (read)",
    "vso.agentpools_manage": "Agent Pools (read, manage)",
    "vso.environment_manage": "Environment (read, manage)",
    "vso.machinegroup_manage": "Deployment group (read, manage)",
    "vso.analytics": "Analytics (read)",
    "vso.auditlog": "Audit Log (read)",
    "vso.auditstreams_manage": "Audit Streams (read)",
    "vso.build": "Build (read)",
    "vso.build_execute": "Build (read and execute)",
    "vso.code": "Code (read)",
    "vso.code_write": "Code (read and write)",
    "vso.code_manage": "Code (read, write, and manage)",
    "vso.code_full": "Code (full)",
    "vso.code_status": "Code (status)",
    "vso.connected_server": "Connected Server",
    "vso.entitlements": "Entitlements (Read)",
    "vso.memberentitlementmanagement": "MemberEntitlement Management (read)",
    "vso.memberentitlementmanagement_write": "MemberEntitlement Management (write)",
    "vso.extension": "Extensions (read)",
    "vso.extension_manage": "Extensions (read and manage)",
    "vso.extension.data": "Extension data (read)",
    "vso.extension.data_write": "Extension data (read and write)",
    "vso.githubconnections": "GitHub Connections (read)",
    "vso.githubconnections_manage": "GitHub Connections (read and manage)",
    "vso.graph": "Graph (read)",
    "vso.graph_manage": "Graph (manage)",
    "vso.identity": "Identity (read)",
    "vso.identity_manage": "Identity (manage)",
    "vso.gallery": "Marketplace",
    "vso.gallery_acquire": "Marketplace (acquire)",
    "vso.gallery_publish": "Marketplace (publish)",
    "vso.gallery_manage": "Marketplace (manage)",
    "vso.notification": "Notifications (read)",
    "vso.notification_write": "Notifications (write)",
    "vso.notification_manage": "Notifications (manage)",
    "vso.notification_diagnostics": "Notifications (diagnostics)",
    "vso.packaging": "Packaging (read)",
    "vso.packaging_write": "Packaging (read and write)",
    "vso.packaging_manage": "Packaging (read, write, and manage)",
    "vso.pipelineresources_use": "Pipeline Resources (use)",
    "vso.pipelineresources_manage": "Pipeline Resources (use and manage)",
    "vso.project": "Project and team (read)",
    "vso.project_write": "Project and team (read and write)",
    "vso.project_manage": "Project and team (read, write and manage)",
    "vso.release": "Release (read)",
    "vso.release_execute": "Release (read, write and execute)",
    "vso.release_manage": "Release (read, write, execute and manage)",
    "vso.securefiles_read": "Secure Files (read)",
    "vso.securefiles_write": "Secure Files (read, create)",
    "vso.securefiles_manage": "Secure Files (read, create, and manage)",
    "vso.security_manage": "Security (manage)",
    "vso.serviceendpoint": "Service Endpoints (read)",
    "vso.serviceendpoint_query": "Service Endpoints (read and query)",
    "vso.serviceendpoint_manage": "Service Endpoints (read, query and manage)",
    "vso.hooks": "Service hooks (read)",
    "vso.hooks_write": "Service hooks (read and write)",
    "vso.hooks_interact": "Service hooks (interact)",
    "vso.settings": "Settings (read)",
    "vso.settings_write": "Settings (read and write)",
    "vso.symbols": "Symbols (read)",
    "vso.symbols_write": "Symbols (read and write)",
    "vso.symbols_manage": "Symbols (read, write and manage)",
    "vso.taskgroups_read": "Task Groups (read)",
    "vso.taskgroups_write": "Task Groups (read, create)",
    "vso.taskgroups_manage": "Task Groups (read, create and manage)",
    "vso.dashboards": "Team dashboards (read)",
    "vso.dashboards_manage": "Team dashboards (manage)",
    "vso.test": "Test management (read)",
    "vso.test_write": "Test management (read and write)",
    "vso.threads_full": "PR threads",
    "vso.tokens": "Delegated Authorization Tokens",
    "vso.tokenadministration": "Token Administration",
    "vso.profile": "User profile (read)",
    "vso.profile_write": "User profile (write)",
    "vso.variablegroups_read": "Variable Groups (read)",
    "vso.variablegroups_write": "Variable Groups (read, create)",
    "vso.variablegroups_manage": "Variable Groups (read, create and manage)",
    "vso.wiki": "Wiki (read)",
    "vso.wiki_write": "Wiki (read and write)",
    "vso.work": "Work items (read)",
    "vso.work_write": "Work items (read and write)",
    "vso.work_full": "Work items (full)",
    "app_token": "Full access",
}

# What the PAT page calls them, where that is another word than the documentation's.
_ALSO: Final = {
    "serviceconnections": "serviceendpoints",
    "deploymentgroups": "deploymentgroup",
    "pullrequestthreads": "prthreads",
}


def meant(text: str) -> str | None:
    """The scope that the portal spells so, whatever the case and the commas; None when it spells none so."""
    key = _key(text)
    for word, documented in _ALSO.items():
        if key.startswith(word):
            key = documented + key.removeprefix(word)
    return _BY_KEY.get(key)


def _key(text: str) -> str:
    return "".join(word for word in re.findall(r"[a-z]+", text.lower()) if word != "and")


_BY_KEY: Final = {_key(spelling): name for name, spelling in NAMES.items()}
