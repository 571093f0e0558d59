import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.data.data_folder import list_prepared
from tests.common.data import tiny_dataset_builder as tiny

ROOT = Path(__file__).parents[1]
# The command, with a tiny data set among our own.
COMMAND = """
import os, resource, runpy, sys
from common.data import catalogue
catalogue.OWN_BUILDERS["tiny"] = "tests.common.data.tiny_dataset_builder"
if limit := int(os.environ.get("LARGEST_FILE", 0)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.argv[0] = "launch.py"
runpy.run_path("launch.py", run_name="__main__")
"""


@pytest.fixture
def manual(tmp_path):
    (tmp_path / "manual").mkdir()
    (tmp_path / "manual" / "tiny.txt").touch()
    return tmp_path / "manual"


def start(*words, **options):
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def launch(*words, **options):
    process = start(*words, **options)
    out, error = process.communicate(timeout=120)
    assert "Traceback" not in error
    return process.returncode, out, error


def prepare(manual, data, name="tiny/grey"):
    return ["prepare", f"--dataset={name}", f"--manual_dir={manual}", f"--data_dir={data}"]


def hold(process, manual):
    """Waits until a preparation is in the middle of it."""
    end = time.monotonic() + 100
    while not (manual / "holding").exists():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.01)


def test_a_killed_preparation_leaves_nothing_that_looks_finished(manual, tmp_path):
    data = tmp_path / "data"
    (manual / "hold").touch()
    process = start(*prepare(manual, data))
    hold(process, manual)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (row,) = list_prepared(str(data))
    assert row.unreadable == "its preparation was stopped or still runs"
    code, out, _ = launch("list", "datasets", f"--data_dir={data}")
    assert code == 0
    assert "  tiny  NOT READABLE: its preparation was stopped or still runs" in out
    (manual / "hold").unlink()
    code, out, error = launch(*prepare(manual, data))
    assert (code, error) == (0, "")
    (row,) = list_prepared(str(data))
    assert (row.name, row.unreadable) == ("tiny/grey", "")
    assert not list(data.rglob("*incomplete*"))


def test_two_preparations_of_a_set_do_not_collide(manual, tmp_path):
    data = tmp_path / "data"
    (manual / "hold").touch()
    first = start(*prepare(manual, data))
    hold(first, manual)
    code, out, error = launch(*prepare(manual, data, "tiny/colour"))
    assert (code, out) == (1, "")
    assert error.startswith(f"failed: {data}/tiny is in use by process {first.pid} on ")
    assert len(error.strip().splitlines()) == 1
    (manual / "hold").unlink()
    out, error = first.communicate(timeout=100)
    assert (first.returncode, error) == (0, "")
    assert [row.name for row in list_prepared(str(data))] == ["tiny/grey"]


def test_a_damaged_set_is_listed_with_its_folder_and_mended_by_the_same_command(manual, tmp_path):
    data = tmp_path / "data"
    (tiny.build("grey", data, manual) / "dataset_info.json").unlink()
    code, out, _ = launch("list", "datasets", f"--data_dir={data}")
    assert code == 0
    (line,) = (line for line in out.splitlines() if line.startswith("  tiny/grey 1.2.3  "))
    assert "NOT READABLE: dataset_info.json is missing (0.4 MiB in " in line
    assert line.endswith(f" in {data}/tiny/grey/1.2.3)")
    code, out, error = launch(*prepare(manual, data))
    assert (code, error) == (0, "")
    (row,) = list_prepared(str(data))
    assert row.unreadable == ""


def test_several_names_are_prepared_in_turn_and_finished_ones_are_told(manual, tmp_path):
    data = tmp_path / "data"
    tiny.build("grey", data, manual)
    code, out, error = launch(*prepare(manual, data, "tiny/grey, tfds:tiny/sizes"))
    assert (code, error) == (0, "")
    lines = out.splitlines()
    assert lines[0].endswith("finished before, its files are unchanged")
    assert lines[1] == f"tiny/sizes: preparing it in {data}/tiny/sizes/1.2.3"
    assert lines[2].endswith("finished")
    code, out, _ = launch("list", "datasets", f"--data_dir={data}")
    assert "  tiny/grey 1.2.3   train 12, validation 4, test 6, 0.4 MiB" in out.splitlines()
    assert "as tfds:NAME" in out
    assert "synthetic_digits, digits, moons" in out
    assert "office_caltech10" in out


def test_missing_manual_files_are_listed_with_the_instructions_below(manual, tmp_path):
    (manual / "tiny.txt").rename(manual / "else.txt")
    code, out, error = launch(*prepare(manual, tmp_path / "data"))
    assert code == 2
    assert error.splitlines() == [
        f"launch.py: the manual folder {manual} lacks tiny.txt (a text); it holds else.txt",
        *("write anything into", "a file tiny.txt"),
    ]
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["prepare"], "prepare needs --dataset=NAME, such as --dataset=mnist_m"),
        (["prepare", "mnist"], "prepare takes flags alone; 'mnist' is none"),
        (["prepare", "--dataset=tiny/grey,mnits"], "no data set 'mnits'; did you mean 'mnist'"),
        (["prepare", "--datset=mnist"], "--datset is no flag; did you mean 'dataset'?"),
        (["train", "--dataset=mnist"], "--dataset is a flag of prepare, not of train"),
        (
            ["list", "datasets", "--data_dir=setup.cfg"],
            "the data folder setup.cfg is a file; name a",
        ),
        (["sweep", "--data_dir=x"], "not of sweep; write --config.runtime.data_dir"),
    ],
)
def test_wrong_usage_ends_with_one_sentence_and_writes_nothing(words, sentence, tmp_path):
    code, out, error = launch(*words, env={**os.environ, "TFDS_DATA_DIR": str(tmp_path)})
    assert (code, out) == (2, "")
    assert sentence in error
    assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_said(manual, tmp_path):
    (tmp_path / "file").touch()
    code, _, error = launch(*prepare(manual, tmp_path / "file"))
    assert code == 1
    assert error == f"failed: cannot write {tmp_path}/file/tiny: Not a directory\n"


def test_a_disk_that_takes_no_more_is_said_and_nothing_is_left(manual, tmp_path):
    data = tmp_path / "data"
    code, _, error = launch(*prepare(manual, data), env={**os.environ, "LARGEST_FILE": "50000"})
    assert code == 1
    assert error == f"failed: cannot write {data}: File too large\n"
    assert not data.exists()
