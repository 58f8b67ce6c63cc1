"""The lines of `pats.yaml` for PATs that exist: what `import --user` proposes.

Pure: PATs and the vault's listing go in, proposals and text come out. `prove` says of one secret whether it holds a PAT
of the user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import yaml

from shared.inventory import pats_yaml, yaml_text
from shared.inventory.item_lines import Lines, block, item_of, lifetime_of, name_of, scalar, shown_name
from shared.model import durations, tags
from shared.model.clock import instant
from shared.model.items import Inventory, User
from shared.model.pats import Pat
from shared.model.secret_state import SecretSeen, is_ours
from shared.model.secret_text import printable
from shared.model.tags import OWN_PREFIXES, Mark

# Microsoft's own rotation tool keeps the id under the second name (Azure/azure-sdk-tools, tools/secret-rotation).
ID_TAGS = (tags.AUTHORIZATION_ID, "AdoPatAuthorizationId")
ANY_MARK = "patrol/"

Prove = Callable[[SecretSeen], str]
"""Says why a secret is not shown to hold a PAT of the user; "" when it is."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A PAT that gets an item: its lines, and what a person should know of it."""

    pat: Pat
    lines: Lines
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A PAT that gets no item, and why."""

    pat: Pat
    says: str
    suggested: Lines | None = None
    kept_as: str = ""
    """The secret that this deployment of patrol keeps it in: nothing is to be done about it."""


@dataclass(frozen=True, slots=True)
class Proposals:
    """What one user has in one organization. `has_user`: pats.yaml names the user; `file`: there is a pats.yaml."""

    user: User
    organization: str
    has_user: bool
    file: bool
    sign_in: Mapping[str, Any]
    items: tuple[Proposal, ...]
    left_out: tuple[LeftOut, ...]

    def to_json(self) -> dict[str, object]:
        def about(pat: Pat) -> dict[str, object]:
            return {"authorization_id": pat.id, "display_name": shown_name(pat)}

        return {
            "username": self.user.username,
            **_kind(self.user),
            "organization": self.organization,
            "items": [
                {**about(proposal.pat), "item": proposal.lines, "notes": list(proposal.notes)}
                for proposal in self.items
            ],
            "left_out": [{**about(left.pat), "says": left.says, "item": left.suggested} for left in self.left_out],
            "pats_yaml": text_of(self),
        }


def propose(
    pats: Iterable[Pat],
    user: User,
    organization: str,
    *,
    text: str,
    file: bool,
    inventory: Inventory,
    listed: Mapping[str, SecretSeen],
    mark: Mark,
    prove: Prove,
) -> Proposals:
    """What `pats.yaml` (`text`, read as `inventory`) would say of these live PATs; `listed` is the vault's listing."""
    raw = yaml_text.parse(text)
    has_user = any(entry.key == user.key for entry in inventory.users)
    work = _Work(user, organization, raw, inventory, listed, mark, prove)
    # Of several with one name the youngest gets the plain name: the older ones are mostly what a rotation left behind.
    for pat in sorted(pats, key=lambda pat: (pat.display_name.casefold(), -pat.validity.ends.timestamp(), pat.id)):
        work.add(pat)
    return Proposals(user, organization, has_user, file, raw["sign_in"], tuple(work.items), tuple(work.left_out))


def text_of(found: Proposals) -> str:
    """YAML to paste: a whole file, an entry of `users:`, or entries of a user's `pats:`."""
    return "\n".join(_written(found)) + "\n"


# --- one PAT after the other -----------------------------------------------------------------------------------------


class _Work:
    def __init__(
        self,
        user: User,
        organization: str,
        raw: Mapping[str, Any],
        inventory: Inventory,
        listed: Mapping[str, SecretSeen],
        mark: Mark,
        prove: Prove,
    ) -> None:
        self._user = user
        self._organization = organization
        self._raw = raw
        self._listed = listed
        self._mark = mark
        self._prove = prove
        self._proofs: dict[str, str] = {}
        self._own = inventory.managed()
        self._taken = {*self._own, *inventory.credential_names(), user.credential_name.casefold()}
        self._kept = {pat: row.name for row in listed.values() if is_ours(row.tags, mark) for pat in _of_stamp(row)}
        self._foreign = {pat for row in listed.values() if not is_ours(row.tags, mark) for pat in _of_stamp(row)}
        self._by_id: dict[str, list[SecretSeen]] = {}
        self._by_end: dict[datetime | None, list[SecretSeen]] = {}
        for row in _strangers(listed):
            self._by_end.setdefault(row.expires_on, []).append(row)
            for pat in _ids(row):
                self._by_id.setdefault(pat, []).append(row)
        self.items: list[Proposal] = []
        self.left_out: list[LeftOut] = []

    def add(self, pat: Pat) -> None:
        """Give the PAT an item, or a reason why it gets none."""
        try:
            left_out = self._left_out(pat)
            if left_out is not None:
                self.left_out.append(left_out)
                return
            name, adopt, found = self._place(pat)
            lines, notes = item_of(pat, name, self._organization)
        except ValueError as problem:
            self.left_out.append(LeftOut(pat, f"{problem}."))
            return
        lines["lifetime"] = lifetime_of(pat)
        if adopt:
            lines["adopt"] = adopt
        self._taken.add(name.casefold())
        self.items.append(Proposal(pat, self._with_margins(lines), (*found, *notes)))

    def _left_out(self, pat: Pat) -> LeftOut | None:
        kept_as = self._mark.secret_of(pat.display_name) or self._kept.get(pat.id)
        if kept_as:
            return LeftOut(pat, f"patrol keeps it already, as {kept_as}.", kept_as=kept_as)
        if pat.display_name.startswith(ANY_MARK) or pat.id in self._foreign:
            return LeftOut(pat, "another deployment of patrol keeps it.")
        if pat.organization_id is None:
            says = "it is a global (all-organizations) PAT: make one item for each organization that uses it."
            return LeftOut(pat, says, self._suggested(pat))
        for name in _names(pat):
            if name not in self._own:
                continue
            row = self._listed.get(name)
            if row is not None and tags.read(row.tags) is not None:
                says = "it has a PAT of its own: write an item under another name, if this PAT is still used."
            else:
                # Its item may be there without the line that takes the PAT over.
                says = f"`adopt: {pat.id}` there takes this PAT over, if the secret holds it."
            return LeftOut(pat, f"{name} is an item of pats.yaml already; {says}")
        return None

    def _suggested(self, pat: Pat) -> Lines | None:
        """For a global PAT: the item of this organization."""
        try:
            lines, _ = item_of(pat, self._free(f"{name_of(pat)}-{self._organization.lower()}"), self._organization)
        except ValueError:
            return None
        self._taken.add(lines["secret"])
        return self._with_margins({**lines, "lifetime": lifetime_of(pat)})

    def _place(self, pat: Pat) -> tuple[str, bool | str, tuple[str, ...]]:
        """The secret's name, what `adopt` says, and how that was found."""
        if named := self._free_ones(self._by_id.get(pat.id, ())):
            return named[0].name, pat.id, (f"its value is in {named[0].name}, as the tags there say",)
        notes = []
        for name in _names(pat):
            like = self._listed.get(name)
            if like is None or name in self._taken:
                continue
            because = self._why_unproved(like)
            if not because:
                return like.name, True, (f"{like.name} holds a PAT of this user: it was used once to prove that",)
            notes.append(f"{like.name} is in the vault, not shown to hold this PAT ({because}): another name is used")
        # To the second, as whoever writes a PAT with its expiry has it.
        for row in self._free_ones(self._by_end.get(pat.validity.ends, ())):
            if not self._why_unproved(row):
                note = f"{row.name} has the same expiry and holds a PAT of this user: it was used once to prove that"
                return row.name, True, (note,)
        return self._free(_names(pat)[-1]), False, tuple(notes)

    def _why_unproved(self, row: SecretSeen) -> str:
        if row.key not in self._proofs:
            self._proofs[row.key] = _of_another(row) or self._prove(row)
        return self._proofs[row.key]

    def _free_ones(self, rows: Iterable[SecretSeen]) -> list[SecretSeen]:
        return [row for row in rows if row.key not in self._taken]

    def _free(self, wanted: str) -> str:
        names = (wanted if number == 1 else f"{wanted}-{number}" for number in range(1, 10_000))
        return next(name for name in names if name not in self._taken and name not in self._listed)

    def _with_margins(self, lines: Lines) -> Lines:
        """With margins of its own where those of `defaults` do not fit its lifetime."""
        overlap = min(timedelta(days=1), durations.parse(lines["lifetime"]) / 8)
        own = {"rotate_before": "25%", "overlap": durations.show(overlap)}
        for more in ({}, own, {**own, "max_age": "365d"}):
            if not self._problems({**lines, **more}):
                return {**lines, **more}
        return {**lines, **own}

    def _problems(self, lines: Lines) -> bool:
        user = {"username": self._user.username, **_kind(self._user)}
        whole = {**self._raw, "users": [{**user, "pats": [lines]}]}
        return any(problem.path.startswith("users") for problem in pats_yaml.check(yaml.safe_dump(whole)))


def _kind(user: User) -> dict[str, Any]:
    """How the user signs in, as pats.yaml has it."""
    return {"enrolled": True} if user.enrolled else {"password_secret_name": user.password_secret_name}


def _strangers(listed: Mapping[str, SecretSeen]) -> Iterator[SecretSeen]:
    """Secrets without patrol's tags, in the order of their names."""
    for key, row in sorted(listed.items()):
        if not key.startswith(OWN_PREFIXES) and tags.read(row.tags) is None:
            yield row


def _of_stamp(row: SecretSeen) -> Iterator[str]:
    """The PATs that patrol's tags on a secret name."""
    stamp = tags.read(row.tags)
    if stamp is not None:
        yield stamp.authorization_id
        yield from (old.id for old in stamp.predecessors)


def _of_another(row: SecretSeen) -> str:
    if tags.read(row.tags) is not None:
        return "patrol manages it"
    return "its tags name another PAT" if _ids(row) else ""


def _ids(row: SecretSeen) -> frozenset[str]:
    return frozenset(row.tags[tag].lower() for tag in ID_TAGS if tag in row.tags)


def _names(pat: Pat) -> tuple[str, ...]:
    """The names under which its value may be in the vault; the last one is what patrol would call it."""
    name = name_of(pat)
    return (name,) if name.endswith("pat") or name.startswith("pat-") else (name, f"{name}-pat")


# --- text ------------------------------------------------------------------------------------------------------------


def _written(found: Proposals) -> Iterator[str]:
    where = "its `pats:` in pats.yaml" if found.has_user else "`users:` in pats.yaml" if found.file else "pats.yaml"
    yield _comment(f"PATs of {found.user.username} in {found.organization}, to be put into {where}.", indent="")
    if not found.file:
        yield "sign_in:"
        yield from (f"  {key}: {scalar(value)}" for key, value in found.sign_in.items())
        yield "users:"
    if not found.has_user:
        yield f"  - username: {scalar(found.user.username)}"
        yield from (f"    {key}: {scalar(value)}" for key, value in _kind(found.user).items())
        yield "    pats:" if found.items else "    pats: []"
    for proposal in found.items:
        yield _comment(f"{shown_name(proposal.pat)}, works until {instant(proposal.pat.validity.ends)}")
        yield from map(_comment, proposal.notes)
        yield from block(proposal.lines)
    kept = sorted({left.kept_as for left in found.left_out if left.kept_as})
    if kept:
        yield _comment(f"patrol keeps already: {', '.join(kept)}")
    for left in found.left_out:
        if left.kept_as:
            continue
        yield _comment(f"Left out: {shown_name(left.pat)} ({left.pat.id}): {left.says}")
        if left.suggested is not None:
            for number, line in enumerate(block(left.suggested)):
                yield _comment(line.strip() if number == 0 else line[6:])


def _comment(text: str, indent: str = "      ") -> str:
    """The one way for a name into a comment: a line break in it would begin a line of YAML."""
    return f"{indent}# {printable(text)}"
