"""Where billing periods begin and end: changes of plan, ends, and whose settings tell the day."""

from tests.contract.case import INSTANT, RECENT, TEXT, UUID, WHOLE, Ask, AtLeast, Case, PerStore
from tests.contract.cases.common import error, get
from tests.contract.cases.provisioning import SUBSCRIBED, plan, subscription

_SEEN = "seen on lago-api v1.51"
_MINE = {"external_customer_id": "$run"}
_BETTER = plan(code="$run-better", amount_cents=100)
_UPGRADE = subscription(plan_code="$run-better")
_DEAR = [plan(amount_cents=100), subscription(), plan(code="$run-cheaper")]
_DOWNGRADE = subscription(plan_code="$run-cheaper")
_END = Ask("DELETE", "subscriptions/$run")

CASES = [
    Case(
        "the organization tells its id, its time zone, its days of grace and its event store",
        get("organizations"),
        200,
        {
            "organization": AtLeast(
                {
                    "lago_id": UUID,
                    "name": TEXT,
                    "timezone": TEXT,
                    "default_currency": TEXT,
                    "events_store": PerStore("postgres", "clickhouse"),
                    "billing_configuration": AtLeast({"invoice_grace_period": WHOLE}),
                }
            )
        },
        source=_SEEN,
        since="1.47",
    ),
    Case(
        "an unknown billing entity is not found",
        get("billing_entities/$run"),
        404,
        error(404, "Not Found", "billing_entity_not_found"),
        source="api app/controllers/api/v1/billing_entities_controller.rb",
        since="1.31",
    ),
    Case(
        "a customer tells the time zone that holds for it, and no days of grace where they are its billing entity's",
        get("customers/$run"),
        200,
        {
            "customer": AtLeast(
                {"applicable_timezone": TEXT, "billing_configuration": AtLeast({"invoice_grace_period": None})}
            )
        },
        before=SUBSCRIBED,
        source=_SEEN,
    ),
    Case(
        "an upgrade begins now, whatever start it asks for",
        _UPGRADE,
        200,
        {
            "subscription": AtLeast(
                {
                    "plan_code": "$run-better",
                    "status": "active",
                    "external_id": "$run",
                    "started_at": RECENT,
                    "current_billing_period_started_at": RECENT,
                    "previous_plan_code": "$run",
                    "next_plan_code": None,
                }
            )
        },
        before=[*SUBSCRIBED, _BETTER],
        source=_SEEN,
    ),
    Case(
        "an upgraded subscription is found among the terminated",
        get("subscriptions/$run", {"status": "terminated"}),
        200,
        {
            "subscription": AtLeast(
                {
                    "plan_code": "$run",
                    "status": "terminated",
                    "terminated_at": RECENT,
                    "next_plan_code": "$run-better",
                }
            )
        },
        before=[*SUBSCRIBED, _BETTER, _UPGRADE],
        source=_SEEN,
    ),
    *(
        Case(
            f"an upgrade leaves one subscription that is {status}",
            get("subscriptions", _MINE | {"status[]": status}),
            200,
            AtLeast({"subscriptions": [AtLeast({"plan_code": code, "status": status, "external_id": "$run"})]}),
            before=[*SUBSCRIBED, _BETTER, _UPGRADE],
            source=_SEEN,
        )
        for status, code in (("active", "$run-better"), ("terminated", "$run"))
    ),
    Case(
        "a cheaper plan waits",
        _DOWNGRADE,
        200,
        {
            "subscription": AtLeast(
                {"plan_code": "$run", "status": "active", "terminated_at": None, "next_plan_code": "$run-cheaper"}
            )
        },
        before=_DEAR,
        source=_SEEN,
    ),
    Case(
        "a cheaper plan that waits is a pending subscription",
        get("subscriptions/$run", {"status": "pending"}),
        200,
        {
            "subscription": AtLeast(
                {
                    "plan_code": "$run-cheaper",
                    "started_at": None,
                    "current_billing_period_started_at": None,
                    "current_billing_period_ending_at": None,
                }
            )
        },
        before=[*_DEAR, _DOWNGRADE],
        source=_SEEN,
    ),
    Case(
        "an end of which no invoice is wanted says so",
        Ask("DELETE", "subscriptions/$run", query={"on_termination_invoice": "skip"}),
        200,
        {"subscription": AtLeast({"status": "terminated", "on_termination_invoice": "skip"})},
        before=SUBSCRIBED,
        source="api app/services/subscriptions/terminate_service.rb",
        since="1.38",
    ),
    Case(
        "a customer whose subscription ended is not on the list of the active",
        get("subscriptions", _MINE),
        200,
        AtLeast({"subscriptions": []}),
        before=[*SUBSCRIBED, _END],
        source="api app/controllers/api/v1/subscriptions_controller.rb",
    ),
    Case(
        "a subscription that is dated back has no invoice for the months before",
        get("invoices", _MINE | {"invoice_type": "subscription"}),
        200,
        AtLeast({"invoices": [], "meta": AtLeast({"current_page": 0, "total_count": 0})}),
        before=[*SUBSCRIBED[:-1], subscription(subscription_at="2024-01-15T00:00:00Z")],
        source=_SEEN,
    ),
    Case(
        "a terminated subscription keeps the instant at which it began",
        get("subscriptions/$run", {"status": "terminated"}),
        200,
        {
            "subscription": AtLeast(
                {"started_at": INSTANT, "terminated_at": RECENT, "on_termination_invoice": "generate"}
            )
        },
        before=[*SUBSCRIBED, _END],
        source=_SEEN,
        since="1.38",
    ),
]
