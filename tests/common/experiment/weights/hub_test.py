"""Weights of the hub, with a hub that is made up."""

import sys
import types

import pytest

from common.experiment.weights import hub


class EntryNotFoundError(Exception):
    pass


class LocalEntryNotFoundError(EntryNotFoundError):
    pass


class RepositoryNotFoundError(Exception):
    pass


class RevisionNotFoundError(Exception):
    pass


@pytest.fixture
def made_up(monkeypatch, tmp_path):
    """Returns the calls that were made, and what each file answers: an exception, or its text."""
    calls, answers = [], {}

    def hf_hub_download(repository, file, *, revision, local_files_only):
        calls.append((repository, file, revision, local_files_only))
        answer = answers.get(file, EntryNotFoundError(file))
        if isinstance(answer, Exception):
            raise answer
        (tmp_path / file).write_text(answer)
        return str(tmp_path / file)

    own = (EntryNotFoundError, LocalEntryNotFoundError)
    own += (RepositoryNotFoundError, RevisionNotFoundError)
    module = types.SimpleNamespace(
        hf_hub_download=hf_hub_download,
        constants=types.SimpleNamespace(HF_HUB_CACHE="cache"),
        errors=types.SimpleNamespace(**{error.__name__: error for error in own}),
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return calls, answers


def test_names_are_taken_apart():
    assert hub.parse_id("hf:timm/resnet18.a1_in1k") == ("timm/resnet18.a1_in1k", None, None)
    assert hub.parse_id("hf:a/b@v1.0:sub/x.npz") == ("a/b", "v1.0", "sub/x.npz")


@pytest.mark.parametrize("name", ["hf:a", "hf:a/b/c", "hf:a/b@", "hf:a/b:", "hf:", "hf:a/b:x y"])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="write hf:<owner>/<name>"):
        hub.parse_id(name)


def test_the_named_file_is_fetched(made_up, tmp_path):
    calls, answers = made_up
    answers["x.npz"] = "bytes"
    assert hub.fetch("hf:a/b@main:x.npz") == tmp_path / "x.npz"
    assert calls == [("a/b", "x.npz", "main", False)]


def test_without_a_name_safetensors_come_first_and_parts_follow_their_index(made_up, tmp_path):
    calls, answers = made_up
    answers["pytorch_model.bin"] = ""
    assert hub.fetch("hf:a/b").name == "pytorch_model.bin"
    answers["model.safetensors.index.json"] = '{"weight_map": {"a": "1.safetensors"}}'
    answers["1.safetensors"] = ""
    calls.clear()
    assert hub.fetch("hf:a/b") == tmp_path / "model.safetensors.index.json"
    assert [call[1] for call in calls][-1] == "1.safetensors"


def test_a_closed_network_is_asked_once(made_up):
    calls, answers = made_up
    answers |= {file: LocalEntryNotFoundError(file) for file in hub.FILES}
    with pytest.raises(ValueError, match="hub cannot be reached, and its cache cache does not ho"):
        hub.fetch("hf:a/b")
    assert [call[3] for call in calls] == [False, True, True]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RepositoryNotFoundError(), "the hub shows no repository a/b"),
        (RevisionNotFoundError(), "a/b has no revision 'v9'"),
        (EntryNotFoundError(), "a/b holds no x.npz; name its file"),
        (OSError("reset\nby peer"), "hf:a/b@v9:x.npz cannot be fetched: reset"),
    ],
)
def test_failures_are_one_sentence(error, sentence, made_up):
    made_up[1]["x.npz"] = error
    with pytest.raises(ValueError, match=sentence) as told:
        hub.fetch("hf:a/b@v9:x.npz")
    assert "\n" not in str(told.value)


def test_without_the_package_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r'pip install -e "\.\[hub\]"`, or fetch the file yours'):
        hub.fetch("hf:a/b")
