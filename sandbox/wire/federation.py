"""The wire of a federated domain's own server: WS-Trust metadata, and the endpoint that takes a password.

Source: WS-Trust 1.3 and 2005/02, WS-SecurityPolicy, and how Microsoft's client library reads them.
"""

from __future__ import annotations

import re
from html import escape, unescape
from typing import TYPE_CHECKING

from sandbox.cloud.federation import FederationServer
from sandbox.wire.exchange import Reply, Request, Response, Route, html_response

if TYPE_CHECKING:
    from sandbox.cloud.cloud import Cloud

METADATA = "/adfs/services/trust/mex"
SIGN_IN = {
    "/adfs/services/trust/13/usernamemixed": "http://docs.oasis-open.org/ws-sx/ws-trust/200512",
    "/adfs/services/trust/2005/usernamemixed": "http://schemas.xmlsoap.org/ws/2005/02/trust",
}
"""Path → the WS-Trust dialect it speaks."""
SOAP = "application/soap+xml; charset=utf-8"
SAML_1 = "urn:oasis:names:tc:SAML:1.0:assertion"


def server_of(cloud: Cloud, host: str) -> FederationServer | None:
    return next((server for server in cloud.directory.federations.values() if server.host == host), None)


def route(server: FederationServer, request: Request) -> Route:
    path = request.path.lower().rstrip("/")
    if path == METADATA and request.method == "GET":
        return Route("adfs.metadata", "", lambda: _metadata(server))
    if path in SIGN_IN and request.method == "POST":
        text = request.body.decode("utf-8", "replace")
        username = _element(text, "Username")
        return Route("adfs.sign_in", username, lambda: _sign_in(server, SIGN_IN[path], text, username))
    return Route("other", "", lambda: Reply(html_response(404, "Not found")))


def realm(server: FederationServer) -> dict[str, str]:
    """What Entra ID's realm discovery adds for a federated domain."""
    base = f"https://{server.host}/adfs/services/trust"
    return {
        "federation_protocol": "WSTrust",
        "federation_metadata_url": f"{base}/mex",
        "federation_active_auth_url": f"{base}/2005/usernamemixed",
    }


def _sign_in(server: FederationServer, dialect: str, text: str, username: str) -> Reply:
    assertion = server.sign_in(username, _element(text, "Password"))
    if assertion is None:
        # A wrong password is an error of the server here, not of the caller.
        return Reply(Response(500, {"Content-Type": SOAP}, _fault().encode()))
    inner = f"<t:TokenType>{SAML_1}</t:TokenType><t:RequestedSecurityToken>{assertion}</t:RequestedSecurityToken>"
    body = f'<t:RequestSecurityTokenResponse xmlns:t="{dialect}">{inner}</t:RequestSecurityTokenResponse>'
    return Reply(Response(200, {"Content-Type": SOAP}, _envelope(body).encode()))


def _envelope(body: str) -> str:
    return f'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>{body}</s:Body></s:Envelope>'


def _fault() -> str:
    return _envelope(
        "<s:Fault><s:Code><s:Value>s:Sender</s:Value>"
        '<s:Subcode><s:Value xmlns:a="http://docs.oasis-open.org/ws-sx/ws-trust/200512">a:FailedAuthentication</s:Value>'
        "</s:Subcode></s:Code>"
        '<s:Reason><s:Text xml:lang="en-US">The user name or password is incorrect.</s:Text></s:Reason></s:Fault>'
    )


def _element(text: str, name: str) -> str:
    found = re.search(rf"<(?:\w+:)?{name}(?:\s[^>]*)?>(.*?)</(?:\w+:)?{name}>", text, re.DOTALL)
    return unescape(found[1]) if found else ""


def _metadata(server: FederationServer) -> Reply:
    policies, bindings, ports = [], [], []
    for number, (path, dialect) in enumerate(SIGN_IN.items()):
        newer = dialect.endswith("200512")
        policies.append(_policy(f"policy{number}", newer=newer))
        bindings.append(
            f'<wsdl:binding name="binding{number}" type="tns:trust{number}">'
            f'<wsp:PolicyReference URI="#policy{number}"/>'
            '<soap12:binding transport="http://schemas.xmlsoap.org/soap/http"/>'
            f'<wsdl:operation name="Issue"><soap12:operation soapAction="{dialect}/RST/Issue" style="document"/>'
            "</wsdl:operation></wsdl:binding>"
        )
        ports.append(
            f'<wsdl:port name="port{number}" binding="tns:binding{number}"><wsa10:EndpointReference>'
            f"<wsa10:Address>https://{escape(server.host)}{path}</wsa10:Address>"
            "</wsa10:EndpointReference></wsdl:port>"
        )
    names = {
        "wsdl": "http://schemas.xmlsoap.org/wsdl/",
        "soap12": "http://schemas.xmlsoap.org/wsdl/soap12/",
        "wsp": "http://schemas.xmlsoap.org/ws/2004/09/policy",
        "wsa10": "http://www.w3.org/2005/08/addressing",
        "wsu": "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd",
        "tns": "http://schemas.microsoft.com/ws/2008/06/identity/securitytokenservice",
    }
    spaces = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in names.items())
    inner = f'{"".join(policies)}{"".join(bindings)}<wsdl:service name="Sts">{"".join(ports)}</wsdl:service>'
    document = f"<wsdl:definitions {spaces}>{inner}</wsdl:definitions>"
    return Reply(Response(200, {"Content-Type": SOAP}, document.encode()))


def _policy(name: str, *, newer: bool) -> str:
    """A policy of a user name and a password over TLS; `newer` is the dialect of WS-Trust 1.3."""
    space = (
        "http://docs.oasis-open.org/ws-sx/ws-securitypolicy/200702"
        if newer
        else "http://schemas.xmlsoap.org/ws/2005/07/securitypolicy"
    )
    tokens = "SignedEncryptedSupportingTokens" if newer else "SignedSupportingTokens"
    return (
        f'<wsp:Policy wsu:Id="{name}" xmlns:p="{space}"><wsp:ExactlyOne><wsp:All><p:TransportBinding/>'
        f"<p:{tokens}><wsp:Policy><p:UsernameToken><wsp:Policy><p:WssUsernameToken10/></wsp:Policy>"
        f"</p:UsernameToken></wsp:Policy></p:{tokens}></wsp:All></wsp:ExactlyOne></wsp:Policy>"
    )
