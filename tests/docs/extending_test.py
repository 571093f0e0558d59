"""docs/extending.md, followed to the letter in a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("common", "configs", "dann", "finetune")
FILES = ("launch.py", "pyproject.toml", "tests/conftest.py", "tests/tiny.py")
FILES += ("tests/dann/contract_test.py",)
BLOCK = re.compile(r"^```(python|diff)\n(.*?)^```$|^`([\w/]+\.py)`", re.DOTALL | re.MULTILINE)


def blocks():
    """Yields the language and the text of each block, and the file that was named last before."""
    path = None
    for language, text, named in BLOCK.findall((ROOT / "docs" / "extending.md").read_text()):
        if named:
            path = named
        else:
            yield language, text, path


def apply_diff(source, diff):
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    assert source.count(before) == 1, f"the document changes what is not there once:\n{before}"
    return source.replace(before, after)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository in which everything of the document was done."""
    root = tmp_path_factory.mktemp("copy")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "tests" / "dann").mkdir(parents=True)
    for name in FILES:
        shutil.copy(ROOT / name, root / name)
    for language, text, name in blocks():
        path = root / name
        if language == "python":
            assert not path.exists(), f"{name} exists: the document needs another example"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        else:
            path.write_text(apply_diff(path.read_text(), text))
    return root


def run_python(root, *arguments):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def launch(root, *arguments):
    return run_python(root, "launch.py", *arguments)


SHORT = (
    *("--config.num_steps=20", "--config.evaluation.every=20", "--config.runtime.log_every=10"),
    *("--config.data.synthetic_digits.per_class=20", "--config.data.synthetic_digits.train=120"),
    *("--config.data.synthetic_digits.val=40", "--config.runtime.tensorboard=false"),
)


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("dann+mean_gap", ("--config.target=turned_digits", "--config.model.name=residual_mlp",
                           "--config.model.options={'units': 32}")),
        pytest.param(
            "prototype", ("--config.adaptation.weight=0.2",), marks=pytest.mark.matrix
        ),
    ],
)  # fmt: skip
def test_what_the_document_adds_trains(method, changes, copy):
    said = launch(copy, "train", f"--config=configs/digits.py:method={method}", *SHORT, *changes)
    assert "done: runs/digits/" in said
    records = next((copy / "runs" / "digits").glob(f"{method}-*/metrics.jsonl")).read_text()
    names = {"dann+mean_gap": "train/mean_gap/distance", "prototype": "train/prototype_loss"}
    assert names[method] in records


def test_what_the_document_adds_is_listed(copy):
    said = launch(copy, "list")
    for name in ("mean_gap", "prototype", "turned_digits", "residual_mlp"):
        assert name in said


def test_the_contract_tests_pick_up_what_the_document_adds(copy):
    words = ("-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-k", "mean_gap")
    name = "test_a_term_composes_with_an_adversary"
    said = run_python(copy, *words, f"tests/dann/contract_test.py::{name}")
    assert "1 passed" in said


def test_the_documents_term_is_for_labels_that_are_no_classes_too(copy):
    changes = {"alignment": {"mean_gap": {}}, "task": {"kind": "regression"}, "method": "mean_gap"}
    code = f"from dann.method import check_kind; check_kind({changes})"
    run_python(copy, "-c", code)


def test_every_file_of_the_document_is_named_in_its_table():
    text = (ROOT / "docs" / "extending.md").read_text()
    table = text[text.index("| you add") : text.index("## A term")]
    for language, _, path in blocks():
        assert path is not None
        assert path in table or (language == "diff" and path == "common/training/hparam.py")
