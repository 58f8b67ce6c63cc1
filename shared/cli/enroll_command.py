"""`enroll`: a person signs in as a technical user, on this machine or over the deployed app; and who is enrolled."""

from __future__ import annotations

import webbrowser
from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus

from shared.cli.arguments import PROGRAM, wrong
from shared.cli.command import HUMAN, WELL, Terminal
from shared.cli.loopback import Listener
from shared.cli.names import nearest_user
from shared.cli.tables import show_enrollments
from shared.model.credentials import FederatedIdentity
from shared.model.errors import Misconfigured, PatrolError
from shared.process_wide import app_identity, shared_session
from shared.rotation.enroll import Enrolled, Enrolling, enrollable, enrollments
from shared.services.deployed_app import Proof, ask_for_link, by_key, by_token
from shared.settings import enroll_key, identity_of
from shared.views import html
from shared.wiring import Deployment

WITHIN = timedelta(minutes=10)


def enroll(terminal: Terminal) -> int:
    """Gives the exit code. Raises Misconfigured, and NotDone where the sign-in is not kept."""
    if terminal.options.status:
        return _status(terminal)
    if not terminal.options.upn:
        raise wrong("No user is named.", f"Name one: `{PROGRAM} enroll UPN`, or ask who is enrolled: `--status`.")
    if terminal.options.app:
        return _over_the_app(terminal)
    if terminal.options.app_id:
        raise wrong("--app-id is the API of a deployed app, and none is named.", "Add `--app URL`.")
    patrol = terminal.open()
    try:
        user = enrollable(patrol.inventory, terminal.options.upn)
    except Misconfigured as failure:
        if terminal.options.upn.casefold() not in {user.key for user in patrol.inventory.users}:
            failure.remedy = f"{nearest_user(patrol.inventory, terminal.options.upn)}{failure.remedy}"
        raise
    if isinstance(patrol.inventory.sign_in.credential, FederatedIdentity):
        raise wrong(
            "The app registration trusts patrol's managed identity, so the deployed app alone can finish the sign-in.",
            f"Ask it for a link: `{PROGRAM} enroll {user.username} --app https://APP.azurewebsites.net`, or "
            "`POST /api/enroll` (docs/deploy.md, Users without a password). Here it takes a certificate or client "
            "secret in pats.yaml.",
        )
    done = _here(terminal, Enrolling(patrol.inventory, patrol.world, patrol.settings.mark, user))
    if terminal.options.json:
        terminal.screen.json(done.to_json())
    else:
        terminal.screen.say(done.says, "good")
    return WELL


def _over_the_app(terminal: Terminal) -> int:
    """The app's own pats.yaml says whom it enrolls, so nothing of this machine's is read."""
    proof = _proof(terminal)
    asked = ask_for_link(shared_session("app"), terminal.options.app, proof, terminal.options.upn)
    if terminal.options.json:
        terminal.screen.json({"link": asked.link, "expires_at": asked.expires_at})
        return WELL
    terminal.errors.line(
        f"Open this in a private window before {asked.expires_at}, and sign in as {terminal.options.upn}; once:"
    )
    terminal.screen.say(asked.link)
    return WELL


def _proof(terminal: Terminal) -> Proof:
    """A token where its API is named (HTTP_AUTH=entra), else the key. Raises Misconfigured where there is neither."""
    if terminal.options.app_id:
        identity = app_identity(shared_session("services"), *identity_of(terminal.environ))
        return by_token(identity, terminal.options.app_id)
    key = enroll_key(terminal.environ)
    if key is None:
        raise wrong(
            "PATROL_ENROLL_KEY is not set, and the app gives links to whoever has the key of its function `enroll`.",
            "Put the key there (Azure portal: the function enroll, Function keys). Where HTTP_AUTH is entra, name the "
            "app's API instead: `--app-id CLIENT_ID` (authClientId of the deployment).",
        )
    return by_key(key)


def _here(terminal: Terminal, enrolling: Enrolling) -> Enrolled:
    """Over a listener of this machine."""
    found: list[Enrolled | PatrolError] = []
    listener = Listener()
    try:
        page = enrolling.page(listener.address)
        clock = enrolling.world.deadline.clock
        over = clock.now() + WITHIN
        _lead(terminal, page.url, enrolling.user.username)

        def finish(answer: Mapping[str, str]) -> tuple[HTTPStatus, str]:
            try:
                done = enrolling.finish(page, answer)
            except PatrolError as failure:
                found.append(failure)
                return HTTPStatus.BAD_REQUEST, html.message("Not enrolled", failure.cause, failure.remedy, tone="bad")
            found.append(done)
            return HTTPStatus.OK, html.message("Enrolled", done.says, "You can close this window.", tone="good")

        listener.wait(page.state, finish, lambda: clock.now() >= over)
    finally:
        listener.close()
    if not found:
        raise wrong("Nobody signed in within ten minutes; nothing was changed.", "Start again.")
    if isinstance(found[0], PatrolError):
        raise found[0]
    return found[0]


def _lead(terminal: Terminal, url: str, username: str) -> None:
    errors = terminal.errors
    errors.line(f"Sign in as {username}, within ten minutes, at this page (best in a private window):")
    errors.line(url)
    errors.flush()
    if terminal.is_answered() and not terminal.options.no_browser:
        webbrowser.open(url)


def _status(terminal: Terminal) -> int:
    patrol: Deployment = terminal.open()
    found = enrollments(patrol.inventory, patrol.world)
    wanted = (terminal.options.upn or "").casefold()
    shown = [one for one in found if not wanted or one.username.casefold() == wanted]
    if wanted and not shown:
        enrollable(patrol.inventory, wanted)  # says which of its reasons it is
    if terminal.options.json:
        terminal.screen.json({"enrollments": [one.to_json() for one in shown]})
    elif shown:
        show_enrollments(terminal.screen, shown, patrol.world.clock.now())
    else:
        terminal.screen.say("pats.yaml has no user with `enrolled: true`.")
    return HUMAN if any(one.is_over for one in shown) else WELL
