"""How much room a key takes in a Postgres index, which decides whether a long id can be stored.

An entry may have 2,704 bytes. Text of more than some 500 bytes is compressed first (`pglz`), each column by itself, so
a long id that repeats itself fits where a random one does not. Here its matches are found a little differently, so the
limit is not met to the byte.
"""

_ROW_BYTES = 2704
_FROM_BYTES = 508
"""Shorter text is not compressed: Postgres' `TOAST_INDEX_TARGET`."""

_SHORTEST, _LONGEST, _FURTHEST = 3, 273, 4095
"""The lengths of a match, and how far back it may lie."""

_LONG_MATCH = 17
"""A longer match takes a byte more."""

_WORTH_IT = 0.75
_HEADER_BYTES = 8


def fits_index(*columns: str, more: int = 0) -> bool:
    """Tell whether an entry of these texts, and of `more` bytes, can be stored."""
    return more + sum(map(_stored_bytes, columns)) <= _ROW_BYTES


def _stored_bytes(text: str) -> int:
    content = text.encode()
    if len(content) <= _FROM_BYTES:
        return len(content)
    compressed = _compressed_bytes(content)
    return compressed if compressed <= len(content) * _WORTH_IT else len(content)


def _compressed_bytes(content: bytes) -> int:
    """Return the size after compression: a bit for each item, a byte for a literal, two or three for a match."""
    at = items = stored = 0
    seen: dict[bytes, int] = {}
    while at < len(content):
        length = _match(content, at, seen.get(content[at : at + _SHORTEST]))
        stored += 1 if not length else 2 if length <= _LONG_MATCH else 3
        items += 1
        for position in range(at, at + (length or 1)):
            seen[content[position : position + _SHORTEST]] = position
        at += length or 1
    return _HEADER_BYTES + stored + -(-items // 8)


def _match(content: bytes, at: int, earlier: int | None) -> int:
    """Return how much from `at` on repeats what begins at an earlier place, 0 if too little or too far back."""
    if earlier is None or at - earlier > _FURTHEST:
        return 0
    length = 0
    while length < _LONGEST and at + length < len(content) and content[earlier + length] == content[at + length]:
        length += 1
    return length if length >= _SHORTEST else 0
