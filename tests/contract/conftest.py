import os
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from reconciler.sandbox import Sandbox
from tests.contract.cases import CASES
from tests.contract.target import NotLagoError, Target, store_of, version_of

URL, KEY = os.environ.get("LAGO_CONTRACT_URL"), os.environ.get("LAGO_CONTRACT_KEY")
VERSION = os.environ.get("LAGO_CONTRACT_VERSION")

STORES = ["postgres", "clickhouse"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Ask the real Lago if there is one, or else both stand-ins what is known of their stores."""
    if "target" in metafunc.fixturenames:
        targets = [URL] if URL else STORES
        pairs = [(target, case) for target in targets for case in CASES if URL or case.only in {None, target}]
        names = [f"{case.name}-{'lago' if URL else target}" for target, case in pairs]
        metafunc.parametrize(("target", "case"), pairs, indirect=["target"], ids=names, scope="session")


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    """The Lago to ask; which event store it has, and of which version it is, is found as any client would."""
    with ExitStack() as running:
        if URL:
            if not KEY:
                pytest.exit("LAGO_CONTRACT_URL is set: set LAGO_CONTRACT_KEY to an API key of that Lago.", 2)
            url, key, patience = URL.rstrip("/"), KEY, 15.0
        else:
            stand_in = running.enter_context(Sandbox(store=request.param))
            url, key, patience = stand_in.url, stand_in.api_key, 0.5
        headers = {"Authorization": f"Bearer {key}"}
        client = running.enter_context(httpx.Client(base_url=f"{url}/api/v1/", headers=headers, timeout=30))
        try:
            target = Target(client, store_of(client), version_of(client, VERSION), patience)
        except httpx.TransportError as error:
            pytest.exit(f"{url} can't be reached: {error}. Look at LAGO_CONTRACT_URL.", 2)
        except NotLagoError as error:
            pytest.exit(
                f"{url} does not answer as Lago does: {error}. Look at LAGO_CONTRACT_URL and LAGO_CONTRACT_KEY.", 2
            )
        except ValueError as error:
            pytest.exit(f"LAGO_CONTRACT_VERSION: {error}.", 2)
        yield target


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the answers that differ."""
    different = [
        dict(report.user_properties)["differs"]
        for report in terminalreporter.getreports("failed")
        if "differs" in dict(report.user_properties)
    ]
    if different:
        terminalreporter.section(f"answers that differ: {len(different)}")
        for text in different:
            terminalreporter.line(str(text))
