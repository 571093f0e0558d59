"""Texts in CSV files, and the words that get a number."""

import logging

import numpy as np
import pytest

from common.data.task import load_task
from common.data.text import read_texts, tokenize
from common.data.vocabulary import PADDING, UNKNOWN, encode, fit_vocabulary
from common.experiment.folder import resolve
from configs import base


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_words_are_lower_case_and_signs_stand_alone():
    assert tokenize("I DON'T like it, at all!") == [
        "i",
        "don't",
        "like",
        "it",
        ",",
        "at",
        "all",
        "!",
    ]
    # Two ways to write one letter, as two systems do.
    assert tokenize("Caf\u00e9") == tokenize("Cafe\u0301") == ["caf\u00e9"]


def test_a_file_gives_texts_labels_and_splits(tmp_path):
    path = write(
        tmp_path / "a.csv",
        "label,text,split,stars",
        'good,"Fine, really ""fine""",train,5',
        "",
        'bad,"Two\nlines",val,1',
        ",Nobody knows,test,",
    )
    examples = read_texts(path)
    assert examples.images.tolist() == ['fine , really " fine "', "two lines", "nobody knows"]
    assert examples.classes == ("bad", "good") and examples.labels.tolist() == [1, 0, -1]
    assert examples.splits is not None
    assert {part: own.tolist() for part, own in examples.splits.items()} == {
        **{"train": [0], "val": [1], "test": [2]}
    }


def test_a_folder_has_a_file_a_split_and_other_columns_may_hold_texts_and_labels(tmp_path):
    write(tmp_path / "test.csv", "body,stars", "great,5")
    write(tmp_path / "train.csv", "body,stars", "great,5", "poor,1")
    examples = read_texts(str(tmp_path), "body", "stars")
    assert examples.images.tolist() == ["great", "poor", "great"]
    assert examples.splits is not None and list(examples.splits) == ["train", "test"]
    assert examples.classes == ("1", "5")
    alone = read_texts(write(tmp_path / "x.csv", "text", "no label"))
    assert alone.classes == () and alone.labels.tolist() == [-1]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["txt,label", "a,b"], "has no column 'text', which config.data.text_column names"),
        (["text,labels", "a,b"], "has no column 'label', .* did you mean 'labels'"),
        (["text,text", "a,b"], "has the column 'text' twice"),
        (["text,label"], "holds no text below its header"),
        (["text,label", "a,b", "a,b,c"], "line 3, has 3 fields and the header 2"),
        (["text,label", '"one\ntwo",b', "three"], "line 4, has 1 fields"),
        (["text,label", "a,b", '"never ends,b'], "from line 3 on, is no CSV"),
        (["text,label", "a,b", "  ,b", '"",b'], "texts without a word, line 3, line 4"),
        (["text,label", "a, b"], "line 2, has the label ' b'; take the white space"),
        (["text,label,split", "a,b,trian"], "line 2: split is 'trian'; did you mean 'train'"),
    ],
)
def test_broken_files_are_refused_with_their_line(lines, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        read_texts(write(tmp_path / "a.csv", *lines))


def test_files_that_are_missing_or_no_text_are_refused(tmp_path):
    with pytest.raises(ValueError, match="nowhere does not exist; name a CSV file or a folder"):
        read_texts("nowhere")
    with pytest.raises(ValueError, match="holds nothing; it must hold some of train.csv, val.csv"):
        read_texts(str(tmp_path))
    (tmp_path / "a.csv").write_bytes(b"text,label\nfine,a\n\xff,b\n")
    with pytest.raises(ValueError, match="line 3, is no UTF-8"):
        read_texts(str(tmp_path / "a.csv"))
    write(tmp_path / "train.csv", "text,label,split", "a,b,val")
    with pytest.raises(
        ValueError, match="has the column 'split', but its name says that it is train"
    ):
        read_texts(str(tmp_path))


def test_a_text_in_two_splits_is_named(tmp_path, caplog):
    rows = ["Good book.,a,train", "bad,b,train", "good BOOK .,a,test", "bad,b,train"]
    with caplog.at_level(logging.WARNING):
        read_texts(write(tmp_path / "a.csv", "text,label,split", *rows))
    assert "1 texts stand there in two splits: line 4 like line 2" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        read_texts(write(tmp_path / "a.csv", "text", "x", "y", "x"))
    assert "twice, and a random split may part them: line 4 like line 2" in caplog.text


def test_frequent_words_get_numbers_and_texts_are_cut_or_filled_up():
    vocabulary = fit_vocabulary(["b a b", "c a d b"], 4)
    assert vocabulary == ("b", "a")
    assert fit_vocabulary(["b a"], 100) == ("a", "b")
    numbers = encode(["a b", "d b a c a"], vocabulary, 4, 4)
    assert numbers.tolist() == [[3, 2, PADDING, PADDING], [UNKNOWN, 2, 3, UNKNOWN]]
    assert numbers.dtype == np.uint16 and encode(["a"], (), 2**17, 4).dtype == np.int32


def make_config(source, target, **changes):
    config = base.get_config()
    config.source, config.target, config.model.name = f"csv:{source}", f"csv:{target}", "lstm"
    config.domains = ("source", "target")
    config.data.update({"vocabulary_size": 50, "max_tokens": 4})
    config.update_from_flattened_dict(changes)
    return resolve(config)


def test_the_sources_training_texts_alone_make_the_vocabulary(tmp_path):
    rows = ["alpha,x,train", "beta,y,train", "gamma,x,val", "delta,y,test"]
    source = write(tmp_path / "a.csv", "text,label,split", *rows)
    rows = ["beta omega,y,train", "omega,,val", "alpha gamma,x,test"]
    target = write(tmp_path / "b.csv", "text,label,split", *rows)
    task = load_task(make_config(source, target))
    assert task["source"].examples.images.tolist() == [
        [own, 0, 0, 0] for own in (2, 3, UNKNOWN, UNKNOWN)
    ]
    numbers = [[3, UNKNOWN, 0, 0], [UNKNOWN, 0, 0, 0], [2, UNKNOWN, 0, 0]]
    assert task["target"].examples.images.tolist() == numbers
    assert task["target"].examples.labels.tolist() == [1, -1, 0]
    again = load_task(make_config(source, target))
    assert again["target"].examples is task["target"].examples


def test_texts_go_with_texts(tmp_path):
    path = write(tmp_path / "a.csv", "text,label", "alpha,x", "beta,y")
    config = make_config(path, path)
    with pytest.raises(ValueError, match=r"texts \(csv:...\) go with texts alone"):
        load_task({**config, "target": "digits"})
    with pytest.raises(ValueError, match="'csv:nowhere': nowhere does not exist"):
        load_task({**config, "source": "csv:nowhere"})
