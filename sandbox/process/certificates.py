"""A throw-away certificate authority, made new at every start and never installed anywhere."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Certificates:
    """`bundle` is the file that clients trust; it holds the sandbox's authority and nothing else."""

    bundle: Path
    server: ssl.SSLContext


def make(folder: Path, hosts: frozenset[str]) -> Certificates:
    """One certificate for `hosts` and for every vault, now and seeded later."""
    authority = trustme.CA(organization_name="Sandbox", organization_unit_name="Throw-away")
    # The wildcard covers vaults that are seeded while the server runs.
    leaf = authority.issue_cert(*sorted(hosts | {"*.vault.azure.net"}))
    bundle = folder / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    leaf.configure_cert(context)
    # For a server of somebody else's, such as a storage emulator, that joins behind the same proxy.
    leaf.private_key_pem.write_to_path(folder / "server.key")
    leaf.cert_chain_pems[0].write_to_path(folder / "server.pem")
    (folder / "server.key").chmod(0o600)
    return Certificates(bundle, context)
