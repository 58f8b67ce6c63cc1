"""Failures, named by what the caller may assume afterwards.

`Misconfigured`: an operator must act, trying again changes nothing. `NotDone`: refused, nothing changed, safe to undo
or try again. `Unclear`: it may have happened, look before acting. Every failure carries a code that stays the same
between releases, the cause and the remedy, all of them free of response bodies and secrets.
"""

from __future__ import annotations

import traceback
from datetime import timedelta
from enum import StrEnum
from pathlib import Path


class Code(StrEnum):
    """Why something was not done; `docs/operations.md` has one row per code."""

    # The deployment: exit 2.
    SETTINGS_INVALID = "settings-invalid"
    INVENTORY_UNREADABLE = "inventory-unreadable"
    INVENTORY_INVALID = "inventory-invalid"
    IDENTITY_UNAVAILABLE = "identity-unavailable"
    VAULT_FORBIDDEN = "vault-forbidden"
    VAULT_UNREACHABLE = "vault-unreachable"
    CLOCK_SKEW = "clock-skew"
    TENANT_UNKNOWN = "tenant-unknown"
    CLIENT_REFUSED = "client-refused"
    CLIENT_SECRET_UNREADABLE = "client-secret-unreadable"
    CLIENT_CERTIFICATE_UNUSABLE = "client-certificate-unusable"

    # One technical user.
    CREDENTIAL_UNREADABLE = "credential-unreadable"
    SIGN_IN_REFUSED = "sign-in-refused"
    SIGN_IN_UNAVAILABLE = "sign-in-unavailable"
    SIGN_IN_UNCLEAR = "sign-in-unclear"
    USER_BLOCKED = "user-blocked"
    ENROLLMENT_NEEDED = "enrollment-needed"
    ENROLLMENT_ENDED = "enrollment-ended"
    ENROLLMENT_REFUSED = "enrollment-refused"
    NOTE_UNWRITABLE = "note-unwritable"

    # One service principal.
    PRINCIPAL_REFUSED = "principal-refused"
    TOKEN_NOT_NEWER = "token-not-newer"
    TOKEN_LIVES = "token-lives"

    # One organization.
    ORGANIZATION_UNKNOWN = "organization-unknown"
    ORGANIZATION_DENIED = "organization-denied"
    DEVOPS_UNAVAILABLE = "devops-unavailable"
    DEVOPS_UNCLEAR = "devops-unclear"
    DEVOPS_REFUSED = "devops-refused"

    # One item.
    ITEM_INVALID = "item-invalid"
    INVENTORY_FILE_UNREADABLE = "inventory-file-unreadable"
    SECRET_UNKNOWN = "secret-unknown"
    SECRET_AMBIGUOUS = "secret-ambiguous"
    PAUSED = "paused"
    OWNER_CHANGED = "owner-changed"
    EDITED = "edited"
    FOREIGN = "foreign"
    UNMARKED = "unmarked"
    DISABLED = "disabled"
    SECRET_DELETED = "secret-deleted"
    PUBLISH_WOULD_FAIL = "publish-would-fail"
    IN_OVERLAP = "in-overlap"
    ROTATED_ELSEWHERE = "rotated-elsewhere"
    MINT_REFUSED = "mint-refused"
    MINT_UNCLEAR = "mint-unclear"
    VERIFY_FAILED = "verify-failed"
    VERIFY_UNCLEAR = "verify-unclear"
    PUBLISH_REFUSED = "publish-refused"
    PUBLISH_FORBIDDEN = "publish-forbidden"
    PUBLISH_UNCLEAR = "publish-unclear"
    PUBLISH_LATE = "publish-late"
    VAULT_CLOSED = "vault-closed"
    REVOKE_REFUSED = "revoke-refused"
    REVOKE_UNCLEAR = "revoke-unclear"
    PAT_UNKNOWN = "pat-unknown"
    VAULT_REFUSED = "vault-refused"
    VAULT_UNCLEAR = "vault-unclear"
    CONSUMER_TOKEN_UNREADABLE = "consumer-token-unreadable"
    CONSUMER_REFUSED = "consumer-refused"
    CONSUMER_UNREACHABLE = "consumer-unreachable"
    RECIPIENT_INVALID = "recipient-invalid"
    RECIPIENT_UNREADABLE = "recipient-unreadable"
    RECIPIENT_REFUSED = "recipient-refused"
    RECIPIENT_UNREACHABLE = "recipient-unreachable"
    NOTICES_UNKEPT = "notices-unkept"
    LOGS_UNREADABLE = "logs-unreadable"
    AUDIT_UNREADABLE = "audit-unreadable"
    LEAKED_PAT_LIVES = "leaked-pat-lives"
    UNEXPECTED = "unexpected"

    # One call of the HTTP API.
    BODY_INVALID = "body-invalid"
    CALLER_UNKNOWN = "caller-unknown"
    ROLE_MISSING = "role-missing"
    METHOD_UNKNOWN = "method-unknown"
    ITEMS_FAILED = "items-failed"
    TIME_OVER = "time-over"
    RUN_UNKNOWN = "run-unknown"
    REPORT_UNREADABLE = "report-unreadable"
    LINK_UNKEPT = "link-unkept"


A_PERSON_MUST_ACT = frozenset({Code.SIGN_IN_REFUSED, Code.USER_BLOCKED, Code.ENROLLMENT_NEEDED, Code.ENROLLMENT_ENDED})
"""Of a user who signs in again when somebody has done something: exit 3."""


class PatrolError(Exception):
    """An expected failure: `code` for programs, `cause` and `remedy` for people."""

    def __init__(self, code: Code, cause: str, remedy: str) -> None:
        super().__init__(f"{cause} {remedy}")
        self.code = code
        self.cause = cause
        self.remedy = remedy


class Misconfigured(PatrolError):
    """Settings, `pats.yaml`, tenant, client or a vault's rights are wrong; nothing can work until somebody acts.

    `mistakes`: each of several, where the cause has them in one sentence.
    """

    mistakes: tuple[str, ...] = ()


class ClientRefused(Misconfigured):
    """Entra ID refused the app registration or the tenant: true for every technical user alike."""


class NotDone(PatrolError):
    """A plain refusal: nothing changed."""


class Denied(NotDone):
    """The caller is not allowed to; `word` is the service's own, such as "ForbiddenByRbac", "" where it gives none.

    Key Vault says by it whether rights are missing (`ForbiddenByRbac`, `AccessDenied`) or the network is in the way.
    """

    def __init__(self, code: Code, cause: str, remedy: str, word: str = "") -> None:
        super().__init__(code, cause, remedy)
        self.word = word


class Refused(NotDone):
    """The service understood and declined; `word` is its own, such as "invalidScope" or "ForbiddenByPolicy".

    It concerns what was asked for (one PAT, one secret), not the caller's rights on all of them.
    """

    def __init__(self, code: Code, cause: str, remedy: str, word: str = "") -> None:
        super().__init__(code, cause, remedy)
        self.word = word


class Again(StrEnum):
    """When a refused sign-in may be tried again without anything having changed (rule 12)."""

    NEVER = "never"
    """The password was judged: another attempt counts towards a lock-out."""
    DAILY = "daily"
    """Something else than the password said no, and may say yes without our credential changing."""
    LOCKED = "locked"
    """Smart lock-out: once after 30 minutes, then once a day."""
    UNCLEAR = "unclear"
    """What signs in went out and no usable answer came: two in a row hold for 30 minutes."""

    @property
    def judged_the_password(self) -> bool:
        """Whether another attempt with the same password counts towards a lock-out for certain."""
        return self in (Again.NEVER, Again.LOCKED)


FEDERATED = "federated"
"""The word of a user whose domain has its own server judge passwords: none was sent."""


class UserRefused(NotDone):
    """Entra ID refused to sign a user in; `word` is its number, such as "AADSTS50126", or `FEDERATED`.

    `longest_life`: how long a policy lets an enrolled user's sign-in last, where the refusal says so.
    """

    def __init__(
        self,
        cause: str,
        remedy: str,
        word: str,
        again: Again,
        code: Code = Code.SIGN_IN_REFUSED,
        longest_life: timedelta | None = None,
    ) -> None:
        super().__init__(code, cause, remedy)
        self.word = word
        self.again = again
        self.longest_life = longest_life


class Absent(NotDone):
    """What was asked for is not there, and the service said so itself."""


class Busy(NotDone):
    """The service asked to come back later; `wait` is how long, where it is known."""

    def __init__(self, code: Code, cause: str, remedy: str, wait: timedelta | None = None) -> None:
        super().__init__(code, cause, remedy)
        self.wait = wait


class Unclear(PatrolError):
    """The answer was lost or made no sense: it may have happened."""


class SignInUnclear(Unclear):
    """Nobody that may judge a sign-in has: no answer, or one that is not Entra ID's own.

    `sent` (`Code.SIGN_IN_UNCLEAR`): the password went out, and may have been judged. Else (`Code.SIGN_IN_UNAVAILABLE`)
    it never left this machine.
    """

    def __init__(self, cause: str, remedy: str, *, sent: bool) -> None:
        super().__init__(Code.SIGN_IN_UNCLEAR if sent else Code.SIGN_IN_UNAVAILABLE, cause, remedy)
        self.sent = sent


def place_of(failure: BaseException) -> str:
    """Type and innermost place in patrol of an exception nobody expected: its text may carry a secret."""
    frames = traceback.extract_tb(failure.__traceback__)
    package = Path(__file__).resolve().parents[1]
    ours = [frame for frame in frames if package in Path(frame.filename).parents] or frames
    where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "an unknown place"
    return f"{type(failure).__name__} at {where}"


def defect(failure: Exception) -> PatrolError:
    """A defect of patrol, told by type and place only."""
    return PatrolError(
        Code.UNEXPECTED,
        f"patrol itself failed: {place_of(failure)}.",
        "Report this as a defect of patrol; the next run tries again.",
    )
