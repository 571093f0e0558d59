"""Office-31 from its published folders: one domain a config, everything in one split."""

from __future__ import annotations

from pathlib import Path

from common.data.builders.class_folder_builder import ClassFolderBuilder, make_configs
from common.data.builders.class_folders import read_counts

# By domain and class: the published number of pictures.
COUNTS = read_counts(Path(__file__).with_name("class_counts.csv"))
CLASSES = tuple(COUNTS["amazon"])

INSTRUCTIONS = """
get domain_adaptation_images.tar.gz, the pictures of the Office data set, from
https://faculty.cc.gatech.edu/~judy/domainadapt/ and unpack it into the manual folder, which then
holds amazon/images/back_pack/frame_0001.jpg and so on, likewise dslr and webcam, directly or in one
folder such as domain_adaptation_images; copies without the folders called images
(amazon/back_pack/frame_0001.jpg) do as well; beside Office-Caltech10, whose domains have the same
names, each set lies in a folder of its own
"""


class Builder(ClassFolderBuilder, skip_registration=True):
    """Office-31: 31 classes of office objects in three domains."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
    BUILDER_CONFIGS = make_configs(
        {
            "amazon": "Product pictures of an online shop.",
            "dslr": "Photographs with a reflex camera.",
            "webcam": "Pictures taken with a webcam.",
        }
    )
    TITLE, COUNTS, CLASSES = "Office-31", COUNTS, CLASSES
    HOMEPAGE = "https://faculty.cc.gatech.edu/~judy/domainadapt/"
    INNER = ("images", "")
