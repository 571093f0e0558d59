"use strict";
// Sorting, filtering, the theme's button and the list of contents. Without it the page is whole.
(() => {
  const root = document.documentElement;
  const THEMES = ["auto", "light", "dark"];
  const KEY = "adaptax-theme";
  const MIN_FILTERED = 6;

  // Browsers may forbid storage for files; the choice then lasts as long as the page.
  function recall() {
    try { return localStorage.getItem(KEY); } catch { return null; }
  }
  function remember(theme) {
    try { localStorage.setItem(KEY, theme); } catch { /* Lasts as long as the page. */ }
  }

  function addThemeButton() {
    const button = document.createElement("button");
    button.className = "theme";
    button.type = "button";
    let theme = THEMES.includes(recall()) ? recall() : "auto";
    const show = () => {
      if (theme === "auto") root.removeAttribute("data-theme");
      else root.setAttribute("data-theme", theme);
      button.textContent = `Theme: ${theme}`;
    };
    button.addEventListener("click", () => {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
      remember(theme);
      show();
    });
    show();
    document.body.append(button);
  }

  // The first number of a cell such as "75.2 ± 5.9", "+14.8 [+10.9, +18.8]" or "58,858".
  function numberOf(text) {
    const plain = text.trim().replace(/\u2212/g, "-").replace(/(\d),(?=\d{3}(\D|$))/g, "$1");
    const found = plain.match(/^[<>]?\s*([+-]?\d+(\.\d+)?(e[+-]?\d+)?)(?![\w])/i);
    return found ? Number(found[1]) : NaN;
  }
  const isEmpty = (text) => ["", "-"].includes(text.trim());

  function makeSortable(table) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const rows = [...body.rows];
        const texts = new Map(rows.map((row) => [row, row.cells[column]?.textContent ?? ""]));
        const filled = [...texts.values()].filter((text) => !isEmpty(text));
        const isNumeric = filled.length > 0 && filled.every((text) => !isNaN(numberOf(text)));
        const before = head.getAttribute("aria-sort");
        const first = isNumeric ? "descending" : "ascending";
        const other = isNumeric ? "ascending" : "descending";
        const order = before === first ? other : first;
        const sign = order === "ascending" ? 1 : -1;
        rows.sort((a, b) => {
          const [x, y] = [texts.get(a), texts.get(b)];
          // What is missing stands last in both directions.
          if (isEmpty(x) || isEmpty(y)) return isEmpty(x) - isEmpty(y);
          const ordered = isNumeric
            ? numberOf(x) - numberOf(y)
            : x.localeCompare(y, "en", { numeric: true });
          return sign * ordered;
        });
        heads.forEach((cell) => cell.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", order);
        body.append(...rows);
      });
    });
  }

  function makeFilterable(table) {
    const body = table.tBodies[0];
    const total = body.rows.length;
    if (total < MIN_FILTERED) return;
    const input = document.createElement("input");
    input.className = "filter";
    input.type = "search";
    input.placeholder = "Filter rows";
    input.setAttribute("aria-label", "Filter rows: all words must occur");
    const count = document.createElement("span");
    count.className = "count";
    count.setAttribute("role", "status");
    const apply = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of body.rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = words.length ? `${shown} of ${total} rows` : `${total} rows`;
    };
    input.addEventListener("input", apply);
    apply();
    const box = document.createElement("div");
    box.append(input, count);
    table.parentElement.before(box);
  }

  function addContents() {
    const heads = [...document.querySelectorAll("h2[id]")];
    if (heads.length < 3) return;
    const list = document.createElement("ul");
    for (const head of heads) {
      const link = document.createElement("a");
      link.href = `#${head.id}`;
      link.textContent = head.textContent;
      const item = document.createElement("li");
      item.append(link);
      list.append(item);
    }
    const nav = document.createElement("nav");
    nav.setAttribute("aria-label", "Contents");
    nav.append(list);
    document.querySelector("h1")?.after(nav);
  }

  // A link to a run opens its page, which is folded away.
  function unfold() {
    const target = document.getElementById(location.hash.slice(1));
    const next = target?.nextElementSibling;
    if (next?.tagName === "DETAILS") next.open = true;
    target?.scrollIntoView();
  }

  addThemeButton();
  addContents();
  for (const table of document.querySelectorAll(".table > table")) {
    if (!table.tHead || !table.tBodies.length) continue;
    makeSortable(table);
    makeFilterable(table);
  }
  window.addEventListener("hashchange", unfold);
  if (location.hash) unfold();
})();
