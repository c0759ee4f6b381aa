"""What ClickHouse keeps of an event's properties: a `Map(String, String)`, in which every value is text.

It is what `JSONExtract(properties, 'Map(String, String)')` makes of the message. How fractions are written there
is inferred from ClickHouse's way to write a double.
"""

from decimal import Decimal

import msgspec

from reconciler.sandbox.grammar import plain

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_PLAIN_FROM, _PLAIN_TO = Decimal("1e-6"), Decimal("1e21")
"""Between these a double is written without an exponent."""


def text_map(properties: str) -> str:
    """Return a JSON object with the same members as text: `820` becomes `"820"`, null `""`, nested ones their JSON."""
    return msgspec.json.encode({key: _text(bytes(raw)) for key, raw in _MEMBERS.decode(properties).items()}).decode()


def _text(raw: bytes) -> str:
    match raw[:1]:
        case b'"':
            return msgspec.json.decode(raw, type=str)
        case b"n":
            return ""
        case b"{" | b"[" | b"t" | b"f":
            return raw.decode()
        case _:
            return _number(raw.decode())


def _number(text: str) -> str:
    """Return a number as ClickHouse writes it; whole ones have no point, however they were sent."""
    number = Decimal(text)
    if not number or _PLAIN_FROM <= abs(number) < _PLAIN_TO:
        return plain(number)
    return format(number.normalize(), "e").replace("e+", "e")
