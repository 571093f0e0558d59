"""VisDA-2017's classification track from its published folders: renderings and photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from common.data.builders import class_folders, file_list
from common.data.builders.manual import check_num_examples, manual_folder

# By published part and class: the published number of pictures.
COUNTS = class_folders.read_counts(Path(__file__).with_name("class_counts.csv"))
NUM_RENDERINGS = 152_397
CLASSES = tuple(COUNTS["validation"])

INSTRUCTIONS = """
read the terms at https://github.com/VisionLearningGroup/taskcv-2017-public, folder classification,
get train.tar (for the domain synthetic) and validation.tar (for the domain real) as told there, and
unpack them into the manual folder, which then holds train/aeroplane/<name>.png and so on and
validation/aeroplane/aeroplane_1363018.jpg and so on, directly or in one folder; the split
challenge_test of the domain real, which nothing else needs, takes test.tar too (test/trunk01 to
test/trunk20 beside validation) and classification/data/image_list.txt of that repository, which has
the labels, as test/image_list.txt
"""


class Builder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """VisDA-2017, classification: 12 classes, from renderings to photographs."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The published files, sorted by name."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="synthetic", description="Renderings, published as train."),
        tfds.core.BuilderConfig(
            name="real", description="Photographs, published as validation and as test."
        ),
    ]

    def __init__(self, *, check_counts: bool = True, file_format: Any = "array_record", **kwargs):
        """Makes the builder of one domain.

        Args:
            check_counts: Whether there must be the published number of pictures.
            file_format: The format of the records.
            **kwargs: What `tfds.core.ShardBasedBuilder` takes, such as `config`.
        """
        self._check_counts = check_counts
        super().__init__(file_format=file_format, **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        is_synthetic = self.builder_config_name == "synthetic"
        return self.dataset_info_from_configs(
            features=class_folders.make_features(CLASSES, "png" if is_synthetic else "jpeg"),
            supervised_keys=("image", "label"),
            homepage="https://github.com/VisionLearningGroup/taskcv-2017-public",
            license="For non-commercial research and education; the images may not be passed on.",
            disable_shuffling=True,
        )

    def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, Any]:
        manual_dir = manual_folder(dl_manager)
        part = "train" if self.builder_config_name == "synthetic" else "validation"
        pattern = class_folders.folder_pattern([part])
        folder = class_folders.find_folder(
            manual_dir, pattern, f"VisDA-2017's part {part}", INSTRUCTIONS
        )
        pictures = class_folders.list_pictures(folder, CLASSES, manual_dir)
        if self._check_counts and part == "train":
            check_num_examples(str(folder), len(pictures), NUM_RENDERINGS)
        elif self._check_counts:
            class_folders.check_counts(folder, pictures, COUNTS[part])
        splits = {"train": class_folders.make_shards(pictures)}
        test_folder = folder.with_name("test")
        if part == "validation" and test_folder.is_dir():
            splits["challenge_test"] = class_folders.make_shards(
                self._challenge_test(test_folder, manual_dir)
            )
        return splits

    def _challenge_test(self, folder: Path, manual_dir: Path) -> list[class_folders.Picture]:
        path = folder / "image_list.txt"
        if not path.is_file():
            raise ValueError(
                f"{folder} lacks the labelled image_list.txt; {' '.join(INSTRUCTIONS.split())}"
            )
        listed = file_list.read_list(path, CLASSES, first=0)
        pictures = file_list.listed_pictures(folder, listed, manual_dir)
        if self._check_counts:
            class_folders.check_counts(folder, pictures, COUNTS["test"])
        return pictures
