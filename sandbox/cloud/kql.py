"""As much of the Kusto query language as a question about a table of logs needs: where, extend, project, summarize.

A name that is neither a column nor a function is a semantic error, as it is in Log Analytics; so is a table that never
had a row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

Row = Mapping[str, Any]
Expression = Callable[[Row], Any]

_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|(\d+)|([A-Za-z_]\w*)|(==|!=|>=|<=|[|,()\[\]{}.=<>-]))')
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    ">=": lambda a, b: bool(a >= b),
    "<=": lambda a, b: bool(a <= b),
    ">": lambda a, b: bool(a > b),
    "<": lambda a, b: bool(a < b),
}


class SemanticError(Exception):
    """What Log Analytics says of a query that names what is not there; `code` such as SEM0100."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Malformed(Exception):
    """What the query is not."""


def table_of(query: str) -> str:
    """The table that a query asks."""
    return query.partition("|")[0].strip()


def run(query: str, rows: Sequence[Row], columns: frozenset[str]) -> list[dict[str, Any]]:
    """The rows that `query` makes of a table's `rows`. Raises SemanticError or Malformed."""
    parser = _Parser(query)
    parser.name()
    found: list[dict[str, Any]] = [dict(row) for row in rows]
    known = set(columns)
    while parser.take("|"):
        operator = parser.name()
        match operator:
            case "where":
                keep = parser.expression(known)
                found = [row for row in found if keep(row)]
            case "extend":
                made = parser.assignments(known)
                found = [{**row, **{name: of(row) for name, of in made}} for row in found]
                known |= {name for name, _ in made}
            case "project":
                made = parser.assignments(known)
                found = [{name: of(row) for name, of in made} for row in found]
                known = {name for name, _ in made}
            case "summarize":
                found, known = _summarize(parser, found, known)
            case _:
                raise Malformed(f"no operator {operator}")
    parser.end()
    return found


def _summarize(parser: _Parser, rows: list[dict[str, Any]], known: set[str]) -> tuple[list[dict[str, Any]], set[str]]:
    sums = parser.sums(known)
    keys = parser.assignments(known) if parser.take("by") else []
    groups: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
    for row in rows:
        key = {name: of(row) for name, of in keys}
        groups.setdefault(json.dumps(key, default=str), (key, []))[1].append(row)
    if not keys and not groups:
        groups[""] = ({}, [])
    found = [{**key, **{name: of(members) for name, of in sums}} for key, members in groups.values()]
    return found, {name for name, _ in (*keys, *sums)}


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        at = 0
        text = text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise Malformed(f"no token at {at}")
            self._tokens.append(match.group(0).strip())
            at = match.end()
        self._at = 0

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def take(self, token: str) -> bool:
        if self.peek() == token:
            self._at += 1
            return True
        return False

    def need(self, token: str) -> None:
        if not self.take(token):
            raise Malformed(f"{token} expected, {self.peek()!r} found")

    def name(self) -> str:
        token = self.peek()
        if not re.fullmatch(r"[A-Za-z_]\w*", token):
            raise Malformed(f"a name expected, {token!r} found")
        self._at += 1
        return token

    def end(self) -> None:
        if self.peek():
            raise Malformed(f"{self.peek()!r} is too much")

    def assignments(self, known: set[str]) -> list[tuple[str, Expression]]:
        """`a = expression, b, …`"""
        made = []
        while True:
            name = self.name()
            if self.take("="):
                made.append((name, self.expression(known)))
            else:
                made.append((name, _column(name, known)))
            if not self.take(","):
                return made

    def sums(self, known: set[str]) -> list[tuple[str, Callable[[list[dict[str, Any]]], Any]]]:
        """`a = max(expression), b = count(), …`"""
        made: list[tuple[str, Callable[[list[dict[str, Any]]], Any]]] = []
        while True:
            name = self.name()
            self.need("=")
            made.append((name, self._sum(known)))
            if not self.take(","):
                return made

    def _sum(self, known: set[str]) -> Callable[[list[dict[str, Any]]], Any]:
        kind = self.name()
        self.need("(")
        if kind == "count":
            self.need(")")
            return len
        of = self.expression(known)
        self.need(")")
        pick = {"min": min, "max": max}.get(kind)
        if pick is None:
            raise SemanticError("SEM0260", f"Unknown function: '{kind}'.")
        return lambda rows: pick((of(row) for row in rows), default=None)

    def expression(self, known: set[str]) -> Expression:
        """Comparisons joined by `and`."""
        left = self._comparison(known)
        while self.take("and"):
            left = _both(left, self._comparison(known))
        return left

    def _comparison(self, known: set[str]) -> Expression:
        left = self._value(known)
        token = self.peek()
        if token in _COMPARE:
            self._at += 1
            right, compare = self._value(known), _COMPARE[token]
            return lambda row: compare(left(row), right(row))
        if self.take("in"):
            self.need("(")
            among = self._arguments(known)
            return lambda row: left(row) in [each(row) for each in among]
        return left

    def _arguments(self, known: set[str]) -> list[Expression]:
        """Up to the closing parenthesis."""
        found: list[Expression] = []
        while not self.take(")"):
            found.append(self.expression(known))
            self.take(",")
        return found

    def _value(self, known: set[str]) -> Expression:
        made = self._first(known)
        while True:
            if self.take("."):
                made = _member(made, self.name())
            elif self.take("["):
                negative = self.take("-")
                token = self.peek()
                self._at += 1
                key = json.loads(token)
                made = _member(made, -key if negative else key)
                self.need("]")
            else:
                return made

    def _first(self, known: set[str]) -> Expression:
        token = self.peek()
        if token.startswith('"') or token.isdigit():
            self._at += 1
            literal = json.loads(token)
            return lambda _: literal
        name = self.name()
        if not self.take("("):
            return _column(name, known)
        if name == "dynamic":
            self.need("{")
            self.need("}")
            self.need(")")
            return lambda _: {}
        if name == "column_ifexists":
            column = json.loads(self.peek())
            self._at += 1
            self.need(",")
            default = self.expression(known)
            self.need(")")
            return (lambda row: row.get(column)) if column in known else default
        function = _FUNCTIONS.get(name)
        if function is None:
            raise SemanticError("SEM0260", f"Unknown function: '{name}'.")
        arguments = self._arguments(known)
        return lambda row: function(*[each(row) for each in arguments])


def _both(left: Expression, right: Expression) -> Expression:
    return lambda row: left(row) and right(row)


def _column(name: str, known: set[str]) -> Expression:
    if name not in known:
        raise SemanticError("SEM0100", f"Failed to resolve scalar expression named '{name}'")
    return lambda row: row.get(name)


def _member(of: Expression, key: str | int) -> Expression:
    def read(row: Row) -> Any:
        value = of(row)
        if isinstance(value, dict):
            return value.get(key)
        if isinstance(value, list) and isinstance(key, int) and -len(value) <= key < len(value):
            return value[key]
        return None

    return read


def _text(value: Any) -> str:
    return "" if value is None else value.isoformat() if isinstance(value, datetime) else str(value)


def _number(value: Any) -> int | None:
    try:
        return int(float(value))
    except (TypeError, ValueError):
        return None


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "tostring": _text,
    "tolower": lambda value: _text(value).lower(),
    "toint": _number,
    "split": lambda value, by: _text(value).split(by),
    "iff": lambda condition, yes, no: yes if condition else no,
    "coalesce": lambda *values: next((value for value in values if value not in (None, "")), ""),
    "isnotempty": lambda value: value not in (None, ""),
}
