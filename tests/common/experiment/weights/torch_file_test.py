"""Files of PyTorch: tensors alone are built from them."""

import os
import pickle
import sys

import numpy as np
import pytest

from common.experiment.weights.tensor_file import read_tensors


class Code:
    """Creates a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["a.th", "a.pth", "a.pt", "a.bin"])
def test_without_pytorch_its_files_are_refused_unread(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / name).write_bytes(pickle.dumps({"a": Code(tmp_path / "run")}))
    with pytest.raises(ValueError, match=r'install -e "\.\[torch\]"`, or turn .*launch.py conver'):
        read_tensors(tmp_path / name)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("is_new", [True, False])
def test_both_formats_are_read(torch, is_new, tmp_path):
    tensors = {
        "module.weight": torch.arange(6.0).reshape(2, 3),
        "brain": torch.ones(2, dtype=torch.bfloat16),
        "count": torch.tensor(3),
    }
    path, content = tmp_path / "a.th", {"epoch": 3, "state_dict": tensors}
    torch.save(content, path, _use_new_zipfile_serialization=is_new)
    read = read_tensors(path)
    np.testing.assert_array_equal(read["module.weight"], [[0, 1, 2], [3, 4, 5]])
    assert read["brain"].dtype == np.float32 and read["count"].dtype == np.int64
    whole = path.read_bytes()
    for size in (0, 10, 100, len(whole) // 2):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="a.th (is no whole file of torch.save|holds more)"):
            read_tensors(path)


@pytest.mark.parametrize("is_new", [True, False])
def test_code_is_not_run(torch, is_new, tmp_path):
    path, content = tmp_path / "a.pt", {"w": torch.ones(2), "x": Code(tmp_path / "run")}
    torch.save(content, path, _use_new_zipfile_serialization=is_new)
    with pytest.raises(ValueError, match=r"holds more than tensors \(posix.mkdir\); such a file"):
        read_tensors(path)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(content, protocol))
        with pytest.raises(ValueError, match="a.pt (holds more than tensors|is no whole file)"):
            read_tensors(path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"epoch": 1, "note": "text"}, "holds epoch, note; it must hold tensors by name"),
        ([1, 2], "holds a list; it must"),
        ({}, "holds nothing; it must"),
    ],
)
def test_files_without_a_table_of_tensors_are_refused(torch, content, sentence, tmp_path):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=sentence):
        read_tensors(tmp_path / "a.pt")


def test_what_is_no_dense_tensor_is_refused(torch, tmp_path):
    for other, sentence in ((3, "is a int, among tensors"), (torch.eye(2).to_sparse(), "sparse")):
        torch.save({"a": torch.ones(1), "b": other}, tmp_path / "a.pt")
        with pytest.raises(ValueError, match=f"b {sentence}|b is a {sentence}"):
            read_tensors(tmp_path / "a.pt")
