"""`check --online`: signs in, lists, and tests the vaults' rights, without minting or changing anything.

With `--canary` it mints, and ends at once what it minted: see check_canary.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime

from shared.cli import check_canary, global_pats
from shared.cli.finding import Finding, not_well
from shared.model.clock import Clock, VaultTime, check_clock, instant
from shared.model.consumers import Consumer
from shared.model.credentials import credential_in_words
from shared.model.errors import Absent, Busy, Denied, Misconfigured, NotDone, PatrolError
from shared.model.items import Inventory, Item, TokenItem, User
from shared.model.notices import Recipient
from shared.model.pats import Owner, Pat, PatId
from shared.model.ports import Vault
from shared.model.secret_state import VaultListing, VersionSeen
from shared.model.vaults import VaultAddress
from shared.rotation import notices
from shared.rotation.canary import Perch
from shared.rotation.consumers import Consumers
from shared.rotation.readers import LogsOfRun
from shared.rotation.sign_in import SignIns
from shared.rotation.world import World
from shared.settings import Settings

# No secret has this name, and no version this id: Key Vault judges the caller's right first (403) and the name after it
# (404), so asking for it tells whether the right is there, and changes nothing.
PROBE = "patrol-check-online-probe"
PROBE_VERSION = "0" * 32


def check_online(inventory: Inventory, settings: Settings, world: World, *, canary: bool = False) -> list[Finding]:
    """Try everything a run needs that can be tried without a change.

    Reading, and changing the facts of a version, are tried on a secret that is not there. A new version cannot be: a
    write that is allowed is a write that happens (the roles that let patrol change facts let it write as well). The
    credentials' vault is not listed: a run only reads from it, and reads here what it needs. A refused sign-in is
    remembered and a blocked user is not tried, as in a run. `canary`: also mint, to see what policies grant.
    """
    listing = world.vault.listing()
    check_clock(listing.ahead)
    findings = [
        Finding(f"list {settings.vault_host}: {_secrets(listing)}"),
        *_rights(settings.vault_host, world.vault, world),
    ]
    for address in inventory.vaults()[1:]:
        findings += _check_vault(address, world)
    clock = VaultTime(world.clock, listing.ahead)
    sign_ins = SignIns(world, inventory.sign_in, clock, settings.mark)
    if inventory.users:
        proof = _right(f"prove the app by {credential_in_words(inventory.sign_in.credential)}", sign_ins.prove)
        findings.append(proof)
        # Without it nobody signs in: one message instead of one for each user.
        for user in inventory.users if proof.well else ():
            findings += _check_user(sign_ins, user, clock)
            findings += _check_policies(sign_ins, user, world, settings, clock) if canary else ()
        findings += _check_administrator(inventory, sign_ins) if proof.well else ()
    consumers = Consumers(world.consumers, world.credentials)
    for item in inventory.items():
        findings += [_check_consumer(consumers, item, to) for to in item.then]
    findings += [_check_recipient(world, recipient) for recipient in inventory.recipients]
    findings += _check_log(inventory, settings, world, clock)
    for token in inventory.tokens:
        findings += _check_token(inventory.sign_in.tenant, token, world)
    findings += [Finding(row.says, exit_code=0) for row in sign_ins.warnings()]
    return findings


def _check_vault(address: VaultAddress, world: World) -> list[Finding]:
    """Another vault that pats.yaml names: without it its items fail, and no others (promise 5)."""
    try:
        vault = world.vault_at(address)
        listing = vault.listing()
        check_clock(listing.ahead)
    except PatrolError as failure:
        return [not_well(f"list {address.host}", failure)]
    return [
        Finding(f"list {address.host}: {_secrets(listing)}"),
        *_rights(address.host, vault, world),
    ]


def _secrets(listing: VaultListing) -> str:
    many = len(listing.secrets)
    return f"{many} {'secret' if many == 1 else 'secrets'}"


def _rights(host: str, vault: Vault, world: World) -> list[Finding]:
    return [
        _right(f"read secrets of {host}", lambda: _probe_read(vault)),
        _right(f"change secrets of {host}", lambda: _probe_change(vault, world)),
    ]


def _check_user(sign_ins: SignIns, user: User, clock: Clock) -> list[Finding]:
    what = f"sign {user.username} in"
    try:
        api = sign_ins.sign_in(user)
    except PatrolError as failure:
        return [not_well(what, failure)]
    organizations = {item.organization.casefold(): item.organization for item in user.items}
    found = [Finding(what)]
    wide: dict[PatId, tuple[Pat, list[str]]] = {}
    for organization in organizations.values():
        try:
            pats = api.active(organization)
        except PatrolError as failure:
            found.append(not_well(f"list the PATs of {user.username} in {organization}", failure))
        else:
            found.append(Finding(f"list the PATs of {user.username} in {organization}: {len(pats)} live"))
            for pat in filter(global_pats.is_global, pats):
                wide.setdefault(pat.id, (pat, []))[1].append(organization)
    return found + [_global(pat, user, names, clock.now()) for pat, names in wide.values()]


def _check_log(inventory: Inventory, settings: Settings, world: World, clock: VaultTime) -> Iterator[Finding]:
    """Whether the log that tells readers can be read, where it is named or something waits for it."""
    if world.logs is None and not any(item.hold_for_readers for item in inventory.items()):
        return
    what = f"read the log of {settings.vault_host}"
    log = LogsOfRun(world.logs).seen(settings.vault_host, clock.now())
    if isinstance(log, PatrolError):
        yield not_well(what, log)
    elif log.until is None:
        wanted = "send the vault's AuditEvent log to a workspace (docs/readers.md); the first row takes minutes."
        yield Finding(what, f"It has no row: {wanted}")
    else:
        yield Finding(f"{what}: it reaches to {instant(log.until)}")


def _check_administrator(inventory: Inventory, sign_ins: SignIns) -> Iterator[Finding]:
    """Whether it could end a leaked PAT of somebody else: it looks at its own as it would at theirs."""
    user = next((user for user in inventory.users if user.username == inventory.administrator), None)
    if user is None:
        return
    try:
        api = sign_ins.sign_in(user)
    except PatrolError:  # told already
        return
    for organization in {item.organization.casefold(): item.organization for item in inventory.items()}.values():
        what = f"see PATs in {organization} as the administrator {user.username}"
        try:
            api.administering(user.username).active(organization)
        except PatrolError as failure:
            yield not_well(what, failure)
        else:
            yield Finding(what)


def _check_policies(
    sign_ins: SignIns, user: User, world: World, settings: Settings, clock: VaultTime
) -> Iterator[Finding]:
    try:
        api = sign_ins.sign_in(user)
    except PatrolError:  # told already
        return
    for what in check_canary.asked(user):
        owner = Owner(user.username, what.organization)
        yield from check_canary.check(what, Perch(owner, api, world.vault, settings.mark, clock, world.tell))


def _global(pat: Pat, user: User, organizations: list[str], now: datetime) -> Finding:
    """Nothing of patrol fails by it, so all is well; consumers of it do, so it is told."""
    return Finding(global_pats.cause(pat, now), global_pats.remedy(pat, user.username, organizations))


def _check_consumer(consumers: Consumers, item: Item, to: Consumer) -> Finding:
    what = f"find {str(to).replace('The ', 'the ', 1)} for {item.secret}"
    try:
        note = consumers.check(to, item.organization)
    except PatrolError as failure:
        return not_well(what, failure)
    return Finding(f"{what}. {note}" if note else what)


def _check_recipient(world: World, to: Recipient) -> Finding:
    """Nothing is sent: `notify --test` does."""
    what = f"read where the {to.kind} recipient {to.url_secret_name} is"
    try:
        world.recipients.check(to, *notices.keys_of(world, to))
    except PatrolError as failure:
        return not_well(what, failure)
    return Finding(what)


def _check_token(tenant: str, item: TokenItem, world: World) -> list[Finding]:
    """A token is got and proved, and not published: it ends by itself."""
    what = f"get a token for the service principal {item.client_id}"
    try:
        proof = world.proofs.of(item.credential, world.clock.now())
        token = world.tokens.issue(tenant, item.client_id, proof)
    except PatrolError as failure:
        return [not_well(what, failure)]
    proved = f"use it in {item.organization}"
    try:
        world.verifier.verify_token(item, token)
    except PatrolError as failure:
        return [Finding(what), not_well(proved, failure)]
    return [Finding(what), Finding(proved)]


def _probe_read(vault: Vault) -> None:
    with suppress(Absent):
        vault.current(PROBE)


def _probe_change(vault: Vault, world: World) -> None:
    try:
        vault.change(PROBE, VersionSeen(PROBE_VERSION, True, world.clock.now(), None), tags={})
    except Denied:
        raise
    except NotDone as refusal:
        # A refusal of the name (404, or 400 should a vault not like the id) comes after the right was judged.
        if isinstance(refusal, Busy):
            raise


def _right(what: str, call: Callable[[], None]) -> Finding:
    """One right that every item needs: without it the deployment is misconfigured."""
    try:
        call()
    except Denied as failure:
        return not_well(what, Misconfigured(failure.code, failure.cause, failure.remedy))
    except PatrolError as failure:
        return not_well(what, failure)
    return Finding(what)
