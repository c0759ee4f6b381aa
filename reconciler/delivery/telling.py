"""What Lago tells of subscriptions by their external ids: of few one by one, of many by lists of all.

Facts: lago section 16, "Asking for subscriptions".
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass

from reconciler.lago.client import Lago
from reconciler.lago.questions import Thing
from reconciler.lago.sentences import CantBeAskedError
from reconciler.model.errors import LagoAwayError

ONE_BY_ONE = 10
"""So many subscriptions are asked for one by one; for more, all are listed."""

Told = dict[str, list[Thing]]
"""What Lago tells of some external ids."""


@dataclass(frozen=True)
class Telling:
    """Asks one Lago. Its questions raise what `Lago`'s do.

    Attributes:
        lago: who is asked.
        stay: called between two questions: a dry ledger's transaction stays open, however long they take.
    """

    lago: Lago
    stay: Callable[[], None]

    def tell(self, external_ids: Collection[str]) -> Iterator[Told]:
        """What Lago tells of these, some at a time. For many all are listed; a name that no list has is nobody's.

        Few are asked for one by one; one about which Lago or a gateway always fails keeps no other waiting.
        """
        left, are_listed = dict.fromkeys(external_ids), len(external_ids) > ONE_BY_ONE
        for status in ("active", "terminated"):
            for page in self.lago.subscriptions(status) if len(left) > ONE_BY_ONE else ():
                found: Told = defaultdict(list)
                for one in page:
                    if (name := str(one.get("external_id"))) in left:
                        found[name].append(one)
                self.stay()
                yield found
                left = dict.fromkeys(left.keys() - found.keys())
        if len(left) > ONE_BY_ONE:
            yield {external_id: [] for external_id in left}
            return
        told = failed = 0
        for external_id in left:
            self.stay()
            try:
                with suppress(CantBeAskedError):
                    yield {external_id: self.ask(external_id, is_active=not are_listed)}
                told += 1
            except LagoAwayError:
                failed += 1
                if not told and failed == min(len(left), 3):
                    raise

    def ask(self, external_id: str, *, is_active: bool = True) -> list[Thing]:
        """The active subscription of an external id, or else the last that ended; none if nobody has, or had, one."""
        found = self.lago.subscription(external_id) if is_active else None
        found = found or self.lago.subscription(external_id, terminated=True)
        return [found] if found else []
