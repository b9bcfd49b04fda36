"use strict";
/* Tables sort by a click on a heading; pages to read are searched as one types. Without it the page is whole, too. */
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const descending = heading.getAttribute("aria-sort") === "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const compare = (a, b) => {
        const [left, right] = [Number(value(a)), Number(value(b))];
        return Number.isNaN(left) || Number.isNaN(right) ? value(a).localeCompare(value(b)) : left - right;
      };
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort((a, b) => (descending ? compare(b, a) : compare(a, b))));
    });
  });
}
for (const search of document.querySelectorAll("input.search")) {
  const samples = [...document.getElementById(search.dataset.list).children];
  search.hidden = false;
  search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase();
    for (const sample of samples) sample.hidden = !sample.textContent.toLowerCase().includes(wanted);
  });
}
