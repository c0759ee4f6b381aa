"""Fill LiteLLM's spend table with millions of rows, the same for the same seed, by one statement."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import psycopg

Kind = Literal["busy", "sparse"]
"""What looks and delivery are measured with."""

Traffic = Kind | Literal["month"]


@dataclass(frozen=True)
class Shape:
    """How traffic spreads over buckets (customer, model, 15 minutes); there are five models."""

    customers: int
    rows_per_second: float


SHAPES: dict[Traffic, Shape] = {
    "busy": Shape(customers=400, rows_per_second=100.0),  # 45 rows a bucket
    "sparse": Shape(customers=300, rows_per_second=3.2),  # 1.9 rows a bucket, 2.2 in those that have any
    "month": Shape(customers=1000, rows_per_second=150_000 / (27 * 86_400)),  # 150 a customer, nearly each a bucket
}

# As many bytes as LiteLLM's metadata has without its copy of the price map.
_METADATA = json.dumps(
    {
        "status": "success",
        "usage_object": {"prompt_tokens": 1250, "completion_tokens": 310, "total_tokens": 1560},
        "cost_breakdown": {"input_cost": 0.0001875, "output_cost": 0.000186, "total_cost": 0.0003735},
        "user_api_key_alias": "production",
        "filler": "".join(f"{number:04x}" for number in range(260)),
    }
)

# A row is a function of its number and the seed. Rows come in the order of "startTime", nearly as a proxy's.
_FILL = """
INSERT INTO "LiteLLM_SpendLogs" (
    request_id, call_type, api_key, spend, total_tokens, prompt_tokens, completion_tokens,
    "startTime", "endTime", "completionStartTime", model, model_id, model_group, custom_llm_provider,
    "user", metadata, cache_hit, cache_key, team_id, end_user, session_id, status
)
SELECT
    'chatcmpl-' || id, 'acompletion', md5(customer::text) || md5(customer::text),
    CASE WHEN cached OR failed THEN 0 ELSE prompt * input_price + completion * output_price END,
    prompt + completion, prompt, completion,
    start, start + interval '2 seconds', start + interval '1 second',
    model, md5(model) || md5(model), split_part(model, '/', 2), split_part(model, '/', 1),
    'user-' || customer, %(metadata)s::jsonb, CASE WHEN cached THEN 'True' ELSE 'None' END, 'Cache OFF',
    'team-' || customer %% 20, CASE WHEN nobody THEN '' ELSE 'customer-' || customer END, id,
    CASE WHEN failed THEN 'failure' ELSE 'success' END
FROM (
    SELECT
        to_hex(h1) || to_hex(h2) AS id,
        %(since)s::timestamp(3) + number * %(step)s AS start,
        (h1 & 1073741823) %% %(customers)s AS customer,
        1 + ((h1 >> 30) & 2047) AS prompt,
        ((h1 >> 41) & 511) AS completion,
        1 + ((h2 & 1073741823) %% 5) AS choice,
        ((h2 >> 30) & 127) = 0 AS nobody,
        ((h2 >> 37) & 31) = 0 AS cached,
        ((h2 >> 42) & 127) = 0 AS failed
    FROM generate_series(1, %(rows)s::bigint) AS number,
    LATERAL (SELECT hashint8extended(number, 2 * %(seed)s::bigint) AS h1,
                    hashint8extended(number, 2 * %(seed)s::bigint + 1) AS h2) AS hashes
) AS draws
JOIN (VALUES
    (1, 'openai/gpt-4o-mini', 1.5e-07::float8, 6e-07::float8),
    (2, 'openai/gpt-4o', 2.5e-06, 1e-05),
    (3, 'anthropic/claude-sonnet-4-5', 3e-06, 1.5e-05),
    (4, 'gemini/gemini-2.5-flash', 3e-07, 2.5e-06),
    (5, 'openai/text-embedding-3-small', 2e-08, 0)
) AS models (number, model, input_price, output_price) ON models.number = choice
"""


def fill(conninfo: str, kind: Traffic, rows: int, seed: int, until: datetime | None = None) -> None:
    """Append `rows` rows that end at `until` (default: the start of a quarter of an hour that is settled), then VACUUM.

    *busy* is 100 requests a second with about 45 rows a bucket. *sparse* has about 2 rows a bucket, so that
    two million rows make about 900,000 buckets. *month* is 150,000 rows in 27 days. One row in 128 has no
    customer, as many failed, one in 32 is a cache hit. Each has 1.3 kB of JSON. To append once more, take another
    seed: ids follow from it.
    """
    shape = SHAPES[kind]
    end = until.astimezone(UTC) if until else _quarter(datetime.now(UTC) - timedelta(minutes=5))  # settled
    step = timedelta(seconds=1 / shape.rows_per_second)
    values = {
        "rows": rows,
        "seed": seed,
        "customers": shape.customers,
        "since": (end - (rows + 1) * step).replace(tzinfo=None),
        "step": step,
        "metadata": _METADATA,
    }
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(_FILL, values)
        connection.execute('VACUUM (ANALYZE) "LiteLLM_SpendLogs"')


def _quarter(moment: datetime) -> datetime:
    return moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)
