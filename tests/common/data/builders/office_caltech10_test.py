"""Tests of Office-Caltech10's builder."""

from common.data.builders.office31 import office31_dataset_builder as office31
from common.data.builders.office_caltech10 import (
    office_caltech10_dataset_builder as office_caltech10,
)


def test_the_published_numbers_are_those_of_the_literature():
    totals = {domain: sum(counts.values()) for domain, counts in office_caltech10.COUNTS.items()}
    assert totals == {"amazon": 958, "caltech": 1123, "dslr": 157, "webcam": 295}


def test_three_domains_are_ten_classes_of_office_31():
    assert len(office_caltech10.CLASSES) == 10
    for domain, counts in office31.COUNTS.items():
        shared = {label: counts[label] for label in office_caltech10.CLASSES}
        assert office_caltech10.COUNTS[domain] == shared
