"""How many events go in one request."""

from dataclasses import dataclass, field


@dataclass
class BatchSize:
    """As many events in one request as Lago takes, found by halving and creeping up again."""

    size: int
    taken: int = 0
    refused: int = field(init=False)

    def __post_init__(self) -> None:
        """Nothing has been refused yet."""
        self.refused = self.size + 1

    def too_many(self, size: int) -> None:
        """Lago refused so many at once."""
        self.refused = min(self.refused, size)
        if size <= self.taken:  # it has changed its mind
            self.taken = 0
        self.size = max(1, (self.taken + self.refused) // 2)

    def took(self, size: int) -> None:
        """Lago took so many at once."""
        self.taken = max(self.taken, min(size, self.refused - 1))
        if size == self.size < self.refused - 1:
            self.size = (self.taken + self.refused) // 2
