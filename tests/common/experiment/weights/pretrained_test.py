"""What a run takes from a file of weights, and what is refused."""

import logging
import shutil
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from common.experiment import family, folder, parent
from common.experiment.weights import pretrained
from common.models.pretrained.convert import from_variables
from common.training.optimizer import paths_of
from common.training.state import State
from configs import base, method_row
from tests.tiny import MAKERS, NUM_CLASSES, make_config
from tests.tiny_run import build

POLICIES = ("joint", "separate", "per_domain", "frozen")
RESNET = {"blocks": 1, "channels": (4, 8, 8)}


@pytest.fixture(autouse=True)
def forget():
    yield
    pretrained.forget()


def draw(tree, seed=0):
    """Replaces every array by positive random numbers."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.uniform(1, 2, leaf.shape).astype(np.float32), tree)


def make_state(config, size=8, num_classes=NUM_CLASSES):
    """Returns what `take_over_parents` reads of a state of one member, all zeros."""
    method = MAKERS[config["package"]](config, num_classes)
    shape = (2, size, size, config["data"]["channels"] or 3)
    kinds = {"image": (shape, np.float32), "label": (shape[:1], np.int32)}
    batch = {
        domain: {field: jax.ShapeDtypeStruct(*kinds[field]) for field in fields}
        for domain, fields in method.needs.items()
    }
    drawn = jax.eval_shape(method.init, jax.random.key(0), batch)
    zeros = {
        kind: jax.tree.map(lambda leaf: np.zeros((1, *leaf.shape), leaf.dtype), drawn[kind])
        for kind in ("params", "batch_stats")
    }
    return state_of(**zeros)


def state_of(params, batch_stats):
    unused: dict[str, Any] = dict.fromkeys(State._fields)
    trees = {"params": params, "batch_stats": batch_stats, "frozen": {}, "ema": {}}
    return State(**(unused | trees))


def variables_of(state):
    """Returns its parameters and statistics by path, of its one member."""
    trees = {kind: getattr(state, kind) for kind in ("params", "batch_stats")}
    return {
        f"{kind}/{path}": leaf[0]
        for kind, tree in trees.items()
        for path, leaf in paths_of(tree).items()
    }


def config_of(weights, method="source_only", **changes: Any):
    changes = {name.replace("__", "."): value for name, value in changes.items()}
    small = {"model.normalization": "separate", "init_from.weights": str(weights)}
    return make_config(method, small | changes)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file in our own layout for the tiny network, with its head."""
    path = tmp_path_factory.mktemp("weights") / "own.safetensors"
    config = config_of("", data__channels=1)
    save_file(draw(variables_of(make_state(config, size=4))), path)
    return path


def take(file, method="source_only", **changes: Any):
    config = config_of(file, method, data__channels=1, **changes)
    state = make_state(config, size=4)
    parent.check_parent(config, jax.tree.map(lambda leaf: leaf[0], state.params))
    return variables_of(parent.take_over_parents(state, [config]))


def read(file):
    return pretrained.read_tensors(file)


@pytest.mark.parametrize("policy", POLICIES)
def test_parameters_and_statistics_are_taken_under_every_policy(policy, file, caplog):
    rows = {"per_domain": "dann"}
    taken = take(file, rows.get(policy, "source_only"), model__normalization=policy)
    given, kinds = read(file), set()
    for path, leaf in taken.items():
        kind, _, rest = path.partition("/")
        if policy == "per_domain" and kind == "batch_stats":
            domain, _, rest = rest.partition("/")
            kinds.add(domain)
        if rest.startswith("feature_extractor/"):
            np.testing.assert_array_equal(leaf, given[f"{kind}/{rest}"])
        else:
            # The head and a discriminator begin anew.
            assert not np.any(leaf)
    assert kinds == ({"source", "target"} if policy == "per_domain" else set())
    assert "of 3 classes, is left out: config.init_from.head=True takes it" in caplog.text


def test_a_head_is_taken_where_it_is_asked_for_alone(file, caplog):
    taken, given = take(file, init_from__head=True), read(file)
    assert set(taken) == set(given)
    assert all(np.array_equal(taken[path], given[path]) for path in given)
    assert not caplog.records


def test_a_head_of_other_classes_is_left_out_and_told_once(file, caplog):
    config = config_of(file, data__channels=1)
    states = [make_state(config, size=4, num_classes=5) for _ in range(2)]
    two = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(s.params for s in states))
    stats = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(s.batch_stats for s in states))
    state = state_of(two, stats)
    with caplog.at_level(logging.WARNING):
        taken = parent.take_over_parents(state, [config, config])
    (record,) = caplog.records
    assert "of 3 classes, is left out, since the task has 5" in record.getMessage()
    kernel = taken.params["feature_extractor"]["dense_0"]["kernel"]
    for member in range(2):
        np.testing.assert_array_equal(
            kernel[member], read(file)["params/feature_extractor/dense_0/kernel"]
        )


def test_averages_start_from_what_was_taken(file):
    config = config_of(file, data__channels=1, optimizer__ema_decay=0.9)
    state = make_state(config, size=4)
    state = state._replace(ema={"params": state.params, "batch_stats": state.batch_stats})
    taken = parent.take_over_parents(state, [config])
    for kind in ("params", "batch_stats"):
        jax.tree.map(np.testing.assert_array_equal, taken.ema[kind], getattr(taken, kind))


def test_frozen_parameters_are_taken_too(file):
    config = config_of(file, data__channels=1)
    state = make_state(config, size=4)
    frozen = {"feature_extractor": state.params["feature_extractor"]}
    state = state._replace(params={"task_head": state.params["task_head"]}, frozen=frozen)
    taken = parent.take_over_parents(state, [config])
    assert np.all(taken.frozen["feature_extractor"]["dense_0"]["kernel"] >= 1)


def test_what_include_leaves_out_stays(file):
    taken = take(file, init_from__include=r".*/dense_\d/kernel")
    changed = {path for path, leaf in taken.items() if np.any(leaf)}
    assert changed == {"params/feature_extractor/dense_0/kernel"}


def test_a_vision_transformer_of_grey_pictures_starts_from_its_export(tmp_path):
    options = {"blocks": 1, "width": 4, "heads": 1, "hidden": 4, "patch": 4, "picture_size": 8}
    path = tmp_path / "grey.safetensors"
    how = {"model__name": "vit_s16", "model__options": options, "model__normalization": "none"}
    config = config_of(path, data__channels=1, init_from__layout="timm", **how)
    state = make_state(config)
    given = draw(jax.tree.map(lambda leaf: leaf[0], state.params))
    save_file(from_variables("vit_s16", options, {"params": given}, layout="timm"), path)
    taken = parent.take_over_parents(state, [config]).params
    kernel = given["feature_extractor"]["patch_embedding"]["kernel"]
    np.testing.assert_array_equal(
        taken["feature_extractor"]["patch_embedding"]["kernel"][0], kernel
    )


def without(tensors, path):
    return {name: array for name, array in tensors.items() if name != path}


KERNEL = "params/feature_extractor/dense_0/kernel"
MEAN = "batch_stats/feature_extractor/normalization_0/BatchNorm_0/mean"


@pytest.mark.parametrize(
    ("edit", "changes", "sentence"),
    [
        (lambda own: without(own, KERNEL), {}, "; missing: feature_extractor/dense_0/kernel "),
        (
            lambda own: own | {f"{KERNEL}x": own[KERNEL]},
            {},
            "; extra: feature_extractor/.*/kernelx",
        ),
        (
            lambda own: own | {KERNEL: own[KERNEL][1:]},
            {},
            r"_0/kernel has \(15, 16\) instead of \(",
        ),
        (
            lambda own: without(own, KERNEL) | {f"{KERNEL}x": own[KERNEL]},
            {},
            "missing: feature_extractor/dense_0/kernel; extra: feature_extractor/dense_0/kernelx",
        ),
        (lambda own: without(own, MEAN), {}, "missing: feature_extractor/normalization_0/Batch"),
        (lambda own: own | {MEAN: own[MEAN][1:]}, {}, "of another shape: .*mean has"),
        (lambda own: own | {KERNEL: own[KERNEL] * np.nan}, {}, "holds values that are not finite"),
        (lambda own: own, {"init_from.include": "encoder/.*"}, "include: 'encoder/.*' matches no"),
        (lambda own: own, {"model.normalization": "group"}, "missing: .*GroupNorm_0/"),
        (lambda own: own, {"model.options": {"hidden": (8,)}}, "of another shape: .*dense_0"),
        (lambda own: own, {"init_from.sha256": "0" * 64}, "config.init_from.sha256 is '0000"),
        (lambda own: {"conv1.weight": own[KERNEL]}, {}, "config.model.name is 'mlp': other libra"),
        (
            lambda own: own,
            {"model.normalization": "frozen", "init_from.include": ".*(kernel|bias|scale)"},
            "is 'frozen', but the statistic .*/mean is not taken over",
        ),
        (
            lambda own: own | {"params/task_head/logits/bias": np.ones(7, np.float32)},
            {"init_from.head": True},
            "has a head of 7 classes, and the task has 3: leave config.init_from.head False",
        ),
        (
            lambda own: without(own, "params/task_head/logits/bias"),
            {"init_from.head": True},
            "has no head, and the task has 3",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(edit, changes, sentence, file, tmp_path):
    path = tmp_path / "other.safetensors"
    save_file(edit(read(file)), path)
    with pytest.raises(ValueError, match=sentence) as told:
        take(path, **{name.replace(".", "__"): value for name, value in changes.items()})
    assert "\n" not in str(told.value)


def test_weights_of_pytorch_are_taken(tmp_path):
    path = tmp_path / "torch.safetensors"
    changes = {"model__name": "cifar_resnet20", "model__options": RESNET}
    state = make_state(config_of("", **changes), num_classes=10)
    given = {
        kind: jax.tree.map(lambda leaf: leaf[0], draw(getattr(state, kind), seed))
        for seed, kind in enumerate(("params", "batch_stats"))
    }
    save_file(from_variables("cifar_resnet20", RESNET, given), path)
    for head in (True, False):
        config = config_of(path, **changes, init_from__head=head)
        fresh = make_state(config, num_classes=10 if head else 4)
        taken = variables_of(parent.take_over_parents(fresh, [config]))
        for kind, tree in given.items():
            for name, leaf in paths_of(tree).items():
                if head or not name.startswith("task_head"):
                    np.testing.assert_array_equal(taken[f"{kind}/{name}"], leaf)
                else:
                    assert not np.any(taken[f"{kind}/{name}"])
    other = changes | {"model__options": RESNET | {"blocks": 2}}
    with pytest.raises(
        ValueError, match="weights .*torch.safetensors: these are no weights of cif"
    ):
        take_torch(path, **other)
    with pytest.raises(ValueError, match="config.init_from.layout is 'timm'; legal are "):
        take_torch(path, **changes, init_from__layout="timm")


def take_torch(file, **changes):
    config = config_of(file, **changes)
    return parent.take_over_parents(make_state(config), [config])


def resolve(workdir, weights, method="source_only", changes=None, **own: Any):
    config = build(workdir, method, {"init_from.weights": str(weights), **own})
    return family.resolve_family(config, changes or {}, base.get_config(), method_row)


def test_a_run_is_named_by_what_its_file_holds(file, tmp_path):
    (one,) = resolve(tmp_path, file)
    copy = shutil.copy(file, tmp_path / "copy.safetensors")
    (other,) = resolve(tmp_path, copy)
    assert one["init_from"]["weights"] != other["init_from"]["weights"]
    assert folder.run_id(one) == folder.run_id(other)
    (told,) = resolve(tmp_path, file, **{"init_from.sha256": one["init_from"]["sha256"]})
    assert folder.run_id(told) == folder.run_id(one)
    save_file({"params/a": np.ones(1)}, copy)
    (changed,) = resolve(tmp_path, copy)
    assert folder.run_id(changed) != folder.run_id(one)
    with pytest.raises(ValueError, match="it is another file, or a damaged one"):
        resolve(tmp_path, copy, **{"init_from.sha256": one["init_from"]["sha256"]})


def test_the_first_of_a_chain_starts_from_the_file(file, tmp_path):
    first, probe, last = resolve(tmp_path, file, "lp_ft")
    assert [own["method"] for own in (first, probe, last)] == [
        "source_only",
        "linear_probe",
        "lp_ft",
    ]
    assert len({own["init_from"]["sha256"] for own in (first, probe, last)}) == 1
    assert parent.parent_folder(first) is None
    assert parent.parent_folder(last) == folder.run_folder(probe)
    # With source and target in one there is no source to learn from before.
    config = build(tmp_path, "lp_ft", {"init_from.weights": str(file), "source": "digits"})
    config.init_from.method = ""
    method_row.set_method(config, "lp_ft")
    rows = family.resolve_family(config, {}, base.get_config(), method_row)
    assert [own["method"] for own in rows] == ["linear_probe", "lp_ft"]


def test_without_weights_a_run_is_what_it_was(tmp_path):
    (plain,) = resolve(tmp_path, "")
    assert set(plain["init_from"]) == {"run", "include", "selection"}


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        ({"init_from.run": "runs/a"}, "is 'runs/a' and config.init_from.weights is .*from one of"),
        (
            {"init_from.weights": "", "init_from.sha256": "0"},
            "sha256 is '0', which is about a file",
        ),
        ({"init_from.weights": "", "init_from.head": True}, "head is True, which is about a file"),
        ({"init_from.weights": "gone.npz"}, "config.init_from.weights: gone.npz does not exist"),
    ],
)
def test_impossible_choices_are_refused(own, sentence, file, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        resolve(tmp_path, file, **own)


def test_a_run_of_the_command_line_replaces_the_file(file, tmp_path):
    changes = {"init_from.run": "runs/a"}
    own: dict[str, Any] = changes | {"init_from.head": True}
    (child,) = resolve(tmp_path, file, changes=changes, **own)
    assert child["init_from"] == {"run": "runs/a", "include": ".*", "selection": "last"}


def test_methods_without_labels_ask_for_the_head(file):
    with pytest.raises(ValueError, match="weights with config.init_from.head=True"):
        take(file, "tent", init_from__method="")
    assert np.all(take(file, "tent", init_from__method="", init_from__head=True)[KERNEL])
