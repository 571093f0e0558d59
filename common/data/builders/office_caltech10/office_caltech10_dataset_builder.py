"""Office-Caltech10 from its folders: one domain a config, everything in one split."""

from __future__ import annotations

from pathlib import Path

from common.data.builders.class_folder_builder import ClassFolderBuilder, make_configs
from common.data.builders.class_folders import read_counts

# By domain and class: the published number of pictures.
COUNTS = read_counts(Path(__file__).with_name("class_counts.csv"))
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
041.coffee-mug mug and 238.video-projector projector; beside Office-31, whose domains have the same
names, each set lies in a folder of its own
"""


class Builder(ClassFolderBuilder, skip_registration=True):
    """Office-Caltech10: the ten classes that Office-31 and Caltech-256 share, in four domains."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
    BUILDER_CONFIGS = make_configs(
        {
            "amazon": "Product pictures of an online shop.",
            "caltech": "Pictures found by a web search.",
            "dslr": "Photographs with a reflex camera.",
            "webcam": "Pictures taken with a webcam.",
        }
    )
    TITLE, COUNTS, CLASSES = "Office-Caltech10", COUNTS, CLASSES
    HOMEPAGE = "http://www-scf.usc.edu/~boqinggo/domainadaptation.html"
    FOLDERS = {"caltech": ("caltech", "Caltech", "Caltech10")}
    INNER = ("images", "")
