"""PACS from its published folders: one domain a config, split by the published lists."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from common.data.builders import class_folders, file_list
from common.data.builders.class_folders import Picture
from common.data.builders.manual import find_manual, manual_folder

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


class Builder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """PACS: seven classes in photographs, art, cartoons and sketches."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The published files, sorted by name."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="art_painting", description="Paintings."),
        tfds.core.BuilderConfig(name="cartoon", description="Cartoons."),
        tfds.core.BuilderConfig(name="photo", description="Photographs."),
        tfds.core.BuilderConfig(name="sketch", description="Sketches by pen."),
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
        is_sketch = self.builder_config_name == "sketch"
        return self.dataset_info_from_configs(
            features=class_folders.make_features(CLASSES, "png" if is_sketch else "jpeg"),
            supervised_keys=("image", "label"),
            homepage="https://dali-dl.github.io/project_iccv2017.html",
            license="No licence was found with the publishers; used for research.",
            disable_shuffling=True,
        )

    def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, Any]:
        domain = self.builder_config_name or ""
        manual_dir = manual_folder(dl_manager)
        folder = class_folders.find_folder(
            manual_dir,
            class_folders.folder_pattern([domain], depth=DEPTH),
            f"PACS's domain {domain}",
            INSTRUCTIONS,
        )
        pictures = class_folders.list_pictures(folder, CLASSES, manual_dir)
        lists = find_lists(manual_dir, domain)
        parts = split_pictures(pictures, lists, domain) if lists else {"train": pictures}
        if self._check_counts:
            class_folders.check_counts(
                folder,
                pictures,
                Counter(COUNTS[f"{domain}/train"]) + Counter(COUNTS[f"{domain}/val"]),
            )
            for split, path in lists.items():
                class_folders.check_counts(path, parts[split], COUNTS[f"{domain}/{split}"])
        return {split: class_folders.make_shards(part) for split, part in parts.items()}


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
