"""What `check --online` says of one thing that it tried."""

from __future__ import annotations

from dataclasses import dataclass

from shared.model.errors import A_PERSON_MUST_ACT, Code, Misconfigured, PatrolError


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried. `exit_code` is 0 when it is well; with `says` there is still something to do."""

    what: str
    says: str = ""
    code: Code | None = None
    exit_code: int = 0

    @property
    def well(self) -> bool:
        return self.exit_code == 0

    def to_json(self) -> dict[str, object]:
        return {"what": self.what, "well": self.well, "code": self.code, "says": self.says}


def not_well(what: str, failure: PatrolError) -> Finding:
    """Of what failed: cause, remedy, and the exit code of its kind."""
    refused = failure.code in A_PERSON_MUST_ACT
    exit_code = 2 if isinstance(failure, Misconfigured) else 3 if refused else 1
    return Finding(what, f"{failure.cause} {failure.remedy}", failure.code, exit_code)
