"""The trained CIFAR networks on real pictures, against the logits of an independent program."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from common.models.network import make_network
from common.models.normalization import predict
from common.models.pretrained.convert import from_variables, to_variables
from tests.common.models.pretrained.legacy_torch import read
from tests.tiny import quick_compilation

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "file", "right"),
    [
        ("cifar_resnet20", "resnet20-12fca82f", 97),
        ("cifar_resnet56", "resnet56-4bfd9763", 99),
    ],
)
def test_trained_networks_know_the_pictures(name, file, right):
    folder = Path(os.environ["ADAPTAX_DATA"]) / "cifar_resnet"
    tensors, options = read(folder / f"{file}.th"), {"input_statistics": "imagenet"}
    converted = to_variables(name, options, tensors, num_classes=10)
    config = {"name": name, "normalization": "frozen", "dtype": "float32", "remat": False}
    network = make_network({**config, "options": options, "task_head": {}}, 10)
    paths = sorted((folder / "images").glob("*.png"))
    pictures = np.stack([np.asarray(Image.open(path)) for path in paths]).astype(np.float32) / 255
    labels = [CLASSES.index(path.stem.rstrip("0123456789")) for path in paths]
    with quick_compilation():
        logits = jax.jit(lambda own, x: predict(network, own, x, "target").logits)(
            converted.variables, pictures
        )
    assert sum(np.argmax(np.asarray(logits), -1) == labels) == right
    np.testing.assert_allclose(logits, np.load(folder / f"golden_{file}.npy"), rtol=0, atol=1e-3)

    exported = from_variables(name, options, converted.variables)
    assert {key for key in exported if "num_batches_tracked" not in key} == set(tensors)
    for key, tensor in tensors.items():
        np.testing.assert_array_equal(exported[key], tensor)
