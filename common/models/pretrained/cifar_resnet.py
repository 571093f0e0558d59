"""The CIFAR ResNets as `pytorch_resnet_cifar10` (Yerlan Idelbayev) names their weights."""

from common.models.cifar_resnet import CifarResNet20
from common.models.pretrained.table import (
    CONVOLUTION,
    EXTRACTOR,
    Table,
    counters_of,
    head,
    layer,
    normalization,
)


def tables(extractor: CifarResNet20) -> dict[str, Table]:
    """Builds the tables of a network.

    Args:
        extractor: The network.

    Returns:
        A table by layout.
    """

    def names(key: str) -> tuple[str, ...]:
        # Its files come from networks on several devices, whose names have a prefix.
        return f"module.{key}", key

    kind = extractor.normalization
    stem = layer(names("conv1"), f"{EXTRACTOR}/stem_convolution", CONVOLUTION, bias=False)
    entries = [*stem, *normalization(names("bn1"), "stem_normalization", kind)]
    for stage in range(1, len(extractor.channels) + 1):
        for index in range(extractor.blocks):
            block, path = f"layer{stage}.{index}", f"stage_{stage}_block_{index}"
            for order in range(2):
                keys, where = names(f"{block}.conv{order + 1}"), f"{path}/convolution_{order}"
                entries += layer(keys, f"{EXTRACTOR}/{where}", CONVOLUTION, bias=False)
                keys = names(f"{block}.bn{order + 1}")
                entries += normalization(keys, f"{path}/normalization_{order}", kind)
    table = Table(tuple(entries), head(names("linear")), counters_of(entries))
    return {"pytorch_resnet_cifar10": table}
