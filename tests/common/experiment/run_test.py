import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from common.data import domain
from common.experiment import checkpoint, folder
from common.experiment import run as run_module
from common.experiment.outcome import RunFailed, StopRequest, UsageError
from common.experiment.run import train_population
from common.experiment.selection import ORACLES
from common.experiment.single_run import train_alone, train_family
from common.training.population import make_program
from configs import catalogue
from tests.tiny import make_row_config
from tests.tiny_run import make_method, tiny, tiny_family

ROOT = Path(__file__).parents[3]
TINY = "tests/config/tiny_digits.py"


def launch(verb, workdir, cache):
    command = [sys.executable, "launch.py", verb, f"--config={TINY}", f"--workdir={workdir}"]
    # As a user starts it: programs are kept where the command chooses.
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2", "XDG_CACHE_HOME": str(cache)}
    del environment["JAX_COMPILATION_CACHE_DIR"]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)


def runs_in(workdir):
    return sorted(path.parent for path in Path(workdir).glob("tiny/*/config.json"))


def what_must_be_equal(run):
    result = json.loads((run / "result.json").read_text())
    # They name the commit, which may change while the tests run.
    del result["warnings"]
    arrays = np.load(run / "outputs.npz")
    return {
        "run": run.name,
        "metrics": (run / "metrics.jsonl").read_text(),
        "result": result,
        "outputs": {name: arrays[name].tobytes() for name in arrays.files},
    }


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def compiled(cache):
    """Names the programs that were compiled: each is kept."""
    return {path.name for path in cache.glob("adaptax/compiled/*/*-cache")}


@pytest.fixture(scope="module")
def workdir_of(tmp_path_factory, cache):
    """Finds the folder of a command that nothing disturbed."""

    @functools.cache
    def find(verb):
        workdir = tmp_path_factory.mktemp(verb)
        assert launch(verb, workdir, cache).wait() == 0
        assert len(runs_in(workdir)) == {"train": 1, "sweep": 3}[verb]
        return workdir

    return find


@pytest.mark.parametrize(
    ("verb", "number"),
    [
        ("train", signal.SIGTERM),
        ("train", signal.SIGKILL),
        pytest.param("sweep", signal.SIGTERM, marks=pytest.mark.matrix),
        pytest.param("sweep", signal.SIGKILL, marks=pytest.mark.matrix),
    ],
)
def test_run_stopped_at_a_random_moment_ends_like_its_undisturbed_twin(
    verb, number, workdir_of, cache, tmp_path
):
    twin = workdir_of(verb)
    chance, before = random.Random(f"{verb} {number}"), compiled(cache)
    process = launch(verb, tmp_path, cache)
    records = chance.randint(1, 3)
    while process.poll() is None:
        written = [run / "metrics.jsonl" for run in runs_in(tmp_path)]
        if written and written[-1].is_file() and written[-1].read_text().count("\n") >= records:
            break
        time.sleep(0.005)
    time.sleep(chance.random() * 0.05)
    process.send_signal(number)
    code = process.wait()
    assert code == (75 if number == signal.SIGTERM else -signal.SIGKILL)
    assert not any((run / "result.json").is_file() for run in runs_in(tmp_path))

    assert launch(verb, tmp_path, cache).wait() == 0
    # The second start of a command compiles nothing.
    assert before and compiled(cache) == before
    mine, twins = (map(what_must_be_equal, runs_in(root)) for root in (tmp_path, twin))
    assert list(mine) == list(twins)
    starts = json.loads((runs_in(tmp_path)[0] / "config.json").read_text())["starts"]
    assert len(starts) == 2


def test_run_that_is_done_is_not_trained_again(workdir_of, cache):
    workdir = workdir_of("train")
    (run,) = runs_in(workdir)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert launch("train", workdir, cache).wait() == 0
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def rows_without_target_labels():
    """The first plain row, the first with a term, and one that starts from another run."""
    plain = [row for row, domains in catalogue.PLAIN.items() if "target_labelled" not in domains]
    source_free = [
        row for row, (domains, _) in catalogue.METHODS.items() if "source" not in domains
    ]
    chosen = (plain[0], next(iter(catalogue.TERMS)), source_free[0])
    # What a program does with the labels is tested of every row in dann/contract_test.py.
    for row in (*plain, *catalogue.TERMS, *catalogue.METHODS):
        yield pytest.param(row, marks=() if row in chosen else pytest.mark.matrix)


@pytest.mark.parametrize("method", list(rows_without_target_labels()))
def test_permuting_target_labels_changes_nothing_but_oracle_values(method, tmp_path, monkeypatch):
    load = domain.DOMAINS["digits"]
    # Labels may reach a run before it is compiled.
    monkeypatch.setattr(run_module, "make_program", make_program)

    def permuted(options):
        examples = load(options)
        labels = np.random.default_rng(0).permutation(examples.labels)
        return examples._replace(labels=labels)

    seen = []
    for name, loader in (("true", load), ("permuted", permuted)):
        monkeypatch.setitem(domain.DOMAINS, "digits", loader)
        domain._load.cache_clear()
        policy = {"model.normalization": make_row_config(method)["model"]["normalization"]}
        family = tiny_family(tmp_path / name, method, **policy)
        train_family(family, make_method, StopRequest())
        run = folder.run_folder(family[-1])
        result = json.loads((run / "result.json").read_text())
        records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        oracle = [record.get("oracle/target_test_accuracy") for record in records]
        visible = [
            {key: value for key, value in record.items() if not key.startswith("oracle/")}
            for record in records
        ]
        chosen = {
            rule: choice["step"]
            for rule, choice in result["selections"].items()
            if rule not in ORACLES
        }
        seen.append((result["params_sha256"], visible, chosen, result["warnings"]))
        seen.append(oracle)
    domain._load.cache_clear()
    assert seen[0] == seen[2]
    assert seen[1] != seen[3]


def test_run_with_non_finite_values_stops_and_says_where(tmp_path):
    config = tiny(tmp_path, **{"optimizer.learning_rate": 1e30})
    with pytest.raises(RunFailed, match="not finite at step"):
        train_alone(config, make_method, StopRequest())
    run = folder.run_folder(config)
    failure = json.loads((run / "failure.json").read_text())
    assert 0 < failure["step"] < 60
    assert str(failure["step"]) in failure["reason"]
    assert not (run / "result.json").exists()


def test_run_that_fails_late_keeps_its_last_good_checkpoint(tmp_path):
    # The labels turn into an illegal class after the first checkpoint: the loss becomes NaN.
    config = tiny(tmp_path, "source_only")

    def failing(config, num_classes):
        method = make_method(config, num_classes)
        (phase,) = method.phases

        def loss(variables, batch, *, key, progress, hparams):
            value, aux = phase.loss(variables, batch, key=key, progress=progress, hparams=hparams)
            return value / (progress < 0.5), aux

        return method._replace(phases=(phase._replace(loss=loss),))

    with pytest.raises(RunFailed, match="step 30"):
        train_alone(config, failing, StopRequest())
    saved = checkpoint.open_population(folder.population_folder([config]) / "checkpoints")
    assert saved.latest_step() == 20
    train_alone(config, make_method, StopRequest())
    assert not (folder.run_folder(config) / "failure.json").exists()
    twin = tiny(tmp_path / "twin", "source_only")
    train_alone(twin, make_method, StopRequest())
    assert what_must_be_equal(folder.run_folder(config)) == what_must_be_equal(
        folder.run_folder(twin)
    )


def test_failing_member_does_not_harm_the_others(tmp_path):
    rates = (1e-3, 1e30, 2e-3)
    configs = [
        tiny(tmp_path / "with", "source_only", **{"optimizer.learning_rate": rate})
        for rate in rates
    ]
    failures = train_population(configs, make_method, StopRequest())
    assert list(failures) == [folder.run_id(configs[1])]
    assert (folder.run_folder(configs[1]) / "failure.json").is_file()
    assert not (folder.run_folder(configs[1]) / "result.json").exists()
    last_good = checkpoint.load_choice(folder.run_folder(configs[1]), "last_good")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(last_good["params"]))
    healthy = [
        tiny(tmp_path / "without", "source_only", **{"optimizer.learning_rate": rate})
        for rate in (1e-3, 1.5e-3, 2e-3)
    ]
    assert not train_population(healthy, make_method, StopRequest())
    for with_failure, without in zip(configs[::2], healthy[::2], strict=True):
        results = [
            json.loads((folder.run_folder(config) / "result.json").read_text())
            for config in (with_failure, without)
        ]
        assert results[0]["params_sha256"] == results[1]["params_sha256"]


def assert_unkept_choices_are_told_without_weights(run):
    chosen = json.loads((run / "result.json").read_text())["selections"]
    rule = "information_maximization_unguarded"
    assert chosen["last"]["weights_kept"] and chosen["source_val"]["weights_kept"]
    assert chosen[rule].keys() - {"flags"} == {
        *("step", "weights_kept", "source_val_accuracy", "score/information_maximization"),
        *("oracle/target_val_accuracy", "oracle/target_test_accuracy"),
    }
    with pytest.raises(ValueError, match=f"keeps no weights of the selection '{rule}'"):
        checkpoint.load_run(run, rule)
    with pytest.raises(ValueError, match="did you mean 'source_val'"):
        checkpoint.load_run(run, "source_vla")


def test_run_continues_from_a_finished_run(tmp_path):
    parent = tiny(tmp_path, "source_only")
    train_alone(parent, make_method, StopRequest())
    loaded = checkpoint.load_run(folder.run_folder(parent), "last")
    assert_unkept_choices_are_told_without_weights(folder.run_folder(parent))
    child = tiny(
        tmp_path,
        "train_on_target",
        **{
            "init_from.run": str(folder.run_folder(parent)),
            "init_from.include": "feature_extractor/.*",
            "optimizer.freeze": ("feature_extractor/.*",),
            # The discriminator's group belongs to adversarial rows alone.
            "num_steps": 20,
        },
    )
    train_alone(child, make_method, StopRequest())
    after = checkpoint.load_run(folder.run_folder(child), "last")
    for name, before in loaded["params"]["feature_extractor"]["dense_0"].items():
        np.testing.assert_array_equal(after["params"]["feature_extractor"]["dense_0"][name], before)
    head = [tree["params"]["task_head"]["logits"]["kernel"] for tree in (loaded, after)]
    assert not np.array_equal(*head)
    result = json.loads((folder.run_folder(child) / "result.json").read_text())
    assert 0 < result["parameters"]["trained"] < result["parameters"]["total"]


@pytest.mark.parametrize("method", ["dann+target_labelled", "train_on_target", "dann"])
def test_the_result_counts_the_target_labels_that_were_seen(method, tmp_path):
    config = tiny(
        tmp_path,
        method,
        **{"data.target_labels_per_class": 3, "num_steps": 20, "evaluation.retrained_head": True},
    )
    train_alone(config, make_method, StopRequest())
    result = json.loads((folder.run_folder(config) / "result.json").read_text())
    count = 0 if method == "dann" else 30
    assert result["target_labels_seen"] == count
    assert result["splits"]["target"].get("labelled", 0) == count
    assert result["target_chosen_by_label"] is False
    assert result["selections"]["retrained_head"]["penalty"] > 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"init_from.run": "nowhere"}, "no finished run"),
        ({"data.batch_size": 121}, "training split of source has 120"),
        ({"data.batch_size": 0}, "batch_size is 0"),
        ({"data.digits.train": 1797}, "config.data.digits"),
        ({"target": "digit"}, "config.target is 'digit'; did you mean 'digits'"),
        ({"model.name": "resnet"}, "config.model.name is 'resnet'"),
        ({"model.normalization": "batch"}, "config.model.normalization"),
        ({"optimizer.freeze": ("encoder/.*",)}, "matches no parameter"),
        ({"optimizer.name": "lion"}, "config.optimizer.name"),
        ({"data.center": "both"}, "config.data.center"),
        ({"data.transductive": True, "domains": ("target_labelled",)}, "test labels"),
        ({"data.target_labels_per_class": -1}, "target_labels_per_class is -1"),
        ({"runtime.log_every": 0}, "config.runtime.log_every is 0"),
        ({"objective.label_smoothing": 1.0}, r"objective.label_smoothing is 1.0; it must lie in"),
        ({"objective.mixup": -1.0}, "config.objective.mixup is -1.0"),
        ({"evaluation.patience": -1}, "config.evaluation.patience is -1"),
        ({"evaluation.stop_by": "last"}, "config.evaluation.stop_by is 'last'; legal are"),
        ({"evaluation.scores": ("entrpy",)}, r"scores\[0\] is 'entrpy'; did you mean 'entropy'"),
        ({"evaluation.score_examples": -1}, "config.evaluation.score_examples is -1"),
        ({"evaluation.keep": ("last",)}, r"config.evaluation.keep\[0\] is 'last'; legal are"),
        ({"evaluation.keep": ("consensus",)}, r"keep\[0\] is 'consensus', whose choice"),
        ({"evaluation.keep": ("entropy",)}, "names 'entropy', but this run does not compute the"),
        (
            {"evaluation.patience": 1, "evaluation.stop_by": "consensus"},
            "config.evaluation.stop_by names 'consensus', but this run does not compute",
        ),
        ({"evaluation.guard.diversity": 1.5}, r"guard.diversity is 1.5; it must lie in \[0, 1\]"),
        (
            {"evaluation.patience": 2, "evaluation.reverse_validation": True},
            "reverse validation trains back for all of config.num_steps",
        ),
    ],
)
def test_impossible_config_is_refused_before_anything_is_written(changes, sentence, tmp_path):
    with pytest.raises(UsageError, match=sentence):
        train_alone(tiny(tmp_path, **changes), make_method, StopRequest())
    assert not list(tmp_path.iterdir())
