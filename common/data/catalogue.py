"""The names of the data sets that `prepare` knows, and where their builders are."""

from __future__ import annotations

import difflib

_NAMES = (
    *("mnist", "mnist_m", "usps", "synthetic_digits", "amazon_reviews"),
    *("office31", "office_caltech10", "office_home", "visda2017", "pacs"),
)

# Our own builders, each a module with a class `Builder`. A name that TFDS's catalogue has as well
# (mnist) means ours: it needs no TensorFlow and keeps the published order.
OWN_BUILDERS = {name: f"common.data.builders.{name}.{name}_dataset_builder" for name in _NAMES}

# Which part a bare name means. The parts of all other sets are domains, and have to be named.
DEFAULT_CONFIGS = {"mnist_m": "published", "synthetic_digits": "default"}

# Some of the names that adaptation is studied on; `list datasets` shows them.
CATALOGUE_EXAMPLES = (
    *("svhn_cropped", "emnist/digits", "cifar10", "stl10"),
    *("cifar10_corrupted/fog_3", "domainnet/sketch"),
)


def catalogue_names() -> list[str]:
    """Lists the catalogue of TensorFlow Datasets; takes half a second, and no TensorFlow.

    Returns:
        Its names, without parts.
    """
    import tensorflow_datasets as tfds

    return tfds.list_builders(with_community_datasets=False)


def check_set(name: str) -> None:
    """Refuses a data set that nobody can prepare.

    Args:
        name: Such as `mnist`, without a part.

    Raises:
        ValueError: With the nearest names.
    """
    if name in OWN_BUILDERS or name in (catalogue := catalogue_names()):
        return
    near = difflib.get_close_matches(name, dict.fromkeys((*OWN_BUILDERS, *catalogue)), 3)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise ValueError(
        f"there is no data set {name!r}; {hint}legal are {', '.join(OWN_BUILDERS)} and the names "
        "of the catalogue of TensorFlow Datasets"
    )
