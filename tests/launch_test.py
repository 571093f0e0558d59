import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.experiment import folder, lock
from configs import catalogue
from tests.config import tiny_digits

ROOT = Path(__file__).parents[1]
DIGITS = "--config=configs/digits.py"


def launch(*words):
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2"}
    return subprocess.run(
        [sys.executable, "launch.py", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )


# The heavy imports once, and then a process for each command line.
FORKED = """
import json, os, runpy, sys, tempfile
import common.experiment.report, common.experiment.single_run, dann.method, finetune.method
ends = []
for words in json.loads(sys.argv[1]):
    files = [tempfile.TemporaryFile("w+") for _ in range(2)]
    if not os.fork():
        for number, file in enumerate(files, 1):
            os.dup2(file.fileno(), number)
        sys.argv = ["launch.py", *words]
        runpy.run_path("launch.py", run_name="__main__")
    code = os.waitstatus_to_exitcode(os.wait()[1])
    for file in files:
        file.seek(0)
    ends.append([code, *(file.read() for file in files)])
print(json.dumps(ends))
"""
WRONG = [
    (["trian"], "did you mean 'train'?"),
    (["train"], "train needs --config=FILE"),
    (["train", DIGITS, "config.seed=7"], "'config.seed=7' is none"),
    (["train", DIGITS, "--config.nmu_steps=3"], "did you mean 'num_steps'?"),
    (["train", DIGITS, "--config.num_steps=abc"], "num_steps is 'abc'; it must be a whole"),
    (["train", DIGITS, "--config.runtime.progress=maybe"], "it must be true or false"),
    (["train", DIGITS, "--cofnig.seed=1"], "--cofnig.seed is no flag; "),
    (["train", DIGITS, "--config.num_steps=0"], "config.num_steps is 0"),
    (["train", DIGITS, "--config.method=source_only"], "the name of another row"),
    (["train", "--config=configs/nowhere.py"], "'configs/nowhere.py', which does not exist"),
    (["sweep", DIGITS + ":method=dann"], "'method=dann' is no argument of this config"),
    (["sweep", DIGITS, "--config.data.batch_size=1000"], "has 900 examples"),
    (["train", DIGITS + ":method=mmd", "--config.data.batch_size=1"], "take at least 2"),
    (["search", DIGITS, "--config.runtime.coordinator=auto"], "is for train and sweep; start"),
    (["report"], "report needs folders such as"),
    (
        ["sweep", DIGITS, "--output=docs"],
        "a flag of report, convert, predict, evaluate, export, not of",
    ),
    (["report", "nowhere"], "not nowhere"),
    (["report", "docs"], "no run is in docs; name a folder of runs"),
    (["report", "--compare", "docs"], "report --compare takes two folders"),
    (["report", "--compare", "docs", "tests"], "no run is in docs; name a folder of runs"),
    (["train", DIGITS, "--compare"], "--compare is a flag of report, not of train"),
    (["rank"], "rank needs starts: --run=FOLDER or --weights=FILE"),
    (["rank", "--run=nowhere"], "nowhere is no folder of a finished run"),
    (["rank", "--run=docs", "--run=docs"], "--run=docs is given twice"),
    (["rank", "--weights=nowhere.npz"], "rank needs --config=FILE beside --weights"),
    (["rank", "--run=docs", "--layout=timm"], "--layout=timm is about --weights"),
    (
        ["train", DIGITS, "--run=docs"],
        "--run is a flag of rank, predict, evaluate, export, not of train",
    ),
    (["predict", "digits"], "predict needs one finished run: --run=FOLDER"),
    (["evaluate", "--run=docs", "digits", "moons"], "takes one domain or path, not digits moons"),
    (["export", "--run=docs"], "docs is no folder of a finished run"),
    (["predict", "--run=docs", "--layout=timm"], "--layout is a flag of rank, export, not of"),
    (["list", "modles"], "the kind to list is 'modles'; did you mean 'models'?"),
]


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """The folder of runs, the exit code and what was said, by the words of a command line."""
    lines = []
    for words, _ in WRONG:
        own = [f"--workdir={tmp_path_factory.mktemp('work')}"]
        lines.append([*words, *(own if words[0] in ("train", "sweep") else [])])
    done = subprocess.run(
        [sys.executable, "-c", FORKED, json.dumps(lines)],
        cwd=ROOT,
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        tuple(words): (line[-1].partition("--workdir=")[2], *end)
        for (words, _), line, end in zip(WRONG, lines, json.loads(done.stdout), strict=True)
    }


def test_wrong_usage_ends_with_one_sentence_and_writes_nothing(ends):
    for words, sentence in WRONG:
        workdir, code, _, said = ends[tuple(words)]
        assert code == 2, words
        assert sentence in said
        assert "Traceback" not in said
        assert len(said.strip().splitlines()) == 1
        assert not workdir or not any(Path(workdir).iterdir()), words


def test_config_file_that_raises_is_named_with_its_line(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("import nothing_of_this_name\n")
    done = launch("train", f"--config={path}")
    assert done.returncode == 2
    assert f"{path}:1: ModuleNotFoundError" in done.stderr
    assert "Traceback" not in done.stderr


def test_second_process_on_a_run_is_refused(tmp_path):
    words = ["train", "--config=tests/config/tiny_digits.py", f"--workdir={tmp_path}"]
    config = tiny_digits.get_config()
    config.runtime.workdir = str(tmp_path)
    run = folder.run_folder(folder.resolve(config))
    with lock.hold([run]):
        done = launch(*words)
    assert done.returncode == 1
    assert done.stderr.startswith(f"failed: {run} is in use by process {os.getpid()} on ")
    assert len(done.stderr.strip().splitlines()) == 1


def test_help_and_refusals_do_not_wait_for_heavy_packages():
    # Whole commands end at once; what list and report do is theirs, their parsing is not.
    code = (
        "import sys, launch\n"
        "digits = '--config=configs/digits.py'\n"
        "for words in (['--help'], ['train', digits, '--config.x=1'], ['train', digits],\n"
        "              ['list', 'models'], ['report']):\n"
        "    try: launch.PARSE(['launch.py', *words])\n"
        "    except SystemExit: pass\n"
        "heavy = {'jax', 'jaxlib', 'flax', 'optax', 'orbax', 'tensorflow', 'tensorflow_datasets',\n"
        "         'matplotlib', 'sklearn', 'scipy', 'grain', 'clu', 'tensorboardX', 'torch'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_help_and_list():
    assert "usage: python launch.py" in launch("--help").stdout
    listed = launch("list")
    assert listed.returncode == 0
    lines = listed.stdout.splitlines()
    named = [line.split()[0] for line in lines if line.startswith("  ")]
    methods = [*catalogue.ROWS, "<terms>+target_labelled"]
    assert named[: len(methods)] == methods
    assert "  <terms>+target_labelled   semi-supervised" in lines
    paper, setting = catalogue.PAPERS["dann"]
    (line,) = (line for line in lines if line.startswith("  dann "))
    assert line.split()[1:] == [*setting.split(), *paper.split()]
    alone = launch("list", "methods").stdout.splitlines()
    assert alone == lines[: len(alone)] and max(map(len, alone)) <= 100
    facts = catalogue.PAPERS | catalogue.JOINED
    assert {row.index(facts[row.split()[0]][1], 2) for row in alone[1:]} == {line.index(setting)}


def test_sweep_reports_and_an_override_reaches_the_rows_that_have_its_key(tmp_path):
    words = [
        "sweep",
        "--config=tests/config/tiny_digits.py",
        f"--workdir={tmp_path}",
        "--config.num_steps=20",
        "--config.alignment.domain_adversarial.strength=0.5",
    ]
    done = launch(*words)
    assert done.returncode == 0, done.stderr
    assert "3 runs, 3 to train, in 1 programs" in done.stdout
    assert "fewer than three seeds" not in done.stdout
    assert (tmp_path / "tiny" / "report" / "report.md").is_file()
    run = next((tmp_path / "tiny").glob("dann-seed0-*"))
    result = json.loads((run / "result.json").read_text())["selections"]["last"]
    done = launch("evaluate", f"--run={run}", f"--output={tmp_path / 'metrics.json'}")
    assert done.stdout.startswith(f"{run} (last, step 20) on "), done.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    assert metrics["oracle/accuracy"] == pytest.approx(result["oracle/target_test_accuracy"])
    assert not launch("predict", f"--run={run}", f"--output={tmp_path / 'labels.csv'}").returncode
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 1 + metrics["oracle/examples"]
    elsewhere = tmp_path / "docs" / "tiny"
    done = launch("report", str(tmp_path / "tiny"), f"--output={elsewhere}")
    assert done.stdout.endswith(f"report: {elsewhere / 'report.md'}\n")
    assert (elsewhere / "figures" / "accuracy_by_method.png").is_file()
