"""`report.html`: the sections of `report.md`, pages of single runs and the figures in one file."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.experiment.reporting.provenance import describe_tables

STYLE, SCRIPT = "page.css", "page.js"

# The only HTML that the Markdown of a report has, each on a line of its own.
ANCHOR = re.compile(r'<a id="([A-Za-z0-9_]+)"></a>')
FOLD = re.compile(r"<details><summary>(.*)</summary>")
UNFOLD = "</details>"

Caption = Callable[[str, str], str]


def write_page(summary: Mapping[str, Any], lines: Sequence[str], figures: Path) -> str:
    """Writes a page that needs nothing but itself.

    Its Markdown is read with HTML switched off, so that text of runs can only ever be text; beside
    that, the page's content security policy lets no script run but its own, nor loads anything.

    Args:
        summary: What `summarize` returns.
        lines: The page in Markdown, of which the first line is the title.
        figures: The folder to which the names of the pictures are relative.

    Returns:
        The text of the page.
    """
    title = html.escape(summary["experiment"] or "No finished runs")
    captions = describe_tables(summary)

    def caption(section: str, part: str) -> str:
        return captions[section](part) if section in captions else captions[""](part)

    return wrap_page(title, render("\n".join(lines), caption, figures))


def wrap_page(title: str, body: str) -> str:
    """Puts the frame around a body: style, script, and the policy that allows these alone.

    Args:
        title: Escaped.
        body: HTML.

    Returns:
        The text of the page.
    """
    style, script = (
        Path(__file__).with_name(name).read_text(encoding="utf-8") for name in (STYLE, SCRIPT)
    )
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f"<main>\n{body}</main>\n<script>{script}</script>\n</body>\n</html>\n"
    )


def _hash(text: str) -> str:
    """Returns a hash as content security policies write it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def render(text: str, caption: Caption, figures: Path) -> str:
    """Turns a report's Markdown into HTML.

    Args:
        text: Markdown whose texts of runs went through `escape`.
        caption: Gives the caption of a table, in plain text, from the headings above it.
        figures: The folder to which the names of the pictures are relative.

    Returns:
        HTML in which each heading of the second level begins a section, tables stand in boxes that
        scroll, and pictures are part of the text.
    """
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens, out = reader.parse(text), []
    section, part, count = "", "", 0

    def add(content: str) -> None:
        out.append(Token("html_block", "", 0, content=content))

    skipped = 0
    for index, token in enumerate(tokens):
        if skipped:
            skipped -= 1
            continue
        inline = tokens[index + 1].content if index + 1 < len(tokens) else ""
        if token.type == "heading_open":
            if token.tag == "h2":
                section, part = inline, ""
                add(("</section>\n" if count else "") + f'<section class="{_class_of(inline)}">\n')
                count += 1
                token.attrSet("id", f"section-{count}")
            elif token.tag == "h3":
                part = inline
        elif token.type == "paragraph_open" and (own := _own_html(inline)) is not None:
            add(own)
            skipped = 2
            continue
        elif token.type == "table_open":
            kind = "table oracle" if part.startswith("Selection oracle") else "table"
            add(f'<div class="{kind}">\n')
            out.append(token)
            add(f"<caption>{html.escape(caption(section, part))}</caption>\n")
            continue
        out.append(token)
        if token.type == "table_close":
            add("</div>\n")
        for child in token.children or ():
            if child.type == "image":
                child.attrSet("src", _embed(str(child.attrGet("src")), figures))
    body = reader.renderer.render(out, reader.options, {})
    return body + ("</section>\n" if count else "")


def _class_of(heading: str) -> str:
    return "wrong" if heading == "What went wrong" else "part"


def _own_html(line: str) -> str | None:
    """Returns a line of the HTML that the report's own sections write; None for other lines."""
    if line == UNFOLD:
        return "</details>\n"
    if found := ANCHOR.fullmatch(line):
        return f'<a id="{found[1]}"></a>\n'
    if found := FOLD.fullmatch(line):
        return f"<details><summary>{html.escape(html.unescape(found[1]))}</summary>\n"
    return None


def _embed(name: str, figures: Path) -> str:
    """Returns a picture as a part of the page; nothing is ever loaded from elsewhere."""
    if not re.fullmatch(r"figures/[A-Za-z0-9_]+\.png", name):
        return "data:,"
    picture = base64.b64encode((figures / name).read_bytes()).decode()
    return f"data:image/png;base64,{picture}"
