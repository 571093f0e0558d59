"""What the builders of published class folders share: one domain a config."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from common.data.builders import class_folders
from common.data.builders.class_folders import Picture
from common.data.builders.manual import manual_folder


def make_configs(descriptions: Mapping[str, str]) -> list[tfds.core.BuilderConfig]:
    """Describes the domains of a set.

    Args:
        descriptions: A sentence by domain.

    Returns:
        A config for each.
    """
    return [
        tfds.core.BuilderConfig(name=domain, description=text)
        for domain, text in descriptions.items()
    ]


class ClassFolderBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """Pictures in one folder a class, as published.

    Attributes:
        TITLE: The set's name in texts.
        COUNTS: By domain and class the published number of pictures.
        CLASSES: Names of the classes.
        HOMEPAGE: Where the set was published.
        LICENSE: On what terms.
        FOLDERS: By domain the names of its folder in the layouts that circulate; its own alone
            where it is not listed.
        INNER: As in `folder_pattern`.
        DEPTH: As in `folder_pattern`.
        PNG: Domains published as PNG; the others are as JPEG.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "The published files, sorted by name."}
    TITLE: ClassVar[str]
    COUNTS: ClassVar[Mapping[str, Mapping[str, int]]]
    CLASSES: ClassVar[Sequence[str]]
    HOMEPAGE: ClassVar[str]
    LICENSE: ClassVar[str] = "No licence was found with the publishers; used for research."
    FOLDERS: ClassVar[Mapping[str, Sequence[str]]] = {}
    INNER: ClassVar[Sequence[str]] = ("",)
    DEPTH: ClassVar[int] = 1
    PNG: ClassVar[Collection[str]] = ()

    def __init__(self, *, check_counts: bool = True, file_format: Any = "array_record", **kwargs):
        """Makes the builder of one domain.

        Args:
            check_counts: Whether there must be the published number of pictures.
            file_format: The format of the records.
            **kwargs: What `tfds.core.ShardBasedBuilder` takes, such as `config`.
        """
        self._check_counts = check_counts
        super().__init__(file_format=file_format, **kwargs)

    @property
    def domain(self) -> str:
        """Name of the domain that this builder makes."""
        return self.builder_config_name or ""

    def _info(self) -> tfds.core.DatasetInfo:
        encoding = "png" if self.domain in self.PNG else "jpeg"
        return self.dataset_info_from_configs(
            features=class_folders.make_features(self.CLASSES, encoding),
            supervised_keys=("image", "label"),
            homepage=self.HOMEPAGE,
            license=self.LICENSE,
            disable_shuffling=True,
        )

    def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, Any]:
        manual_dir = manual_folder(dl_manager)
        names = self.FOLDERS.get(self.domain, [self.domain])
        folder = class_folders.find_folder(
            manual_dir,
            class_folders.folder_pattern(names, self.INNER, self.DEPTH),
            self.CLASSES,
            f"{self.TITLE}'s domain {self.domain}",
            self.MANUAL_DOWNLOAD_INSTRUCTIONS or "",
        )
        pictures = class_folders.list_pictures(folder, self.CLASSES, manual_dir)
        parts = self._split(folder, pictures, manual_dir)
        return {split: class_folders.make_shards(part) for split, part in parts.items()}

    def _split(
        self, folder: Path, pictures: list[Picture], manual_dir: Path
    ) -> dict[str, list[Picture]]:
        """Divides a domain's pictures into splits, once their number is checked."""
        del manual_dir
        if self._check_counts:
            class_folders.check_counts(folder, pictures, self.COUNTS[self.domain])
        return {"train": pictures}
