"""YAML as `pats.yaml` needs it: no key twice, one kind of failure, and the line of a value when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml


class InFile:
    """One of several files, as the first part of every place in it."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self._text = text
        self._lines: Lines | None = None

    def line(self, path: Place) -> int | None:
        """Of a place in the file, which need not begin with the file."""
        if self._lines is None:
            self._lines = Lines(self._text)
        return self._lines.of(tuple(part for part in path if part is not self))


Place = tuple[str | int | InFile, ...]
"""Keys and list positions from the top of the file, such as `("users", 0, "pats", 1)`; of several, first the file."""

# The C loader takes a quarter of the time; PyYAML can be built without it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What PyYAML's own constructors raise on a value that only looks like a number, a date or a bool (`2026-02-31`).
_NO_VALUE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


# PyYAML's words may repeat the text (a tag, an alias, a character), so what is told is told here, by a part of them.
_KINDS: Mapping[str, str] = {
    "for the tag": "a value begins with `!`, which is a tag in YAML: put it in quotes",
    "tag handle": "a value begins with `!`, which is a tag in YAML: put it in quotes",
    "undefined alias": "a value begins with `*`, which is an alias in YAML: put it in quotes",
    "second occurrence": "two values begin with the same `&`, which is an anchor in YAML: put them in quotes",
    "mapping values are not allowed": "a colon stands where none can: put the text in quotes, or mend the indentation",
    "tab character": "a tab indents it: use spaces",
    "\\t": "a tab indents it: use spaces",
    "start any token": "a value begins with a character that YAML keeps for itself: put it in quotes",
    "unknown escape": "a backslash in double quotes means something else: use single quotes",
    "unexpected end": "a quote is not closed",
    "another document": "it holds another document (`---`): leave one",
    "entries are not allowed": "a list begins where none can: mend the indentation",
    "unhashable key": "a list or a mapping stands where a key belongs",
    "could not find expected": "a key lacks its colon, or the indentation is wrong",
    "expected": "something does not end where it should: mind quotes, brackets, commas and the indentation",
}
_A_KIND = "it is not YAML: mind quotes, brackets, commas and the indentation"


class Unreadable(Exception):
    """The text is not YAML that can be used; `line` from 1 where it is known.

    `key`: what comes twice, as it is written; whether it may be repeated is for who tells it.
    """

    def __init__(self, says: str, line: int | None, key: str | None = None) -> None:
        super().__init__(says)
        self.line = line
        self.key = key


class _Loader(_LOADER):  # type: ignore[misc]  # chosen at run time
    """Refuses a key that comes twice: YAML forbids it, and PyYAML silently takes the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise Unreadable("a key comes twice", key.start_mark.line + 1, key.value)
                seen.add(key.value)
                # YAML 1.1 reads the key `on` as true.
                key.tag = "tag:yaml.org,2002:str" if key.tag == "tag:yaml.org,2002:bool" else key.tag
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


class _LocatingLoader(_Loader):
    """Slower: knows the line of a value that cannot be built."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except _NO_VALUE:
            says = "a value looks like a number, a date or a tag of YAML and is none: put it in quotes"
            raise Unreadable(says, node.start_mark.line + 1) from None


def parse(text: str) -> Any:
    """The plain values of one YAML document. Raises Unreadable."""
    try:
        try:
            return yaml.load(text, _Loader)  # noqa: S506  # a safe loader with a check of its own
        except _NO_VALUE:
            return yaml.load(text, _LocatingLoader)  # noqa: S506  # as above
    except yaml.reader.ReaderError as failure:
        raise Unreadable("it holds a character that YAML does not allow", _line_at(text, failure.position)) from None
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None) or getattr(failure, "context_mark", None)
        # The end of the file counts as a line of its own for PyYAML, even where there is none to look at.
        line = min(mark.line, text.rstrip("\n").count("\n")) + 1 if mark else None
        raise Unreadable(_kind_of(failure), line) from None
    except _NO_VALUE:
        raise Unreadable("it is nested too deeply, or is not text", None) from None


def _kind_of(failure: yaml.YAMLError) -> str:
    """What is wrong, without a word of the text: somebody's password may begin with `!` or `*`."""
    said = str(getattr(failure, "problem", None) or "")
    return next((says for part, says in _KINDS.items() if part in said), _A_KIND)


def _line_at(text: str, position: int) -> int:
    # The C loader counts bytes, the other one characters.
    before = text[:position] if _LOADER is yaml.SafeLoader else text.encode()[:position].decode(errors="replace")
    return before.count("\n") + 1


class Lines:
    """Finds the line of a value. Composing is slow, so one is made only after a problem was found."""

    def __init__(self, text: str) -> None:
        self._root = yaml.compose(text, _LOADER)

    def of(self, path: Place) -> int | None:
        """The line of the key or list entry at `path`, or of the nearest one around it; None in an empty file.

        Goes down from the top each time: aliases can make a tree that is too large to write down as a whole.
        """
        node: Any = self._root
        if node is None:
            return None
        line: int = node.start_mark.line + 1
        for part in path:
            step = _into(node, part)
            if step is None:
                break
            line, node = step
        return line


def _into(node: Any, part: str | int | InFile) -> tuple[int, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    return None
