"""Office-31 from its published folders: one domain a config, everything in one split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from common.data.builders import class_folders
from common.data.builders.manual import manual_folder

# By domain and class: the published number of pictures.
COUNTS = class_folders.read_counts(Path(__file__).with_name("class_counts.csv"))
CLASSES = tuple(COUNTS["amazon"])

INSTRUCTIONS = """
get domain_adaptation_images.tar.gz, the pictures of the Office data set, from
https://faculty.cc.gatech.edu/~judy/domainadapt/ and unpack it into the manual folder, which then
holds amazon/images/back_pack/frame_0001.jpg and so on, likewise dslr and webcam, directly or in one
folder such as domain_adaptation_images; copies without the folders called images
(amazon/back_pack/frame_0001.jpg) do as well
"""


class Builder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """Office-31: 31 classes of office objects in three domains."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The published files, sorted by name."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="amazon", description="Product pictures of an online shop."),
        tfds.core.BuilderConfig(name="dslr", description="Photographs with a reflex camera."),
        tfds.core.BuilderConfig(name="webcam", description="Pictures taken with a webcam."),
    ]

    def __init__(self, *, check_counts: bool = True, file_format: Any = "array_record", **kwargs):
        """Makes the builder of one domain.

        Args:
            check_counts: Whether every class must hold the published number of pictures.
            file_format: The format of the records.
            **kwargs: What `tfds.core.ShardBasedBuilder` takes, such as `config`.
        """
        self._check_counts = check_counts
        super().__init__(file_format=file_format, **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=class_folders.make_features(CLASSES, "jpeg"),
            supervised_keys=("image", "label"),
            homepage="https://faculty.cc.gatech.edu/~judy/domainadapt/",
            license="No licence was found with the publishers; used for research.",
            disable_shuffling=True,
        )

    def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, Any]:
        domain = self.builder_config_name or ""
        manual_dir = manual_folder(dl_manager)
        pattern = class_folders.folder_pattern([domain], inner=("images", ""))
        folder = class_folders.find_folder(
            manual_dir, pattern, f"Office-31's domain {domain}", INSTRUCTIONS
        )
        pictures = class_folders.list_pictures(folder, CLASSES, manual_dir)
        if self._check_counts:
            class_folders.check_counts(folder, pictures, COUNTS[domain])
        return {"train": class_folders.make_shards(pictures)}
