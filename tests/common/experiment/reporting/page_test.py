import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from common.experiment import report
from common.experiment.reporting import page
from tests.made_up_runs import hostile_experiment, write_experiment

VOID = {"meta", "img", "hr", "br", "input"}


class Page(HTMLParser):
    """What a browser makes of a page, as far as the tests ask."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        assert tag in VOID

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, "the page's elements are not nested"

    def handle_data(self, data):
        place = self.open[-1] if self.open else ""
        self.texts.setdefault(place, []).append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def read(written):
    return Page((written[0] / "report" / "report.html").read_text())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The page of runs whose every text is an attack, without figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "save_figures", lambda *_: {})
        made = report.write_report([hostile_experiment(tmp_path_factory.mktemp("hostile"))])
    return made.path.with_name("report.html").read_text()


def assert_alone(found):
    """Asserts that a page runs nothing but its own script and names nothing outside itself."""
    assert len(found.all("script")) == len(found.all("style")) == 1
    allowed = {"a", "body", "caption", "code", "details", "div", "h1", "h2", "h3", "head", "html"}
    allowed |= {"img", "li", "main", "meta", "p", "pre", "script", "section", "strong", "style"}
    allowed |= {"summary", "table", "tbody", "td", "th", "thead", "title", "tr", "ul", "br"}
    assert {tag for tag, _ in found.tags} <= allowed
    for tag, attributes in found.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
        assert all(attributes.get(name, "data:").startswith("data:") for name in ("src", "srcset"))
        assert attributes.get("href", "#").startswith(("#", "https://")), attributes


def test_page_needs_nothing_but_itself(read, written):
    assert_alone(read)
    (policy,) = [own["content"] for own in read.all("meta") if "http-equiv" in own]
    assert policy.startswith("default-src 'none'")
    for tag in ("style", "script"):
        digest = hashlib.sha256("".join(read.texts[tag]).encode()).digest()
        assert f"{tag}-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
    assert len(read.all("img")) == len(written[1].figures)
    encoded = {base64.b64decode(own["src"].partition(",")[2]) for own in read.all("img")}
    assert encoded == {path.read_bytes() for path in written[1].figures}
    assert len((written[0] / "report" / "report.html").read_bytes()) < 1_000_000


def test_page_has_the_sections_of_the_report_and_a_page_of_each_run(read, written):
    text = " ".join(" ".join(read.texts[tag]) for tag in ("h2", "h3", "td", "p", "li", "summary"))
    assert {"What went wrong", "Runs"} <= set(read.texts["h2"])
    for line in written[1].path.read_text().splitlines():
        if line.startswith("### "):
            assert line.removeprefix("### ").replace("\\", "") in text
    runs = [path.name for path in written[0].glob("*-seed*")]
    assert set(runs) <= set(read.texts["summary"])
    anchors = {own["id"] for own in read.all("a") if "id" in own}
    links = {own["href"][1:] for own in read.all("a") if own.get("href", "").startswith("#run_")}
    assert links == {f"run_{index}" for index in range(len(runs))} <= anchors


def test_every_table_names_rule_seeds_protocol_config_commit_and_hardware(read):
    captions = read.texts["caption"]
    assert len(captions) == len(read.all("table"))
    in_pages = [text for text in captions if text.startswith("rule")]
    for text in in_pages:
        for part in (
            "rule ",
            "seeds 100 to 103",
            "not seen in training",
            "config ",
            "commit abc123",
        ):
            assert part in text
        assert "hardware A processor (2 x cpu)" in text
    assert sum("rule oracle;" in text for text in captions) == 1
    assert sum("rule source_val;" in text for text in captions) == 1


def test_texts_of_runs_stay_text(hostile):
    found = Page(hostile)
    assert_alone(found)
    shown = "".join("".join(texts) for texts in found.texts.values())
    assert "<img src=x onerror=" in shown and "<script>document.title" in shown
    # Links lead into the page alone.
    assert "javascript:" not in " ".join(own.get("href", "") for own in found.all("a"))
    assert not any(unquote(own.get("href", "")).startswith("data:") for own in found.all("a"))
    # A name cannot close what the page folds away.
    assert len(found.all("details")) == hostile.count("</details>\n")


def test_picture_from_elsewhere_is_never_part_of_a_page(tmp_path):
    text = "![a](https://example.org/a.png) ![b](figures/../../b.png) ![c](data:text/html,c)"
    found = Page(page.render(text, lambda section, part: "", tmp_path))
    assert {own["src"] for own in found.all("img")} == {"data:,"}


def test_page_survives_what_json_can_hold_and_a_file_cannot(tmp_path, monkeypatch):
    experiment = write_experiment(tmp_path)
    for path in experiment.glob("dann*/result.json"):
        result = json.loads(path.read_text())
        path.write_text(json.dumps({**result, "warnings": ["half a pair \ud800 and \x00"]}))
    monkeypatch.setattr(report, "save_figures", lambda *_: {})
    text = report.write_report([experiment]).path.with_name("report.html").read_text()
    assert "half a pair ? and" in text and "\x00" not in text


def test_incomplete_runs_are_named_rows(tmp_path, monkeypatch):
    """Of older versions, half-written, or without a file: each is a row, and none stops a page."""
    experiment = write_experiment(tmp_path)
    spoilt = {
        "source_only-seed100-0.3": lambda run: (run / "config.json").unlink(),
        "source_only-seed101-0.3": lambda run: (run / "result.json").write_text('{"task": "syn'),
        "source_only-seed102-0.3": lambda run: [path.unlink() for path in run.iterdir()],
        "dann-seed100-0.3": lambda run: (run / "result.json").write_text('{"accuracy": 0.7}'),
        "dann-seed102-0.3": lambda run: (run / "result.json").unlink(),
    }
    for name, spoil in spoilt.items():
        spoil(experiment / name)
    names = [*spoilt, "dann-seed104-0.3"]
    (experiment / "sweep.json").write_text(json.dumps({"populations": [names]}))
    # Gone without a trace in the tables: these files are for the curves and the cost.
    (experiment / "dann-seed101-0.3" / "metrics.jsonl").unlink()
    (experiment / "dann-seed101-0.3" / "time.jsonl").unlink()
    monkeypatch.setattr(report, "save_figures", lambda *_: {})
    text = report.write_report([experiment]).path.with_name("report.html").read_text()
    for name in names:
        (row,) = re.findall(rf"<tr>\s*<td><a [^>]*>{re.escape(name)}</a>.*?</tr>", text, re.DOTALL)
        assert "<td>incomplete</td>" in row
    assert "digits: 7 of 13 runs are done" in text
    assert "planned, not started" in text and "metrics.jsonl is missing" in text
