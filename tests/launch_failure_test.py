"""Failures that a user meets: each ends in one sentence, and nothing is half-written."""

import errno
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common.data import domain
from common.experiment import (
    check,
    checkpoint,
    command_line,
    config_file,
    folder,
    json_file,
    outcome,
    sweep,
)
from common.experiment.check import check_population
from common.experiment.outcome import RunFailed, Stopped, StopRequest, UsageError
from common.experiment.single_run import train_alone
from configs import base
from tests.tiny_run import make_method, tiny

pytestmark = pytest.mark.usefixtures("shared_programs")

ROOT = Path(__file__).parents[1]
TINY = str(ROOT / "tests" / "config" / "tiny_digits.py")
VERBS = ("train", "sweep", "report", "list")
TERM = "alignment.domain_adversarial"


def silent(text):
    del text


def refusal(capsys, *words):
    """Returns the sentence with which a command line is refused."""
    with pytest.raises(SystemExit) as ended:
        command_line.parse(["launch.py", *words], VERBS, TINY)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("launch.py: ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["swep"], "'swep' is no verb; did you mean 'sweep'? legal are train, sweep"),
        (["train", f"--config={TINY}", "--config.nmu_steps=3"], "config.nmu_steps is unknown; did"),
        (
            ["train", f"--config={TINY}", "--config.optimizer.lerning_rate=3"],
            "config.optimizer.lerning_rate is unknown; did you mean 'learning_rate'? legal are",
        ),
        (
            ["train", f"--config={TINY}", f"--config.{TERM}.strenght=3"],
            f"config.{TERM}.strenght is unknown; did you mean 'strength'?",
        ),
        (["train", f"--config={TINY}", "--config.seed.x=3"], "config.seed is a value; it has no"),
        (["train", f"--config={TINY}", f"--config={TINY}"], "--config is given 2 times"),
        (["sweep", f"--config={TINY}", "--config", TINY], "--config is given 2 times"),
        (
            ["train", f"--config={TINY}", "--workdir=a", "--workdir=b"],
            "--workdir is given 2 times: a, b",
        ),
        (["train", f"--config={TINY}x"], "which does not exist; did you mean"),
        (["train", f"--config={ROOT / 'configs'}"], "which is a folder; "),
        (
            ["train", f"--config={TINY}:method=dan"],
            "method is 'dan'; did you mean 'dann'? legal are source_only, ",
        ),
        (["train", "--config="], "--config needs a file, such as"),
        (
            ["train", f"--config={TINY}:method=dann+dann"],
            "method is 'dann+dann'; it must name 'dann' once",
        ),
        (["train", f"--config={TINY}:mehtod=dann"], "'mehtod=dann' is no argument of this config"),
    ],
)
def test_wrong_command_line_is_refused_in_one_sentence(words, sentence, capsys):
    assert sentence in refusal(capsys, *words)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("def get_config(:\n", r"own\.py:1: SyntaxError: "),
        ("x = 1\nimport nothing_of_this_name\n", r"own\.py:2: ModuleNotFoundError: .*nothing_of_"),
        ("\n\ndef get_config(argument=''):\n    return {}['a']\n", r"own\.py:4: KeyError: 'a'"),
        ("def get_config(argument=''):\n    raise OSError('lost')\n", r"own\.py:2: OSError: lost"),
        ("def get_config(argument=''):\n    pass\n", r"get_config of .*own\.py returns None"),
        ("config = 1\n", r"own\.py has no function get_config"),
        (
            "from configs import base\n"
            "def get_config(argument=''):\n"
            "    config = base.get_config().lock()\n"
            "    config.nmu_steps = 3\n",
            r"own\.py:4: AttributeError: .*nmu_steps",
        ),
        (
            "from configs import base\n"
            "def get_config(argument=''):\n"
            "    config = base.get_config()\n"
            "    config.num_steps = 'many'\n",
            r"own\.py:4: TypeError: .*num_steps",
        ),
    ],
)
def test_config_file_that_raises_is_told_with_its_line(text, sentence, tmp_path, capsys):
    path = tmp_path / "own.py"
    path.write_text(text)
    line = refusal(capsys, "train", f"--config={path}")
    assert re.search(sentence, line)
    assert "Traceback" not in line


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("    raise RuntimeError('no')", r"own\.py:4: RuntimeError: no"),
        ("    add('', {'nmu_steps': 3})", r"own\.py:4: KeyError: .*num_steps"),
        ("    add('', {'num_steps': 'x'})", r"own\.py:4: TypeError: .*num_steps"),
        ("    add('method=dan')", r"^method is 'dan'; did you mean 'dann'\?"),
        ("    pass", r"the sweep of .*own\.py adds no run"),
    ],
)
def test_sweep_that_raises_is_told_with_its_line(lines, sentence, tmp_path):
    path = tmp_path / "own.py"
    path.write_text(
        "from tests.config import tiny_digits\n"
        "get_config = lambda argument='': tiny_digits.get_config(argument).lock()\n"
        f"def sweep(add):\n{lines}\n"
    )
    with pytest.raises(ValueError, match=sentence):
        sweep.expand(str(path), None, lambda config: [folder.resolve(config)])


def test_error_inside_a_config_is_not_taken_for_a_refusal(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("def get_config(argument=''):\n    raise ValueError('mine')\n")
    with pytest.raises(ValueError, match=r"own\.py:2: ValueError: mine"):
        config_file.load_config(str(path))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c.update(nmu_steps=3), "config.nmu_steps is unknown; did you mean 'num_steps'?"),
        (lambda c: c.pop("num_steps"), "config.num_steps is missing"),
        (lambda c: c["data"].update(digits={"train": 9}), "config.data.digits.val is missing"),
        (
            lambda c: c["data"].update(digits={"train": 9, "val": 9, "vla": 1}),
            "config.data.digits.vla is unknown; did you mean 'val'?",
        ),
        (lambda c: c.update(num_steps=2.0), "config.num_steps is 2.0; it must be a whole number"),
        (lambda c: c.update(num_steps=True), "config.num_steps is True; it must be a whole number"),
        (lambda c: c.update(domains="source"), "config.domains is 'source'; it must be a list"),
        (lambda c: c.update(data=3), "config.data is 3; it must be a dict"),
        (lambda c: c["optimizer"].update(gamma="1"), "config.optimizer.gamma is '1'; it must be a"),
    ],
)
def test_config_with_other_keys_or_types_than_the_defaults_is_refused(change, sentence):
    config = base.get_config().to_dict()
    check.check_keys(config, base.get_config().to_dict())
    change(config)
    with pytest.raises(ValueError) as error:
        check.check_keys(config, base.get_config().to_dict())
    assert sentence in str(error.value)


OPTIMIZER = (
    *("learning_rate", "epsilon", "weight_decay", "gamma", "power", "clip_norm"),
    *("momentum", "warmup", "ema_decay"),
)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        *[({key: value}, f"config.{key} is {value}") for key in check.LEAST for value in (-1,)],
        *[({key: 0}, f"config.{key} is 0") for key, least in check.LEAST.items() if least],
        *[({f"optimizer.{key}": -0.1}, f"config.optimizer.{key} is -0.1") for key in OPTIMIZER],
        *[({f"optimizer.{key}": math.nan}, f"optimizer.{key} is nan") for key in OPTIMIZER],
        *[
            ({f"optimizer.{key}": 1.0}, f"config.optimizer.{key} is 1.0; it must lie in [0, 1)")
            for key in ("momentum", "warmup", "ema_decay")
        ],
        ({"optimizer.betas": (0.9, 1.0)}, "config.optimizer.betas[1] is 1.0"),
        ({"optimizer.betas": (0.9,)}, "config.optimizer.betas is [0.9]; it must hold two numbers"),
        ({"seed": -1}, "config.seed is -1; it must lie between"),
        *[
            ({f"{TERM}.{key}": value}, f"config.{TERM}.{key} is {value}")
            for key in ("weight", "strength", "gamma")
            for value in (math.nan, -1.0)
        ],
        ({f"{TERM}.hidden": (8, 0)}, f"config.{TERM}.hidden[1] is 0"),
        ({f"{TERM}.schedule": "rmp"}, f"config.{TERM}.schedule is 'rmp'; did you mean 'ramp'?"),
        ({f"{TERM}.domain_reduction": "men"}, "domain_reduction is 'men'; did you mean 'mean'?"),
        ({f"{TERM}.kernel_init": "zero"}, "kernel_init is 'zero'; did you mean 'zeros'?"),
        ({f"{TERM}.kernel_init": "zeros"}, "never learns from kernel_init='zeros'"),
        ({f"{TERM}.strenght": 1.0}, f"config.{TERM}.strenght is unknown; did you mean 'strength'?"),
        ({"alignment.mcd": {}}, "config.alignment.mcd is unknown; did you mean 'mmd'? legal are"),
        ({"optimizer.name": "adamm"}, "config.optimizer.name is 'adamm'; did you mean 'adam'?"),
        (
            {"optimizer.schedule": "cos"},
            "config.optimizer.schedule is 'cos'; did you mean 'cosine'",
        ),
        ({"optimizer.decay": "x"}, "config.optimizer.decay: 'x' matches no parameter"),
        ({"optimizer.freeze": ("(",)}, "config.optimizer.freeze[0]: '(' is no regular expression"),
        ({"optimizer.freeze": (".*",)}, "nothing is left to train"),
        ({"optimizer.groups.a": {"pattern": ".*"}}, "groups.a.learning_rate_factor is missing"),
        (
            {"optimizer.groups.a": {"pattern": ".*", "factor": 1.0, "learning_rate_factor": 1.0}},
            "config.optimizer.groups.a.factor is unknown",
        ),
        (
            {"optimizer.groups.a": {"pattern": "x", "learning_rate_factor": 1.0}},
            "config.optimizer.groups.a.pattern: 'x' matches no parameter",
        ),
        (
            {"optimizer.groups.a": {"pattern": ".*", "learning_rate_factor": -1.0}},
            "config.optimizer.groups.a.learning_rate_factor is -1.0",
        ),
        (
            {"optimizer.groups": {"a-b": {"pattern": ".*", "learning_rate_factor": 1.0}}},
            "config.optimizer.groups has the name 'a-b'; it must be letters, digits and _",
        ),
        ({"optimizer.groups": {"a": 3}}, "config.optimizer.groups.a is 3; it must be a dict, of"),
        ({"optimizer.freeze": (3,)}, "config.optimizer.freeze[0] is 3; it must be text"),
        (
            {"optimizer.groups": {"a": {"pattern": 3, "learning_rate_factor": 1.0}}},
            "config.optimizer.groups.a.pattern is 3; it must be text",
        ),
        (
            {
                "optimizer.freeze": ("task_head/.*",),
                "optimizer.max_norm": 1.0,
                "optimizer.max_norm_pattern": "task_head/.*kernel",
            },
            "'task_head/.*kernel' matches no parameter but frozen ones",
        ),
        *[
            ({"data.augment": {"shift": options}}, f"augment.shift is {options}; it must be a dict")
            for options in (3, None)
        ],
        ({"data.augment": {"shfit": {}}}, "data.augment.shfit is unknown; did you mean 'shift'?"),
        ({"data.augment": {"shift": {"pixels": 1}}}, "augment.shift.probability is missing"),
        (
            {"data.strong_augment": {"shift": {"pixles": 1, "probability": 0.5}}},
            "config.data.strong_augment.shift.pixles is unknown; did you mean 'pixels'?",
        ),
        (
            {"data.augment": {"shift": {"pixels": -1, "probability": 0.5}}},
            "config.data.augment.shift.pixels is -1",
        ),
        (
            {"data.augment": {"shift": {"pixels": 1, "probability": 1.5}}},
            "config.data.augment.shift.probability is 1.5; it must lie in [0, 1]",
        ),
        ({"data.center": "sorce"}, "config.data.center is 'sorce'; did you mean 'source'?"),
        (
            {"data.digits": {"train": 1, "val": 0}},
            "config.data.digits asks for 1 examples to train",
        ),
        (
            {"data.digits": {"train": 1797, "val": 1}},
            "the rest, which is the test split, must hold",
        ),
        ({"data.synthetic_digits.preparation": "plan"}, "config.data.synthetic_digits: "),
        ({"data.batch_size": 121}, "config.data.batch_size is 121; the training split of source"),
        ({"source": "digit"}, "config.source is 'digit'; did you mean 'digits'? legal are digits"),
        ({"target": "moons"}, "config.source is 'synthetic_digits' with the classes 0, 1"),
        ({"domains": ("sorce",)}, "config.domains is 'sorce'; did you mean 'source'?"),
        ({"domains": ()}, "config.domains is empty"),
        ({"domains": ("source", "source")}, "config.domains names 'source' twice"),
        *[
            ({"experiment": name}, f"config.experiment is {name!r}; it must be the name of one")
            for name in ("", ".", "..", "a/b", "../../x", "a\\b")
        ],
        (
            {"source": "moons", "data.moons.train": 10**15},
            "config.data.moons asks for more examples than this machine's memory holds",
        ),
        *[
            (
                {"target": "moons", f"data.moons.{key}": value},
                f"config.data.moons: {key} is {value}",
            )
            for key, value in (
                *(("angle", math.inf), ("angle", math.nan)),
                *(("noise", math.nan), ("noise", -1.0)),
            )
        ],
        ({"runtime.parallel": "jti"}, "config.runtime.parallel is 'jti'"),
        ({"runtime.data_path": "steramed"}, "data_path is 'steramed'; did you mean 'streamed'?"),
        ({"runtime.devices": 4096}, "config.runtime.devices is 4096; this machine has"),
        ({"init_from.run": "nowhere"}, "config.init_from.run is 'nowhere': no finished run"),
        ({"init_from.include": "("}, "config.init_from.include: '(' is no regular expression"),
    ],
)
def test_config_that_cannot_be_trained_is_refused_and_nothing_is_written(
    changes, sentence, tmp_path
):
    with pytest.raises(UsageError) as error:
        check_population([tiny(tmp_path, **changes)], make_method)
    assert sentence in str(error.value)
    assert not list(tmp_path.iterdir())


def test_domains_of_other_shapes_are_refused(tmp_path, monkeypatch):
    load = domain.DOMAINS["digits"]
    cut = lambda options: load(options)._replace(images=load(options).images[:, :4])  # noqa: E731
    monkeypatch.setitem(domain.DOMAINS, "digits", cut)
    domain._load.cache_clear()
    try:
        with pytest.raises(UsageError, match=r"shape \(8, 8, 1\), config.target 'digits' with \(4"):
            check_population([tiny(tmp_path)], make_method)
    finally:
        domain._load.cache_clear()


def test_every_member_is_checked(tmp_path):
    configs = [tiny(tmp_path, **{f"{TERM}.strength": value}) for value in (1.0, math.nan)]
    with pytest.raises(UsageError, match="strength is nan"):
        check_population(configs, make_method)


def test_sweep_with_one_impossible_row_writes_nothing(tmp_path):
    good = tiny(tmp_path, "source_only", num_steps=20)
    bad = tiny(tmp_path, **{"optimizer.groups.discriminator.pattern": "nothing/.*"})
    with pytest.raises(UsageError, match="'nothing/.*' matches no parameter"):
        sweep.run_sweep([good, bad], make_method, StopRequest(), [], silent)
    assert not list(tmp_path.iterdir())


def test_work_folder_that_is_a_file_fails_with_the_reason(tmp_path):
    (tmp_path / "file").write_text("mine")
    config = tiny(tmp_path / "file", "source_only", num_steps=20)
    with pytest.raises(RunFailed, match=r"cannot write .*file.*: Not a directory"):
        train_alone(config, make_method, StopRequest())
    with pytest.raises(RunFailed, match=r"cannot write .*file.*: Not a directory"):
        sweep.run_sweep([config], make_method, StopRequest(), [], silent)
    assert (tmp_path / "file").read_text() == "mine"


def stopped(config):
    """Trains a run up to its first boundary."""
    request = StopRequest()
    request.received = "SIGTERM"
    with pytest.raises(Stopped):
        train_alone(config, make_method, request)


def refuse_writing(monkeypatch, how):
    """Makes a full disk out of this one."""

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if how == "moving":
        monkeypatch.setattr(folder.os, "replace", full)
    elif how == "checkpoint":
        monkeypatch.setattr(checkpoint.ocp.CheckpointManager, "save", full)
    elif how == "weights":
        monkeypatch.setattr(checkpoint.ocp.StandardCheckpointer, "save", full)
    elif how == "arrays":
        monkeypatch.setattr("numpy.savez_compressed", full)
    else:
        usage = shutil.disk_usage(".")
        monkeypatch.setattr(outcome.shutil, "disk_usage", lambda path: usage._replace(free=1000))


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """The result of a run that nothing disturbed."""
    config = tiny(tmp_path_factory.mktemp("twin"), "source_only", num_steps=30)
    train_alone(config, make_method, StopRequest())
    return json_file.read_json(folder.run_folder(config) / "result.json")


@pytest.mark.parametrize("how", ["moving", "checkpoint", "weights", "arrays", "space"])
def test_full_disk_stops_the_run_which_goes_on_once_there_is_space(
    how, twin, tmp_path, monkeypatch
):
    config = tiny(tmp_path, "source_only", num_steps=30)
    stopped(config)
    with monkeypatch.context() as patch:
        refuse_writing(patch, how)
        with pytest.raises(RunFailed, match=r"^cannot write .*: No space left on device$"):
            train_alone(config, make_method, StopRequest())
    assert not folder.is_done(config)
    assert not list(tmp_path.rglob(".*"))
    train_alone(config, make_method, StopRequest())
    result = json_file.read_json(folder.run_folder(config) / "result.json")
    assert result == twin


def test_full_disk_under_the_records_stops_the_run_and_keeps_the_checkpoint(tmp_path, twin):
    config = tiny(tmp_path, "source_only", num_steps=30)
    stopped(config)
    records = folder.run_folder(config) / "metrics.jsonl"
    kept = records.read_text()
    records.unlink()
    records.symlink_to("/dev/full")
    with pytest.raises(RunFailed, match=r"cannot write .*metrics.jsonl: No space left on device"):
        train_alone(config, make_method, StopRequest())
    records.unlink()
    # The disk became full in the middle of a line.
    records.write_text(kept + '{"step": 20, "prog')
    train_alone(config, make_method, StopRequest())
    assert json_file.read_json(folder.run_folder(config) / "result.json") == twin
    assert records.read_text().count("\n") == 3


def test_full_disk_in_the_middle_of_a_sweep_stops_all_of_it(tmp_path, monkeypatch):
    configs = [
        tiny(tmp_path, "source_only", **{"num_steps": 20, "model.options.hidden": (8, units)})
        for units in (4, 8, 12)
    ]
    train_population, begun = sweep.train_population, []

    def train(*arguments):
        begun.append(arguments)
        if len(begun) == 2:
            refuse_writing(monkeypatch, "space")
        return train_population(*arguments)

    monkeypatch.setattr(sweep, "train_population", train)
    with pytest.raises(RunFailed, match="No space left on device"):
        sweep.run_sweep(configs, make_method, StopRequest(), [], silent)
    monkeypatch.undo()
    assert len(begun) == 2
    assert [folder.is_done(config) for config in configs] == [True, False, False]
    assert sweep.plan(configs) == [[configs[1]], [configs[2]]]


def test_checkpoint_that_cannot_be_read_is_named(tmp_path):
    config = tiny(tmp_path, "source_only", num_steps=30)
    stopped(config)
    saved = folder.population_folder([config]) / "checkpoints" / "10"
    shutil.rmtree(saved / "default")
    with pytest.raises(RunFailed, match=r"cannot read .*checkpoints/10; delete it"):
        train_alone(config, make_method, StopRequest())


@pytest.mark.parametrize("text", ["{", "[]", '{"populations": 3}', '{"populations": [3]}'])
def test_plan_that_cannot_be_read_is_refused_and_stays(text, tmp_path):
    config = tiny(tmp_path, "source_only", num_steps=20)
    path = tmp_path / "tiny" / "sweep.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(UsageError, match=r"sweep.json .*delete it to begin anew"):
        sweep.plan([config])
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (UsageError("config.seed is -1"), 2, "launch.py: config.seed is -1\n"),
        (RunFailed("cannot write x"), 1, "failed: cannot write x\n"),
        (Stopped("SIGTERM at step 3"), 75, "stopped: SIGTERM at step 3\n"),
        (OSError(errno.ENOSPC, "No space left", "x"), 1, "failed: x: No space left\n"),
    ],
)
def test_every_end_has_its_code_and_at_most_one_sentence(error, code, sentence, capsys):
    def action():
        raise error

    assert command_line.end(action) == code
    said = capsys.readouterr().err
    assert said.startswith(sentence) and said.count("\n") == 1


INTERRUPTED = """
import os, signal, sys
from common.experiment import command_line, outcome
def once():
    os.kill(os.getpid(), signal.SIGINT)
def twice():
    with outcome.listen() as request:
        once()
        print(request.received, flush=True)
        once()
command_line.end({"once": once, "twice": twice}[sys.argv[1]])
"""


@pytest.mark.parametrize(("times", "printed"), [("once", ""), ("twice", "SIGINT\n")])
def test_interrupt_of_the_keyboard_ends_without_a_traceback(times, printed):
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, times], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (75, printed)
    assert done.stderr.startswith("stopped: SIGINT: what was saved is whole")
    assert done.stderr.count("\n") == 1


def test_reader_that_goes_away_ends_the_command_without_a_word():
    command = f"{sys.executable} launch.py list | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.stderr, done.stdout) == ("", "")
