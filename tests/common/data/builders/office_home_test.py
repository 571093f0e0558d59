"""Tests of Office-Home's builder."""

from common.data.builders.office_home import office_home_dataset_builder as office_home


def test_the_published_numbers_are_those_of_the_literature():
    totals = {domain: sum(counts.values()) for domain, counts in office_home.COUNTS.items()}
    assert totals == {"art": 2427, "clipart": 4365, "product": 4439, "real_world": 4357}
    assert sum(totals.values()) == 15_588
    assert len(office_home.CLASSES) == 65
    assert set(office_home.FOLDERS) == set(totals)


def test_the_class_names_are_spelt_and_sorted_as_published():
    classes = list(office_home.CLASSES)
    assert classes == sorted(classes)
    # The names mix cases, by which TV comes first of these.
    assert [name for name in classes if name[0] == "T"] == [
        *("TV", "Table", "Telephone", "ToothBrush", "Toys", "Trash_Can")
    ]
