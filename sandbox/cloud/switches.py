"""Behaviour that is unknown in the real services, or that tests want rare: one field each, default first."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(slots=True)
class Switches:
    """Change a field at any time; the next call obeys. Strings list their choices in the comment beside them."""

    # Everywhere
    latency: float = 0.0  # seconds that every answer takes longer than the sandbox needs

    # Entra ID
    user_token_seconds: int = 3599  # life of a user's access token; 3,599 to 5,187 were recorded
    guest_code: int = 50034  # 50034 or 50020: the password grant of an invited personal account
    conditional_access_error: str = "invalid_grant"  # "invalid_grant" or "interaction_required", with 53003
    sign_in_frequency_hours: int | None = None  # a policy: how long a sign-in lasts; None: there is none
    sign_in_frequency_for: str = "public"  # "public" (clients) or "all": whom that policy binds
    service_token_minutes: int = 60  # life of a service principal's token; the real one draws 60 to 90
    app_token_seconds: int = 3600  # life of other tokens of apps and managed identities; 86,399 under CAE
    exchange_token_seconds: int = 3600  # life of an identity's token for the exchange; negative: it comes expired

    # PAT API
    unknown_get: str = "authorizationNotFound"  # a patTokenError, or "404"
    unknown_update: str = "authorizationNotFound"  # a patTokenError, or "404"
    unknown_revoke: str = "404"  # "404" (SessionTokenNotFoundException), "204", or a patTokenError
    second_revoke: str = "204"  # "204" or "404"
    revoke_status: int = 204  # 204 or 200
    get_revoked: str = "authorizationNotFound"  # a patTokenError, or "returned"
    update_revoked: str = "failedToUpdateAccessToken"  # a patTokenError
    pat_error_status: int = 200  # 200 or 400: the status that carries patTokenError
    error_message_field: bool | None = None  # None: only in 7.2; True or False: always, never
    default_filter: str = "active"  # active, revoked, expired, all
    default_sort: str = "validFrom"  # validFrom (descending), displayName, displayDate, status
    over_limit_top: str = "clamp"  # "clamp" or "400"
    page_size_limit: int = 100  # pages of PATs are never longer, whatever $top says
    empty_pat_pages: bool = False  # an empty page with a continuation token after every page but the last
    global_creation: str = "blocked"  # "blocked" (globalPATCreationBlocked) or "allowed"
    longest_life_days: int | None = 366  # a later validTo is invalidValidTo; the portal offers a year. None: any
    expired_can_be_extended: bool = False
    update_keeps_secret: bool = True  # False: an update silently ends the old value
    scope_echo: str = "as sent"  # "as sent" or "sorted"
    display_name_limit: int = 256
    needs_both_permissions: bool = False  # True: every PAT call needs vso.pats and vso.pats_manage
    user_impersonation_works: bool = False
    body_mark: bool = False  # True: JSON of Azure DevOps starts with a UTF-8 byte order mark
    sign_in_page: str = "302"  # "302" or "203": the answer to a caller who is not signed in
    admin_listing_names: bool = True  # False: an administrator's listing has displayName null, as its one example has
    admin_revocation_minutes: int = 0  # until a PAT that an administrator revoked stops working: up to 60
    # dev.azure.com
    new_pat_refusals: int = 0  # a new PAT's first N calls are refused: propagation
    connection_data_for_narrow_scopes: bool = True
    missing_scope_status: int = 401  # 401 or 403
    projects_with_code_scope: bool = True  # SonarQube asks for vso.code alone, and lists projects with it
    # Key Vault
    irregular_vault_pages: bool = True  # a listing of more than one page begins with pages that hold little
    first_vault_pages: str = "empty"  # "empty" (two empty ones) or "short" (one of 7, one empty): both are recorded
    vault_page_size: int = 25
    delete_settle_seconds: float = 4.0  # until a deletion is seen among the deleted; writing the name meanwhile is 409
    recover_settle_seconds: float = 4.0  # until a recovered secret can be read; writing it meanwhile is 409
    delete_refusals: int = 0  # the same by reads instead of by time: so many of a freshly deleted secret answer 404
    recover_refusals: int = 0  # reads of a freshly recovered secret that answer 404
    vault_creations_per_10s: int | None = None  # Throttled above; the real one allows 300 per vault and region
    vault_retry_after: int | None = None  # seconds; Retry-After on a throttled answer is not promised

    # Logs
    vault_log_table: str = "none"  # "AZKVAuditLogs" or "AzureDiagnostics": where a vault's calls are written; "none"
    vault_log_minutes: int = 5  # until a row can be found: 3 to 10 are usual

    def set(self, changes: dict[str, Any]) -> None:
        """Set fields by name. Raises ValueError for an unknown name or a value of the wrong kind."""
        known = {field.name for field in fields(self)}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"there is no switch {name!r}")
            before = getattr(self, name)
            nullable = name in (
                "error_message_field",
                "longest_life_days",
                "vault_creations_per_10s",
                "vault_retry_after",
                "sign_in_frequency_hours",
            )
            if not (isinstance(value, type(before)) or nullable or isinstance(before, float)):
                raise ValueError(f"switch {name!r} takes {type(before).__name__}")
        for name, value in changes.items():
            setattr(self, name, value)
