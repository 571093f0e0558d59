import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from common.experiment.reporting.cell import escape


@settings(max_examples=60)
@given(st.text("ab_*[]()<>&;#!`\\|~ \n", max_size=12) | st.text(max_size=12))
def test_a_reader_of_markdown_reads_what_was_written(text):
    line = " ".join(text.split())
    (token,) = [own for own in MarkdownIt().parse(f"x {escape(text)} x") if own.type == "inline"]
    read = "".join(child.content for child in token.children or [])
    assert {child.type for child in token.children or []} <= {"text", "text_special"}
    # Markdown has no zero character.
    assert read.split() == f"x {line} x".replace("\0", "\ufffd").split()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("source_only_blind", "source_only_blind"),
        ("_a_ b__c", r"\_a\_ b\_\_c"),
        ("R&D &amp; &#60;", r"R&D \&amp; \&#60;"),
        ("dann+mcc, strength=0.1", "dann+mcc, strength=0.1"),
    ],
)
def test_usual_names_stay_readable(text, written):
    assert escape(text) == written
