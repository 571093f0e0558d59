"""Starts ranked by labelled target examples, from run folders and files of weights alone."""

import json
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from common.data.task import load_task
from common.evaluation.transferability.measure import MEASURES
from common.experiment import folder, labelled_target, start
from common.experiment.checkpoint import load_run
from common.experiment.labelled_target import load_target
from common.experiment.outcome import StopRequest
from common.experiment.rank import correlate, format_ranking, rank_starts, read_fine_tuned
from common.experiment.run import train_population
from common.experiment.start import start_of_run, start_of_weights
from common.experiment.weights.location import sha256_of
from common.training.optimizer import paths_of
from tests.tiny_run import make_method, tiny, tiny_family

SMALL = {"runtime.devices": 1, "evaluation.every": 10, "runtime.log_every": 10, "num_steps": 10}
SEEDS = range(3)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, shared_programs):
    """Three seeds of the source, and what was fine-tuned from each: folders and configs."""
    work, tuned = tmp_path_factory.mktemp("runs"), []
    # One split for all, so that they are compared on the same examples.
    shared = {"data.split_seed": 0, **SMALL}
    sources = [tiny(work, "source_only", seed=seed, **shared) for seed in SEEDS]
    train_population(sources, make_method, StopRequest())
    for seed, source in zip(SEEDS, sources, strict=True):
        changes = {"data.target_labels_per_class": 3, "seed": seed}
        changes |= {"init_from.method": "", "init_from.run": str(folder.run_folder(source))}
        tuned += tiny_family(work, "fine_tune", **changes, **shared)
    train_population(tuned, make_method, StopRequest())
    return [
        (folder.run_folder(source), folder.run_folder(own), source)
        for source, own in zip(sources, tuned, strict=True)
    ]


def starts_of(runs):
    target = load_target(runs[0][2])
    return [start_of_run(own, target, make_method) for own, _, _ in runs], target


def test_starts_are_sorted_by_logme_and_what_was_reached_stands_beside(runs):
    starts, target = starts_of(runs)
    fine_tuned = read_fine_tuned([tuned for _, tuned, _ in runs], starts, target)
    ranked = rank_starts(starts, target, fine_tuned)
    scores = [own.scores["LogME"] or 0.0 for own in ranked]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == len(SEEDS)
    tuned = {path.name: own for path, own, _ in runs}
    for own in ranked:
        result = json.loads((tuned[own.start.key] / "result.json").read_text())
        assert own.accuracy == result["selections"]["last"]["oracle/target_test_accuracy"]
    assert set(correlate(ranked)) <= set(MEASURES)
    lines = format_ranking(ranked, target, fine_tuned)
    assert "oracle/target_test_accuracy of fine_tune" in lines[0]
    assert f"read {len(target.rows)} labels, of the training split of digits" in lines[-2]
    assert not any("has learned from" in line for line in lines)


def test_features_are_those_of_the_last_weights_on_the_training_split(runs):
    (_, _, own), target = starts_of(runs)
    path, _, config = runs[2]
    examples = load_task(config)["target"].examples
    splits = load_task(config)["target"].splits
    np.testing.assert_array_equal(target.rows, splits["train"])
    images = jnp.asarray(examples.images[splits["train"]] / np.float32(examples.maximum))
    method = make_method(config, 10)
    variables = {"batch_stats": {}, "method_state": {}, **load_run(path, "last")}
    outputs = method.predict(variables, images, "target")
    np.testing.assert_allclose(own.features, outputs.features, rtol=1e-4, atol=1e-5)
    expected = np.exp(outputs.logits - np.max(outputs.logits, -1, keepdims=True))
    expected /= expected.sum(-1, keepdims=True)
    assert own.probabilities is not None
    np.testing.assert_allclose(own.probabilities, expected, rtol=1e-3, atol=1e-5)


def test_no_other_label_of_the_target_is_read(runs, monkeypatch):
    before = rank_starts(*starts_of(runs))
    rows = load_target(runs[0][2]).rows

    def without_others(config):
        task = load_task(config)
        target = task["target"]
        labels = np.zeros_like(target.examples.labels)
        labels[rows] = target.examples.labels[rows]
        return {**task, "target": target._replace(examples=target.examples._replace(labels=labels))}

    for module in (labelled_target, start):
        monkeypatch.setattr(module, "load_task", without_others)
    after = rank_starts(*starts_of(runs))
    assert [own.scores for own in before] == [own.scores for own in after]


def test_a_budget_of_labels_is_kept(runs):
    config = runs[0][2]
    target = load_target({**config, "data": {**config["data"], "target_labels_per_class": 3}})
    assert len(target.labels) == 30 and set(np.bincount(target.labels)) == {3}


def test_a_file_of_the_same_weights_has_the_same_scores(runs, tmp_path):
    path, _, config = runs[1]
    variables = load_run(path, "last")
    file = tmp_path / "own.safetensors"
    arrays = {
        f"params/{name}": np.array(leaf) for name, leaf in paths_of(variables["params"]).items()
    }
    save_file(arrays, str(file))
    options = {"weights": str(file), "sha256": sha256_of([file]), "layout": "", "head": False}
    own = {**config, "init_from": {**config["init_from"], **options}}
    target = load_target(config)
    of_file, of_run = start_of_weights(own, target), start_of_run(path, target, make_method)
    np.testing.assert_allclose(of_file.features, of_run.features, rtol=1e-5, atol=1e-6)
    assert of_file.key == options["sha256"]
    (one,), (other,) = (rank_starts([own], target) for own in (of_file, of_run))
    assert one.scores == pytest.approx(other.scores, abs=1e-4)
    save_file({name: own for name, own in arrays.items() if "task_head" not in name}, str(file))
    options["sha256"] = sha256_of([file])
    own = {**config, "init_from": {**config["init_from"], **options}}
    (headless,) = rank_starts([start_of_weights(own, target)], target)
    assert headless.scores["LEEP"] is None and headless.scores["LogME"] == one.scores["LogME"]
    assert format_ranking([headless], target)[1].split()[-3] == "-"


def test_who_has_learned_from_target_labels_is_named(runs):
    target = load_target(runs[0][2])
    own = start_of_run(runs[1][1], target, make_method)
    assert own.note.startswith("has learned from 30 target labels")


def test_what_does_not_fit_is_refused(runs, tmp_path):
    starts, target = starts_of(runs)
    with pytest.raises(ValueError, match="starts from none of the runs"):
        read_fine_tuned([runs[1][1]], starts[:1], target)
    with pytest.raises(ValueError, match="nowhere is no folder of a finished run"):
        start_of_run(Path("nowhere"), target, make_method)
    other = shutil.copytree(runs[1][1], tmp_path / "other")
    about = json.loads((other / "config.json").read_text())
    about["config"]["method"] = "lp_ft"
    (other / "config.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="fine_tune with 3 labels .* lp_ft .* not comparable"):
        read_fine_tuned([runs[1][1], other], starts, target)
    moons = {"source": "moons", "target": "rotated_moons"}
    with pytest.raises(ValueError, match="starts are ranked on tasks of classes"):
        load_target({**runs[0][2], "task": {"kind": "regression"}, **moons})
