"""Files of named tensors: what is read of them, and what is refused."""

import json
import os

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from common.experiment.weights import conversion
from common.experiment.weights.location import find_weights, sha256_of
from common.experiment.weights.tensor_file import read_tensors

TENSORS = {
    "single": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.asarray([1.5, -2.0], np.float16),
    "brain": np.asarray([0.5, 3.0], ml_dtypes.bfloat16),
    "count": np.asarray(7, np.int64),
}


class Code:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def check(read):
    assert set(read) == set(TENSORS)
    for name, array in TENSORS.items():
        wanted = np.int64 if name == "count" else np.float32
        assert read[name].dtype == wanted
        np.testing.assert_array_equal(read[name], array.astype(wanted))


def test_safetensors_are_read_and_short_numbers_widened(tmp_path):
    save_file(TENSORS, tmp_path / "a.safetensors")
    check(read_tensors(tmp_path / "a.safetensors"))


def test_npz_is_read(tmp_path):
    np.savez(tmp_path / "a.npz", **{name: TENSORS[name] for name in ("single", "half", "count")})
    read = read_tensors(tmp_path / "a.npz")
    assert read["half"].dtype == np.float32 and list(read["single"][1]) == [3, 4, 5]


def write_parts(folder, names=("one.safetensors", "two.safetensors")):
    halves = [dict(list(TENSORS.items())[:2]), dict(list(TENSORS.items())[2:])]
    for name, half in zip(names, halves, strict=True):
        save_file(half, folder / name)
    place = {key: name for name, half in zip(names, halves, strict=True) for key in half}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": place}))
    return index, place


def test_parts_are_read_by_their_index_and_hashed_with_it(tmp_path):
    index, _ = write_parts(tmp_path)
    check(read_tensors(index))
    files = find_weights(str(index))
    assert [file.name for file in files] == [index.name, "one.safetensors", "two.safetensors"]
    before = sha256_of(files)
    save_file({"single": TENSORS["single"]}, tmp_path / "one.safetensors")
    assert sha256_of(files) != before
    with pytest.raises(ValueError, match="lacks half: none of its parts holds it"):
        read_tensors(index)


@pytest.mark.parametrize("name", ["../one.safetensors", "/etc/passwd", "one.bin", ""])
def test_an_index_names_safetensors_files_beside_it_alone(name, tmp_path):
    index, place = write_parts(tmp_path)
    index.write_text(json.dumps({"weight_map": place | {"single": name}}))
    for read in (read_tensors, lambda path: find_weights(str(path))):
        with pytest.raises(ValueError, match="parts of an index are .safetensors files beside"):
            read(index)


def test_an_index_with_tensors_too_many_is_refused(tmp_path):
    index, place = write_parts(tmp_path)
    del place["count"]
    index.write_text(json.dumps({"weight_map": place}))
    with pytest.raises(ValueError, match="does not name count: its parts hold it"):
        read_tensors(index)


def cut(path, share=2):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // share])


@pytest.mark.parametrize(
    ("name", "write", "sentence"),
    [
        ("a.safetensors", lambda path: (save_file(TENSORS, path), cut(path)), "no whole safeten"),
        ("a.safetensors", lambda path: path.write_bytes(b""), "no whole safetensors file"),
        ("a.safetensors", lambda path: path.write_bytes(b"\xff" * 99), "no whole safetensors"),
        ("a.safetensors", lambda path: save_file({}, path), "holds no tensor"),
        ("a.npz", lambda path: (np.savez(path, a=np.ones(9)), cut(path)), "no whole npz file"),
        ("a.npz", lambda path: path.write_bytes(b"PK"), "no whole npz file"),
        ("a.index.json", lambda path: path.write_text("{}"), "no index of weights in parts"),
        ("a.index.json", lambda path: path.write_text("{"), "no index of weights in parts"),
        ("a.onnx", lambda path: path.write_text(""), "by its name; legal are .safetensors"),
        ("a.safetensor", lambda path: path.write_text(""), "did you mean '.safetensors'"),
    ],
)
def test_broken_files_are_named(name, write, sentence, tmp_path):
    path = tmp_path / name
    write(path)
    with pytest.raises(ValueError, match=sentence) as told:
        read_tensors(path)
    assert str(path) in str(told.value) and "\n" not in str(told.value)


def test_code_in_an_npz_file_is_not_run(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.asarray([Code(tmp_path / "run")], object))
    with pytest.raises(ValueError, match="no whole npz file of numbers"):
        read_tensors(tmp_path / "a.npz")
    assert not (tmp_path / "run").exists()


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere.safetensors does not exist"):
        find_weights("nowhere.safetensors")
    with pytest.raises(ValueError, match="is a folder; name the file in it"):
        find_weights(str(tmp_path))
    index, _ = write_parts(tmp_path)
    (tmp_path / "two.safetensors").unlink()
    with pytest.raises(ValueError, match="two.safetensors does not exist"):
        find_weights(str(index))


def test_a_file_is_converted_once(tmp_path):
    names = {name: TENSORS[name] for name in ("single", "half")}
    np.savez(tmp_path / "a.npz", **names)
    said = conversion.convert_file(str(tmp_path / "a.npz"), None)
    written = tmp_path / "a.safetensors"
    assert str(written) in said and sha256_of([written]) in said
    read = read_tensors(written)
    np.testing.assert_array_equal(read["single"], TENSORS["single"])
    with pytest.raises(ValueError, match="a.safetensors exists; remove it"):
        conversion.convert_file(str(tmp_path / "a.npz"), None)
    with pytest.raises(ValueError, match="must end in .safetensors"):
        conversion.convert_file(str(tmp_path / "a.npz"), str(tmp_path / "b.npz"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "a.safetensors"]
