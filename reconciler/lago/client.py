"""Lago over HTTP: one organization's API, as far as a producer of events needs it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Self

from reconciler.lago.answers import Answer, Barred, Throttled, Unknown, parsed, read_answer
from reconciler.lago.ending import Ending
from reconciler.lago.making import Making
from reconciler.lago.organization import Organization
from reconciler.lago.pace import Pace
from reconciler.lago.questions import PAGE, Page, Parameters, Question, Questions, Thing, encoded
from reconciler.lago.sentences import Sentences
from reconciler.lago.stores import Store
from reconciler.lago.transport import Reply, Transport
from reconciler.settings.limits import Limits
from reconciler.settings.load import Settings

_PAST_PAGE, _PAST_PAGES = 20, 5


class Lago:
    """A connection to one Lago organization, for several threads; questions raise what those of `Questions` do."""

    def __init__(
        self,
        base: str,
        key: str,
        *,
        limits: Limits,
        rate: float | None = None,
        connections: int = 2,
        ending: Ending | None = None,
        stays: str = Sentences.stays,
    ) -> None:
        """Connect to nothing yet.

        Args:
            base: such as `https://api.getlago.com`, without `/api/v1`.
            key: the organization's API key.
            limits: timings and sizes.
            rate: the most requests a second; None is as many as Lago takes.
            connections: the most requests on their way at once.
            ending: when what waits goes on, and no more questions are asked.
            stays: what is not lost when something goes wrong, for its sentences.
        """
        ending = ending or Ending()
        self._limits = limits
        self._ceiling = Pace(rate, sleep=ending.sleep)
        self._writing, reading = Pace(sleep=ending.sleep), Pace(sleep=ending.sleep)  # Lago limits them apart
        self._transport = Transport(base, key, limits, connections)
        self._say = Sentences(base, stays)
        self._questions = Questions(self._say, self._transport, limits, self._ceiling, reading, ending)
        self.make = Making(self._say, self._transport, limits, self._ceiling, self._writing).make
        self.base, self.away, self.refuses = base, self._say.away, self._say.refuses

    @classmethod
    def of(cls, settings: Settings, ending: Ending | None = None, *, stays: str = Sentences.stays) -> Self:
        """The one that the settings name; the key is read now."""
        return cls(
            settings.lago_api_base,
            settings.read_key(),
            limits=settings.limits,
            rate=settings.rate,
            connections=settings.connections,
            ending=ending,
            stays=stays,
        )

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def wait(self) -> None:
        """Wait until the next batch may go, or all is to end."""
        self._ceiling.wait()
        self._writing.wait()

    def post(self, ids: Sequence[str], body: str) -> Answer:
        """Send a batch's frozen text, and read the answer; `ids` are its transaction ids, in order."""
        reply = self._transport.request("events/batch", self._limits.request, body=body.encode())
        if not isinstance(reply, Reply):
            return reply
        answer = read_answer(reply.status, reply.headers, reply.content, ids)
        if isinstance(answer, Barred) and 300 <= reply.status < 400:
            answer = Unknown(answer.said, lagos=False)  # a gateway's, which may dislike one event
        if isinstance(answer, Throttled):
            return Throttled(self._writing.refused(reply.headers))
        self._writing.learn(reply.headers)
        return answer

    def organization(self, *, careful: bool = False) -> Organization | None:
        """The organization behind the key; None if Lago doesn't tell it. With `careful`, one short try must do."""
        reply = self._questions.get("organizations", careful=careful)
        content = parsed(reply.content)
        untold = (reply.status, content.get("code")) == (404, "resource_not_found")
        if untold or (reply.status == 403 and content.get("status") == 403):
            return None
        found = Organization.read(self._questions.thing("organization", self._questions.expect(reply)))
        if found is None:
            raise self._say.unusable("it answers with an organization without an id")
        return found

    def clock(self) -> datetime | None:
        """What time it is there, to the second, by the header of an answer; None if that says none."""
        said = self._questions.get("organizations").headers.get("date", "")
        try:
            at = parsedate_to_datetime(said)
        except ValueError:
            return None
        return at if at.tzinfo else None

    def store(self, told: Organization | None = None) -> Store:
        """Which event store an organization has. One that doesn't tell is tried: only ClickHouse's enriches events."""
        if told and told.store:
            return told.store
        reply = self._questions.get("events_enriched", {"per_page": 1})
        code = parsed(reply.content).get("code")
        if reply.status == 403 and code == "endpoint_not_available":
            return "postgres"
        if reply.status == 404 and code == "resource_not_found":
            return "unknown"  # a Lago from before that endpoint
        self._questions.expect(reply)
        return "clickhouse"

    def events(
        self, code: str | None, since: datetime, until: datetime, subscription: str | None = None, *, size: int = PAGE
    ) -> Iterator[Page]:
        """The events of a code, or of all, or of one subscription, from `since` to `until`, both inclusive and aware.

        Pages have so many events as `size` says, or as Lago gives.
        """
        wanted = {"code": code, "external_subscription_id": subscription}
        only = {name: value for name, value in wanted.items() if value is not None}
        span = {"timestamp_from": since.isoformat(), "timestamp_to": until.isoformat()}
        return self._questions.pages("events", Question("events", {**only, **span}), size=size)

    def event(self, transaction_id: str) -> Thing | None:
        """An event that Lago holds under an id, whichever its subscription; None if it shows none."""
        return self._questions.one("event", transaction_id)

    def metric(self, code: str) -> Thing | None:
        """The billable metric of that code, None if there is none."""
        return self._questions.one("billable_metric", code)

    def plan(self, code: str) -> Thing | None:
        """The plan of that code, None if there is none."""
        return self._questions.one("plan", code)

    def customer(self, external_id: str) -> Thing | None:
        """The customer of that external id, None if there is none."""
        about = "customer", external_id
        answer = self._questions.ask(Question(f"customers/{encoded(external_id)}", {}, {"customer_not_found"}, about))
        return None if answer is None else self._questions.thing("customer", answer)

    def customers(self) -> Iterator[list[Thing]]:
        """Pages of all customers."""
        return (page.things for page in self._questions.pages("customers", Question("customers")))

    def invoice(self, lago_id: str) -> Thing | None:
        """The invoice of that id of Lago's, None if there is none."""
        return self._questions.one("invoice", lago_id)

    def newest_invoices(self, count: int = 100) -> list[Thing]:
        """The newest final invoices of subscriptions, the latest issued first; `count` is the most.

        Drafts would come before them for days: their day of issue is yet to come.
        """
        wanted: Parameters = {"invoice_type": "subscription", "status": "finalized"}
        return next(self._questions.pages("invoices", Question("invoices", wanted), size=count)).things

    def subscription(self, external_id: str, *, terminated: bool = False) -> Thing | None:
        """The active subscription of that name, or a terminated one; None if there is none."""
        about = "subscription", external_id
        status: Parameters = {"status": "terminated"} if terminated else {}
        path = f"subscriptions/{encoded(external_id)}"
        answer = self._questions.ask(Question(path, status, {"subscription_not_found"}, about))
        if answer is None:
            return None
        found = answer.get("subscription")
        if not isinstance(found, dict) or found.get("external_id") != external_id:
            raise self._say.cant_be_asked(*about, "the answer is about something else")
        return found

    def subscriptions(
        self, status: str | Sequence[str] = "active", *, customer: str | None = None
    ) -> Iterator[list[Thing]]:
        """Pages of all subscriptions of a status, or of some; of one customer, by its external id, active and ended."""
        question = Question("subscriptions", {"status[]": status})
        if customer is not None:
            both: Parameters = {"status[]": ("active", "terminated"), "external_customer_id": customer}
            question = Question("subscriptions", both, {"customer_not_found"}, ("customer", customer))
        return (page.things for page in self._questions.pages("subscriptions", question))

    def current_usage(
        self, external_customer_id: str, external_subscription_id: str, code: str, *, of_meter: str | None = None
    ) -> list[Thing]:
        """What Lago counts in the present period of an active subscription for a metric: a charge each.

        Args:
            external_customer_id: whose.
            external_subscription_id: which subscription.
            code: the metric's.
            of_meter: only of events with this property `meter`; such a question goes past Lago's cache.
        """
        wanted = {"external_subscription_id": external_subscription_id, "billable_metric_code": code}
        only = {} if of_meter is None else {"group[meter]": of_meter}
        question = Question(
            f"customers/{encoded(external_customer_id)}/current_usage",
            {**wanted, "apply_taxes": "false", **only},
            {"charge_not_found"},
            ("subscription", external_subscription_id),
        )
        answer = self._questions.ask(question)
        charges = self._questions.thing("customer_usage", answer).get("charges_usage") if answer else []
        return [charge for charge in charges if isinstance(charge, dict)] if isinstance(charges, list) else []

    def past_usage(self, external_customer_id: str, external_subscription_id: str) -> list[Thing]:
        """The billed periods of a customer's subscription, the latest first, at most 100; none if Lago knows none."""
        question = Question(
            f"customers/{encoded(external_customer_id)}/past_usage",
            {"external_subscription_id": external_subscription_id},
            {"customer_not_found", "resource_not_found", "subscription_not_found"},
            ("customer", external_customer_id),
        )
        pages = self._questions.pages("usage_periods", question, size=_PAST_PAGE)
        return [period for page in islice(pages, _PAST_PAGES) for period in page.things]
