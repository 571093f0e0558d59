"""Tests of whole runs whose labels are no classes, or two."""

import json
import shutil

import numpy as np
import pytest

from common.experiment import folder, report
from common.experiment.check import check_population
from common.experiment.outcome import StopRequest, UsageError
from common.experiment.run import train_population
from tests import tiny
from tests.tiny_run import make_method

DRAW = np.random.default_rng(0)
MIX = np.array([[1.0, -1.0], [0.5, 2.0], [-1.0, 0.5]])


HEADS = {
    "size": {"kind": "regression", "columns": (0,), "weight": 0.5},
    "group": {"kind": "multi_class", "columns": (1,), "weight": 1.0, "num_classes": 3},
    "marks": {"kind": "multi_label", "columns": (2, 3), "weight": 2.0},
}


def labels_of(kind, inputs):
    """Returns labels that a linear network can learn."""
    values = inputs @ MIX
    if kind == "regression":
        return values.astype(np.float32)
    if kind == "multi_label":
        return (values > 0).astype(np.int32)
    if kind == "multi_task":
        group = np.digitize(values[:, 1], (-1, 1))
        return np.column_stack([values[:, 0], group, values > 0]).astype(np.float32)
    return np.where(values[:, 0] > 0, "yes", "no")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Writes two domains of each kind: the target's inputs are shifted, their labels are not."""
    place = tmp_path_factory.mktemp("domains")
    for role, shift in (("source", 0.0), ("target", 0.3)):
        inputs = DRAW.normal(size=(90, 3)).astype(np.float32)
        for kind in ("binary", "multi_label", "multi_task", "regression"):
            arrays = {"features": inputs + np.float32(shift), "labels": labels_of(kind, inputs)}
            np.savez(place / f"{kind}_{role}.npz", **arrays)
        # Bright and dark halves, cut anywhere; the target is less bright. A border does not count.
        masks = (np.arange(8)[None, None] >= DRAW.integers(2, 7, (60, 1, 1))) * np.ones((8, 1), int)
        noise = DRAW.integers(0, 40, (60, 8, 8))
        pictures = (noise + masks * int(200 - 200 * shift))[..., None].astype(np.uint8)
        masks[:, 0] = -1
        np.savez(place / f"segmentation_{role}.npz", features=pictures, labels=masks)
        np.savez(place / f"three_{role}.npz", features=inputs, labels=np.arange(90) % 3)
    return place


def config_of(files, workdir, kind, row, **changes):
    config = tiny.make_config(
        row,
        {
            "experiment": kind,
            "source": f"npz:{files}/{kind}_source.npz",
            "target": f"npz:{files}/{kind}_target.npz",
            "task.kind": kind,
            "num_steps": 60,
            "data.split_seed": 0,
            "model.normalization": "none",
            "optimizer.learning_rate": 0.1,
            "evaluation.every": 30,
            "runtime.log_every": 30,
            "runtime.evaluation_batch_size": 64,
            "runtime.workdir": str(workdir),
            "runtime.tensorboard": False,
            "runtime.progress": False,
            **changes,
        },
    )
    config["data"]["strong_augment"] = {}
    return config


def head(**changes):
    return {"task.heads": {"size": HEADS["size"] | changes}}


def train(configs):
    with tiny.quick_compilation():
        assert not train_population(configs, make_method, StopRequest())
    own = folder.run_folder(configs[0])
    records = [json.loads(line) for line in (own / "metrics.jsonl").read_text().splitlines()]
    return json.loads((own / "result.json").read_text()), records, own


def test_values_are_learned_by_their_error_and_reported_in_their_units(files, tmp_path):
    slow = {"optimizer.learning_rate": 0.02}
    result, records, own = train([config_of(files, tmp_path, "regression", "mmd", **slow)])
    assert result["primary_metric"] == {"name": "rmse", "higher_is_better": False}
    errors = [record["source_val/rmse"] for record in records]
    # Predicting the mean is wrong by about 2.
    assert errors[-1] < 1 and records[-1]["source_val/mse"] == pytest.approx(errors[-1] ** 2)
    chosen = result["selections"]
    assert chosen["source_val"]["source_val_rmse"] == min(errors)
    assert set(chosen) == {"last", "source_val", "oracle", "oracle_test"}
    target = chosen["last"]["oracle/metrics"]["target_test"]
    rmse = chosen["last"]["oracle/target_test_rmse"]
    assert target["rmse"] == pytest.approx(rmse, rel=1e-5)
    assert set(target) == {"examples", "mse", "rmse", "mae", "r2"}
    with np.load(own / "outputs.npz") as kept:
        truth, found = kept["oracle/target_test_label"], kept["target_test/prediction"]
        assert target["mse"] == pytest.approx(np.mean((truth - found) ** 2), rel=1e-5)

    # Three seeds of each of two rows, made of the one run: the second is worse by 1, 1.1 and 1.2.
    for row, more in (("source_only", 0.0), ("mmd", 1.0)):
        for seed in range(3):
            other = own.parent / f"{row}-{seed}"
            shutil.copytree(own, other)
            about = json.loads((own / "config.json").read_text())
            about["config"] |= {"method": row, "seed": seed}
            about["config"]["alignment"] = {"mmd": {"weight": 1.0}} if row == "mmd" else {}
            (other / "config.json").write_text(json.dumps(about))
            last = {**chosen["last"], "oracle/target_test_rmse": 2.0 + 0.1 * seed * more + more}
            new = {**result, "method": row, "seed": seed, "selections": {"last": last}}
            (other / "result.json").write_text(json.dumps(new))
    shutil.rmtree(own)
    made = report.write_report([tmp_path / "regression"])
    text = made.path.read_text()
    assert "target RMSE" in text and "accuracy" not in text.split("## What is missing")[0]
    (task,) = made.summary["measured"]
    assert (task["metric"], task["higher_is_better"]) == ("rmse", False)
    best, worst = task["rows"]
    assert (best["name"], worst["name"]) == ("source_only", "mmd")
    assert worst["target"]["mean"] == pytest.approx(3.1)
    assert worst["difference_from_source_only"]["mean"] == pytest.approx(1.1)
    assert worst["negative_transfer"] and best["negative_transfer"] is None
    assert "Negative transfer: mmd" in text
    assert "Of RMSE less is better" in report.format_table(made.summary)
    header, line = (made.path.parent / "results.csv").read_text().splitlines()[:2]
    cells = dict(zip(header.split(","), line.split(","), strict=True))
    assert cells["target_test_accuracy"] == "" and float(cells["target_test_rmse"]) > 0


def test_two_classes_have_one_unit(files, tmp_path):
    three = config_of(files, tmp_path, "three", "dann", **{"task.kind": "binary"})
    with pytest.raises(UsageError, match="3 classes; name two by config.data.classes"):
        check_population([three], make_method)
    changes = {"model.task_head": {"hidden": (8,)}}
    result, records, own = train([config_of(files, tmp_path, "binary", "mcc", **changes)])
    assert records[-1]["source_val/accuracy"] > 0.8
    metrics = result["selections"]["last"]["metrics"]["source_val"]
    assert metrics["roc_auc"] > 0.9 and {"precision", "recall", "f1"} <= set(metrics)
    # 3 x 16 + 16 of the extractor, 16 x 8 + 8 of the head's hidden layer, 8 + 1 of its unit.
    assert result["parameters"]["total"] == 64 + 136 + 9


def test_several_labels_have_a_probability_each(files, tmp_path):
    result, records, own = train([config_of(files, tmp_path, "multi_label", "dann")])
    assert records[-1]["source_val/macro_f1"] > 0.8
    assert result["selections"]["last"]["oracle/metrics"]["target_test"]["average_precision"] > 0.8
    assert result["classes"] == ["0", "1"]


def test_several_heads_learn_their_columns(files, tmp_path):
    changes = {"task.heads": HEADS, "optimizer.learning_rate": 0.03}
    result, records, own = train([config_of(files, tmp_path, "multi_task", "dann", **changes)])
    last = records[-1]
    assert last["source_val/loss"] < records[0]["source_val/loss"]
    # A third of the examples has each class.
    assert last["source_val/group_accuracy"] > 0.5
    assert result["primary_metric"] == {"name": "loss", "higher_is_better": False}
    assert result["selections"]["last"]["source_val_loss"] == last["source_val/loss"]
    # The others' losses are more than nothing.
    assert last["source_val/loss"] > 0.5 * last["source_val/size_mse"]
    target = result["selections"]["last"]["oracle/metrics"]["target_test"]
    assert {"size_r2", "group_roc_auc", "marks_average_precision"} <= set(target)
    # 3 x 16 + 16 of the extractor; 1, 3 and 2 outputs of the heads. The discriminator is the rest.
    drawn = 64 + (16 + 1) * (1 + 3 + 2) + (16 * 8 + 8) + (8 + 1)
    assert result["parameters"]["total"] == drawn


PIXELS = {"model.name": "cnn", "model.options": {"channels": 4, "hidden": (4,)}, "num_steps": 40}
PIXELS |= {"task.layer": "stage_0", "evaluation.every": 20, "runtime.log_every": 20}


def test_every_pixel_has_a_class(files, tmp_path):
    result, records, own = train(
        [config_of(files, tmp_path, "segmentation", "source_only", **PIXELS)]
    )
    assert result["primary_metric"] == {"name": "mean_iou", "higher_is_better": True}
    assert records[-1]["source_val/pixel_accuracy"] > 0.8
    chosen = result["selections"]["last"]
    assert chosen["source_val_mean_iou"] == records[-1]["source_val/mean_iou"] > 0.5
    target = chosen["oracle/metrics"]["target_test"]
    assert target["mean_iou"] == pytest.approx(chosen["oracle/target_test_mean_iou"])
    with np.load(own / "outputs.npz") as kept:
        truth, found = kept["oracle/target_test_label"], kept["target_test/prediction"]
        known = truth >= 0
        assert found.shape == truth.shape and not known.all()
        right = np.mean((truth == found)[known])
        assert target["pixel_accuracy"] == pytest.approx(right)


def test_a_probe_of_every_pixel_learns_from_the_map(files, tmp_path):
    changes = PIXELS | {"init_from.method": "", "runtime.log_every": 20}
    config = config_of(files, tmp_path, "segmentation", "linear_probe", **changes)
    check_population([config], make_method)
    result, records, _ = train([config])
    assert records[-1]["train/loss"] < records[0]["train/loss"]
    # Two classes of one linear layer on four maps.
    assert result["parameters"]["trained"] == 4 * 2 + 2


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("regression", {}),
        pytest.param("multi_label", {}, marks=pytest.mark.matrix),
        pytest.param("multi_task", {"task.heads": HEADS}, marks=pytest.mark.matrix),
        pytest.param("segmentation", PIXELS, marks=pytest.mark.matrix),
    ],
)
def test_channels_count_by_the_loss_of_the_labels(kind, changes, files, tmp_path):
    def of(row, own):
        short = {"num_steps": 2, "evaluation.every": 2, "runtime.log_every": 2}
        return config_of(files, tmp_path, kind, row, **changes | short | own)

    parent = of("source_only", {})
    train([parent])
    start = {"init_from.run": str(folder.run_folder(parent)), "init_from.method": ""}
    _, records, _ = train([of("delta", start)])
    assert np.isfinite(records[-1]["train/delta/loss"])


@pytest.mark.parametrize(
    ("kind", "row", "changes", "sentence"),
    [
        ("regression", "mcc", {}, "minimum_class_confusion takes predictions for shares"),
        ("multi_label", "mcd", {}, "mcd takes predictions for shares"),
        ("multi_label", "mmd", {"evaluation.retrained_head": True}, "evaluation.retrained_head"),
        ("regression", "mmd", {"data.classes": ("a",)}, "config.data.classes"),
        ("regression", "mmd", {"source": "digits"}, "name a domain with such labels, npz:"),
        ("regression", "mmd", {"task.huber_delta": 0.0}, "huber_delta is 0"),
        ("regression", "mmd", {"task.regression_loss": "l1"}, "regression_loss"),
        ("regression", "mmd", {"task.kind": "ordinal"}, "config.task.kind"),
        ("multi_task", "mmd", {}, "config.task.heads is empty"),
        ("segmentation", "mmd", {}, "config.task.layer ''; it must be a map"),
        ("segmentation", "mmd", PIXELS | {"task.layer": "stage_9"}, "the maps of this network"),
        ("segmentation", "mmd", PIXELS | {"data.size": 4}, "config.data.size is 4"),
        ("segmentation", "coral", PIXELS, "set it to 'features'"),
        ("segmentation", "mcc", PIXELS, "minimum_class_confusion takes"),
        ("segmentation", "mmd", PIXELS | {"model.task_head": {"hidden": (4,)}}, "has none; leave"),
        ("regression", "mmd", {"task.layer": "stage_0"}, "it must be empty"),
        ("multi_task", "cdan", {"task.heads": HEADS}, "conditional_adversarial takes"),
        ("regression", "mmd", {"task.heads": HEADS}, "set it to 'multi_task'"),
        ("multi_task", "mmd", {"task.heads": {"a b": HEADS["size"]}}, "must be letters"),
        ("multi_task", "mmd", head(num_classes=2), "counts no classes"),
        ("multi_task", "mmd", head(columns=(7,)), "labels have the columns 0 to 3"),
        ("multi_task", "mmd", head(columns=()), "name columns, each once"),
        ("multi_task", "mmd", head(weight=0.0), "every weight is 0"),
        ("multi_task", "mmd", head(kind="multi_class"), "must count its classes"),
        ("multi_task", "mmd", head(kind="multi_label"), "other than the whole numbers"),
        ("multi_task", "mmd", head(kind="multi_class", columns=(1, 2)), "name one column"),
        ("regression", "mmd", {"task.kind": "multi_label"}, "every value must be 0, 1, or -1"),
        ("regression", "dann", {"task.kind": "binary"}, "labels has the shape"),
    ],
)
def test_what_cannot_be_is_refused(kind, row, changes, sentence, files, tmp_path):
    with pytest.raises(UsageError, match=sentence):
        check_population([config_of(files, tmp_path, kind, row, **changes)], make_method)
    assert not list(tmp_path.iterdir())
