"""Weights that a user gets wrong: one sentence, exit code 2, nothing half-written."""

import pickle

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from common.experiment import (
    checkpoint,
    command_line,
    family,
    folder,
    json_file,
    outcome,
    resume,
    run,
    single_run,
)
from common.experiment.outcome import StopRequest
from common.experiment.weights import pretrained
from common.models.pretrained.convert import from_variables
from common.training.optimizer import paths_of
from configs import base, method_row
from tests.common.experiment.weights.pretrained_test import (
    RESNET,
    config_of,
    draw,
    make_state,
    variables_of,
)
from tests.common.experiment.weights.tensor_file_test import Code
from tests.tiny import quick_compilation
from tests.tiny_run import build, make_method

NETWORK = {
    "model.name": "cifar_resnet20",
    "model.options": RESNET,
    "model.task_head": {},
    "model.normalization": "separate",
    "num_steps": 20,
    "runtime.devices": 1,
}


FEWER = {"data.classes": tuple("01234567"), "data.synthetic_digits.train": 80}
FEWER |= {"data.digits": {"train": 120, "val": 120}}
# In our own layout, for a network that is compiled in no time.
PERCEPTRON = {"model.name": "mlp", "model.options": {"hidden": (8,)}}


@pytest.fixture(scope="module")
def tensors():
    """Weights of the network, with a head of ten classes, by PyTorch's names."""
    changes = {"model__name": "cifar_resnet20", "model__options": RESNET, "data__channels": 1}
    state = make_state(config_of("", **changes), num_classes=10)
    trees = {kind: getattr(state, kind) for kind in ("params", "batch_stats")}
    trees = jax.tree.map(lambda leaf: leaf[0], trees)
    given = {kind: draw(tree) for kind, tree in trees.items()}
    return from_variables("cifar_resnet20", RESNET, given)


def resolve(workdir, weights, method="source_only", **changes):
    own = NETWORK | {"init_from.weights": str(weights)} | changes
    config = build(workdir, method, own)
    return family.resolve_family(config, {}, base.get_config(), method_row)


def launch(workdir, weights, **changes):
    """Does what `launch.py train` does; returns its exit code."""

    def train():
        with outcome.refusing():
            configs = resolve(workdir, weights, **changes)
        single_run.train_family(configs, make_method, StopRequest())

    pretrained.forget()
    return command_line.end(train)


def of_another_depth(tensors, path):
    names = {name.replace("layer1.0", "layer1.1"): own for name, own in tensors.items()}
    save_file(tensors | names, path)


def cut(tensors, path):
    save_file(tensors, path)
    path.write_bytes(path.read_bytes()[:-7])


def with_code(tensors, path):
    np.savez(path, a=np.asarray([Code(path.parent / "executed")], object))


def of_torch_with_code(tensors, path):
    path.write_bytes(pickle.dumps({"a": Code(path.parent / "executed")}))


def whole(tensors, path):
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("name", "write", "changes", "sentence"),
    [
        ("a.safetensors", of_another_depth, {}, "a.safetensors: these are no weights of cifar"),
        ("a.safetensors", cut, {}, "a.safetensors is no whole safetensors file"),
        ("a.npz", with_code, {}, "a.npz is no whole npz file of numbers"),
        ("a.th", of_torch_with_code, {}, "a.th "),
        ("a.safetensors", whole, {"model.name": "resnet18"}, "are no weights of resnet18"),
        ("a.safetensors", whole, {"init_from.layout": "nobody"}, "layout is 'nobody'; legal are"),
        ("a.safetensors", whole, {"init_from.sha256": "00"}, "config.init_from.sha256 is '00'"),
        (
            "a.safetensors",
            whole,
            FEWER | {"init_from.head": True},
            "a.safetensors has a head of 10 classes, and the task has 8",
        ),
        (
            "a.safetensors",
            whole,
            {"optimizer.freeze": (".*",)},
            "config.optimizer.freeze matches every parameter: nothing is left to train",
        ),
        (
            "a.safetensors",
            whole,
            {"init_from.include": "layer.*"},
            "config.init_from.include: 'layer.*' matches no parameter",
        ),
    ],
)
def test_bad_weights_end_in_one_sentence(name, write, changes, sentence, tensors, tmp_path, capsys):
    write(tensors, tmp_path / name)
    options = {"model.options": {"blocks": (1, 1, 1, 1)}} if "model.name" in changes else {}
    assert launch(tmp_path / "runs", tmp_path / name, **changes, **options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("launch.py: ") and sentence in line
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_runs_of_a_population_start_from_one_file_wherever_it_is(tmp_path):
    runs, places = tmp_path / "runs", [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    config = config_of("", data__channels=1, model__options={"hidden": (8,)})
    tensors = draw(variables_of(make_state(config, num_classes=10)))
    for place in places:
        save_file(tensors, place)
    still = PERCEPTRON | {"optimizer.learning_rate": 0.0, "model.normalization": "frozen"}
    still |= {"optimizer.ema_decay": 0.0, "init_from.head": True, "num_steps": 1}
    still |= {"evaluation.reverse_validation": False, "data.augment": {}}
    configs = [resolve(runs, places[0], seed=seed, **still)[0] for seed in range(2)]
    with quick_compilation():
        assert not run.train_population(configs, make_method, StopRequest())
    for seed, config in enumerate(configs):
        own = folder.run_folder(config)
        kept = {"weights": str(places[0]), "sha256": config["init_from"]["sha256"]}
        assert json_file.read_json(own / "result.json")["weights"] == kept
        for kind, tree in checkpoint.load_run(own, "last").items():
            for path, leaf in paths_of(tree).items():
                np.testing.assert_array_equal(leaf, tensors[f"{kind}/{path}"])
        (moved,) = resolve(runs, places[1], seed=seed, **still)
        about = json_file.read_json(own / "config.json")
        resume.check_resume(about, moved, about["data"], about["versions"])
        assert folder.is_done(moved)
