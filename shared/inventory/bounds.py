"""What any file of the inventory may ask for: `allowed_scopes` and `allowed_organizations` of `sign_in`.

Who may write a file may ask for PATs. What they can be at most is written in the file that holds `sign_in` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from shared.inventory.mistakes import Found, shown, validate
from shared.inventory.parts import Part
from shared.inventory.schema import SignInPart
from shared.inventory.yaml_text import Place


@dataclass(frozen=True, slots=True)
class Bounds:
    """None: any. Organizations are casefolded. `at`: where `sign_in` stands."""

    at: Place = ()
    scopes: frozenset[str] | None = None
    organizations: frozenset[str] | None = None

    @classmethod
    def of(cls, head: Part) -> Bounds:
        """Of a `sign_in` that is wrong there are none, and no run."""
        part, _ = validate(SignInPart, head.raw.get("sign_in"), ())
        if not isinstance(part, SignInPart):
            return cls()
        named = part.allowed_organizations
        return cls(
            (*head.at, "sign_in"),
            None if part.allowed_scopes is None else frozenset(part.allowed_scopes),
            None if named is None else frozenset(name.casefold() for name in named),
        )

    def outside(self, path: Place, scopes: Iterable[Any], organization: str) -> Iterator[Found]:
        """What an item asks for and may not. `organization`: "" where that is told otherwise."""
        for number, scope in enumerate(scopes):
            if self.scopes is not None and scope not in self.scopes:
                yield Found((*path, "scopes", number), f"is none of {shown((*self.at, 'allowed_scopes'))}")
        if self.organizations is not None and organization and organization.casefold() not in self.organizations:
            says = f"{organization} is none of {shown((*self.at, 'allowed_organizations'))}"
            yield Found((*path, "organization"), says)
