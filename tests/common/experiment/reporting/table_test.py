import json

from common.experiment import report
from tests.made_up_runs import summarize


def test_terminal_table_is_narrow_and_marks_the_oracle(written):
    text = report.format_table(written[1].summary)
    assert max(map(len, text.splitlines())) <= 100
    dann = [line for line in text.splitlines() if line.startswith("dann")]
    assert dann[0].split() == [
        *("dann", "4", "76.2", "±", "5.1", "3.2", "+18.8", "[+13.6,", "+23.9]"),
        *dann[0].split()[9:],
    ]
    sections = [line for line in text.splitlines() if line.endswith(")")]
    assert sections[0].startswith("last") and sections[1].startswith("source_val")
    assert sections[-1] == "oracle (uses target labels; for comparison only)"


def test_long_names_stay_within_the_width(experiment):
    for path in experiment.glob("dann*/result.json"):
        name = "a_method_of_a_hundred_and_more_letters_" * 3
        path.write_text(path.read_text().replace('"dann"', json.dumps(name)))
    assert max(map(len, report.format_table(summarize(experiment)).splitlines())) <= 100
