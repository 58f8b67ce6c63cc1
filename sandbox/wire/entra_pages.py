"""Entra ID's page of a browser: a form by which whoever sits there plays the person who signs in."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from sandbox.cloud.entra_refusals import EntraRefused
from sandbox.cloud.in_person import AtPage
from sandbox.wire.exchange import HTML_TYPE, Reply, Response, html_response

if TYPE_CHECKING:
    from sandbox.cloud.cloud import Cloud

_STYLE = (
    "body{font:16px system-ui,sans-serif;margin:2rem auto;max-width:24rem;padding:0 1rem}button,input{font:inherit}"
)


def authorize(cloud: Cloud, tenant: str, asked: Mapping[str, str], played: Mapping[str, str]) -> Reply:
    """To the redirect URI with a code or a refusal, or a page where somebody has to act.

    `asked`: what the app wants; `played`: what a person filled in, empty when the page is opened.
    """
    given = {"state": asked["state"]} if "state" in asked else {}
    try:
        code = cloud.in_person.authorize(tenant, asked, _person(played))
    except EntraRefused as refused:
        text = f"AADSTS{refused.code}: {refused.text}"
        if refused.error != "access_denied":
            return _page(refused.status, "Sorry, but we are having trouble signing you in.", f"<p>{escape(text)}</p>")
        given |= {"error": refused.error, "error_description": text}
    else:
        if code is None:
            return _page(200, "Sign in to your account", _form(asked))
        given |= {"code": code, "session_state": cloud.chance.guid()}
    return _back(asked, given)


def _person(played: Mapping[str, str]) -> AtPage | None:
    if not played:
        return None
    return AtPage(played.get("upn", "").strip(), strong=played.get("factor") == "second", declines="decline" in played)


def _form(asked: Mapping[str, str]) -> str:
    """Sent to the address that it came from, whose query says what the app wants."""
    return f"""<form method="post">
<p><label>You are <input name="upn" value="{escape(asked.get("login_hint", ""))}" autocomplete="off"></label></p>
<p><label><input type="checkbox" name="factor" value="second" checked> with a second factor</label></p>
<p><button name="accept" value="1">Sign in, and accept</button> <button name="decline" value="1">Decline</button></p>
</form>"""


def _back(asked: Mapping[str, str], given: Mapping[str, str]) -> Reply:
    target = asked["redirect_uri"]
    if asked.get("response_mode") != "form_post":
        joint = "&" if "?" in target else "?"
        return Reply(html_response(302, "Object moved", {"Location": f"{target}{joint}{urlencode(given)}"}))
    fields = "".join(f'<input type="hidden" name="{name}" value="{escape(text)}"/>' for name, text in given.items())
    button = "<noscript><button>Continue</button></noscript>"
    script = "<script>document.forms[0].submit()</script>"
    form = f'<form method="POST" action="{escape(target)}">{fields}{button}</form>{script}'
    return _page(200, "Working...", form)


def _page(status: int, title: str, body: str) -> Reply:
    head = f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{_STYLE}</style>'
    page = f"<!doctype html><html><head>{head}</head><body><h1>{title}</h1>{body}</body></html>"
    return Reply(Response(status, {"Content-Type": HTML_TYPE}, page.encode()))
