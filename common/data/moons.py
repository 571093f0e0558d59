"""Two inter-twinning moons, and the same turned by an angle: domains in the plane."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int32

CLASSES = ("upper", "lower")

# The expected mean of all points: that of the upper moon is (0, m), that of the lower (1, 1/2 - m).
CENTER = (0.5, 0.25)
SCALE = 2.0


def draw_moons(
    num_examples: int, *, noise: float, angle: float, seed: int
) -> tuple[Float32[np.ndarray, "example 2"], Int32[np.ndarray, " example"]]:
    """Draws points of two half circles that reach into each other.

    The upper moon is `(cos t, sin t)`, the lower one `(1 - cos t, 1/2 - sin t)`, at equal distances
    of `t` from 0 to pi, with normal noise on both coordinates. Then `CENTER` is moved to the
    origin, all distances are multiplied by `SCALE`, and the points are turned about the origin. The
    centre is that of the moons themselves: no statistic of the drawn points enters.

    Args:
        num_examples: Number of points; half of them in each moon, in random order.
        noise: Standard deviation of the noise before `SCALE`, not negative.
        angle: Degrees, counter-clockwise.
        seed: Seed of noise and order, from 0 to 2**32 - 1.

    Returns:
        The points, and their labels, indices into `CLASSES`.

    Raises:
        ValueError: If `noise` is negative.

    References:
        Y. Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17 (2016) 59,
        section 5.1.1; centre and scale as in the program published with it,
        github.com/GRAAL-Research/domain_adversarial_neural_network, which takes the centre from
        the mean of its source points.

        `sklearn.datasets.make_moons`.
    """
    from sklearn.datasets import make_moons

    if noise < 0:
        raise ValueError(f"noise is {noise}; a standard deviation must not be negative")
    points, labels = make_moons(num_examples, noise=noise, random_state=seed)
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    rotation = np.asarray([[cosine, -sine], [sine, cosine]])
    centered = SCALE * (points - np.asarray(CENTER))
    return (centered @ rotation.T).astype(np.float32), np.asarray(labels, np.int32)
