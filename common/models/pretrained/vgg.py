"""VGG as torchvision names its weights, with batch normalisation and without."""

from common.models.pretrained.table import (
    CONVOLUTION,
    DENSE,
    EXTRACTOR,
    Order,
    Table,
    counters_of,
    head,
    layer,
    normalization,
)
from common.models.vgg import VGG16


def flattened(rows: int) -> Order:
    """Returns the order of a kernel behind flattened maps: channels come first in PyTorch.

    Args:
        rows: Rows and columns of the maps.

    Returns:
        The order.
    """

    def to_ours(array):
        units = array.shape[0]
        return array.reshape(units, -1, rows, rows).transpose(2, 3, 1, 0).reshape(-1, units)

    def to_torch(array):
        units = array.shape[1]
        return array.reshape(rows, rows, -1, units).transpose(3, 2, 0, 1).reshape(units, -1)

    return Order(to_ours, to_torch)


def tables(extractor: VGG16) -> dict[str, Table]:
    """Builds the tables of a network.

    Args:
        extractor: The network.

    Returns:
        A table by layout.
    """
    entries, position = [], 0
    kind = extractor.normalization
    for stage, count in enumerate(extractor.blocks):
        for index in range(count):
            path = f"stage_{stage}_convolution_{index}"
            entries += layer((f"features.{position}",), f"{EXTRACTOR}/{path}", CONVOLUTION)
            position += 1
            if kind != "none":
                path = f"stage_{stage}_normalization_{index}"
                entries += normalization((f"features.{position}",), path, kind)
                position += 1
            # Activations and pooling count as layers too.
            position += 1
        position += 1
    for index in range(len(extractor.hidden)):
        # Between two of them stand an activation and a dropout.
        order = DENSE if index else flattened(extractor.pooled)
        entries += layer((f"classifier.{3 * index}",), f"{EXTRACTOR}/dense_{index}", order)
    last = head((f"classifier.{3 * len(extractor.hidden)}",))
    return {"torchvision": Table(tuple(entries), last, counters_of(entries))}
