"""What the speed benchmark measures: plain data, which both libraries' workers read."""

from __future__ import annotations

from typing import Any, NamedTuple


class Case(NamedTuple):
    """One network and its training.

    Attributes:
        title: For the table.
        model: `config.model.name`.
        options: `config.model.options`.
        size: Height and width of the pictures.
        channels: Their channels.
        classes: Number of classes.
        batch: Examples of each domain in a step.
        head: Hidden units of the task head.
        discriminator: Hidden units of the domain discriminator.
        optimizer: `sgd` with momentum .9, or `adam`.
        learning_rate: Its rate.
        annealed: Whether the rate falls as in the DANN paper.
        ema_decay: Of the average of the weights; 0 for none.
        normalization: `config.model.normalization`.
        examples: Training pictures of each domain.
        evaluated: Pictures of an evaluation.
        steps: Steps of a round on a processor, and on an accelerator.
        products: Multiplications and additions of a picture's forward pass, in pairs, as
            torchvision's documentation counts them; 0 where nobody asks.
    """

    title: str
    model: str
    options: dict[str, Any]
    size: int
    channels: int
    classes: int
    batch: int
    head: tuple[int, ...]
    discriminator: tuple[int, ...]
    optimizer: str
    learning_rate: float
    annealed: bool
    ema_decay: float
    normalization: str
    examples: int
    evaluated: int
    steps: tuple[int, int]
    products: float = 0.0


# Steps over which the schedules run; no measurement comes near the end.
NUM_STEPS = 1_000_000
# Pictures of a batch in an evaluation.
EVALUATION_BATCH = 512

CASES = {
    "lenet": Case(
        *("the DANN paper's MNIST network, 28×28×3, 64 + 64", "lenet", {}, 28, 3, 10, 64),
        *((100, 100), (100,), "sgd", 0.01, True, 0.0, "none", 20_000, 2_000, (40, 1000)),
    ),
    "embedded": Case(
        *("the embedded benchmark's network, 8×8×1, 64 + 64", "cnn"),
        *({"channels": 24, "hidden": (128, 64)}, 8, 1, 10, 64),
        *((), (256, 256), "adam", 1e-3, True, 0.998, "group", 5_000, 1_000, (480, 1000)),
    ),
    "resnet50": Case(
        *("ResNet-50, 224×224×3, 32 + 32", "resnet50", {}, 224, 3, 31, 32),
        *((), (1024, 1024), "sgd", 0.01, True, 0.0, "joint", 512, 512, (2, 50), 4.09e9),
    ),
    "vit_b16": Case(
        *("ViT-B/16, 224×224×3, 32 + 32", "vit_b16", {}, 224, 3, 31, 32),
        *((), (1024, 1024), "sgd", 0.01, True, 0.0, "none", 512, 512, (2, 50), 17.56e9),
    ),
}

# What the embedded benchmark trains its pictures with; measured in whole runs alone.
AUGMENT = {"shift": {"pixels": 1, "probability": 0.5}}

# Floating-point operations a second that an accelerator can do at most, dense, by a part of its
# name and by precision: NVIDIA's data sheets of the SXM parts. Products of float32 go through
# TensorFloat-32 units, JAX's default, which the PyTorch side is set to as well.
PEAKS = {
    "H200": {"bfloat16": 989e12, "float32": 494e12},
    "H100": {"bfloat16": 989e12, "float32": 494e12},
    "A100": {"bfloat16": 312e12, "float32": 156e12},
}
