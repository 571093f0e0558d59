"""Runs that start from runs which are trained before them."""

import json
import shutil

import numpy as np
import pytest

from common.experiment import checkpoint, family, folder, json_file, parent, single_run, sweep
from common.experiment.outcome import RunFailed, Stopped, StopRequest, UsageError
from common.training.hparam import structure
from configs import base, method_row
from tests.tiny_run import build, make_method, tiny, tiny_family

SHORT = {
    **{"num_steps": 20, "data.augment": {}, "runtime.devices": 1},
    **{"model.name": "mlp", "model.options": {"hidden": (8,)}},
}
FROM = {"init_from.method": "source_only"}


def children(workdir, seeds=(0, 1), **changes):
    """Families of runs that train on target labels, from a run on the source."""
    return [
        tiny_family(workdir, "train_on_target", **{**SHORT, **FROM, "seed": seed, **changes})
        for seed in seeds
    ]


def members(families):
    """All runs of some families, each once."""
    runs = [config for own in families for config in own]
    return list({folder.run_id(config): config for config in runs}.values())


def train(configs, request=None):
    said = []
    request = StopRequest() if request is None else request
    failures = sweep.run_sweep(configs, make_method, request, [], said.append)
    return failures, said


def test_the_parent_is_the_same_config_as_another_row(tmp_path):
    ((above, child),) = children(tmp_path, [3], **{"optimizer.learning_rate": 0.01})
    same = tiny(tmp_path, "source_only", **{**SHORT, "seed": 3, "optimizer.learning_rate": 0.01})
    assert above == same
    assert child["init_from"]["parent"] == folder.run_id(above)
    assert parent.parent_folder(child) == folder.run_folder(above)
    assert (child["method"], child["seed"]) == ("train_on_target", 3)


def test_overrides_change_the_parent_alone(tmp_path):
    overrides = {"num_steps": 40, "optimizer": {"learning_rate": 0.5}, "optimizer.freeze": ["x"]}
    config = build(tmp_path, "train_on_target", {**SHORT, **FROM})
    config.init_from.overrides.update(overrides)
    above, child = family.resolve_family(config, {}, base.get_config(), method_row)
    assert (above["num_steps"], above["optimizer"]["learning_rate"]) == (40, 0.5)
    assert above["optimizer"]["freeze"] == ["x"]
    assert (child["num_steps"], child["optimizer"]["learning_rate"]) == (20, 1e-3)
    assert child["optimizer"]["freeze"] == []


def test_an_empty_override_empties_what_the_child_has(tmp_path):
    group = {"head": {"pattern": "task_head/.*", "learning_rate_factor": 2.0}}
    changes = {"optimizer.groups": group, "init_from.overrides": {"optimizer": {"groups": {}}}}
    ((above, child),) = children(tmp_path, [0], **changes)
    assert above["optimizer"]["groups"] == {} and child["optimizer"]["groups"] == group


def test_the_command_line_reaches_the_options_that_only_the_parent_has(tmp_path):
    key = "alignment.domain_adversarial.strength"
    config = build(tmp_path, "source_only", {"init_from.method": "dann"})
    above, child = family.resolve_family(
        config, {key: 0.25, "num_steps": 7}, base.get_config(), method_row
    )
    assert above["alignment"]["domain_adversarial"]["strength"] == 0.25
    assert above["method"] == "dann" and child["alignment"] == {}


def test_names_depend_on_the_parent_and_on_no_path(tmp_path):
    names = []
    for workdir, overrides in (("a", {}), ("b", {}), ("a", {"num_steps": 21})):
        (own,) = children(tmp_path / workdir, [0], **{"init_from.overrides": overrides})
        names.append([folder.run_id(config) for config in own])
    assert names[0] == names[1]
    assert names[0][0] != names[2][0] and names[0][1] != names[2][1]
    # What the parent is decides, also where the child's own settings are the same.
    changed = json.loads(json.dumps(children(tmp_path, [0])[0][1]))
    changed["init_from"]["parent"] = "source_only-seed0-0"
    assert folder.run_id(changed) != names[0][1]


def test_a_run_without_a_parent_to_come_has_no_new_settings(tmp_path):
    for run_of in ("", "runs/a"):
        config = tiny(tmp_path, "source_only", **{"init_from.run": run_of})
        assert config["init_from"] == {"run": run_of, "include": ".*", "selection": "last"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"init_from.run": "runs/a"}, "a run starts from one of them; set the other to ''"),
        ({"init_from.method": "source_onyl"}, "starts from: method is .*did you mean 'source_only"),
        ({"init_from.overrides": {"num_step": 3}}, "starts from: config.num_step is unknown"),
        ({"init_from.overrides": {"num_steps": 2.5}}, "overrides has 'num_steps': 2.5, which can"),
        ({"init_from.overrides": {"data": 3}}, "overrides has 'data': 3, which cannot be"),
        ({"init_from.overrides": {"method": "dann"}}, "has 'method', which is the same for both"),
        ({"init_from.overrides": {"runtime": {"devices": 1}}}, "has 'runtime.devices', which is"),
        ({"init_from.overrides": {"package": "dann"}}, "the name of another row"),
        ({"init_from.selection": "entropy"}, "'entropy', whose weights source_only does not keep"),
    ],
)
def test_impossible_parents_are_refused(changes, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        children(tmp_path, [0], **changes)


def test_a_parent_may_start_from_a_run_itself(tmp_path):
    config = build(tmp_path, "train_on_target", {**SHORT, "init_from.method": "fine_tune"})
    config.data.target_labels_per_class = 2
    changes = {"data.target_labels_per_class": 2}
    first, parent, child = family.resolve_family(config, changes, base.get_config(), method_row)
    assert [own["method"] for own in (first, parent, child)] == [
        "source_only",
        "fine_tune",
        "train_on_target",
    ]
    assert parent["init_from"]["parent"] == folder.run_id(first)
    assert child["init_from"]["parent"] == folder.run_id(parent)
    # The run on the source is one and the same whatever the number of labelled target examples.
    labels = [own["data"]["target_labels_per_class"] for own in (first, parent, child)]
    assert labels == [0, 2, 2]
    runs = [child, first, parent]
    failures, said = train(runs)
    assert not failures and all(map(folder.is_done, runs))
    assert said == ["1 runs, 1 to train, in 1 programs"] * 3


def test_a_probe_comes_before_the_whole_and_what_is_trained_is_a_matter_of_each(tmp_path):
    changes = {"transfer.freeze": "last_1_stages", "transfer.unfreeze_until": 0.5, "num_steps": 30}
    config = build(tmp_path, "lp_ft", SHORT)
    folder.change(config, changes)
    runs = family.resolve_family(config, changes, base.get_config(), method_row)
    assert [own["method"] for own in runs] == ["source_only", "linear_probe", "lp_ft"]
    assert [own["transfer"].get("freeze") for own in runs] == [
        None,
        "all_but_head",
        "last_1_stages",
    ]
    assert [own["transfer"].get("unfreeze_until") for own in runs] == [None, 0.0, 0.5]
    assert [own["num_steps"] for own in runs] == [30, 30, 30]
    # By name an override reaches the parent, which then is no probe.
    config.init_from.overrides.update({"transfer": {"freeze": "none"}})
    with pytest.raises(ValueError, match="config.method is 'linear_probe', the name of another"):
        family.resolve_family(config, changes, base.get_config(), method_row)


def test_a_row_that_would_start_from_itself_is_refused(tmp_path):
    config = build(tmp_path, "fine_tune", {"init_from.method": "fine_tune"})
    with pytest.raises(ValueError, match="no run can start from its own end"):
        family.resolve_family(config, {}, base.get_config(), method_row)


@pytest.mark.parametrize(("kind", "value"), [("run", "runs/a"), ("method", "dann")])
def test_a_parent_of_the_command_line_replaces_that_of_the_file(kind, value, tmp_path):
    other = {"run": "method", "method": "run"}[kind]
    before = {"run": "runs/b", "method": "source_only"}[other]
    config = build(tmp_path, "train_on_target", {f"init_from.{other}": before})
    config.init_from[kind] = value
    child = family.resolve_family(
        config, {f"init_from.{kind}": value}, base.get_config(), method_row
    )[-1]
    assert child["init_from"].get(kind) == value
    assert not child["init_from"].get(other)


def test_a_parent_that_was_not_trained_is_named(tmp_path):
    ((above, child),) = children(tmp_path, [0])
    with pytest.raises(UsageError, match=f"starts from {folder.run_id(above)}, which has not"):
        single_run.train_alone(child, make_method, StopRequest())
    assert not any(tmp_path.iterdir())


def test_what_the_pattern_cannot_match_is_refused_before_the_parent_is_trained(tmp_path):
    runs = members(children(tmp_path, [0], **{"init_from.include": "encoder/.*"}))
    with pytest.raises(UsageError, match="'encoder/.*' matches no parameter"):
        train(runs)
    with pytest.raises(UsageError, match="'encoder/.*' matches no parameter"):
        single_run.train_family(runs, make_method, StopRequest())
    assert not any(tmp_path.iterdir())


def test_children_whose_parents_differ_train_in_one_program(tmp_path):
    families = children(tmp_path) + children(
        tmp_path, **{"init_from.overrides": {"optimizer": {"learning_rate": 0.01}}}
    )
    parents = [own[0] for own in families]
    waiting = [own[1] for own in families]
    assert len({json.dumps(structure(config), sort_keys=True) for config in waiting}) == 1
    assert sweep.pack(members(families)) == [parents, waiting]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A sweep of two children, their parents, and the row that the parents are as well."""
    workdir = tmp_path_factory.mktemp("family")
    rows = [tiny(workdir, "source_only", **SHORT, seed=seed) for seed in (0, 1)]
    families = children(workdir)
    runs = members([rows, *families])
    assert len(runs) == 4
    return runs, families, train(runs)


def test_a_sweep_trains_parents_once_and_first_and_children_go_on_from_them(trained):
    runs, families, (failures, said) = trained
    assert not failures and all(map(folder.is_done, runs))
    assert said == ["2 runs, 2 to train, in 1 programs"] * 2
    for above, child in families:
        sizes = [
            json_file.read_json(folder.run_folder(config) / "result.json")["population"]["size"]
            for config in (above, child)
        ]
        assert sizes == [2, 2]
        loads = [checkpoint.load_run(folder.run_folder(own), "last") for own in (above, child)]
        kernels = [own["params"]["feature_extractor"]["dense_0"]["kernel"] for own in loads]
        # Twenty steps of Adam go no further than twenty times the rate.
        assert 0 < np.abs(kernels[0] - kernels[1]).max() <= 20 * 1.1e-3


def test_the_same_sweep_again_has_nothing_to_do_also_elsewhere(trained, tmp_path):
    runs = trained[0]
    assert train(runs)[1] == ["2 runs, 0 to train, in 0 programs"] * 2
    shutil.copytree(runs[0]["runtime"]["workdir"], tmp_path / "moved")
    again = members([children(tmp_path / "moved")[1]])
    assert all(map(folder.is_done, again))


def test_a_child_trained_alone_takes_its_parent_and_trains_it_where_it_is_missing(tmp_path):
    (own,) = children(tmp_path, [0])
    single_run.train_family(own, make_method, StopRequest())
    assert all(map(folder.is_done, own))
    before = (folder.run_folder(own[0]) / "result.json").stat().st_mtime_ns
    shutil.rmtree(folder.run_folder(own[1]))
    single_run.train_family(own, make_method, StopRequest())
    assert (folder.run_folder(own[0]) / "result.json").stat().st_mtime_ns == before


class StopsAt(StopRequest):
    """A signal that comes at the n-th look."""

    def __init__(self, look):
        super().__init__()
        self.left = look

    def __bool__(self):
        self.left -= 1
        self.received = "SIGTERM" if self.left < 0 else None
        return self.received is not None


def test_a_sweep_that_was_stopped_goes_on_where_it_was(trained, tmp_path):
    runs = members(children(tmp_path))
    # Within the parents, then within the children.
    for look, done in ((1, 0), (2, 2)):
        with pytest.raises(Stopped):
            train(runs, StopsAt(look))
        assert sum(map(folder.is_done, runs)) == done
    assert not train(runs)[0]
    for config, twin in zip(runs, members(trained[1]), strict=True):
        mine, other = (folder.run_folder(own) / "result.json" for own in (config, twin))
        assert mine.read_text() == other.read_text()


def test_a_failed_parent_fails_its_children_and_no_others(tmp_path):
    bad = {"init_from.overrides": {"optimizer": {"learning_rate": 1e30}}}
    good, orphan = children(tmp_path, [0])[0], children(tmp_path, [0], **bad)[0]
    runs = members([good, orphan])
    for _ in range(2):
        failures, _ = train(runs)
        assert list(failures) == [folder.run_id(config) for config in orphan]
        reason = f"it starts from {folder.run_id(orphan[0])}, which failed: the loss or a gradient"
        assert failures[folder.run_id(orphan[1])].startswith(reason)
        assert all(map(folder.is_done, good))
    # Once the parent is tried again and is well, so is the child.
    shutil.rmtree(folder.run_folder(orphan[0]))
    shutil.copytree(folder.run_folder(good[0]), folder.run_folder(orphan[0]))
    assert not train(runs)[0]
    assert folder.is_done(orphan[1])


def test_a_failed_parent_of_a_lone_run_is_named(tmp_path):
    bad = {"init_from.overrides": {"optimizer": {"learning_rate": 1e30}}}
    (own,) = children(tmp_path, [0], **bad)
    sentence = f"starts from {folder.run_id(own[0])}, which failed: the loss or a gradient is not"
    with pytest.raises(RunFailed, match=sentence):
        single_run.train_family(own, make_method, StopRequest())
    assert not folder.run_folder(own[1]).exists()
