import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.experiment.reporting.latex import WRITTEN, escape_latex, latex_table, write_latex
from tests.made_up_runs import HOSTILE, hostile_experiment, summarize, write_experiment

# What LaTeX would act on, unless a backslash stands before it.
ACTIVE = re.compile(r"(?<!\\)[&%#_~^]")


def read_latex(text):
    """Reads escaped text as LaTeX would typeset it: an own reader, longest forms first."""
    forms = sorted(((form, letter) for letter, form in WRITTEN.items()), key=lambda x: -len(x[0]))
    found = ""
    while text:
        form, letter = next((own for own in forms if text.startswith(own[0])), (text[0], text[0]))
        assert form not in set("\\{}$&#%_^~"), f"{text!r} begins with a letter that LaTeX acts on"
        found, text = found + letter, text.removeprefix(form)
    return found


@settings(max_examples=50)
@given(st.text(max_size=20) | st.text("\\{}$&#%_^~<>|-[]'\"` ", max_size=6))
def test_escaped_text_is_read_as_it_was(text):
    line = "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
    assert read_latex(escape_latex(text)) == line


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("source_only", r"source\_only"),
        ("75.2 ± 5.9", r"75.2 $\pm$ 5.9"),
        ("-0.5 [-3.9, +2.9]", "{-}0.5 {[}{-}3.9, +2.9{]}"),
        ("a & b\\\\c", r"a \& b\textbackslash{}\textbackslash{}c"),
        ("100 %\n", r"100 \%"),
    ],
)
def test_common_texts(text, written):
    assert escape_latex(text) == written


def test_table_is_that_of_booktabs():
    assert latex_table(["row", "n"], [["a_b", 3]], "50 %") == [
        *("", r"\begin{table}", r"\centering", r"\begin{tabular}{lr}", r"\toprule"),
        *(r"row & n \\", r"\midrule", r"a\_b & 3 \\", r"\bottomrule", r"\end{tabular}"),
        *(r"\caption{50 \%}", r"\end{table}"),
    ]


def test_tables_of_a_report(tmp_path):
    text = write_latex(summarize(write_experiment(tmp_path)))
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 3
    assert r"dann & 4 & 76.2 $\pm$ 5.1" in text
    assert "rule oracle; seeds 100 to 103" in text and "commit abc123" in text
    assert text.count("reads target labels, for comparison only") == 1


def test_hostile_names_stay_in_their_cells(tmp_path):
    text = write_latex(summarize(hostile_experiment(tmp_path)))
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    rows = [line for line in lines if line.endswith(r" \\")]
    assert {len(re.split(r"(?<!\\)&", line)) for line in rows} == {6}
    assert any(escape_latex(HOSTILE) in line for line in rows)
    assert not any(ACTIVE.search(re.sub(r" & ", " ", line)) for line in lines)
    assert r"\input" not in text
