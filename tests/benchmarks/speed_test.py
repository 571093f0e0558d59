import json
import sys

import pytest

from benchmarks import speed_table
from benchmarks.plain_config import stand_in
from benchmarks.speed import share_of_peak
from benchmarks.speed_adaptax import make_config
from benchmarks.speed_case import CASES


@pytest.mark.parametrize("name", CASES)
def test_configs_are_the_same_without_ml_collections(name, monkeypatch):
    expected = make_config(CASES[name], "bfloat16", augments=True)
    for module in [
        own for own in sys.modules if own.split(".")[0] in ("configs", "ml_collections")
    ]:
        monkeypatch.delitem(sys.modules, module)
    # None in the table makes the import fail.
    monkeypatch.setitem(sys.modules, "ml_collections", None)
    monkeypatch.setitem(sys.modules, "ml_collections.config_dict", None)
    stand_in()
    found = make_config(CASES[name], "bfloat16", augments=True)
    assert sys.modules["ml_collections"].ConfigDict.__name__ == "PlainDict"
    assert found == expected


def make_measured(accelerator=""):
    record = {"case": "lenet", "precision": "float32", "device": accelerator or "cpu", "rounds": 3}
    record |= {"evaluation": 0.5, "peak_memory": 2**29, "version": "some 1.0", "parameters": 7}
    one = record | {"library": "adaptax", "members": 8, "seconds": 0.2, "spread": [0.1, 0.3]}
    other = record | {
        "library": "torch eager",
        "members": 1,
        "seconds": 0.05,
        "spread": [0.04, 0.06],
    }
    return {
        "machine": {
            **{"name": "", "processor": "Some CPU", "cores": 2, "accelerator": accelerator},
            **{"python": "3.12.1", "load_before": 0.1, "load_after": 2.0},
        },
        "records": [one | {"ratio": 2.0}, other | {"ratio": 1.0}],
        "not_measured": ["vit_b16"],
        "whole": {"members": 8, "steps": 20, "alone": 3.0, "together": 6.0, "times_faster": 4.0},
    }


def test_table_is_written_between_the_marks_and_again(tmp_path):
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{speed_table.BEGIN}\nold\n{speed_table.END}\nafter\n")
    (tmp_path / "performance").mkdir()
    (tmp_path / "performance" / "one.json").write_text(json.dumps(make_measured()))
    texts = []
    for _ in range(2):
        speed_table.write(page, tmp_path / "performance")
        texts.append(page.read_text())
    assert texts[0] == texts[1]
    text = texts[0]
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    row = "| float32 | adaptax | 8 | 200 | 100 to 300 | 40 | 2.00 | 500 | 512 |"
    assert row in text
    assert "Not measured here: ViT-B/16, 224×224×3, 32 + 32." in text
    assert "4.0 times faster than 8 runs" in text
    assert "No accelerator was at hand: not measured." in text
    assert (tmp_path / "performance" / "speed.png").stat().st_size > 1000


def test_share_of_peak_counts_three_passes_over_both_domains():
    record = {"case": "resnet50", "precision": "bfloat16", "device": "NVIDIA H100 80GB HBM3"}
    record |= {"members": 1, "seconds": 0.01}
    # 64 pictures, three passes' worth, two operations a product, of 989e12 a second.
    assert share_of_peak(record) == pytest.approx(64 * 3 * 2 * 4.09e9 / 0.01 / 989e12)
    assert share_of_peak({**record, "device": "cpu"}) is None
    assert share_of_peak({**record, "case": "lenet"}) is None
