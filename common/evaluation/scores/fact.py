"""What a selection rule must know of a score; reports read it without loading JAX."""

from typing import NamedTuple


class Fact(NamedTuple):
    """What is known of a score.

    Attributes:
        higher_is_better: Its direction.
        optimised_by: Terms and methods that train for it, or for a relative of it.
    """

    higher_is_better: bool
    optimised_by: tuple[str, ...] = ()


FACTS: dict[str, Fact] = {
    "information_maximization": Fact(True, ("information_maximization",)),
    "entropy": Fact(False, ("entropy",)),
}
