"""A billable metric's expression: Lago evaluates it when an event comes in and stores the result in the event.

    round(event.properties.tokens_in * 1.5, 2) + event.properties.tokens_out

It may have numbers, 'strings', `event.code`, `event.timestamp` (whole seconds), `event.properties.name`,
`+ - * /`, parentheses, and `concat`, `round`, `ceil`, `floor`, `least`, `greatest`. Text that is a number is one.
Facts: `getlago/lago-expression`, `expression-core/src/grammar.pest` and `evaluate.rs`.
"""

import re
from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from reconciler.sandbox.grammar import EXACT, UnstorableError, ruby_decimal

_DIVISION = Context(prec=100)
_MOST_PLACES = 1000
_TOKEN = re.compile(
    r"""\ *(?:
      (?P<number>[0-9]+(?:\.[0-9]+)?)
    | '(?P<string>[^']*)'
    | event\.(?P<attribute>timestamp|code|properties\.(?P<property>[A-Za-z][A-Za-z0-9_]*))
    | (?P<function>[A-Za-z]+)(?=\ *\()
    | (?P<sign>[-+*/(),])
    )\ *""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"[+-]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]{1,9})?")
_ROUNDING = {"round": ROUND_HALF_UP, "ceil": ROUND_CEILING, "floor": ROUND_FLOOR}
_OF_MANY = {"least": min, "greatest": max}

_Value = Decimal | str


class EvaluationError(Exception):
    """The event does not fit the expression, such as `Variable: tokens not found`."""


class Event(NamedTuple):
    """What an expression sees of an event: its code, whole seconds since 1970, its properties as decoded."""

    code: str
    timestamp: int
    properties: Mapping[str, Any]


_Node = Callable[[Event], _Value]


@lru_cache(maxsize=256)
def parse(text: str) -> "Expression":
    """Read an expression.

    Raises:
        ValueError: it is none.
    """
    parser = _Parser(text)
    node = parser.sum()
    parser.end()
    return Expression(node)


def is_expression(text: str | None) -> bool:
    """Tell whether a metric may have it; none is fine."""
    try:
        return not text or parse(text) is not None
    except ValueError:
        return False


class Expression:
    """A parsed expression."""

    def __init__(self, node: _Node) -> None:
        self._node = node

    def evaluate(self, event: Event) -> str:
        """Return the result as Lago stores it: a number as text with a point, such as `3.0`.

        Raises:
            EvaluationError: a property is missing, or is no number where one is needed.
            UnstorableError: a time before 1970, or a division by zero: Lago answers 500.
        """
        if event.timestamp < 0:
            raise UnstorableError(event.timestamp)
        value = self._node(event)
        return ruby_decimal(value) if isinstance(value, Decimal) else value


class _Parser:
    """Recursive descent over the tokens; each method reads one level of precedence and returns its node."""

    def __init__(self, text: str) -> None:
        self._tokens: list[re.Match[str]] = []
        place = 0
        while place < len(text):
            token = _TOKEN.match(text, place)
            if token is None:
                raise ValueError(text)
            self._tokens.append(token)
            place = token.end()
        self._tokens.reverse()
        self._text = text

    def end(self) -> None:
        if self._tokens:
            raise ValueError(self._text)

    def sum(self) -> _Node:
        node = self.product()
        while sign := self._take_sign("+-"):
            node = _operation(sign, node, self.product())
        return node

    def product(self) -> _Node:
        node = self.atom()
        while sign := self._take_sign("*/"):
            node = _operation(sign, node, self.atom())
        return node

    def atom(self) -> _Node:
        if self._take_sign("-"):
            inner = self.primary()
            return lambda event: EXACT.minus(_number(inner(event)))
        return self.primary()

    def primary(self) -> _Node:
        if self._take_sign("("):
            node = self.sum()
            self._expect(")")
            return node
        if not self._tokens:
            raise ValueError(self._text)
        token = self._tokens.pop()
        if token["number"] is not None:
            number = Decimal(token["number"])
            return lambda _event: number
        if token["string"] is not None:
            string = token["string"]
            return lambda _event: string
        if token["attribute"] is not None:
            return _attribute(token["attribute"], token["property"] or "")
        if token["function"] is not None:
            return self._call(token["function"])
        raise ValueError(self._text)

    def _call(self, name: str) -> _Node:
        self._expect("(")
        arguments = [self.sum()]
        while self._take_sign(","):
            arguments.append(self.sum())
        self._expect(")")
        function = name.lower()
        if name not in {function, function.upper(), function.capitalize()}:
            raise ValueError(self._text)
        if function == "concat":
            return lambda event: "".join(_text(argument(event)) for argument in arguments)
        if function in _OF_MANY:
            return lambda event: _OF_MANY[function](_number(argument(event)) for argument in arguments)
        if function in _ROUNDING and len(arguments) <= 2:
            return _rounding(_ROUNDING[function], *arguments)
        raise ValueError(self._text)

    def _take_sign(self, signs: str) -> str | None:
        if self._tokens and (sign := self._tokens[-1]["sign"]) and sign in signs:
            self._tokens.pop()
            return sign
        return None

    def _expect(self, sign: str) -> None:
        if not self._take_sign(sign):
            raise ValueError(self._text)


def _operation(sign: str, left: _Node, right: _Node) -> _Node:
    def operate(event: Event) -> Decimal:
        first, second = _number(left(event)), _number(right(event))
        match sign:
            case "+":
                return EXACT.add(first, second)
            case "-":
                return EXACT.subtract(first, second)
            case "*":
                return EXACT.multiply(first, second)
            case _:
                if not second:
                    raise UnstorableError(second)
                return _DIVISION.divide(first, second)

    return operate


def _rounding(rounding: str, of: _Node, digits: _Node = lambda _event: Decimal(0)) -> _Node:
    def rounded(event: Event) -> Decimal:
        number, places = _number(of(event)), int(_number(digits(event)))
        if abs(places) > _MOST_PLACES:
            raise UnstorableError(places)
        return number.quantize(Decimal(1).scaleb(-places), rounding, EXACT)

    return rounded


def _attribute(attribute: str, name: str) -> _Node:
    match attribute:
        case "timestamp":
            return lambda event: Decimal(event.timestamp)
        case "code":
            return lambda event: event.code

    def of_event(event: Event) -> _Value:
        if name not in event.properties:
            raise EvaluationError(f"Variable: {name} not found")
        text = str(event.properties[name])
        return Decimal(text) if _NUMBER.fullmatch(text) else text

    return of_event


def _number(value: _Value) -> Decimal:
    if isinstance(value, str):
        raise EvaluationError("Expected a decimal")
    return value


def _text(value: _Value) -> str:
    return value if isinstance(value, str) else format(value, "f")
