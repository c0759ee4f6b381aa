import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import certifi
import pytest

from reconciler.sandbox import Sandbox
from tests.support import CODE

CUSTOMER = {"proxy_server_request": {"body": {"user": "acme"}}}
"""How the proxy tells the callback who asked."""


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with one certificate."""
    end = "-----END CERTIFICATE-----\n"
    path = tmp_path_factory.mktemp("certificates") / "one.pem"
    path.write_text(certifi.contents().partition(end)[0] + end)
    return str(path)


@pytest.fixture
def one_certificate(certificates: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For Lago's own client, which reads all certificates at each request; here none is needed."""
    monkeypatch.setenv("SSL_CERT_FILE", certificates)


@pytest.fixture(scope="session")
def litellm_process() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.clients.litellm_program"]
    environ = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, env=environ, stdin=pipe, stdout=pipe) as process:
        yield process
        process.terminate()


Callback = Callable[..., dict[str, Any]]


@pytest.fixture
def litellm(litellm_process: subprocess.Popen[str], lago: Sandbox) -> Callback:
    """A function: calls LiteLLM, with its `lago` callback on the stand-in, and returns what became of it.

    Its arguments are litellm's; `charge_by` and `base` are two of the callback's variables.
    """

    def call(
        function: str, *, charge_by: str = "end_user_id", base: str = lago.url, **arguments: Any
    ) -> dict[str, Any]:
        environ = {
            "LAGO_API_BASE": base,
            "LAGO_API_KEY": lago.api_key,
            "LAGO_API_EVENT_CODE": CODE,
            "LAGO_API_CHARGE_BY": charge_by,
        }
        assert litellm_process.stdin
        assert litellm_process.stdout
        litellm_process.stdin.write(
            json.dumps({"function": function, "arguments": arguments, "environ": environ}) + "\n"
        )
        litellm_process.stdin.flush()
        told: dict[str, Any] = json.loads(litellm_process.stdout.readline())
        assert all("127.0.0.1" in address for address in told["reached"]), "it stays on this machine"
        return told

    return call
