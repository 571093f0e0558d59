"""Finished runs put to use: predictions, metrics, files of weights; of their own and new data."""

import csv
import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from common.experiment import folder
from common.experiment.outcome import StopRequest
from common.experiment.output_file import free_file
from common.experiment.prediction import format_predictions, measure
from common.experiment.run import train_population
from common.experiment.single_run import train_family
from common.experiment.trained import answer, ask, load_trained
from common.experiment.weights.exporting import export
from common.experiment.weights.location import sha256_of
from common.models.pretrained.convert import to_variables
from common.training.optimizer import paths_of
from tests.tiny_run import make_method, tiny, tiny_family

SMALL = {"runtime.devices": 1, "evaluation.every": 10, "runtime.log_every": 10, "num_steps": 10}
RESNET = {
    "model.name": "cifar_resnet20",
    "model.options": {"blocks": 1, "channels": (4, 8, 8)},
    "model.normalization": "per_domain",
    "num_steps": 4,
    "evaluation.every": 4,
}


def train(work, method="dann", **changes):
    config = tiny(work, method, **{**SMALL, **changes})
    train_population([config], make_method, StopRequest())
    return folder.run_folder(config)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs"), **{"data.center": "source"})


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs"), **RESNET)


def ask_about(run, name="", part=""):
    trained = load_trained(run, "last")
    asked = ask(trained, name, part)
    return trained, asked, answer(trained, asked, make_method)


def draw_pictures(root, names, side=8):
    """Writes grey pictures of noise, the same whatever they are called."""
    rng = np.random.default_rng(0)
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (side, side), dtype=np.uint8)).save(path)
    return root


def test_what_a_run_reported_of_its_own_splits_is_measured_again(run, resnet):
    for own in (run, resnet):
        reported = json.loads((own / "result.json").read_text())["selections"]["last"]
        places = {("", "target_test"): "oracle/metrics", ("synthetic_digits", "source_val"): ""}
        for (name, split), key in places.items():
            trained, asked, logits = ask_about(own, name, split.partition("_")[2])
            task, classes = trained.config["task"], trained.result["classes"]
            found = measure(task, classes, asked.labels, logits)
            expected = reported[key or "metrics"][split]
            assert found["examples"] == expected.pop("examples") >= 40
            for metric, value in expected.items():
                assert found[metric] == pytest.approx(value, abs=2e-5), metric


def test_the_domain_of_an_example_chooses_its_statistics(resnet):
    trained = load_trained(resnet, "last")
    asked = ask(trained, "synthetic_digits", "val")
    as_target = asked._replace(task={**asked.task, "target": asked.task["source"]}, role="target")
    as_source, other = (answer(trained, own, make_method) for own in (asked, as_target))
    assert np.abs(as_source - other).max() > 1e-3


def test_pictures_without_labels_are_named_in_the_table(run, tmp_path):
    root = draw_pictures(tmp_path / "new", ["b.png", "a.png", "c.png"])
    trained, asked, logits = ask_about(run, str(root))
    assert asked.part == "all" and asked.names == ["a.png", "b.png", "c.png"]
    classes = trained.result["classes"]
    table = format_predictions(trained.config["task"], classes, asked.names, logits)
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["example"] for row in rows] == asked.names
    for row, own in zip(rows, logits, strict=True):
        expected = np.exp(own) / np.exp(own).sum()
        found = [float(row[f"p({name})"]) for name in classes]
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        assert row["prediction"] == classes[int(own.argmax())]
        assert float(row["confidence"]) == pytest.approx(max(expected), rel=1e-4)
    assert not measure(trained.config["task"], classes, asked.labels, logits)


def test_inputs_are_centred_by_the_source_as_in_training(run, tmp_path):
    root = draw_pictures(tmp_path / "new", ["a.png"])
    trained, asked, logits = ask_about(run, str(root))
    source = asked.task["source"]
    mean = (source.examples.images[source.splits["train"]] / np.float32(16)).mean(axis=0)
    picture = np.asarray(Image.open(root / "a.png"))[None, ..., None] / np.float32(255)
    method = make_method(trained.config, 10)
    variables = {"batch_stats": {}, "method_state": {}, **trained.variables}
    expected = method.predict(variables, jnp.asarray(picture - mean[None]), "target").logits
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_labels_count_by_name_and_other_classes_do_not(run, tmp_path):
    names = ["7/a.png", "7/b.png", "3/a.png", "zebra/a.png"]
    trained, asked, logits = ask_about(run, f"folder:{draw_pictures(tmp_path / 'new', names)}")
    assert len(logits) == 4
    found = measure(trained.config["task"], trained.result["classes"], asked.labels, logits)
    right = [logits[number].argmax() == label for number, label in enumerate((3, 7, 7))]
    assert found["examples"] == 3 and found["accuracy"] == pytest.approx(np.mean(right))
    assert {name for name in found if name.startswith("recall/")} == {"recall/3", "recall/7"}


def test_labels_of_numbers_are_written_as_such():
    logits = np.asarray([[1.5, -2.0]], np.float32)
    table = format_predictions({"kind": "regression"}, ["x", "y"], ["0"], logits)
    assert table == "example,x,y\n0,1.5,-2\n"
    table = format_predictions({"kind": "multi_label"}, ["x", "y"], ["0"], logits)
    assert table == "example,x,y,p(x),p(y)\n0,1,0,0.817574,0.119203\n"


@pytest.mark.parametrize(
    ("name", "part", "sentence"),
    [
        ("digitz", "", "did you mean 'digits'?"),
        ("", "tset", "did you mean 'test'?"),
        ("folder", "val", "with the splits none, and others"),
        ("large", "", "must be the same"),
    ],
)
def test_what_cannot_be_asked_is_refused(run, tmp_path, name, part, sentence):
    places = {"folder": 8, "large": 9}
    if name in places:
        name = str(draw_pictures(tmp_path / name, ["a.png"], places[name]))
    with pytest.raises(ValueError, match=sentence.replace("?", r"\?")):
        ask(load_trained(run, "last"), name, part)


def test_a_file_that_is_there_is_kept(tmp_path):
    (tmp_path / "labels.csv").touch()
    with pytest.raises(ValueError, match=r"labels\.csv exists; remove it"):
        free_file(str(tmp_path / "labels.csv"), (".csv",))
    with pytest.raises(ValueError, match=r"must end in \.csv"):
        free_file(str(tmp_path / "labels.txt"), (".csv",))


def test_only_finished_runs_with_predictions_are_loaded(run, tmp_path):
    with pytest.raises(ValueError, match=r"has no result\.json"):
        load_trained(tmp_path, "last")
    with pytest.raises(ValueError, match="did you mean 'last'"):
        load_trained(run, "lats")


def test_an_exported_network_is_read_back_and_says_the_same(run, tmp_path):
    file = tmp_path / "model.safetensors"
    assert str(file) in export(load_trained(run, "last"), file)
    options = {"init_from.weights": str(file), "init_from.sha256": sha256_of([file])}
    options |= {"init_from.head": True, "optimizer.learning_rate": 0.0, "data.center": "source"}
    again = train(tmp_path / "runs", "source_only", **options)
    before, after = ask_about(run)[2], ask_about(again)[2]
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
    with safe_open(file, "numpy") as tensors:
        told = json.loads(tensors.metadata()["adaptax"])
        names = set(tensors.keys())
        assert tensors.get_tensor("input/mean").shape == (1, 8, 8, 1)
    assert told["outputs"] == list("0123456789") and told["inputs"]["maximum"] == 16.0
    # Nothing of the adversary, and no example.
    assert {name.split("/")[1] for name in names if name.startswith("params/")} == {
        "feature_extractor",
        "task_head",
    }


def test_a_network_that_pytorch_knows_is_exported_for_it(resnet, tmp_path):
    trained, layout = load_trained(resnet, "last"), "pytorch_resnet_cifar10"
    export(trained, tmp_path / "model.safetensors", layout)
    with safe_open(tmp_path / "model.safetensors", "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        assert file.metadata()["format"] == "pt"
    back = to_variables(
        *("cifar_resnet20", trained.config["model"]["options"], tensors),
        num_classes=10,
        channels=1,
        layout=layout,
    ).variables
    params = paths_of(trained.variables["params"])
    for path, leaf in paths_of(back["params"]).items():
        np.testing.assert_array_equal(leaf, params[path])
    # Each domain has statistics of its own; the target's are what the model is for.
    for path, leaf in paths_of(back["batch_stats"]).items():
        np.testing.assert_array_equal(
            leaf, paths_of(trained.variables["batch_stats"]["target"])[path]
        )
    with pytest.raises(ValueError, match="--layout is 'keras'"):
        export(trained, tmp_path / "other.safetensors", "keras")
    assert not (tmp_path / "other.safetensors").exists()


@pytest.mark.matrix
def test_adapters_are_merged(tmp_path):
    changes = {"data.target_labels_per_class": 3, **SMALL}
    family = tiny_family(tmp_path, "lora", **changes)
    train_family(family, make_method, StopRequest(), [])
    run = folder.run_folder(family[-1])
    trained = load_trained(run, "last")
    export(trained, tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", "numpy") as file:
        kernel = file.get_tensor("params/feature_extractor/dense_0/kernel")
        assert not any("adapter" in name for name in file.keys())  # noqa: SIM118
    base = trained.variables["params"]["feature_extractor"]["dense_0"]["kernel"]
    assert np.abs(kernel - base).max() > 0
    assert jax.tree.leaves(trained.variables["params"]["adapter"])
