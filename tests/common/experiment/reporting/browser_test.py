"""The page in a real browser: it opens without an error, sorts, filters, and changes its theme."""

import html
import json
import re
import shutil
import subprocess

import pytest

from common.experiment import report
from tests.made_up_runs import SEEDS, hostile_experiment, write_experiment, write_run

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
]

# Runs in the page, after its own script, and leaves what it saw in the page.
CHECK = """
const seen = {};
const column = (table, index) => [...table.tBodies[0].rows].filter((row) => !row.hidden)
  .map((row) => row.cells[index].textContent);
const tables = [...document.querySelectorAll("table")];
const find = (name) => tables.find((own) => own.tHead.textContent.includes(name));
const main = find("gap covered"), runs = find("warnings");
const sort = (table, index) => table.tHead.rows[0].cells[index].querySelector("button").click();
seen.before = column(main, 2);
sort(main, 2); seen.falling = column(main, 2);
seen.state = main.tHead.rows[0].cells[2].getAttribute("aria-sort");
sort(main, 2); seen.rising = column(main, 2);
sort(main, 4); seen.dashes = column(main, 4);
sort(main, 0); seen.names = column(main, 0);
const filter = runs.parentElement.previousElementSibling.querySelector("input");
filter.value = "DANN 101"; filter.dispatchEvent(new Event("input"));
seen.filtered = column(runs, 0);
seen.count = filter.nextElementSibling.textContent;
const theme = document.querySelector("button.theme"), root = document.documentElement;
const ground = () => getComputedStyle(document.body).backgroundColor;
seen.themes = [0, 1, 2].map(() => { theme.click(); return [root.dataset.theme, ground()]; });
location.hash = runs.querySelector("a").hash;
seen.wide = document.scrollingElement.scrollWidth - document.documentElement.clientWidth;
seen.pictures = [...document.images].every((own) => own.naturalWidth > 0);
seen.title = document.title;
setTimeout(() => {
  seen.opened = [...document.querySelectorAll("details[open] > summary")].map((x) => x.textContent);
  const out = document.createElement("pre");
  out.id = "seen"; out.textContent = JSON.stringify(seen); document.body.append(out);
}, 50);
"""


def browse(path, folder, width=1000):
    """Opens a page; returns its elements after its scripts, and what was said on the console."""
    words = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    words += [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900"]
    words += ["--enable-logging=stderr", "--virtual-time-budget=2000", path.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    experiment = write_experiment(tmp_path_factory.mktemp("browser"))
    for seed, accuracy in zip(SEEDS, (0.1, 0.09, 0.11, 0.1), strict=True):
        write_run(experiment, "mcc", seed, accuracy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "save_figures", lambda *_: {})
        return report.write_report([experiment]).path.with_name("report.html")


def test_tables_sort_and_filter_and_the_theme_changes(path, tmp_path):
    text = re.sub(r"<meta http-equiv[^>]*>", "", path.read_text())
    copy = tmp_path / "checked.html"
    copy.write_text(text.replace("</body>", f"<script>{CHECK}</script></body>"))
    dom, console = browse(copy, tmp_path, width=500)
    assert console == []
    found = re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)
    assert found, dom[-2000:]
    seen = json.loads(html.unescape(found[1]))

    first = [cell.split()[0] for cell in seen["falling"]]
    assert first == sorted(first, key=float, reverse=True) and seen["state"] == "descending"
    assert seen["rising"] == seen["falling"][::-1] and seen["before"] != seen["rising"]
    # Numbers with a sign, by size; what is missing is last.
    signs = [cell.split()[0] for cell in seen["dashes"]]
    assert signs[-1] == "-" and signs[:-1] == sorted(signs[:-1], key=float, reverse=True)
    assert seen["names"] == sorted(seen["names"])
    assert seen["filtered"] == ["dann-seed101-0.3"] and seen["count"] == "1 of 16 rows"
    assert [name for name, _ in seen["themes"]] == ["light", "dark", None]
    light, dark, _ = (ground for _, ground in seen["themes"])
    assert light == "rgb(255, 255, 255)" and dark == "rgb(15, 20, 25)"
    assert seen["opened"] == ["source_only-seed100-0.3"]
    assert seen["wide"] <= 0, "the page is wider than the screen of a phone"
    assert seen["pictures"] and seen["title"] == "digits"


def test_page_as_it_is_says_nothing_on_the_console_whatever_the_names(path, tmp_path):
    for own in (path, _hostile(tmp_path)):
        dom, console = browse(own, tmp_path)
        assert console == []
        # The page's own script has run under its policy, and none of the names' scripts.
        assert 'class="theme"' in dom and "<title>2</title>" not in dom
        assert dom.count("<script") == 1


def _hostile(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "save_figures", lambda *_: {})
        made = report.write_report([hostile_experiment(folder)])
    return made.path.with_name("report.html")
