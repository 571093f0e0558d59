"""A data set of a few small pictures, for tests of preparing and reading.

Its manual folder needs the file `tiny.txt`. Where that folder also holds `hold`, the builder writes
`holding` after its first example and waits until `hold` has gone.
"""

import io
import time
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from common.data.builders.manual import check_manual, manual_folder

COUNTS = {"train": 12, "validation": 4, "test": 6}
NAMES = ("circle", "square", "star")
INSTRUCTIONS = """
write anything into
a file tiny.txt
"""


def picture_of(config, split, number):
    """Draws picture `number` of a split: all random, so that no two are alike."""
    channels = 1 if config == "grey" else 3
    height, width = (5 + number, 7) if config == "sizes" else (5, 4)
    seed = [len(split), number, channels]
    return np.random.default_rng(seed).integers(256, size=(height, width, channels), dtype=np.uint8)


def label_of(split, number):
    return -1 if (split, number) == ("test", 0) else (number * 5 + len(split)) % 3


def vector_of(split, number):
    return np.random.default_rng([len(split), number]).integers(256, size=7, dtype=np.uint8)


def encode(picture):
    file = io.BytesIO()
    Image.fromarray(picture.squeeze()).save(file, "PNG")
    return file.getvalue()


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    name = "tiny"
    VERSION = tfds.core.Version("1.2.3")
    MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=own)
        for own in ("grey", "colour", "sizes", "single", "counts", "zipped", "unlabelled", "two")
    ]

    def _info(self):
        image = tfds.features.Image(encoding_format="png")
        label = tfds.features.ClassLabel(names=NAMES)
        encoding = tfds.features.Encoding.ZLIB
        features = {
            "grey": {"image": tfds.features.Image(shape=(5, 4, 1)), "label": label},
            "counts": {"counts": tfds.features.Tensor(shape=(7,), dtype=np.uint8), "label": label},
            "zipped": {
                "counts": tfds.features.Tensor(shape=(7,), dtype=np.uint8, encoding=encoding),
                "label": label,
            },
            "unlabelled": {"image": image},
            "two": {"image": image, "other": image, "label": label, "colour": label},
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="A test.",
            disable_shuffling=True,
            features=tfds.features.FeaturesDict(
                features.get(str(self.builder_config_name), {"image": image, "label": label})
            ),
            supervised_keys=("other", "colour") if self.builder_config_name == "two" else None,
        )

    def _split_generators(self, dl_manager):
        folder = manual_folder(dl_manager)
        check_manual(folder, {"tiny.txt": "a text"}, INSTRUCTIONS)
        splits = ["test"] if self.builder_config_name == "single" else COUNTS
        return {split: self._generate_examples(split, folder) for split in splits}

    def _generate_examples(self, split, folder):
        config = self.builder_config_name
        for number in range(COUNTS[split]):
            yield number, self.example(config, split, number)
            if (folder / "hold").exists():
                (folder / "holding").touch()
                while (folder / "hold").exists():
                    time.sleep(0.01)

    def example(self, config, split, number):
        picture = encode(picture_of(config, split, number))
        label = label_of(split, number)
        if config in ("counts", "zipped"):
            return {"counts": vector_of(split, number), "label": label}
        if config == "unlabelled":
            return {"image": picture}
        if config == "two":
            other = encode(255 - picture_of(config, split, number))
            return {"image": picture, "other": other, "label": label, "colour": 0}
        return {"image": picture, "label": label}


def build(config, data_dir, manual_dir, num_shards=None):
    """Prepares by TFDS alone, in as many files as are asked for."""
    builder = Builder(data_dir=str(data_dir), config=config)
    builder.download_and_prepare(
        file_format="array_record",
        download_config=tfds.download.DownloadConfig(
            manual_dir=str(manual_dir), try_download_gcs=False, num_shards=num_shards
        ),
    )
    return Path(builder.data_dir)
