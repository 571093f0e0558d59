"""VisDA-2017's classification track from its published folders: renderings and photographs."""

from __future__ import annotations

from pathlib import Path

from common.data.builders import class_folders, file_list
from common.data.builders.class_folder_builder import ClassFolderBuilder, make_configs
from common.data.builders.class_folders import Picture
from common.data.builders.manual import check_num_examples

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


class Builder(ClassFolderBuilder, skip_registration=True):
    """VisDA-2017, classification: 12 classes, from renderings to photographs."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
    BUILDER_CONFIGS = make_configs(
        {
            "synthetic": "Renderings, published as train.",
            "real": "Photographs, published as validation and as test.",
        }
    )
    TITLE, COUNTS, CLASSES = "VisDA-2017", COUNTS, CLASSES
    HOMEPAGE = "https://github.com/VisionLearningGroup/taskcv-2017-public"
    LICENSE = "For non-commercial research and education; the images may not be passed on."
    FOLDERS = {"synthetic": ("train",), "real": ("validation",)}
    PNG = ("synthetic",)

    def _split(
        self, folder: Path, pictures: list[Picture], manual_dir: Path
    ) -> dict[str, list[Picture]]:
        if self.domain == "synthetic":
            if self._check_counts:
                check_num_examples(str(folder), len(pictures), NUM_RENDERINGS)
            return {"train": pictures}
        if self._check_counts:
            class_folders.check_counts(folder, pictures, COUNTS["validation"])
        test = folder.with_name("test")
        challenge = self._challenge_test(test, manual_dir) if test.is_dir() else []
        return {"train": pictures, **({"challenge_test": challenge} if challenge else {})}

    def _challenge_test(self, folder: Path, manual_dir: Path) -> list[Picture]:
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
