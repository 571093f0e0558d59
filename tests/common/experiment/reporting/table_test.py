import json

from common.experiment import report
from common.experiment.reporting import cell, rule_order, table
from common.experiment.selection import RULES
from tests.made_up_runs import summarize


def test_terminal_table_is_narrow_and_ends_with_the_oracle(written):
    text = report.format_table(written[1].summary)
    assert max(map(len, text.splitlines())) <= 100
    header, _, dann, _ = text.splitlines()[2:6]
    columns = ["method", "seeds", "last", "minus", "source_only", "gap", "covered"]
    assert header.split() == [*columns, "source_val", "oracle"]
    assert dann.split()[:7] == ["dann", "4", "76.2", "±", "5.1", "+18.8", "[+13.6,"]
    assert dann.split()[-6:] == ["71.2", "±", "5.1", "76.8", "±", "5.1"]
    assert "oracle: uses target labels; for comparison only" in text.splitlines()
    # Told of in the section of the rules.
    assert "information_maximization" not in text


def test_only_the_oracle_is_grey(written):
    plain = report.format_table(written[1].summary)
    text = report.format_table(written[1].summary, grey=True)
    assert text.replace("\x1b[2m", "").replace("\x1b[0m", "") == plain
    grey = [line.partition("\x1b[2m")[2] for line in text.splitlines() if "\x1b" in line]
    assert [cell.removesuffix("\x1b[0m").strip() for cell in grey] == [
        *("oracle", "58.0 ± 3.2", "76.8 ± 5.1", "99.5 ± 0.6"),
    ]


def test_rules_stand_in_one_order():
    selections = [*RULES, "oracle", "oracle_test", "retrained_head"]
    found = sorted(reversed(selections), key=rule_order.selection_order)
    assert found[0] == rule_order.FIRST[0] and found[-2:] == ["oracle_test", "oracle"]
    assert found[: len(rule_order.FIRST)] == list(rule_order.FIRST)
    assert {"last", "source_val"} <= set(rule_order.FIRST)


def test_main_table_leads_with_another_default(written):
    sections = table.sections_of(written[1].summary, written[1].summary["tasks"][0])
    assert list(sections) == ["last", "source_val", "oracle"]
    other = {"source_val": sections["source_val"], **sections}
    header, cells = table.rule_table(other)
    assert header[2:] == ["source_val", "minus source_only", "gap covered", "last", "oracle"]
    (dann,) = [line for line in cells if line[0] == "dann"]
    assert (dann[2], dann[5]) == ("71.2 ± 5.1", "76.2 ± 5.1")


def test_row_that_a_rule_lacks_has_no_cell(written):
    sections = table.sections_of(written[1].summary, written[1].summary["tasks"][0])
    sections["source_val"] = [row for row in sections["source_val"] if row["name"] != "dann"]
    _, cells = table.rule_table(sections)
    assert [line[5] == "-" for line in cells] == [line[0] == "dann" for line in cells]


def test_long_names_stay_within_the_width(experiment):
    for path in experiment.glob("dann*/result.json"):
        name = "a_method_of_a_hundred_and_more_letters_" * 3
        path.write_text(path.read_text().replace('"dann"', json.dumps(name)))
    assert max(map(len, report.format_table(summarize(experiment)).splitlines())) <= 100


def test_a_table_without_room_for_names_is_in_parts_and_its_oracle_still_grey(written):
    summary = dict(written[1].summary)
    domains = "+".join(f"tfds:reviews/{name}" for name in ("books", "dvd", "electronics"))
    named = {"task": f"{domains}+tfds:reviews/kitchen>tfds:reviews/toys"}
    summary["tasks"] = [{**task, **named} for task in summary["tasks"]]
    rows = [{**row, **named} for row in summary["rows"]]
    last = [row for row in rows if row["selection"] == "source_val"]
    again = [{**row, "selection": "retrained_head"} for row in last]
    oracles = [row for row in rows if row["selection"] == "oracle"]
    summary["rows"] = [*(row for row in rows if row not in oracles), *again, *oracles]
    plain = report.format_table(summary)
    lines = plain.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].endswith(": books+dvd+electronics+kitchen → toys")
    headers = [line.split() for line in lines if line.startswith("method")]
    assert [word for header in headers for word in header[1:]] == [
        *("seeds", "last", "minus", "source_only", "gap", "covered"),
        *("source_val", "retrained_head", "oracle"),
    ]
    text = report.format_table(summary, grey=True)
    assert text.replace("\x1b[2m", "").replace("\x1b[0m", "") == plain
    grey = [line.partition("\x1b[2m")[2] for line in text.splitlines() if "\x1b" in line]
    assert [own.removesuffix("\x1b[0m").strip() for own in grey] == [
        *("oracle", "58.0 ± 3.2", "76.8 ± 5.1", "99.5 ± 0.6"),
    ]


def test_many_columns_are_shown_in_parts():
    table = [["method", *(f"score_{index:02d}" for index in range(20))]]
    table += [[name, *(f"{index}.0" for index in range(20))] for name in ("dann", "cdan")]
    lines = cell.align_in_parts(table)
    assert max(map(len, lines)) <= 100 and len(lines) % 3 == 0
    assert [line.split()[0] for line in lines] == ["method", "dann", "cdan"] * (len(lines) // 3)
    words = [line.split()[1:] for line in lines if line.startswith("cdan")]
    assert [word for line in words for word in line] == table[2][1:]
    assert cell.align_in_parts([["a", "b"], ["c", "d"]]) == cell.align([["a", "b"], ["c", "d"]])


def test_a_title_names_a_task_whole_where_there_is_room():
    task = "tfds:amazon_reviews/books+tfds:amazon_reviews/dvd>tfds:amazon_reviews/kitchen"
    whole = task.replace(">", " → ")
    assert cell.title_of(task, len(whole)) == whole
    assert cell.title_of(task, len(whole) - 1) == "books+dvd → kitchen"
    names = "+".join(f"folder:photos/{number:040d}" for number in range(3))
    assert len(cell.title_of(f"{names}>digits", 60)) <= 60
