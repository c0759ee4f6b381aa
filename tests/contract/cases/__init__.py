"""The table of promises, a module for each part of the API."""

from tests.contract.case import Case
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
    *plan_metadata.CASES,
    *subscription_charges.CASES,
    *lifetime_usage.CASES,
    *alerts.CASES,
    *customer_links.CASES,
    *estimates.CASES,
    *usage.CASES,
]
