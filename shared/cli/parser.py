"""The words of the command line. It loads nothing of what the commands need: help and a typing error answer at once."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, ClassVar, NoReturn

from shared import __version__
from shared.cli import arguments
from shared.cli.arguments import PROGRAM
from shared.cli.terminal import Output

STATES = ("healthy", "due", "expired", "missing", "edited", "foreign", "paused", "blocked")
PAT_STATES = ("active", "expired", "revoked", "all")
SORTED_BY = ("expires", "created", "name", "state")
SHELLS = ("bash", "zsh", "fish")
"""What the words are completed for."""

EXIT_CODES = (
    "Exit codes: 0 all well, 1 an item failed or was left, 2 misconfigured, 3 a person must act (sign-in blocked), "
    "74 done, but the output could not be written."
)
_SOMEBODY = "--user svc-agents@contoso.com"
_SOME_ID = "a0000000-0000-4000-8000-000000000001"
_WIDTH = 78


class Parser(argparse.ArgumentParser):
    """argparse, writing where patrol writes, and never repeating a word that it does not know: it may be a secret."""

    out: ClassVar[Output]
    errors: ClassVar[Output]

    def __init__(self, **more: Any) -> None:
        # Examples are to be copied: nothing may break them at their hyphens.
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, **more})
        self.color = False  # of Python 3.14: the same help everywhere

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Raises SystemExit, after telling: help and version (0), a typing error (2)."""
        options, rest = self.parse_known_args(args, namespace)
        if rest:
            options.leaf.error(options.leaf.unknown(rest))
        del options.leaf
        return options

    def unknown(self, words: Sequence[str]) -> str:
        """Flags by their names; of other words, how many there are too many."""
        import difflib

        flags = [word.partition("=")[0] for word in words if re.match(r"--?[a-z-]+(=|$)", word)]
        if not flags:
            return "a word too many" if len(words) == 1 else f"{len(words)} words too many"
        near = difflib.get_close_matches(flags[0], self._option_string_actions, n=1)
        return f"{flags[0]} is no flag of this command{f'; did you mean {near[0]}?' if near else ''}"

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        import difflib

        known = [str(choice) for choice in action.choices]
        near = difflib.get_close_matches(str(value), known, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise argparse.ArgumentError(action, f"is none of those that are known{meant} ({', '.join(known)})")

    def error(self, message: str) -> NoReturn:
        # The two messages of argparse that repeat a value, as in `--json=…`.
        message = re.sub("ignored explicit argument .*", "takes no value", message, flags=re.DOTALL)
        message = re.sub("(ambiguous option: [a-z-]+)=.*( could match)", r"\1\2", message, flags=re.DOTALL)
        if message.startswith("the following arguments are required"):
            message += self._of_which()
        self.print_usage(sys.stderr)
        self.errors.told("", f"{self.prog}: error: {message}")
        raise SystemExit(2)

    def _of_which(self) -> str:
        """The commands that there are, for who gave none."""
        known = [name for action in self._actions for name in (action.choices or ()) if not action.option_strings]
        return f" ({', '.join(known)})" if known else ""

    def _print_message(self, message: str, file: object = None) -> None:
        """Help, usage and version: text of our own."""
        to = self.errors if file is not None and file is sys.stderr else self.out
        to.write(message)


def parser(out: Output | None = None, errors: Output | None = None) -> Parser:
    """The whole command line: each command's help ends with an example. It says things to `out` and `errors`."""

    class Telling(Parser):
        pass  # the commands' parsers are of this class too

    Telling.out, Telling.errors = out or Output(sys.stdout), errors or Output(sys.stderr)
    whole = Telling(
        prog=PROGRAM,
        description="patrol keeps the Azure DevOps PATs of technical users fresh.",
        epilog=_wrapped(f"Settings are environment variables: KEY_VAULT_URL and PATS_FILE at the least. {EXIT_CODES}"),
    )
    whole.add_argument("--version", action="version", version=f"patrol {__version__}")
    commands = whole.add_subparsers(required=True, metavar="COMMAND", dest="command")

    def command(name: str, help: str, line: str) -> Parser:
        made = commands.add_parser(name, help=help, description=help, epilog=_example(line))
        made.add_argument("--json", action="store_true", help="one JSON document on stdout, and nothing else there")
        made.set_defaults(leaf=made)
        return made

    _add_work(command)
    _add_status(command("status", "the state of every item, from the vault alone", "status --json"))
    numbers = command("metrics", "the state of every item for Prometheus", "metrics --output /var/lib/node/patrol.prom")
    numbers.add_argument("--output", metavar="FILE", help="where a textfile collector reads; replaced in one step")
    _add_readers(command("readers", "who reads each secret, when last, and which version", "readers build-pat"))
    _add_notify(command("notify", "send recipients a test of each notice", "notify --test"))
    release = command("unblock", "let patrol try a blocked user's sign-in again", "unblock svc@contoso.com")
    release.add_argument("upn", type=arguments.user_name, metavar="UPN")
    _add_enroll(command("enroll", "sign in once as a technical user that has no password", "enroll svc@contoso.com"))
    _add_pats(command("pats", "one technical user's PATs by hand", "pats list --user svc-agents@contoso.com"))
    _add_import(command("import", "write pats.yaml lines for what exists: moving in", "import --from-env"))
    scopes = command("scopes", "the known scopes and what they let a PAT do", "scopes packaging")
    scopes.add_argument("words", nargs="*", metavar="WORD")
    _add_completion(command("completion", "completion of this command line for a shell", "completion bash"))
    return whole


def _add_readers(readers: Parser) -> None:
    readers.description = _wrapped(
        "Who reads each secret, or the named ones, by the vault's audit log (VAULT_LOGS): when last, which version, "
        "and whether that is the one that is published. Rows come some minutes late. The exit code is 1 when the log "
        "cannot be read."
    )
    readers.add_argument("secrets", nargs="*", metavar="SECRET", help="default: every secret of pats.yaml")


def _add_notify(notify: Parser) -> None:
    notify.description = _wrapped(
        "Send one test of each event to every recipient of `notify` in pats.yaml, and say what each answer proves. The "
        "exit code is 1 when one of them did not take it."
    )
    notify.add_argument("--test", action="store_true", required=True, help="nothing else is sent by hand")


def _add_completion(completion: Parser) -> None:
    completion.description = _wrapped(
        "Print what completes this command line, for a file that the shell loads when it is needed. "
        "bash (with bash-completion): ~/.local/share/bash-completion/completions/patrol. "
        "zsh: _patrol, in a folder of $fpath. fish: ~/.config/fish/completions/patrol.fish."
    )
    completion.add_argument("shell", choices=SHELLS)


def _add_work(command: Callable[[str, str, str], Parser]) -> None:
    """The commands that look at everything, or work on it. `command` takes a name, a help and an example."""
    check = command("check", "find every mistake in pats.yaml and the settings", "check --online")
    check.add_argument("--online", action="store_true", help="also sign in, list, and test the vault's rights")
    canary = "with --online: also mint what is asked for, end it at once, and say which policies stop or shorten it"
    check.add_argument("--canary", action="store_true", help=canary)
    command("plan", "sign in, look at everything, and say what a run would do", "plan")
    command("run", "replace the PATs that are due, as the timer does", "run --json")
    command("refresh", "replace the Entra tokens that are due, as their timer does", "refresh")
    rotate = command("rotate", "rotate the named secrets, PATs and tokens, if they are due", "rotate build-pat --force")
    rotate.add_argument("secrets", nargs="+", metavar="SECRET")
    rotate.add_argument("--force", action="store_true", help="due or not")
    rotate.add_argument("--adopt", action="store_true", help="with --force: take back a secret that somebody edited")
    emergency = command("emergency", "replace leaked PATs and end the old ones at once", "emergency build-pat")
    emergency.add_argument("secrets", nargs="+", metavar="SECRET")
    emergency.add_argument("--revoke-first", action="store_true", help="end the old PAT before the new one is made")


def _add_status(status: Parser) -> None:
    status.description = _wrapped(
        "The state of every item, or of the named ones, from the vault alone; one alone is explained. The exit code is "
        "1 when one of them is expired, missing, edited, overdue or invalid, and 3 when its user is blocked."
    )
    status.epilog = _example("status --state expired --state due", "status agents-linux-pat")
    status.add_argument("secrets", nargs="*", metavar="SECRET", help="default: every item")
    status.add_argument(
        "--state",
        action="append",
        choices=STATES,
        metavar="STATE",
        help=f"show these only ({', '.join(STATES)}); may be given several times",
    )
    status.add_argument("--watch", action="store_true", help="draw it again every 30 seconds, until Ctrl-C")
    status.add_argument("--html", metavar="FILE", help="write the page of `GET /api/page` into this file instead")


def _add_enroll(enroll: Parser) -> None:
    enroll.description = _wrapped(
        "A person signs in at a browser as a user of pats.yaml with `enrolled: true`, passing whatever multi-factor "
        "authentication that takes; from then on patrol signs in by itself. Run it where the app's certificate or "
        "client secret can be read; where the app trusts its managed identity, --app asks the deployed one for a link."
    )
    enroll.epilog = _example("enroll svc-release@contoso.com", "enroll --status")
    enroll.add_argument("upn", nargs="?", type=arguments.user_name, metavar="UPN")
    enroll.add_argument("--status", action="store_true", help="until when each enrolled user is good")
    app = "ask the app deployed there for a link; PATROL_ENROLL_KEY holds the key of its function `enroll`"
    enroll.add_argument("--app", type=arguments.app_address, metavar="URL", help=app)
    token = "with --app: show a token of Entra ID for its API, whose application this is (HTTP_AUTH=entra)"
    enroll.add_argument("--app-id", type=arguments.client_id, metavar="ID", help=token)
    enroll.add_argument("--no-browser", action="store_true", help="print the page's address, and open nothing")


def _add_pats(pats: Parser) -> None:
    common = type(pats)(add_help=False)
    common.add_argument("--user", required=True, metavar="UPN", help="a technical user of pats.yaml")
    common.add_argument(
        "--organization", type=arguments.organization, metavar="ORG", help="default: the only one of the user's items"
    )
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON document on stdout")
    commands = pats.add_subparsers(required=True, metavar="ACTION", dest="action")

    def action(name: str, help: str, line: str) -> Parser:
        shown = _example(f"pats {name} {line} {_SOMEBODY}".replace("  ", " "))
        made = commands.add_parser(name, parents=[common], help=help, description=help, epilog=shown)
        made.set_defaults(leaf=made)
        return made

    listed = action("list", "list the user's PATs in an organization, all pages", "--state all --sort created")
    listed.add_argument("--state", choices=PAT_STATES, default="active", help="default: active")
    listed.add_argument("--sort", choices=SORTED_BY, default="expires", help="default: expires, earliest first")
    listed.add_argument("--reverse", action="store_true", help="the other way round")
    shown = action("get", "show one", _SOME_ID)
    create = action(
        "create",
        "make one, and put its value where it is needed",
        "--name laptop --scopes vso.code --to-secret laptop-pat",
    )
    _add_create(create)
    renew = action("renew", "give one a later expiry, counted from now", _SOME_ID)
    revoke = action("revoke", "end one, after asking", _SOME_ID)
    revoke.add_argument("--yes", action="store_true", help="do not ask")
    for made in (shown, renew, revoke):
        made.add_argument("id", type=arguments.pat_id, metavar="ID")
    for made in (create, renew):
        made.add_argument(
            "--lifetime", type=arguments.duration, default=timedelta(days=30), help="such as 30d, the default"
        )


def _add_create(create: Parser) -> None:
    create.add_argument("--name", required=True, help="its display name")
    create.add_argument("--scopes", required=True, type=arguments.scope_list, help="separated by commas")
    value = create.add_mutually_exclusive_group()
    value.add_argument(
        "--to-secret",
        type=arguments.secret_reference,
        metavar="NAME",
        help="write it into this new Key Vault secret, unseen; LABEL/NAME: into that vault of pats.yaml",
    )
    value.add_argument("--show-value", action="store_true", help="print the value: the only time it can be seen")
    create.add_argument(
        "--verify",
        type=arguments.verify_path,
        metavar="PATH",
        help="with --to-secret: a GET path to prove it by, for scopes that cannot read connectionData",
    )


def _add_import(moving: Parser) -> None:
    moving.description = _wrapped(
        "Write pats.yaml lines to stdout or a new file, and change nothing else: for the PATs that a technical user "
        "has, or for the environment variables of the TypeScript client."
    )
    moving.epilog = _example(
        "import --user svc-agents@contoso.com --organization contoso", "import --from-env --output pats.yaml"
    )
    what = moving.add_mutually_exclusive_group(required=True)
    what.add_argument("--user", type=arguments.user_name, metavar="UPN", help="the lines for this user's live PATs")
    what.add_argument(
        "--from-env",
        action="store_true",
        help="a pats.yaml, and how to get the secrets of the variables into the vault",
    )
    moving.add_argument("--organization", type=arguments.organization, metavar="ORG", help="with --user: required")
    moving.add_argument(
        "--output", metavar="FILE", help="a file that is not there yet; it is written only when all is well"
    )
    user = moving.add_argument_group("for a user that pats.yaml does not have")
    user.add_argument(
        "--password-secret-name",
        type=arguments.secret_name,
        metavar="NAME",
        help="the Key Vault secret that holds the password (its name)",
    )
    _add_sign_in(moving.add_argument_group("where there is no pats.yaml yet"))


def _add_sign_in(file: argparse._ArgumentGroup) -> None:
    file.add_argument("--tenant", type=arguments.tenant, help="Entra tenant: a domain or its id")
    file.add_argument("--client-id", type=arguments.client_id, help="client id of the app registration")
    file.add_argument(
        "--client-secret-name",
        type=arguments.secret_name,
        metavar="NAME",
        help="the Key Vault secret that holds the client secret (its name)",
    )
    file.add_argument(
        "--client-certificate-name",
        type=arguments.secret_name,
        metavar="NAME",
        help="the Key Vault certificate of the app registration, instead (its name)",
    )


def _example(*lines: str) -> str:
    """What a command's help ends with."""
    return "\n".join(f"{'Example:' if at == 0 else '        '} {PROGRAM} {line}" for at, line in enumerate(lines))


def _wrapped(text: str) -> str:
    """A description of more than a line, as the terminal is wide."""
    import shutil
    import textwrap

    width = min(_WIDTH, max(shutil.get_terminal_size().columns - 2, 20))
    return textwrap.fill(text, width, break_on_hyphens=False, break_long_words=False)
