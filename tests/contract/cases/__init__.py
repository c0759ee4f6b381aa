"""The table of promises, a module for each part of the API."""

from tests.contract.case import Case, since
from tests.contract.cases import (
    alerts,
    authentication,
    batches,
    customer_links,
    estimates,
    events,
    expressions,
    lifetime_usage,
    metrics,
    periods,
    plan_metadata,
    provisioning,
    reading,
    subscription_charges,
    usage,
)

CASES: list[Case] = [
    *authentication.CASES,
    *events.CASES,
    *batches.CASES,
    *expressions.CASES,
    *reading.CASES,
    *metrics.CASES,
    *provisioning.CASES,
    *periods.CASES,
    *since("1.40", plan_metadata.CASES),  # lago-api#4781 of December 2025
    *since("1.44", subscription_charges.CASES),  # lago-api#5010 of February 2026
    *lifetime_usage.CASES,
    *since("1.31", alerts.CASES),  # lago-openapi#366 of May 2025
    *customer_links.CASES,
    *estimates.CASES,
    *usage.CASES,
]
