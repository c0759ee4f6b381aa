"""Billable metrics."""

from typing import Any

from tests.contract.case import RECENT, UUID, Ask, AtLeast, Case
from tests.contract.cases.common import LOCALE, TAKEN, error, event, get, invalid, post, read, send


def metric(code: str = "$run", **fields: Any) -> Ask:
    plain = {"name": "Cost", "code": code, "aggregation_type": "sum_agg", "field_name": "response_cost"}
    return post("billable_metrics", {"billable_metric": plain | fields})


METRIC = {
    "lago_id": UUID,
    "name": "Cost",
    "code": "$run",
    "aggregation_type": "sum_agg",
    "field_name": "response_cost",
    "recurring": False,
    "expression": None,
    "created_at": RECENT,
    "filters": [],
}

CASES = [
    Case(
        "a metric is answered as stored",
        metric(),
        200,
        {"billable_metric": AtLeast(METRIC)},
        source="oa BillableMetricObject",
    ),
    Case(
        "a metric is found by its code",
        get("billable_metrics/$run"),
        200,
        {"billable_metric": AtLeast(METRIC)},
        before=[metric()],
        source="oa BillableMetricObject",
    ),
    Case(
        "a metric has filters",
        metric(filters=[{"key": "model", "values": ["a", "b"]}]),
        200,
        {"billable_metric": AtLeast({"filters": [{"key": "model", "values": ["a", "b"]}]})},
        source="oa BillableMetricObject",
    ),
    Case(
        "a metric's code is taken once",
        metric(),
        422,
        invalid({"code": ["value_already_exist"]}),
        before=[metric()],
        source=LOCALE,
    ),
    Case(
        "a metric of a sum needs a field",
        metric(field_name=None),
        422,
        invalid({"field_name": ["value_is_mandatory"]}),
        source="api app/models/billable_metric.rb",
    ),
    Case(
        "a metric that counts needs none",
        metric(aggregation_type="count_agg", field_name=None),
        200,
        {"billable_metric": AtLeast({"aggregation_type": "count_agg", "field_name": None})},
        source="api app/models/billable_metric.rb",
    ),
    Case(
        "an unknown metric is not found",
        get("billable_metrics/$run"),
        404,
        error(404, "Not Found", "billable_metric_not_found"),
        source="api api_errors.rb",
    ),
    Case(
        "a metric is changed",
        Ask("PUT", "billable_metrics/$run", json={"billable_metric": {"name": "Cost in USD"}}),
        200,
        {"billable_metric": AtLeast(METRIC | {"lago_id": "$billable_metric", "name": "Cost in USD"})},
        before=[metric()],
        source="oa PUT /billable_metrics/{code}",
    ),
    Case(
        "a metric is deleted",
        Ask("DELETE", "billable_metrics/$run"),
        200,
        {"billable_metric": AtLeast({"lago_id": "$billable_metric", "code": "$run"})},
        before=[metric()],
        source="oa DELETE /billable_metrics/{code}",
    ),
    Case(
        "a deleted metric is not found",
        get("billable_metrics/$run"),
        404,
        error(404, "Not Found", "billable_metric_not_found"),
        before=[metric(), Ask("DELETE", "billable_metrics/$run")],
        source="oa DELETE /billable_metrics/{code}",
    ),
    Case(
        "the events of a deleted metric stay",
        get("events/$run-1"),
        200,
        {"event": read()},
        before=[metric(), send(event()), Ask("DELETE", "billable_metrics/$run")],
        source="lago-api#6196 of August 2026; seen on lago-api v1.51",
        since="1.51",
    ),
    Case(
        "the ids of a deleted metric's events stay taken",
        send(event()),
        422,
        invalid({"0": TAKEN}),
        before=[metric(), send(event()), Ask("DELETE", "billable_metrics/$run")],
        source="api db/structure.sql:11073",
        only="postgres",
    ),
]
