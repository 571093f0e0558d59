"""Tests of the benchmark of linear machines on reviews: the row it adds to a report."""

import json

from benchmarks import linear_reviews
from tests.made_up_runs import SEEDS, row_of, summarize, write_run

PAIRS = {("books", "dvd"): 0.8, ("dvd", "books"): 0.75}


def test_the_row_stands_beside_the_networks_and_is_paired_with_them(tmp_path):
    for number, pair in enumerate(PAIRS):
        for seed in SEEDS:
            task = tuple(f"tfds:amazon_reviews/{product}" for product in pair)
            # Both pairs have the same run ids here, so they need folders of their own.
            experiment = tmp_path / str(number) / "reviews"
            for method in ("source_only", "dann"):
                path = write_run(experiment, method, seed, 0.77, task=task) / "result.json"
                result = json.loads(path.read_text())
                result |= {"source": task[0], "target": task[1]}
                path.write_text(json.dumps(result | {"fingerprints": {"books/images": "a"}}))
    folders = [tmp_path / str(number) / "reviews" for number in range(2)]
    assert [linear_reviews.write_runs(folder, PAIRS) for folder in folders] == [4, 4]
    for folder, (pair, accuracy) in zip(folders, PAIRS.items(), strict=True):
        summary = summarize(folder)
        row = row_of(summary, "linear_svm")
        assert row["task"].endswith(pair[1]) and row["target_accuracy"]["values"] == [accuracy] * 4
        # The same data, so that a comparison over tasks can pair them.
        assert row["target_accuracy"]["data"] == row_of(summary, "dann")["target_accuracy"]["data"]
        assert summary["incomplete"] == [] and summary["notes"] == []
