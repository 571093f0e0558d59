"""The ResNets as torchvision, and with it timm, names their weights."""

from common.models.pretrained.table import (
    CONVOLUTION,
    EXTRACTOR,
    Table,
    counters_of,
    head,
    layer,
    normalization,
)
from common.models.resnet import EXPANSION, ResNet18


def tables(extractor: ResNet18) -> dict[str, Table]:
    """Builds the tables of a network.

    Args:
        extractor: The network.

    Returns:
        A table by layout.
    """
    kind, expansion = extractor.normalization, EXPANSION if extractor.is_bottleneck else 1
    entries = []

    def add(convolution: str, norm: str, convolution_path: str, norm_path: str) -> None:
        path = f"{EXTRACTOR}/{convolution_path}"
        entries.extend(layer((convolution,), path, CONVOLUTION, bias=False))
        entries.extend(normalization((norm,), norm_path, kind))

    add("conv1", "bn1", "stem_convolution", "stem_normalization")
    for stage, count in enumerate(extractor.blocks, 1):
        for index in range(count):
            key, path = f"layer{stage}.{index}", f"stage_{stage}_block_{index}"
            places = [
                (f"conv{order + 1}", f"bn{order + 1}", str(order))
                for order in range(3 if extractor.is_bottleneck else 2)
            ]
            # The first stage has the stem's resolution: only the channels may differ.
            if index == 0 and (stage > 1 or expansion > 1):
                places.append(("downsample.0", "downsample.1", "shortcut"))
            for convolution, norm, place in places:
                add(
                    f"{key}.{convolution}",
                    f"{key}.{norm}",
                    f"{path}/convolution_{place}",
                    f"{path}/normalization_{place}",
                )
    return {"torchvision": Table(tuple(entries), head(("fc",)), counters_of(entries))}
