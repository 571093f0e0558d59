"""What a checkpoint leaves out, since what a run starts from holds it."""

import shutil
from typing import Any

import jax
import numpy as np
import pytest
from flax import traverse_util

from common.experiment import base, checkpoint, folder, json_file, parent
from common.experiment.outcome import StopRequest
from common.experiment.single_run import train_alone
from common.models.adapter import ROOT, merge
from common.training.optimizer import paths_of
from common.training.state import State
from tests.tiny import quick_compilation
from tests.tiny_run import make_method, tiny

SHORT = {
    "num_steps": 4,
    "runtime.devices": 1,
    "model.name": "mlp",
    "model.options": {"hidden": (8,)},
    "model.normalization": "separate",
    "data.target_labels_per_class": 2,
    "evaluation.every": 2,
}


@pytest.fixture(autouse=True, scope="module")
def quick():
    with quick_compilation():
        yield


def variables():
    draw = np.random.default_rng(0)
    kernels = {f"dense_{index}": {"kernel": draw.normal(size=(256, 256))} for index in range(4)}
    head = {"logits": {"kernel": draw.normal(size=(256, 3))}}
    params = {"feature_extractor": kernels, "task_head": head}
    params = jax.tree.map(np.float32, params)
    return {"params": params, "batch_stats": {"feature_extractor": {"mean": np.zeros(4)}}}


def test_a_checkpoint_holds_what_changed_alone_and_is_as_small(tmp_path):
    whole = variables()
    for name in ("parent", "child"):
        (tmp_path / name).mkdir()
        json_file.write_json(tmp_path / name / "result.json", {})
    above, own = tmp_path / "parent", tmp_path / "child"
    checkpoint.save_run(above, {"last": whole})
    changed = jax.tree.map(np.copy, whole)
    changed["params"]["task_head"]["logits"]["kernel"] += 1
    # Equal numbers, but other bits.
    changed["batch_stats"]["feature_extractor"]["mean"][0] = -0.0
    start = base.Base({"run": str(above), "selection": "last"}, base.of_variables(whole))
    kept = base.leave_out(own, {"last": changed, "other": changed}, start)
    assert set(base.of_variables(kept["last"])) == {
        "params/task_head/logits/kernel",
        "batch_stats/feature_extractor/mean",
    }
    checkpoint.save_run(own, kept)

    def size(place):
        return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())

    assert size(own) < 0.1 * size(above)
    shutil.move(tmp_path / "parent", tmp_path / "moved")
    with pytest.raises(ValueError, match="holds only what it changed of .*parent, which is no fin"):
        checkpoint.load_run(own, "last")
    shutil.move(tmp_path / "moved", tmp_path / "parent")
    for selection in ("last", "other"):
        jax.tree.map(np.testing.assert_array_equal, checkpoint.load_run(own, selection), changed)
    whole["params"]["feature_extractor"]["dense_0"]["kernel"][0, 0] += 1
    checkpoint.save_run(above, {"last": whole})
    with pytest.raises(ValueError, match="has other values than it had then"):
        checkpoint.load_run(own, "last")
    json_file.write_json(own / base.FILE, {"run": "../parent"})
    with pytest.raises(ValueError, match="does not say what the checkpoint .*; it is damaged"):
        checkpoint.load_run(own, "last")
    # What changed in one choice is kept in all, and no checkpoint is empty.
    other = jax.tree.map(np.copy, changed)
    other["params"]["feature_extractor"]["dense_0"]["kernel"] += 1
    kept = base.leave_out(own, {"last": changed, "other": other}, start)
    assert "params/feature_extractor/dense_0/kernel" in base.of_variables(kept["last"])
    kept = base.leave_out(own, {"last": traverse_util.unflatten_dict(start.arrays, sep="/")}, start)
    assert len(base.of_variables(kept["last"])) == len(start.arrays)
    # What starts from nothing holds all of it.
    base.leave_out(own, {"last": changed}, start)
    assert (own / base.FILE).exists()
    base.leave_out(own, {"last": changed}, base.NO_BASE)
    assert not (own / base.FILE).exists()


def test_what_a_file_of_weights_holds_is_left_out_as_well(tmp_path):
    network = {"model.name": "mlp", "model.options": {"hidden": (4,)}}
    config = tiny(tmp_path, "lora", **network, **{"init_from.weights": str(tmp_path / "w.npz")})
    config["init_from"]["sha256"] = ""
    kernel, head = np.ones((3, 4), np.float32), np.zeros((4, 2), np.float32)
    named: Any = {"params/feature_extractor/dense_0/kernel": kernel}
    np.savez(tmp_path / "w.npz", **named)
    whole = {
        "params": {
            "feature_extractor": {"dense_0": {"kernel": kernel}},
            "task_head": {"logits": {"kernel": head}},
        }
    }
    config["init_from"] |= {"method": "", "run": ""}
    start = parent.base_of(config, paths_of(whole["params"]))
    assert start.name["weights"].endswith("w.npz")
    own = tmp_path / "child"
    own.mkdir()
    kept = base.leave_out(own, {"last": whole}, start)
    assert set(base.of_variables(kept["last"])) == {"params/task_head/logits/kernel"}
    checkpoint.save_run(own, kept)
    json_file.write_json(own / "config.json", {"config": config})
    json_file.write_json(own / "result.json", {})
    loaded = checkpoint.load_run(own, "last")
    jax.tree.map(np.testing.assert_array_equal, loaded["params"], whole["params"])
    (tmp_path / "w.npz").unlink()
    with pytest.raises(ValueError, match="holds only what it changed of .*w.npz, which cannot be"):
        checkpoint.load_run(own, "last")


def shapes_of(config):
    """Returns parameters and statistics as a run of the tiny digits begins with them."""
    method = make_method(config, 10)
    image = jax.ShapeDtypeStruct((4, 8, 8, 1), np.float32)
    batch = {
        domain: {"image": image, "label": jax.ShapeDtypeStruct((4,), np.int32)}
        for domain in method.needs
    }
    drawn = jax.eval_shape(method.init, jax.random.key(0), batch)
    return {kind: drawn[kind] for kind in base.KINDS}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A made-up run, and one with adapters that was trained from it."""
    workdir, draw = tmp_path_factory.mktemp("lora"), np.random.default_rng(0)
    above = tiny(workdir, "source_only", **SHORT)
    shapes = shapes_of(above)
    made_up = jax.tree.map(lambda leaf: draw.uniform(size=leaf.shape).astype("f4"), shapes)
    place = folder.run_folder(above)
    place.mkdir(parents=True)
    checkpoint.save_run(place, {"last": made_up})
    json_file.write_json(place / "result.json", {})
    start = {"init_from.method": "", "init_from.run": str(place), "transfer.rank": 3}
    config = tiny(workdir, "lora", **SHORT, **start)
    train_alone(config, make_method, StopRequest())
    return place, folder.run_folder(config)


def test_only_adapters_head_and_what_moved_stand_in_the_checkpoint(trained):
    above, own = trained
    held = checkpoint.load_choice(own, "last")
    assert set(paths_of(held["params"])) == {
        f"{ROOT}/feature_extractor/dense_0/kernel/down",
        f"{ROOT}/feature_extractor/dense_0/kernel/up",
        "task_head/logits/bias",
        "task_head/logits/kernel",
    }
    assert "batch_stats" not in held
    assert json_file.read_json(own / base.FILE)["run"] == f"../{above.name}"
    loaded, before = (checkpoint.load_run(place, "last") for place in (own, above))
    result = json_file.read_json(own / "result.json")
    assert result["params_sha256"] == folder.params_sha256(paths_of(loaded["params"]))
    for kind in base.KINDS:
        jax.tree.map(
            np.testing.assert_array_equal,
            loaded[kind]["feature_extractor"],
            before[kind]["feature_extractor"],
        )
    frozen, learned = 64 * 8 + 8 + 2 * 8, 3 * (64 + 8) + 8 * 10 + 10
    assert result["parameters"] == {"total": frozen + learned, "trained": learned}


@pytest.mark.parametrize("row", ["linear_probe", "lora"])
def test_what_starts_from_adapters_starts_from_the_merged_network(trained, row, tmp_path):
    own = trained[1]
    start = {"init_from.method": "", "init_from.run": str(own)}
    config = tiny(
        tmp_path, row, **SHORT, **start, **({} if row != "lora" else {"transfer.rank": 2})
    )
    shapes = shapes_of(config)
    parent.check_parent(config, shapes["params"])
    fresh = jax.tree.map(lambda leaf: np.zeros((1, *leaf.shape), leaf.dtype), shapes)
    unused = dict.fromkeys(State._fields) | {"frozen": {}, "ema": {}}
    state = parent.take_over_parents(State(**(unused | fresh)), [config])
    taken = jax.tree.map(lambda leaf: leaf[0], {kind: getattr(state, kind) for kind in base.KINDS})
    loaded = checkpoint.load_run(own, "last")
    up = loaded["params"][ROOT]["feature_extractor"]["dense_0"]["kernel"]["up"]
    merged = merge(loaded["params"], loaded["method_state"][ROOT]["scale"])
    assert np.any(up) and set(merged) == {"feature_extractor", "task_head"}
    for root, tree in merged.items():
        jax.tree.map(np.testing.assert_array_equal, taken["params"][root], tree)
    # Adapters begin anew.
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(taken["params"].get(ROOT, {})))
    # The merged kernel is in no file; all else is that of the runs before, from one to the next.
    place = folder.run_folder(config)
    place.mkdir(parents=True)
    kept = base.leave_out(place, {"last": taken}, parent.base_of(config, paths_of(taken["params"])))
    changed = {path for path in base.of_variables(kept["last"]) if ROOT not in path}
    assert changed == {"params/feature_extractor/dense_0/kernel"}
    checkpoint.save_run(place, kept)
    json_file.write_json(place / "result.json", {})
    jax.tree.map(np.testing.assert_array_equal, checkpoint.load_run(place, "last"), taken)
