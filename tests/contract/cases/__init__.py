"""The table of promises, a module for each part of the API."""

from tests.contract.case import Case
from tests.contract.cases import authentication, batches, events, provisioning, reading, usage

CASES: list[Case] = [
    *authentication.CASES,
    *events.CASES,
    *batches.CASES,
    *reading.CASES,
    *provisioning.CASES,
    *usage.CASES,
]
