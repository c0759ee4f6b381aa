"""The deterministic ids of events: the same on any machine and from any ledger.

The formula, for other languages, is in docs/event-ids.md.
What these functions return for given fields must never change: a changed id bills the same usage twice.
"""

from datetime import datetime
from hashlib import sha256

from reconciler.model.windows import utc_text

PREFIX = "r1_"


def transaction_id(
    meter: str,
    code: str,
    charge_by: str,
    window_start: datetime,
    window_seconds: int,
    customer: str,
    model: str,
    revision: int,
) -> str:
    """Return the id of a bucket's event, unique over Lago's organization: `"r1_"` and 64 hex digits.

    Args:
        meter: the meter's name.
        code: the event code, as Lago's billable metrics name it.
        charge_by: `end_user_id`, `user_id` or `team_id`.
        window_start: an aware time of whole seconds.
        window_seconds: the window's length.
        customer: the raw value of the charge-by column.
        model: the raw value of the model column; may be empty.
        revision: counts the bucket's events from 0.

    Raises:
        ValueError: `window_start` is naive or has a fraction of a second, or a text is not valid Unicode.
    """
    fields = (
        meter, code, charge_by, utc_text(window_start), str(window_seconds), customer, model, str(revision),
    )  # fmt: skip
    return PREFIX + sha256(_encoded(*fields)).hexdigest()


def bucket_hash(customer: str, model: str) -> bytes:
    """Return 32 bytes that stand for customer and model in the ledger's unique key.

    Raises:
        ValueError: a text is not valid Unicode.
    """
    return sha256(_encoded(customer, model)).digest()


def name_hash(name: str) -> bytes:
    """Return 32 bytes that stand for one name in a key of the ledger: raw text is in no B-tree.

    Raises:
        ValueError: the name is not valid Unicode.
    """
    return sha256(name.encode()).digest()


def _encoded(*fields: str) -> bytes:
    """Join the texts so that no two lists of texts give the same bytes: each one's length, `:` and UTF-8."""
    texts = [field.encode() for field in fields]
    return b"".join(b"%d:%s" % (len(text), text) for text in texts)
