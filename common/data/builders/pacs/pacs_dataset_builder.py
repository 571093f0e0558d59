"""PACS from its published folders: one domain a config, split by the published lists."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from common.data.builders import class_folders, file_list
from common.data.builders.class_folder_builder import ClassFolderBuilder, make_configs
from common.data.builders.class_folders import Picture
from common.data.builders.manual import find_manual

# By `<domain>/<split>` and class: the published number of pictures.
COUNTS = class_folders.read_counts(Path(__file__).with_name("class_counts.csv"))
CLASSES = tuple(COUNTS["photo/train"])

# By split: what its list is called. The published list called test names all pictures.
LISTS = {"train": "train", "val": "crossval"}

# The collection and a folder within it may both lie above a domain's folder.
DEPTH = 2

INSTRUCTIONS = """
get the pictures (PACS.zip or pacs_data.zip) through
https://dali-dl.github.io/project_iccv2017.html and unpack them into the manual folder, which then
holds art_painting/dog/pic_001.jpg and so on, likewise cartoon, photo and sketch, directly or in
folders such as kfold, PACS/kfold or pacs_data/pacs_data; for the published splits, put the lists of
the same page (art_painting_train_kfold.txt, art_painting_crossval_kfold.txt and so on) into the
manual folder or into a folder of it such as pacs_label
"""


class Builder(ClassFolderBuilder, skip_registration=True):
    """PACS: seven classes in photographs, art, cartoons and sketches."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
    BUILDER_CONFIGS = make_configs(
        {
            "art_painting": "Paintings.",
            "cartoon": "Cartoons.",
            "photo": "Photographs.",
            "sketch": "Sketches by pen.",
        }
    )
    TITLE, COUNTS, CLASSES, DEPTH = "PACS", COUNTS, CLASSES, DEPTH
    HOMEPAGE = "https://dali-dl.github.io/project_iccv2017.html"
    PNG = ("sketch",)

    def _split(
        self, folder: Path, pictures: list[Picture], manual_dir: Path
    ) -> dict[str, list[Picture]]:
        lists = find_lists(manual_dir, self.domain)
        parts = split_pictures(pictures, lists, self.domain) if lists else {"train": pictures}
        if self._check_counts:
            published = {split: COUNTS[f"{self.domain}/{split}"] for split in LISTS}
            total = Counter(published["train"]) + Counter(published["val"])
            class_folders.check_counts(folder, pictures, total)
            for split, path in lists.items():
                class_folders.check_counts(path, parts[split], published[split])
        return parts


def find_lists(manual_dir: Path, domain: str) -> dict[str, Path]:
    """Finds the published lists of a domain.

    Args:
        manual_dir: The manual folder.
        domain: Name of the domain.

    Returns:
        The list by split; empty where there is none.

    Raises:
        ValueError: One of the two is missing.
    """
    names = {split: f"{domain}_{called}_kfold.txt" for split, called in LISTS.items()}
    found = {
        split: find_manual(manual_dir, class_folders.folder_pattern([name], depth=DEPTH))
        for split, name in names.items()
    }
    missing = [names[split] for split, paths in found.items() if not paths]
    if len(missing) == len(names):
        return {}
    if missing:
        there = next(paths[0] for paths in found.values() if paths)
        raise ValueError(
            f"the manual folder {manual_dir} holds {there.name} without {missing[0]}; put it "
            "there too, or take the lists away to have everything in one split"
        )
    return {split: paths[0] for split, paths in found.items()}


def split_pictures(
    pictures: list[Picture], lists: dict[str, Path], domain: str
) -> dict[str, list[Picture]]:
    """Splits pictures as published lists say.

    Args:
        pictures: All pictures of the domain.
        lists: The list by split, with `<domain>/` before each name and classes from 1.
        domain: Name of the domain.

    Returns:
        The pictures by split, in the given order.

    Raises:
        ValueError: With a list and the first name in it that is no picture of the domain, has
            another class or is in another list; or with a picture that is in none.
    """
    labels = {f"{domain}/{picture.name}": picture.label for picture in pictures}
    split_of: dict[str, str] = {}
    for split, path in lists.items():
        for name, label in file_list.read_list(path, CLASSES, first=1).items():
            if name not in labels:
                raise ValueError(f"{path} names {name}, which is not there")
            if label != labels[name]:
                raise ValueError(f"{path} calls {name} a {label}; its folder says {labels[name]}")
            if name in split_of:
                raise ValueError(f"{path} names {name}, which another list names too")
            split_of[name] = split
    left = [name for name in labels if name not in split_of]
    if left:
        raise ValueError(
            f"the lists of {domain} lack {len(left)} of its pictures, such as {left[0]}"
        )
    return {
        split: [picture for picture in pictures if split_of[f"{domain}/{picture.name}"] == split]
        for split in lists
    }
