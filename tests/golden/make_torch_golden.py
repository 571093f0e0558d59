"""Makes torch_golden.json: logits of PyTorch's own networks on drawn weights and pictures.

Run from the project's root in an environment with torch, torchvision, timm and transformers, which
no test needs:

    python -m tests.golden.make_torch_golden

The networks are small; what they are is in `CASES` of the test. The file also has a digest of the
names of all weights of the networks at full size.
"""

# pyright: reportMissingImports=false

import hashlib
import json
from pathlib import Path

import timm
import torch
import torchvision
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.models.vgg import VGG, make_layers
from transformers import ViTConfig, ViTForImageClassification

from tests.golden.drawn import draw_pictures, draw_tensors

PATH = Path(__file__).with_name("torch_golden.json")
SQUARE, ODD = (32, 32), (35, 41)
# Fewer rows of patches and more columns than the positions are for.
SHRUNK_AND_GROWN = (16, 48)


class CifarBlock(nn.Module):
    """A block with the shortcut of option A, written from the paper."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.stride, self.missing = stride, (after - before) // 2

    def forward(self, x):
        out = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        zeros = (0, 0, 0, 0, self.missing, self.missing)
        return functional.relu(out + functional.pad(shortcut, zeros))


class CifarResNet(nn.Module):
    """The network for CIFAR, written from the paper."""

    def __init__(self, blocks, channels=(8, 16, 32), classes=5):
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        before = channels[0]
        for stage, after in enumerate(channels):
            own = []
            for index in range(blocks):
                own.append(CifarBlock(before, after, 2 if stage and not index else 1))
                before = after
            setattr(self, f"layer{stage + 1}", nn.Sequential(*own))
        self.linear = nn.Linear(before, classes)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def small_vgg(normalized):
    plan = [8, 8, "M", 16, "M", 32, "M"]
    network = VGG(make_layers(plan, batch_norm=normalized), num_classes=5, init_weights=False)
    network.avgpool = nn.AdaptiveAvgPool2d((3, 3))
    # torchvision has no other width; the places of the layers are its own.
    network.classifier[0] = nn.Linear(32 * 9, 24)
    network.classifier[3] = nn.Linear(24, 16)
    network.classifier[6] = nn.Linear(16, 5)
    return network


def small_timm(**changes):
    return VisionTransformer(
        img_size=32, embed_dim=24, depth=2, num_heads=3, num_classes=5, **changes
    )


def small_torchvision():
    return torchvision.models.VisionTransformer(32, 16, 2, 3, 24, 96, num_classes=5)


class HuggingFace(nn.Module):
    """Gives logits alone, and interpolates positions."""

    def __init__(self, **changes):
        super().__init__()
        self.inner = ViTForImageClassification(
            ViTConfig(
                hidden_size=24,
                num_hidden_layers=2,
                num_attention_heads=3,
                intermediate_size=96,
                image_size=32,
                num_labels=5,
                **changes,
            )
        )

    def forward(self, x):
        return self.inner(x, interpolate_pos_encoding=True).logits


def groups(channels):
    return nn.GroupNorm(8, channels, eps=1e-6)


# A network and the size of the pictures that it is given.
NETWORKS = {
    "cifar_resnet": (nn.DataParallel(CifarResNet(2)), (15, 18)),
    "resnet_basic": (ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5), ODD),
    "resnet_bottleneck": (ResNet(Bottleneck, [2, 1, 1, 1], num_classes=5), SQUARE),
    "resnet_group": (
        ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5, norm_layer=groups),
        SQUARE,
    ),
    "vgg": (small_vgg(False), (41, 67)),
    "vgg_normalized": (small_vgg(True), (24, 24)),
    "vit_timm": (small_timm(dynamic_img_size=True), SHRUNK_AND_GROWN),
    "vit_timm_mean": (small_timm(global_pool="avg"), SQUARE),
    "vit_torchvision": (small_torchvision(), SQUARE),
    "vit_hugging_face": (HuggingFace(), SHRUNK_AND_GROWN),
    "vit_hugging_face_tanh": (HuggingFace(hidden_act="gelu_pytorch_tanh"), SQUARE),
}

FULL = {
    **{name: getattr(torchvision.models, name) for name in ("resnet18", "resnet34", "resnet50")},
    "resnet101": torchvision.models.resnet101,
    "vgg16": torchvision.models.vgg16,
    "vgg16_bn": torchvision.models.vgg16_bn,
    "vit_s16:timm": lambda: timm.create_model("vit_small_patch16_224"),
    "vit_b16:timm": lambda: timm.create_model("vit_base_patch16_224"),
    "vit_b16:torchvision": torchvision.models.vit_b_16,
}


def digest(names):
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


def run(network, size):
    """Returns the shapes of the weights, the size of the pictures and the logits."""
    network.eval()
    module = network.inner if isinstance(network, HuggingFace) else network
    shapes = {name: list(tensor.shape) for name, tensor in module.state_dict().items()}
    drawn = {name: torch.from_numpy(array) for name, array in draw_tensors(shapes).items()}
    module.load_state_dict(drawn)
    pictures = torch.from_numpy(draw_pictures(size)).permute(0, 3, 1, 2)
    with torch.no_grad():
        logits = network(pictures).tolist()
    logits = [[float(f"{value:.8g}") for value in row] for row in logits]
    return {"shapes": shapes, "size": size, "logits": logits}


def main():
    """Writes the file."""
    cases = {name: run(*case) for name, case in NETWORKS.items()}
    with torch.device("meta"):
        digests = {name: digest(make().state_dict()) for name, make in FULL.items()}
    golden = {"cases": cases, "digests": digests}
    lines = json.dumps(golden, separators=(",", ":")).replace('},"', '},\n"')
    PATH.write_text(lines + "\n")
    for name, case in cases.items():
        print(name, max(map(max, case["logits"])))


if __name__ == "__main__":
    main()
