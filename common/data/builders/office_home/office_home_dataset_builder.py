"""Office-Home from its published folders: one domain a config, everything in one split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from common.data.builders import class_folders
from common.data.builders.manual import manual_folder

# By domain and class: the published number of pictures.
COUNTS = class_folders.read_counts(Path(__file__).with_name("class_counts.csv"))
CLASSES = tuple(COUNTS["art"])

INSTRUCTIONS = """
get OfficeHomeDataset_10072016.zip from https://www.hemanthdv.org/officeHomeDataset.html and unpack
it into the manual folder, which then holds Art/Alarm_Clock/00001.jpg and so on, likewise Clipart,
Product and "Real World", directly or in the folder OfficeHomeDataset_10072016; the names of other
copies (Real_World, RealWorld, or all four in lower case) do as well
"""

# By domain: the names of its folder in the copies that circulate.
FOLDERS = {
    "art": ["Art", "art"],
    "clipart": ["Clipart", "clipart"],
    "product": ["Product", "product"],
    "real_world": ["Real World", "Real_World", "RealWorld", "real_world"],
}


class Builder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """Office-Home: 65 classes of everyday objects in four domains."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The published files, sorted by name."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="art", description="Sketches, paintings, ornaments."),
        tfds.core.BuilderConfig(name="clipart", description="Clip art."),
        tfds.core.BuilderConfig(name="product", description="Product pictures, no background."),
        tfds.core.BuilderConfig(name="real_world", description="Photographs."),
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
            homepage="https://www.hemanthdv.org/officeHomeDataset.html",
            license="No licence; the publishers' page carries a notice of fair use, for research.",
            disable_shuffling=True,
        )

    def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, Any]:
        domain = self.builder_config_name or ""
        manual_dir = manual_folder(dl_manager)
        pattern = class_folders.folder_pattern(FOLDERS[domain])
        folder = class_folders.find_folder(
            manual_dir, pattern, f"Office-Home's domain {domain}", INSTRUCTIONS
        )
        pictures = class_folders.list_pictures(folder, CLASSES, manual_dir)
        if self._check_counts:
            class_folders.check_counts(folder, pictures, COUNTS[domain])
        return {"train": class_folders.make_shards(pictures)}
