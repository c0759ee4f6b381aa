"""What Lago's own test suite covers, in our words: for each example the test that covers it here, or why there is none.

Read from lago-api at v1.51: `spec/requests/api/v1/events_controller_spec.rb` and so on, as named below.
"""

from typing import NamedTuple


class Promise(NamedTuple):
    """A case of the contract suite."""

    name: str


class Function(NamedTuple):
    """A test function, by its file under `tests/` and its name."""

    file: str
    name: str


class Reason(NamedTuple):
    """Why the stand-in has no test of it."""

    text: str


Covering = Promise | Function | Reason

_PERMISSION = Function("sandbox/test_authentication.py", "test_a_key_can_be_kept_from_writing_events")
_ANOTHER_ORGANIZATIONS = Function(
    "sandbox/test_authentication.py", "test_another_organizations_customer_and_charges_are_not_found"
)
_LATE_FOR_ITS_END = Function(
    "sandbox/test_worker_backlog.py", "test_an_end_is_done_and_not_invoiced_until_it_is_let_go"
)
_JOBS = Reason("how Lago's workers are told; what they do to the cache is tested in sandbox/test_usage_cache.py")
_IN_ADVANCE = Reason("charges that are paid in advance are answered with a 501: LiteLLM's usage is billed in arrears")
_LICENCE = Reason("needs a licence")
_TAXES = Reason("taxes are not in the stand-in: they change no unit")
_WEBHOOKS = Reason("webhooks are not in the stand-in: no client of events needs them")
_KAFKA = Reason("the messages within Lago are not seen from outside")
_OTHER_MODELS = Reason("pricing that the stand-in answers with a 501")

EXAMPLES: dict[str, dict[str, Covering]] = {
    "spec/requests/api/v1/events_controller_spec.rb: POST /events": {
        "requires permission to write events": _PERMISSION,
        "takes an event": Promise("an event is answered as stored"),
        "refuses a known transaction_id and stores nothing": Function(
            "sandbox/test_create_event.py", "test_a_known_id_is_refused_in_its_subscription_only_whatever_else_differs"
        ),
        "refuses a timestamp of another format": Promise("the timestamp '2024-03-14T13:09:00Z' is refused"),
        "stores an expression's result": Promise("an expression's result is stored in the metric's field, as text"),
        "refuses an event that lacks a property of the expression": Promise(
            "an event that lacks a property of its metric's expression is refused in a sentence"
        ),
    },
    "spec/requests/api/v1/events_controller_spec.rb: POST /events/batch": {
        "requires permission to write events": _PERMISSION,
        "takes events": Promise("a batch is answered in its order"),
        "names the event whose timestamp is invalid and stores none": Function(
            "sandbox/test_batch.py", "test_one_invalid_event_stores_nothing_and_is_named_by_its_index"
        ),
        "stores expressions' results": Promise("expressions' results are stored in a batch, too"),
        "names the event that lacks a property of the expression": Promise(
            "in a batch an event that lacks a property of the expression is named by its index"
        ),
    },
    "spec/requests/api/v1/events_controller_spec.rb: GET /events": {
        "requires permission to read events": _PERMISSION,
        "lists events": Promise("events are listed, the latest first"),
        "has pages and tells of them": Promise("the first of two pages knows the next"),
        "finds by code": Promise("events are found by code"),
        "finds by subscription": Promise("events are found by subscription"),
        "finds by time": Promise("events are found by time, both ends included"),
        "finds from the subscription's start on": Function(
            "sandbox/test_provisioning.py", "test_events_can_be_asked_for_from_the_start_of_their_subscription"
        ),
        "takes no notice of timestamp_from_started_at=false": Promise(
            "a timestamp_from_started_at of false is as if it were absent"
        ),
        "on ClickHouse lists raw events": Promise("each copy that ClickHouse was sent is listed"),
    },
    "spec/requests/api/v1/events_controller_spec.rb: GET /events_enriched": {
        "is forbidden without ClickHouse": Promise("enriched events are of the ClickHouse store only"),
        "has the header of a beta": Function(
            "sandbox/test_clickhouse_events.py", "test_enriched_events_are_those_of_a_metric_that_was_there"
        ),
        "lists enriched events, without ids of Lago's": Promise("enriched events are listed without ids of Lago's"),
    },
    "spec/requests/api/v1/events_controller_spec.rb: GET /events/:id": {
        "requires permission to read events": _PERMISSION,
        "finds an event": Promise("an event is found by its id"),
        "finds an id of special characters": Promise("an id of special characters is found percent-encoded"),
        "does not find an unknown id": Promise("an unknown id is not found"),
        "does not find a deleted event": Reason(
            "nothing deletes an event: since lago-api#6196 those of a deleted metric stay"
        ),
        "finds an event on ClickHouse": Promise("an event is found by its id"),
    },
    "spec/requests/api/v1/events_controller_spec.rb: estimates": {
        "estimate_fees: success, taxes": _IN_ADVANCE,
        "estimate_fees: no subscription": Promise("an estimate needs a subscription"),
        "estimate_fees: no matching charge": Promise(
            "an event of no charge in advance costs nothing that could be estimated"
        ),
        "estimate_instant_fees: success, no subscription, no matching charge": _IN_ADVANCE,
        "batch_estimate_instant_fees: success, several events, no matching charge": _IN_ADVANCE,
    },
    "spec/services/events/create_service_spec.rb": {
        "creates an event": Promise("an event is answered as stored"),
        "tells the worker": _JOBS,
        "refuses a known one": Promise("an id is taken once in its subscription, whatever else differs"),
        "without a timestamp it is now": Promise("without a timestamp (absent) the time of receipt counts"),
        "a timestamp of text": Promise("the timestamp '1710421740.590' is taken as 2024-03-14T13:09:00.590Z"),
        "milliseconds are kept": Promise("the timestamp 1710421740.59 is taken as 2024-03-14T13:09:00.590Z"),
        "fractions that repeat in binary are exact": Promise(
            "the timestamp '1780586634.1' is taken as 2026-06-04T15:23:54.100Z"
        ),
        "a timestamp of another format is refused": Promise("the timestamp '12abc' is refused"),
        "a message for Kafka": _KAFKA,
        "an expression": Promise("an expression's result is stored in the metric's field, as text"),
        "precise_total_amount_cents": Promise("precise_total_amount_cents '123.45' is shown as '123.45'"),
        "an amount that is no number is 0": Promise("precise_total_amount_cents 'asdfa' is shown as '0.0'"),
    },
    "spec/services/events/create_batch_service_spec.rb": {
        "creates all events": Promise("a batch is answered in its order"),
        "keeps their attributes": Promise("a batch is answered in its order"),
        "tells the worker of each": _JOBS,
        "no events": Promise("a batch of none has no events"),
        "a hundred are taken": Promise("a hundred events are a batch"),
        "one more is too many": Promise("a hundred and one are too many"),
        "a duplicate of its neighbour": Promise("of one id twice in a batch the later are refused: aab"),
        "a duplicate that stands elsewhere": Promise("of one id twice in a batch the later are refused: aba"),
        "several duplicates": Promise("of one id twice in a batch the later are refused: aabb"),
        "three that are equal": Promise("of one id twice in a batch the later are refused: aaa"),
        "a stored one at the beginning": Promise("events that are known are named by their index: 0"),
        "a stored one in the middle": Promise("events that are known are named by their index: 1"),
        "a stored one at the end": Promise("events that are known are named by their index: 2"),
        "timestamps: absent, text, of another format": Promise("each invalid event is named by its index"),
        "an expression": Promise("expressions' results are stored in a batch, too"),
        "the message for Kafka": _KAFKA,
        "on ClickHouse there is no row": Function(
            "sandbox/test_clickhouse_events.py", "test_an_answer_has_no_lago_id_and_no_time_of_creation"
        ),
        "on ClickHouse the worker is told nothing": _JOBS,
    },
    "spec/scenarios/create_event_spec.rb": {
        "without a subscription": Promise("an event without a subscription is taken"),
        "an unknown subscription": Promise("an event is answered as stored"),
        "another organization's subscription": Function(
            "sandbox/test_authentication.py", "test_each_key_is_an_organization_of_its_own"
        ),
        "a valid subscription": Promise("a standard charge costs its amount a unit, rounded to cents"),
        "a subscription that has yet to start": Function(
            "sandbox/test_subscriptions.py", "test_events_from_before_the_start_are_taken_and_do_not_count"
        ),
        "a subscription that started in the same second": Function(
            "sandbox/test_current_usage.py",
            "test_events_before_the_start_do_not_count_and_the_start_is_floored_to_a_millisecond",
        ),
        "a terminated subscription": Promise("events of a terminated subscription are taken"),
        "a subscription terminated in the same second": _LATE_FOR_ITS_END,
        "a terminated subscription, a timestamp when it was active": _LATE_FOR_ITS_END,
        "several subscriptions": Function(
            "sandbox/test_subscriptions.py", "test_a_cheaper_plan_waits_for_the_end_of_the_period"
        ),
        "two charges for one metric": Function(
            "sandbox/test_filters.py", "test_an_event_counts_in_every_charge_for_its_metric"
        ),
    },
    "spec/queries/events_query_spec.rb": {
        "lists events": Promise("events are listed, the latest first"),
        "has pages": Promise("the second of two pages knows the previous"),
        "events of one timestamp are paged in the order of their ids": Function(
            "sandbox/test_read_events.py", "test_the_newest_come_first_then_by_id"
        ),
        "by code": Promise("events are found by code"),
        "by subscription": Promise("events are found by subscription"),
        "by dates": Promise("a date is its midnight"),
        "a date that is none is refused": Promise("a timestamp_from that is no date is refused"),
        "from the subscription's start on": Function(
            "sandbox/test_provisioning.py", "test_events_can_be_asked_for_from_the_start_of_their_subscription"
        ),
        "the subscription's start and timestamp_from exclude each other": Promise(
            "timestamp_from_started_at excludes timestamp_from and needs a subscription"
        ),
        "the subscription's start needs a subscription": Promise(
            "timestamp_from_started_at excludes timestamp_from and needs a subscription"
        ),
        "on ClickHouse by time of receipt, then by id": Function(
            "sandbox/test_clickhouse_events.py", "test_the_latest_taken_in_is_listed_first_whatever_its_timestamp"
        ),
        "which table is read": Promise("enriched events are of the ClickHouse store only"),
    },
    "spec/services/events/post_process_service_spec.rb": {
        "drops the cached usage": Function(
            "sandbox/test_usage_cache.py", "test_the_worker_drops_what_an_event_outdates"
        ),
        "drops only the filter's": Function(
            "sandbox/test_usage_cache.py", "test_only_the_filter_that_an_event_falls_into_is_dropped"
        ),
        "flags wallets, tracks activity, charges in advance": _IN_ADVANCE,
        "reports an unknown wallet": _WEBHOOKS,
    },
    "spec/services/events/post_validation_service_spec.rb": {
        "reports unknown codes, missing properties and filter values by webhook": _WEBHOOKS,
    },
    "spec/services/events/kafka_producer_service_spec.rb": {
        "produces a message, or none if Kafka is not set up": _KAFKA,
    },
    "spec/services/events/calculate_expression_service_spec.rb": {
        "evaluates and stores": Function(
            "sandbox/test_expression.py", "test_the_result_is_stored_in_the_metric_s_field"
        ),
        "a metric without an expression leaves the event alone": Function(
            "sandbox/test_expression.py", "test_other_codes_are_left_alone"
        ),
        "fails for a property that is missing": Function(
            "sandbox/test_expression.py", "test_a_missing_property_is_told_in_a_sentence"
        ),
    },
    "spec/requests/api/v1/customers/usage_controller_spec.rb: current_usage": {
        "requires permission to read usage": _PERMISSION,
        "tells period, issuing date, amounts and charges": Promise("usage has each charge, also without events"),
        "without taxes": Promise("usage without taxes comes to its charges' amounts"),
        "passes on that a provider of taxes limits the rate": _TAXES,
        "of one charge by its code": Promise("usage is had of one charge by filter_by_charge_code"),
        "a charge's code that is unknown": Promise("usage of a charge of unknown code is not found"),
        "a charge's code that is another organization's": _ANOTHER_ORGANIZATIONS,
        "of one charge by its id": Promise("usage is had of one charge by filter_by_charge_id"),
        "a charge's id that is unknown": Promise("usage of a charge of unknown id is not found"),
        "full usage of everything": Promise("full usage of everything needs a licence"),
        "full usage of one charge needs a licence": Promise("full usage of one charge needs a licence"),
        "full usage of one charge with a licence": _LICENCE,
        "of one group": Function("sandbox/test_filters.py", "test_a_group_can_be_asked_for_by_text_only"),
        "full usage of one group needs a licence": Promise("full usage of one group needs a licence"),
        "full usage of one group with a licence": _LICENCE,
        "has filters": Promise("filters are priced one by one, and so is what matches none"),
        "has filters of several keys": Function(
            "sandbox/test_filters.py", "test_filters_of_several_keys_are_priced_one_by_one"
        ),
        "a customer of another organization": _ANOTHER_ORGANIZATIONS,
    },
    "spec/requests/api/v1/customers/usage_controller_spec.rb: past_usage": {
        "requires permission to read usage": _PERMISSION,
        "tells of billed periods": Function("sandbox/test_invoices.py", "test_past_usage_is_paged_and_limited"),
        "needs a subscription": Promise("past usage needs a subscription"),
        "a metric that is unknown": Function(
            "sandbox/test_invoices.py", "test_past_usage_needs_a_subscription_and_a_known_metric"
        ),
    },
    "spec/scenarios/current_usage: zero_fees_spec.rb": {
        "each charge is listed without usage": Promise("usage has each charge, also without events"),
        "groups without usage": Function(
            "sandbox/test_filters.py", "test_without_events_there_is_one_group_without_values"
        ),
        "groups with usage": Promise("pricing groups are charged one by one"),
        "filters without usage": Function(
            "sandbox/test_filters.py", "test_each_filter_has_an_entry_and_so_has_what_matches_none"
        ),
        "filters of which one has usage": Promise("filters are priced one by one, and so is what matches none"),
    },
    "spec/scenarios/current_usage: the others": {
        "with_identical_charge_filters_spec.rb": Function(
            "sandbox/test_filters.py", "test_of_two_equal_filters_the_older_counts"
        ),
        "anniversary_period_boundaries_spec.rb": Function("sandbox/test_periods.py", "test_intervals"),
        "pricing_unit_spec.rb": _LICENCE,
        "by_aggregation_type: count, latest, max, unique count": Function(
            "sandbox/test_aggregations.py", "test_aggregations"
        ),
        "by_aggregation_type/weighted_sum_agg_spec.rb": Function(
            "sandbox/test_aggregations.py", "test_a_weighted_sum_is_the_average_over_the_period"
        ),
        "by_charge_model/standard_spec.rb": Function(
            "sandbox/test_charge_models.py", "test_standard_multiplies_and_rounds_halves_up"
        ),
        "by_charge_model/package_spec.rb": Function(
            "sandbox/test_charge_models.py", "test_package_counts_each_package_begun_after_the_free_units"
        ),
        "by_charge_model/percentage_spec.rb": Function(
            "sandbox/test_charge_models.py", "test_percentage_takes_a_share_and_a_fixed_amount_per_event"
        ),
        "by_charge_model/dynamic_spec.rb": Function(
            "sandbox/test_charge_models.py", "test_dynamic_bills_what_the_events_say_they_cost"
        ),
        "by_charge_model/graduated_spec.rb": Function(
            "sandbox/test_charge_models.py", "test_graduated_prices_each_range_by_itself"
        ),
        "by_charge_model/volume_spec.rb": Function(
            "sandbox/test_charge_models.py",
            "test_volume_prices_all_by_the_range_reached_and_its_flat_amount_even_for_none",
        ),
        "by_charge_model: prorated and graduated percentage": _OTHER_MODELS,
    },
    "events-processor/processors/events_processor/*_test.go": {
        "enriches an event of a known metric": Function(
            "sandbox/test_clickhouse_events.py", "test_enriched_events_are_those_of_a_metric_that_was_there"
        ),
        "an event of an unknown metric is dead": Function(
            "sandbox/test_current_usage.py", "test_on_clickhouse_an_event_older_than_its_metric_never_counts"
        ),
        "retries, dead letters, subscriptions in the cache": _KAFKA,
    },
    "lago-python-client: tests": {
        "test_event_client.py": Function("clients/test_lago_python_client.py", "test_events_create"),
        "test_rate_limit*.py": Function(
            "clients/test_lago_python_client.py", "test_a_rate_limit_is_waited_out_as_told"
        ),
    },
}
