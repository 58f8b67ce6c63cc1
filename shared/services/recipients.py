"""Recipients of notices: Teams by a Workflows address, Slack by an incoming webhook, and webhooks of one's own.

What an answer proves differs: a flow of Teams says 202 before it has looked at the card, and says it after its owner
left; Slack says `ok` when it has posted; a webhook's 2xx says what its maker lets it say.
"""

from __future__ import annotations

import requests

from shared.model.clock import Clock, Deadline
from shared.model.errors import Busy, Code, NotDone, PatrolError, Refused, Unclear
from shared.model.notices import Kind, Notice, Recipient
from shared.model.secret_text import SecretText
from shared.services import notice_bodies
from shared.services.answers import Answer
from shared.services.notice_addresses import why_not_address
from shared.services.notice_bodies import NoKey
from shared.services.notice_post import NotAllowed, Post, Unresolved
from shared.services.transport import Later, later, patiently, retry_after, timeouts
from shared.services.way_out import no_answer

CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 10.0

_LATER = "Nothing to do if a later run can tell it; otherwise look at the recipient, the network and the certificate."
_MAKE_AGAIN = "Make the address again at the recipient, and write it as a new version of the secret {name}."
_KIND = (
    "See that `kind` in pats.yaml is what the recipient understands, and that the secret {name} holds its address; "
    "`patrol notify --test` sends one of each."
)
_KEY = (
    "Write a key of Standard Webhooks as a new version of that secret: `whsec_` and the base64 of 24 to 64 random "
    "bytes; of two, separated by a blank, both sign."
)
_PRIVATE = (
    "Name a host with public addresses, or write `allow_private: true` on the recipient in pats.yaml; this machine's "
    "own link (169.254.0.0/16) is never asked."
)


class NoticeRecipients:
    """See `ports.Recipients`."""

    def __init__(self, post: Post, clock: Clock) -> None:
        self._post = post
        self._clock = clock

    def check(self, to: Recipient, url: SecretText, signing: SecretText | None) -> None:
        check_address(to, url)
        if signing is not None:
            try:
                notice_bodies.check_key(signing)
            except NoKey:
                raise _no_key(to) from None

    def tell(
        self, to: Recipient, url: SecretText, signing: SecretText | None, notice: Notice, deadline: Deadline
    ) -> str:
        check_address(to, url)
        sent = notice_bodies.body(to.kind, notice)

        def attempt() -> str | Later:
            try:
                # Signed anew each time: a receiver refuses what is older than five minutes.
                headers = notice_bodies.headers(to.kind, notice, sent, signing, self._clock.now())
                answer = self._post(url.reveal(), sent, headers, _limits(deadline), to.allow_private)
            except NoKey:
                raise _no_key(to) from None
            except NotAllowed:
                cause = f"The secret {to.url_secret_name} leads to an address that is not public; nothing was sent."
                raise NotDone(Code.RECIPIENT_UNREADABLE, cause, _PRIVATE) from None
            except Unresolved:
                cause = f"{to}: the host's name cannot be resolved."
                return Later(Busy(Code.RECIPIENT_UNREACHABLE, cause, _LATER))
            except requests.RequestException as failure:
                return _lost(to, failure)
            return self._judged(to, answer)

        return patiently(self._clock, deadline, attempt)

    def _judged(self, to: Recipient, answer: Answer) -> str | Later:
        try:
            return judge(to, answer)
        except Busy as busy:
            return Later(busy, retry_after(answer.headers.get("Retry-After"), self._clock.now()))


def _no_key(to: Recipient) -> NotDone:
    cause = f"The secret {to.signing_secret_name} holds no key that notices can be signed with."
    return NotDone(Code.RECIPIENT_UNREADABLE, cause, _KEY)


def check_address(to: Recipient, url: SecretText) -> None:
    """Raises NotDone for what is no address to send notices to; shows nothing of it."""
    if problem := why_not_address(url.reveal()):
        cause = f"The secret {to.url_secret_name} {problem.what}; nothing was sent."
        raise NotDone(Code.RECIPIENT_UNREADABLE, cause, problem.remedy)


def judge(to: Recipient, answer: Answer) -> str:
    """What an answer means, in words; only its status is shown. Raises Refused, Busy or Unclear."""
    status, name = answer.status, to.url_secret_name
    said = f"{to} answered HTTP {status}"
    if 300 <= status < 400:
        cause = f"{said}, which leads elsewhere and is not followed."
        raise Refused(Code.RECIPIENT_REFUSED, cause, _MAKE_AGAIN.format(name=name))
    if status in (408, 425, 429) or status >= 500:
        raise Busy(Code.RECIPIENT_UNREACHABLE, f"{said}.", _LATER)
    if status in (401, 403, 404, 410):
        cause = f"{said}: it does not know the address any more, or not its signature."
        raise Refused(Code.RECIPIENT_REFUSED, cause, _MAKE_AGAIN.format(name=name))
    if not 200 <= status < 300:
        raise Refused(Code.RECIPIENT_REFUSED, f"{said}: it does not take the notice.", _KIND.format(name=name))
    if _is_foreign(to.kind, answer):
        cause = f"{said} in words that are not its own: somebody in between answered, or it is of another kind."
        raise Unclear(Code.RECIPIENT_UNREACHABLE, cause, _KIND.format(name=name))
    return f"HTTP {status}"


def _is_foreign(kind: Kind, answer: Answer) -> bool:
    """Whether a 2xx is not the recipient's: Slack says `ok` in plain text, and a flow of Teams never sends a page."""
    if kind is Kind.SLACK:
        return answer.body.strip() != b"ok"
    page = (answer.headers.get("Content-Type") or "").lower().startswith("text/html")
    return kind in (Kind.TEAMS, Kind.TEAMS_CARD) and page


def _lost(to: Recipient, failure: requests.RequestException) -> Later:
    """Asked again only where nothing left: what may have arrived is not said twice in one run. Raises else."""
    known: PatrolError = no_answer(failure, str(to), Code.RECIPIENT_UNREACHABLE, Code.RECIPIENT_UNREACHABLE, _LATER)
    if isinstance(known, Unclear):
        raise known
    return later(known)


def _limits(deadline: Deadline) -> tuple[float, float]:
    connect, read = timeouts(deadline)
    return min(connect, CONNECT_TIMEOUT), min(read, READ_TIMEOUT)
