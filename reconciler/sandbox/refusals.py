"""Lago's refusals: one exception that carries the status and the exact body."""

from typing import Any

_PHRASES = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    501: "Not Implemented",
}


class RefusalError(Exception):
    """An answer other than 200.

    Attributes:
        status: the HTTP status.
        body: the JSON body, or None for an empty one.
    """

    def __init__(self, status: int, **more: Any) -> None:
        super().__init__(status, more)
        self.status = status
        self.body: dict[str, Any] | None = body_of(status) | more


class BareRefusalError(RefusalError):
    """Raised outside of Lago's controllers: only a client that asked for JSON by `Accept` gets a body."""


def body_of(status: int) -> dict[str, Any]:
    """Return the part that every error body has."""
    return {"status": status, "error": _PHRASES.get(status, "Error")}


def missing_parameter(name: str) -> RefusalError:
    """Return the 400 of a body without its root key."""
    refusal = RefusalError(400)
    message = f"BadRequest: param is missing or the value is empty or invalid: {name}"
    refusal.body = {"status": 400, "error": message}
    return refusal


def malformed() -> RefusalError:
    """Return the 400 of a body that is not JSON."""
    refusal = BareRefusalError(400)
    refusal.body = {"status": 400, "error": "Bad Request"}
    return refusal


def crashed() -> RefusalError:
    """Return the 500 of an exception inside Lago."""
    return RefusalError(500)


def unauthorized() -> RefusalError:
    """Return the 401 of a missing or unknown API key."""
    return RefusalError(401)


def forbidden(code: str) -> RefusalError:
    """Return a 403, for example `endpoint_not_available`."""
    return RefusalError(403, code=code)


def not_found(resource: str) -> RefusalError:
    """Return the 404 of an unknown thing; `resource` itself stands for an unknown route."""
    return RefusalError(404, code=f"{resource}_not_found")


def not_allowed(code: str) -> RefusalError:
    """Return a 405, for example `no_active_subscription`."""
    return RefusalError(405, code=code)


def invalid(details: dict[str, Any] | str) -> RefusalError:
    """Return the 422 that names what is wrong with which field or with which event of a batch, or says it."""
    return RefusalError(422, code="validation_errors", error_details=details)


def unsupported(what: str) -> RefusalError:
    """Return the 501 that Lago never sends: the stand-in says what it can't do rather than pretend."""
    return RefusalError(501, code="not_in_sandbox", error_details=what)
