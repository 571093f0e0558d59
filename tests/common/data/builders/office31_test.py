"""Tests of Office-31's builder."""

import pytest

from common.data.builders.office31 import office31_dataset_builder as office31
from tests.common.data.builders.class_folders_test import prepare, read, write_picture


def test_the_published_numbers_are_those_of_the_literature():
    totals = {domain: sum(counts.values()) for domain, counts in office31.COUNTS.items()}
    assert totals == {"amazon": 2817, "dslr": 498, "webcam": 795}
    assert len(office31.CLASSES) == 31


@pytest.mark.parametrize("inner", ["images", "."])
def test_a_whole_domain_passes_and_one_picture_less_does_not(inner, tmp_path):
    folder = tmp_path / "manual" / "domain_adaptation_images" / "dslr" / inner
    for label, count in office31.COUNTS["dslr"].items():
        for number in range(1, count + 1):
            write_picture(folder / label / f"frame_{number:04}.jpg")
    records = read(prepare("office31", "dslr", tmp_path / "manual", tmp_path / "data", True))
    # Class 21, phone, has 13 pictures in the published lists.
    assert len(records) == 498 and sum(label == 20 for _, label, _ in records) == 13
    (folder / "mug" / "frame_0008.jpg").unlink()
    with pytest.raises(ValueError, match=r"497 pictures, .* 498; different are mug \(7 of 8\)"):
        prepare("office31", "dslr", tmp_path / "manual", tmp_path / "other", True)
