"""Shapes of what kubernetes-validate has no schema for: the fields that the manifests may use, as the CRDs have them.

Sources: the custom resource definitions of External Secrets (external-secrets.io/v1) and of the Secrets Store CSI
driver (secrets-store.csi.x-k8s.io/v1), and the parameters of its Azure provider. Less than they allow, nothing that
they refuse.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

NAME: Schema = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"}
KEY: Schema = {"type": "string", "pattern": r"^[-._a-zA-Z0-9]{1,253}$"}
GUID: Schema = {"type": "string", "pattern": r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}
GO_DURATION: Schema = {"type": "string", "pattern": r"^([0-9]+(s|m|h))+$"}


def record(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object with these properties and no others."""
    properties = {**required, **(optional or {})}
    return {"type": "object", "properties": properties, "required": [*required], "additionalProperties": False}


def resource(version: str, kind: str, spec: Schema) -> Schema:
    metadata = record({"name": NAME, "namespace": NAME})
    return record({"apiVersion": {"const": version}, "kind": {"const": kind}, "metadata": metadata, "spec": spec})


_AZURE = record(
    {
        "authType": {"const": "WorkloadIdentity"},
        "vaultUrl": {"type": "string", "pattern": r"^https://[a-z0-9-]+\.vault\.azure\.net$"},
        "serviceAccountRef": record({"name": NAME}),
    }
)
_DATA = record({"secretKey": KEY, "remoteRef": record({"key": KEY})})
_TARGET = record(
    {"name": NAME},
    {
        "creationPolicy": {"enum": ["Owner", "Orphan", "Merge", "None"]},
        "deletionPolicy": {"enum": ["Delete", "Merge", "Retain"]},
    },
)
_PARAMETERS = record(
    {
        "clientID": GUID,
        "tenantId": GUID,
        "keyvaultName": NAME,
        "objects": {"type": "string"},
        # Texts: the map of parameters takes no others.
        "usePodIdentity": {"const": "false"},
        "useVMManagedIdentity": {"const": "false"},
    }
)

SHAPES: dict[str, Schema] = {
    "SecretStore": resource("external-secrets.io/v1", "SecretStore", record({"provider": record({"azurekv": _AZURE})})),
    "ExternalSecret": resource(
        "external-secrets.io/v1",
        "ExternalSecret",
        record(
            {
                "refreshPolicy": {"enum": ["CreatedOnce", "Periodic", "OnChange"]},
                "refreshInterval": GO_DURATION,
                "secretStoreRef": record({"kind": {"enum": ["SecretStore", "ClusterSecretStore"]}, "name": NAME}),
                "target": _TARGET,
                "data": {"type": "array", "minItems": 1, "items": _DATA},
            }
        ),
    ),
    "SecretProviderClass": resource(
        "secrets-store.csi.x-k8s.io/v1",
        "SecretProviderClass",
        record({"provider": {"const": "azure"}, "parameters": _PARAMETERS}),
    ),
}
# One entry of a SecretProviderClass's `objects`, which is YAML in a text of YAML texts.
OBJECT = record({"objectName": KEY, "objectType": {"enum": ["secret", "key", "cert"]}})
