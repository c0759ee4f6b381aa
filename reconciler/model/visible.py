r"""Text from outside, made visible before people or programs get to see it (invariant 16).

A terminal obeys escape codes, bidirectional marks turn a line around, and what has no width makes two names look alike.
All of these are shown as escapes: `\x1b`, `\u202e`. A line break is one, too: no text makes a line of its own.
"""

import re

# Letters and marks that are printable to Unicode and yet show nothing: fillers, joiners, variation selectors.
_SHOWN_AS_NOTHING = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def visible(text: str) -> str:
    """The text with whatever would act, or show nothing, as an escape; all else, backslashes too, stays as it is."""
    if text.isprintable() and not _SHOWN_AS_NOTHING.search(text):
        return text
    return "".join(map(_shown, text))


def brief(text: str, length: int) -> str:
    """The text up to a length, and how long it is if there is more of it."""
    return text if len(text) <= length else f"{text[:length]}… ({len(text):,} characters)"


def _shown(character: str) -> str:
    if character.isprintable() and not _SHOWN_AS_NOTHING.match(character):
        return character
    return character.encode("unicode_escape").decode()
