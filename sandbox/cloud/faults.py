"""Faults scripted by operation and call number. Pure: deciding which fault a call meets, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from threading import Lock

from sandbox.cloud.foreign_answers import FORMS

OPERATIONS = (
    "entra.discovery",
    "entra.userrealm",
    "entra.token",
    "entra.authorize",  # the page where a person signs in
    "entra.device_code",
    "identity.token",
    "adfs.metadata",  # the server of a federated domain
    "adfs.sign_in",
    "pats.create",
    "pats.list",
    "pats.get",
    "pats.update",
    "pats.revoke",
    "tokenadmin.list",
    "tokenadmin.revoke",
    "identities.read",
    "devops.connection_data",
    "devops.other",
    "connections.get",
    "connections.update",
    "git.refs",
    "feeds.read",
    "sonarqube.list_definitions",
    "sonarqube.list",
    "sonarqube.create_azure",
    "sonarqube.delete",
    "sonarqube.update_azure",
    "sonarqube.validate",
    "sonarqube.other",
    "notice.teams",
    "notice.teams-card",
    "notice.slack",
    "notice.webhook",
    "vault.challenge",  # a vault call that arrives without Authorization
    "vault.set",
    "vault.get",
    "vault.list",
    "vault.versions",
    "vault.update",
    "vault.delete",
    "vault.deleted",
    "vault.recover",
    "vault.purge",
    "vault.backup",
    "vault.restore",
    "logs.query",
    "audit.query",
    "other",
)

KINDS = (
    "status",  # `status`, `body`, `content_type`, `headers`; the effect happens first with `after_effect`
    "foreign",  # `status` in the words of somebody in between: `form` is one of `foreign_answers.FORMS`
    "sign_in_page",  # 203 and HTML
    "redirect",  # 302 to a sign-in page
    "garbage",  # 200 with truncated JSON
    "wrong_type",  # the real answer, called text/html
    "hang",  # no answer for `seconds`; with `after_effect` the effect happens
    "cut_before_effect",
    "cut_after_effect",
    "delay",  # the real answer, `seconds` late
    "pat_error",  # `status` (200 unless given) with patTokenError = `error`
    "retry_after_on_200",  # the real answer with Retry-After = `seconds`
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Meets calls `call` … `call + times - 1` of `operation`, counted from 1 when it is scripted; every call if None.

    `operation` may hold `*`; only calls whose host, path, query or subject contains `where` are counted and met.
    """

    operation: str
    kind: str
    call: int | None = 1
    times: int = 1
    status: int = 0
    body: str = ""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    after_effect: bool = False
    seconds: float = 0.0
    error: str = ""
    form: str = "page"
    where: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no kind of fault {self.kind!r}")
        if not any(fnmatchcase(name, self.operation) for name in OPERATIONS):
            raise ValueError(f"there is no operation {self.operation!r}")
        if self.kind in ("status", "foreign") and not self.status:
            raise ValueError(f"a fault of kind {self.kind} needs a status")
        if self.form not in FORMS:
            raise ValueError(f"there is no form of a foreign answer {self.form!r}")

    @property
    def skips_effect(self) -> bool:
        """Whether the call's effect does not happen."""
        if self.kind in ("wrong_type", "cut_after_effect", "delay", "retry_after_on_200"):
            return False
        return not self.after_effect


class _Scripted:
    __slots__ = ("fault", "seen")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0


class Faults:
    """The script. The first fault that fits a call is met; all that match count it."""

    def __init__(self) -> None:
        self._scripted: list[_Scripted] = []
        self._lock = Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._scripted.append(_Scripted(fault))

    def clear(self) -> None:
        with self._lock:
            self._scripted.clear()

    def pending(self) -> list[Fault]:
        """Faults that can still be met."""
        with self._lock:
            return [
                entry.fault
                for entry in self._scripted
                if entry.fault.call is None or entry.seen < entry.fault.call + entry.fault.times - 1
            ]

    def meet(self, operation: str, text: str) -> Fault | None:
        """Count this call; gives the fault it meets, if any. `text` is what `where` searches."""
        if not self._scripted:
            return None
        met: Fault | None = None
        with self._lock:
            for entry in self._scripted:
                fault = entry.fault
                if not fnmatchcase(operation, fault.operation) or fault.where not in text:
                    continue
                entry.seen += 1
                fits = fault.call is None or fault.call <= entry.seen < fault.call + fault.times
                if fits and met is None:
                    met = fault
        return met
