"""Office-Caltech10 from its folders: one domain a config, everything in one split."""

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
get an archive of the pictures (not of their SURF or DeCAF features), such as
office_caltech_10_dataset.zip from https://huggingface.co/datasets/Jemary/FedBN_Dataset, and unpack
it into the manual folder, which then holds amazon/back_pack and the nine other classes, likewise
caltech, dslr and webcam, directly or in one folder such as office_caltech_10; or make these folders
from the ten classes of Office-31 and of Caltech-256 (https://data.caltech.edu/records/nyy15-4j048),
whose folders are then named as in Office-31: 003.backpack becomes back_pack, 224.touring-bike bike,
027.calculator calculator, 101.head-phones headphones, 045.computer-keyboard keyboard,
127.laptop-101 laptop_computer, 046.computer-monitor monitor, 047.computer-mouse mouse,
041.coffee-mug mug and 238.video-projector projector
"""

# Names of a domain's folder beside its own.
OTHER_NAMES = {"caltech": ["Caltech", "Caltech10"]}


class Builder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """Office-Caltech10: the ten classes that Office-31 and Caltech-256 share, in four domains."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The published files, sorted by name."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="amazon", description="Product pictures of an online shop."),
        tfds.core.BuilderConfig(name="caltech", description="Pictures found by a web search."),
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
            homepage="http://www-scf.usc.edu/~boqinggo/domainadaptation.html",
            license="No licence was found with the publishers; used for research.",
            disable_shuffling=True,
        )

    def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, Any]:
        domain = self.builder_config_name or ""
        manual_dir = manual_folder(dl_manager)
        pattern = class_folders.folder_pattern(
            [domain, *OTHER_NAMES.get(domain, ())], inner=("images", "")
        )
        folder = class_folders.find_folder(
            manual_dir, pattern, f"Office-Caltech10's domain {domain}", INSTRUCTIONS
        )
        pictures = class_folders.list_pictures(folder, CLASSES, manual_dir)
        if self._check_counts:
            class_folders.check_counts(folder, pictures, COUNTS[domain])
        return {"train": class_folders.make_shards(pictures)}
