"""The benchmark's networks in PyTorch, with the parameters that Adaptax's have.

Written with `torch.nn` as its users write it: pictures are channels first, layers are modules.
"""

from __future__ import annotations

from typing import Any

from benchmarks.speed_case import Case


def dense(sizes: tuple[int, ...], groups: int = 0) -> list[Any]:
    """Makes dense layers with ReLU, normalised before it where there are groups.

    Args:
        sizes: Units of the input and of each layer.
        groups: Of group normalisation; 0 for none.

    Returns:
        Modules in order.
    """
    from torch import nn  # pyright: ignore[reportMissingImports]

    layers = []
    for inputs, units in zip(sizes, sizes[1:], strict=False):
        norm = [nn.GroupNorm(groups, units)] if groups else []
        layers += [nn.Linear(inputs, units), *norm, nn.ReLU()]
    return layers


def make_lenet(case: Case) -> tuple[Any, int]:
    """Makes the DANN paper's MNIST network.

    Args:
        case: The case.

    Returns:
        The feature extractor, and the number of features.
    """
    from torch import nn  # pyright: ignore[reportMissingImports]

    side = ((case.size - 4) // 2 - 4) // 2
    layers = [nn.Conv2d(case.channels, 32, 5), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(32, 48, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers), 48 * side**2


def make_cnn(case: Case) -> tuple[Any, int]:
    """Makes the network of the embedded benchmark.

    Args:
        case: The case.

    Returns:
        The feature extractor, and the number of features.
    """
    from torch import nn  # pyright: ignore[reportMissingImports]

    channels, hidden = case.options["channels"], case.options["hidden"]
    convolution = nn.Conv2d(case.channels, channels, 3, padding=1)
    layers = [convolution, nn.GroupNorm(4, channels), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    layers += dense((channels * (case.size // 2) ** 2, *hidden), groups=4)
    return nn.Sequential(*layers), hidden[-1]


def make_resnet50(case: Case) -> tuple[Any, int]:
    """Makes ResNet-50, with the stride in the convolutions of 3 by 3 pixels.

    Args:
        case: The case.

    Returns:
        The feature extractor, and the number of features.
    """
    from torch import nn  # pyright: ignore[reportMissingImports]

    def convolve(inputs, outputs, window, stride=1):
        padding = window // 2
        convolution = nn.Conv2d(inputs, outputs, window, stride, padding, bias=False)
        return [convolution, nn.BatchNorm2d(outputs)]

    class Bottleneck(nn.Module):
        def __init__(self, inputs, channels, stride):
            super().__init__()
            self.body = nn.Sequential(
                *(*convolve(inputs, channels, 1), nn.ReLU()),
                *(*convolve(channels, channels, 3, stride), nn.ReLU()),
                *convolve(channels, 4 * channels, 1),
            )
            is_same = stride == 1 and inputs == 4 * channels
            shortcut = [] if is_same else convolve(inputs, 4 * channels, 1, stride)
            self.shortcut = nn.Sequential(*shortcut)

        def forward(self, maps):
            return nn.functional.relu(self.body(maps) + self.shortcut(maps))

    layers = [*convolve(case.channels, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for index in range(blocks):
            stride = 2 if stage and not index else 1
            layers.append(Bottleneck(inputs, 64 * 2**stage, stride))
            inputs = 256 * 2**stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), inputs


def make_vit_b16(case: Case) -> tuple[Any, int]:
    """Makes ViT-B/16, normalised before each sub-layer.

    Args:
        case: The case.

    Returns:
        The feature extractor, and the number of features.
    """
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]

    width, count = 768, (case.size // 16) ** 2

    class VisionTransformer(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(case.channels, width, 16, 16)
            self.token = nn.Parameter(torch.zeros(1, 1, width))
            self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + count, width))
            self.blocks = nn.Sequential(
                *(
                    nn.TransformerEncoderLayer(
                        *(width, 12, 4 * width, 0.0, "gelu", 1e-6),
                        batch_first=True,
                        norm_first=True,
                    )
                    for _ in range(12)
                )
            )
            self.norm = nn.LayerNorm(width, 1e-6)

        def forward(self, images):
            tokens = self.patches(images).flatten(2).transpose(1, 2)
            first = self.token.expand(len(tokens), -1, -1).to(tokens.dtype)
            tokens = torch.cat([first, tokens], 1) + self.positions
            return self.norm(self.blocks(tokens)[:, 0])

    return VisionTransformer(), width


EXTRACTORS = {
    "lenet": make_lenet,
    "cnn": make_cnn,
    "resnet50": make_resnet50,
    "vit_b16": make_vit_b16,
}


def make_networks(case: Case) -> dict[str, Any]:
    """Makes the three networks of DANN.

    Args:
        case: The case.

    Returns:
        `extractor`, `head` and `discriminator`.
    """
    from torch import nn  # pyright: ignore[reportMissingImports]

    extractor, features = EXTRACTORS[case.model](case)
    sizes = {"head": (features, *case.head), "discriminator": (features, *case.discriminator)}
    units = {"head": case.classes, "discriminator": 1}
    return {"extractor": extractor} | {
        name: nn.Sequential(*dense(own), nn.Linear(own[-1], units[name]))
        for name, own in sizes.items()
    }
