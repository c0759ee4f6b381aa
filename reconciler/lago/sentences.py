"""What is wrong with a Lago: the sentences that a person reads, and the errors that only Lago's client raises."""

from dataclasses import dataclass

from reconciler.lago.answers import NOT_LAGOS
from reconciler.model.errors import LagoAwayError, LagoError


class CantBeAskedError(LagoError):
    """Lago, or a gateway before it, can't be asked about a thing of such a name; others can."""


class NotPermittedError(LagoError):
    """The API key may not read something; `resource` is Lago's name for it, such as `subscription`."""

    def __init__(self, sentence: str, resource: str) -> None:
        super().__init__(sentence)
        self.resource = resource

    def unknown(self, means: str) -> str:
        """A warning: what it means that this is not known, a clause, and which permission would tell."""
        return (
            f"The API key may not read Lago's {self.resource.replace('_', ' ')}s: {means}. "
            f"Give it the permission to read {self.resource} to have that told."
        )


class NotMadeError(LagoError):
    """Lago refuses one thing that it was to make; it may make others."""


@dataclass(frozen=True)
class Sentences:
    """What is wrong with the Lago at one address, each an error around what was seen; `stays` says what is not lost."""

    base: str
    stays: str = "All events stay planned"

    def away(self, said: str) -> LagoAwayError:
        """It can't be reached, or something else answers in its place."""
        what = "can't be used" if NOT_LAGOS in said else "can't be reached"
        return LagoAwayError(f"Lago at LAGO_API_BASE ({self.base}) {what}: {said}. {self.stays}; run again.")

    def refuses(self, said: str, resource: str | None = None) -> LagoError:
        """It refuses us, perhaps only the key to read a resource."""
        sentence = f"Lago at LAGO_API_BASE ({self.base}) refuses us: {said}. {self.stays}."
        return NotPermittedError(sentence, resource) if resource else LagoError(sentence)

    def unusable(self, said: str) -> LagoError:
        """Its answers are not Lago's, or make no sense."""
        return LagoError(f"Lago at LAGO_API_BASE ({self.base}) can't be used: {said}. {self.stays}.")

    def cant_be_asked(self, kind: str, name: str, why: str) -> CantBeAskedError:
        """It can't be asked about one thing, which others have named."""
        sentence = f"Lago at LAGO_API_BASE ({self.base}) can't be asked for {kind} {name[:100]!r}: {why}."
        return CantBeAskedError(sentence)

    def not_made(self, kind: str, why: str) -> NotMadeError:
        """It does not make one thing."""
        return NotMadeError(f"Lago at LAGO_API_BASE ({self.base}) has not made the {kind}: {why}. {self.stays}.")
