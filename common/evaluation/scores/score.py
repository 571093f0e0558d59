"""All label-free scores by name. They see outputs on the target's validation pictures alone."""

from collections.abc import Callable

from jaxtyping import Array

from common.evaluation.scores.information_maximization import information_maximization

SCORES: dict[str, Callable[[Array], Array]] = {
    "information_maximization": information_maximization,
}
