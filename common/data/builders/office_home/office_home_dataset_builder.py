"""Office-Home from its published folders: one domain a config, everything in one split."""

from __future__ import annotations

from pathlib import Path

from common.data.builders.class_folder_builder import ClassFolderBuilder, make_configs
from common.data.builders.class_folders import read_counts

# By domain and class: the published number of pictures.
COUNTS = read_counts(Path(__file__).with_name("class_counts.csv"))
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


class Builder(ClassFolderBuilder, skip_registration=True):
    """Office-Home: 65 classes of everyday objects in four domains."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
    BUILDER_CONFIGS = make_configs(
        {
            "art": "Sketches, paintings, ornaments.",
            "clipart": "Clip art.",
            "product": "Product pictures, no background.",
            "real_world": "Photographs.",
        }
    )
    TITLE, COUNTS, CLASSES, FOLDERS = "Office-Home", COUNTS, CLASSES, FOLDERS
    HOMEPAGE = "https://www.hemanthdv.org/officeHomeDataset.html"
    LICENSE = "No licence; the publishers' page carries a notice of fair use, for research."
