"""What the doctor asks, in order, and what helps. docs/doctor.md has the same table."""

from typing import NamedTuple


class Question(NamedTuple):
    """A question of the doctor's.

    Attributes:
        station: whom it is about.
        name: its name, which no other has.
        needs: the questions without which it can't be asked.
        asks: what is asked.
        cure: what helps where it is not as it should be.
    """

    station: str
    name: str
    needs: tuple[str, ...]
    asks: str
    cure: str


QUESTIONS = (
    Question(
        "Settings", "settings", (),
        "is each setting there, sound and safe?",
        "the sentence names the variable",
    ),
    Question(
        "Settings", "mapping", ("ledger",),
        "can `RECONCILE_MAPPING` be read, and does it give each customer one subscription?",
        "mend the lines that it names",
    ),
    Question(
        "Source", "source", ("settings",),
        "does the proxy's Postgres let us in?",
        "mend `DATABASE_URL`, or what Postgres says",
    ),
    Question(
        "Source", "table", ("source",),
        'is `"LiteLLM_SpendLogs"` there, a table, and all of it?',
        "name the proxy's database, and its schema (`?schema=…`)",
    ),
    Question(
        "Source", "columns", ("table",),
        "may the role read each column that the settings need?",
        "`sql/grants/grant_source.sql`, or `grant_source_columns.sql`",
    ),
    Question(
        "Source", "row-level security", ("table",),
        "does the role see all rows?",
        "let the role bypass it, be the table's owner, or turn it off for that table",
    ),
    Question(
        "Source", "index", ("columns", "row-level security"),
        'does the statement of a fresh look use the index on `"startTime"`?',
        'let LiteLLM make its index again, or run `ANALYZE "LiteLLM_SpendLogs"`',
    ),
    Question(
        "Source", "read-only", ("table",),
        "is it a replica, how far behind, and is the ledger elsewhere then?",
        "`RECONCILE_LEDGER_URL` names a ledger on a primary",
    ),
    Question(
        "Source", "rows", ("columns", "row-level security"),
        "what did the proxy write in the last day, and does it have customers?",
        "mend the proxy's settings, `DATABASE_URL` or `LAGO_API_CHARGE_BY`",
    ),
    Question(
        "Source", "retention", ("columns", "row-level security"),
        "do rows stay for the horizon, and until they are billed?",
        "let retention keep rows longer, or shorten `RECONCILE_HORIZON`",
    ),
    Question(
        "Source", "version", ("table",),
        "which LiteLLM has made the table, and what does it lack?",
        "upgrade LiteLLM",
    ),
    Question(
        "Source", "clock", ("columns", "row-level security"),
        "do its clock and this machine's agree, and are rows stamped with UTC?",
        "mend the clock; upgrade LiteLLM, or run the proxy with `TZ=UTC`",
    ),
    Question(
        "Ledger", "ledger", ("settings",),
        "does the ledger's Postgres let us in, and take writes?",
        "mend `RECONCILE_LEDGER_URL`",
    ),
    Question(
        "Ledger", "schema", ("ledger", "rights"),
        "is the ledger of this program's version?",
        "`reconcile ledger upgrade`",
    ),
    Question(
        "Ledger", "rights", ("ledger",),
        "may the role make the ledger, or write its tables, and who owns them?",
        "`sql/grants/grant_ledger.sql`, or `grant_ledger_tables.sql`",
    ),
    Question(
        "Ledger", "another ledger", ("ledger", "columns", "row-level security"),
        "is there a ledger in the source's database as well?",
        "let one of them work only; drop the other's schema when it is of no use any more",
    ),
    Question(
        "Ledger", "meter", ("schema", "rights", "columns", "row-level security"),
        "would a pass take these settings for the meter, as the ledger knows it?",
        "set them back, or declare them: `reconcile --adopt`",
    ),
    Question(
        "Ledger", "twins", ("schema", "rights", "columns", "row-level security", "meter"),
        "does another meter bill the same rows under the same code?",
        "give one of them another event code, or stop it",
    ),
    Question(
        "Ledger", "passes", ("schema", "rights", "meter"),
        "do passes run, by cron or service, at least every five minutes, and do their work?",
        "the line for cron, or the service, of the set-up",
    ),
    Question(
        "Ledger", "alarms", ("schema", "rights", "meter"),
        "does an alarm stand that nobody has acknowledged?",
        "`reconcile alarm list`",
    ),
    Question(
        "Lago", "Lago", ("settings",),
        "can Lago be reached?",
        "mend `LAGO_API_BASE`, or the way there",
    ),
    Question(
        "Lago", "API key", ("Lago",),
        "does it take our key, and answer as Lago does?",
        "mend `LAGO_API_KEY` or `LAGO_API_BASE`",
    ),
    Question(
        "Lago", "permissions", ("API key",),
        "may the key write events, and read what delivery asks for?",
        "give the key that permission in Lago",
    ),
    Question(
        "Lago", "organization", ("API key",),
        "is it the organization that the meters have sent to?",
        "set the old key back, or declare the move: `reconcile --adopt`",
    ),
    Question(
        "Lago", "event store", ("API key",),
        "which store does it have, and what does `accepted` mean there?",
        "`RECONCILE_DEDUPLICATION=true`, if ClickHouse deduplicates",
    ),
    Question(
        "Lago", "Lago's clock", ("API key", "columns", "row-level security"),
        "do Lago's clock and the source's agree?",
        "mend the clock that is wrong",
    ),
    Question(
        "Lago", "metric", ("API key",),
        "has the event code a billable metric, one that sums a property of our events?",
        "`reconcile setup`, or mend `LAGO_API_EVENT_CODE`",
    ),
    Question(
        "Lago", "subscriptions", ("API key", "columns", "row-level security", "metric"),
        "would the usage of the last day be in a subscription?",
        "`reconcile setup --customers`, or mend the mapping",
    ),
    Question(
        "Lago", "plans", ("API key", "columns", "row-level security", "metric"),
        "would the plans of these subscriptions price it, in USD and all models?",
        "mend the plan in Lago",
    ),
    Question(
        "Lago", "time zones", ("API key", "columns", "row-level security", "metric", "subscriptions"),
        "do windows keep to the midnights of these customers?",
        "`RECONCILE_WINDOW=15m` fits all",
    ),
    Question(
        "Lago", "callback", ("permissions",),
        "did events of LiteLLM's own callback arrive in the last three hours? Then usage is billed twice",
        "take `lago` out of the proxy's `litellm_settings`, restart it, and `reconcile cutover`",
    ),
    Question(
        "Lago", "other events", ("permissions", "schema", "rights"),
        "did another meter, ledger or producer send events of the code?",
        "its own event code or meter for each; `reconcile rebuild` for a lost ledger; `reconcile verify` lists them",
    ),
)  # fmt: skip
"""All that is asked, in order; docs/doctor.md has the same table."""

BY_NAME = {question.name: question for question in QUESTIONS}
STATION_OF = {question.name: question.station for question in QUESTIONS}
