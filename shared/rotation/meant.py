"""What is meant to end of one item, and by whom it may have been made: pure, of what its versions say (rule 8)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.model.clock import whole_seconds
from shared.model.errors import PatrolError
from shared.model.items import Item
from shared.model.pats import Owner, Pat, PatId
from shared.model.secret_state import CONTENT_TYPE, VersionListing, VersionSeen
from shared.model.steps import Because


@dataclass(frozen=True, slots=True)
class Generations:
    """What is to end. `spared`: the PAT that is published, and stays; None: nothing stays.

    `made_before`: what was made later is not meant; None: everything is.
    """

    item: Item
    versions: VersionListing
    because: Because
    spared: PatId | None = None
    made_before: datetime | None = None
    in_overlap: frozenset[PatId] = frozenset()
    """Ordinary predecessors: of an emergency that ended nothing when it was asked for, what came after it stays."""
    refusal: PatrolError | None = None
    """Why the item's user cannot sign in, so that there is no successor: nobody but the administrator ends anything."""

    def is_meant(self, pat: Pat) -> bool:
        """Whether a PAT is one of those to end."""
        if pat.id == self.spared or pat.id in self.in_overlap:
            return False
        return self.made_before is None or pat.validity.starts <= whole_seconds(self.made_before)

    def succeeds(self, pat: PatId, there: VersionListing) -> bool:
        """Whether a version says that it took the place of this PAT, or of one that is published `there`: then the item
        comes from there, with all that was made for it.
        """
        published = {version.stamp.authorization_id for version in there if version.stamp is not None}
        return not self._succeeded().isdisjoint({pat, *published})

    def adopted(self, pat: PatId) -> bool:
        """Whether pats.yaml names this PAT to be ended, and a version says that it took its place (rule 10)."""
        return self.item.adopt == pat and pat in self._succeeded()

    def _succeeded(self) -> frozenset[PatId]:
        stamps = [version.stamp for version in self.versions if version.stamp is not None]
        return frozenset(old.id for stamp in stamps for old in stamp.predecessors)

    def owners(self) -> list[Owner]:
        """Everybody who may have minted for this item: pats.yaml says who does now, versions who did."""
        item = self.item
        stamps = [version.stamp for version in self.versions]
        found = [Owner(item.username, item.organization)]
        found += [Owner(stamp.username, stamp.organization) for stamp in stamps if stamp is not None]
        return list({owner.key: owner for owner in reversed(found)}.values())

    def may_be_anybody_s(self) -> bool:
        """Whether a version names no owner any more, as somebody took its tags off, and may hold a PAT that lives."""
        nameless = [version for version in self.versions if is_nameless(version)]
        return any(version.expires_on is None or version.expires_on > self.versions.at for version in nameless)

    def named(self, owner: Owner) -> dict[PatId, VersionSeen]:
        """Ids that versions name as this owner's, without what had expired by the vault's own date.

        Also predecessors that no version here names: of a vault that the item left, or adopted.
        """
        found: dict[PatId, VersionSeen] = {}
        published = {version.stamp.authorization_id for version in self.versions if version.stamp is not None}
        for version in self.versions:
            stamp = version.stamp
            if stamp is None or not Owner(stamp.username, stamp.organization).same(owner):
                continue
            expired = version.expires_on is not None and version.expires_on <= self.versions.at
            later = self.made_before is not None and version.created > whole_seconds(self.made_before)
            stays = stamp.authorization_id == self.spared or stamp.authorization_id in self.in_overlap
            if not expired and not later and not stays:
                found[stamp.authorization_id] = version
            for old in stamp.predecessors:
                if old.id not in published and old.id not in self.in_overlap:
                    found.setdefault(old.id, version)
        return found


def is_nameless(version: VersionSeen) -> bool:
    """Whether patrol wrote a version whose tags somebody took off: the content type is nobody's but patrol's."""
    return version.stamp is None and version.content_type == CONTENT_TYPE
