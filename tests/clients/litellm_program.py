"""LiteLLM with its `lago` callback, in a process of its own: it takes seconds to import and warns at many calls.

Reads one call a line from standard input, as JSON: `function` of litellm, its `arguments`, and `environ`. Answers each
on standard output with `answer` (the call's own, or null), `raised` (or null), `logged` (what LiteLLM reported as an
error) and `reached` (every address looked up or connected to), once the callback has done its work.
"""

import asyncio
import importlib
import json
import logging
import os
import sys
from typing import Any

_reached: list[str] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        _reached.append(str(arguments[1]))
    elif event == "socket.getaddrinfo":
        _reached.append(str(arguments[0]))


class _Errors(logging.Handler):
    """Keeps the messages of errors."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


async def _answer(litellm: Any, worker: Any, call: dict[str, Any]) -> dict[str, Any]:
    answer, raised = None, None
    try:
        response = await getattr(litellm, call["function"])(**call["arguments"])
        if call["arguments"].get("stream"):
            async for _part in response:
                pass
        elif hasattr(response, "model_dump"):
            answer = response.model_dump(mode="json")
    except Exception as error:  # noqa: BLE001 -- whatever it is, the test is told
        raised = str(error)
    await asyncio.sleep(0)  # the callback is given to the worker by a task
    await worker.flush()
    return {"answer": answer, "raised": raised}


async def _serve() -> None:
    litellm: Any = importlib.import_module("litellm")
    worker = importlib.import_module("litellm.litellm_core_utils.logging_worker").GLOBAL_LOGGING_WORKER
    litellm.suppress_debug_info = True
    litellm.callbacks = ["lago"]
    errors = _Errors()
    logging.getLogger("LiteLLM").addHandler(errors)
    while line := await asyncio.to_thread(sys.stdin.readline):  # meanwhile LiteLLM may log what it streamed
        call = json.loads(line)
        os.environ.update(call["environ"])
        told = await _answer(litellm, worker, call)
        told |= {"logged": errors.messages[:], "reached": _reached[:]}
        errors.messages.clear()
        _reached.clear()
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.addaudithook(_watch)
    asyncio.run(_serve())
