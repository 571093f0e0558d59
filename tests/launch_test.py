import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["trian"], "did you mean 'train'?"),
        (["train"], "train needs --config=FILE"),
        (["train", DIGITS, "config.seed=7"], "'config.seed=7' is none"),
        (["train", DIGITS, "--config.nmu_steps=3"], "did you mean 'num_steps'?"),
        (["train", DIGITS, "--config.colour=3"], "the config has no key 'colour'"),
        (["train", DIGITS, "--config.num_steps=abc"], "config.num_steps=abc"),
        (["train", DIGITS, "--config.num_steps=0"], "config.num_steps is 0"),
        (["train", DIGITS, "--config.evaluation.every=0"], "config.evaluation.every is 0"),
        (["train", DIGITS, "--config.seed=4294967296"], "config.seed is 4294967296"),
        (["train", DIGITS, "--config.init_from.include=("], "no regular expression"),
        (["train", DIGITS, "--config.method=source_only"], "the name of another row"),
        (["train", DIGITS + ":method=dan"], "legal are source_only"),
        (["train", DIGITS + ":methd=dann"], "is no argument of this config"),
        (["train", "--config=configs/nowhere.py"], "no config file 'configs/nowhere.py'"),
        (["sweep", DIGITS + ":method=dann"], "has a grid of its own"),
        (["sweep", DIGITS, "--config.data.batch_size=1000"], "has 900 examples"),
        (["report"], "report needs folders such as"),
        (["report", "nowhere"], "not nowhere"),
        (["list", "colours"], "cannot list 'colours'"),
    ],
)
def test_wrong_usage_ends_with_one_sentence_and_writes_nothing(words, sentence, tmp_path):
    done = launch(*words, *([f"--workdir={tmp_path}"] if words[0] in ("train", "sweep") else []))
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_config_file_that_raises_is_named_by_its_error(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("import nothing_of_this_name\n")
    done = launch("train", f"--config={path}")
    assert done.returncode == 2
    assert "nothing_of_this_name" in done.stderr


def test_help_and_list():
    assert "usage: python launch.py" in launch("--help").stdout
    listed = launch("list")
    assert listed.returncode == 0
    assert "methods: source_only, statistics_only" in listed.stdout


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
    assert "3 runs, 0 to train" in launch(*words).stdout
