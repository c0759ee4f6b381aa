"""Which periods of a subscription have an invoice, and whether it still takes usage."""

from dataclasses import dataclass, field

from reconciler.delivery.spans import Billed
from reconciler.lago.client import Lago
from reconciler.lago.questions import Thing
from reconciler.lago.subscriptions import lagos_time


@dataclass(frozen=True)
class Invoices:
    """Asks one Lago, for each invoice once."""

    lago: Lago
    _known: dict[str, Thing | None] = field(default_factory=dict)

    def billed(self, customer: str, external_id: str) -> list[Billed]:
        """The periods of a customer's subscription that have an invoice, the latest first.

        Raises:
            NotPermittedError: the key may not read usage or invoices.
            CantBeAskedError: Lago can't be asked about this name.
        """
        billed = []
        for period in self.lago.past_usage(customer, external_id):
            since, until = lagos_time(period.get("from_datetime")), lagos_time(period.get("to_datetime"))
            if since is not None and until is not None:
                invoice = self._invoice(period.get("lago_invoice_id")) or {}
                status = str(invoice["status"]) if invoice.get("status") else None
                billed.append(Billed(since, until, status, str(invoice.get("number"))[:100]))
        return billed

    def _invoice(self, lago_id: object) -> Thing | None:
        if not isinstance(lago_id, str):
            return None
        if lago_id not in self._known:
            self._known[lago_id] = self.lago.invoice(lago_id)
        return self._known[lago_id]
