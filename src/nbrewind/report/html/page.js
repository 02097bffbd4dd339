"use strict";
// The page is complete without this script; it adds the choice of a run, of a view and of light or dark.

const facts = JSON.parse(document.getElementById("facts").textContent);
const byId = (id) => document.getElementById(id);
const all = (selector, from = document) => [...from.querySelectorAll(selector)];

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// -- light and dark --------------------------------------------------------------------------

byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  document.dispatchEvent(new Event("themed"));
});

// -- views -----------------------------------------------------------------------------------

const tabs = all("[role=tab]");
const whenShown = {};

function show(name) {
  for (const tab of tabs) {
    const chosen = tab.getAttribute("aria-controls") === name;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    byId(tab.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (whenShown[name]) whenShown[name]();
}

tabs.forEach((tab, place) => {
  tab.addEventListener("click", () => {
    show(tab.getAttribute("aria-controls"));
    history.replaceState(null, "", "#" + tab.getAttribute("aria-controls"));
  });
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(place + step + tabs.length) % tabs.length];
    next.focus();
    next.click();
  });
});

function follow() {
  const name = location.hash.slice(1);
  const target = name && byId(name);
  if (!target) return;
  if (target.matches("[role=tabpanel]")) return show(name);
  const panel = target.closest("[role=tabpanel]");
  if (panel && panel.hidden) {
    show(panel.id);
    target.scrollIntoView();
  }
}
addEventListener("hashchange", follow);

// -- the chosen run --------------------------------------------------------------------------

let chosen = 0;
const firstOutputs = new Map();

function cellFacts(step) {
  if (!step) return [element("span", "badge none", "not run")];
  const parts = [element("span", "badge " + step.action, step.action), element("span", "why", step.why)];
  const counted = ["served", "run", "failed"].map((word, i) => [step.tasks[i], word]).filter(([count]) => count);
  if (counted.length) parts.push(element("span", "tasks", "tasks: " + counted.map((pair) => pair.join(" ")).join(", ")));
  const time = element("span", "time", step.now);
  if (step.action === "restored" || step.action === "recomputed") {
    time.append(" ", element("small", "", "of " + step.recorded));
  }
  parts.push(time);
  return parts;
}

function choose(run) {
  chosen = run;
  for (const cell of all(".cell")) {
    const place = facts.cells.findIndex((one) => one.index === Number(cell.dataset.cell));
    const step = facts.steps[run][place];
    cell.dataset.action = step ? step.action : "not run";
    cell.querySelector(".facts").replaceChildren(...cellFacts(step));
    const outputs = cell.querySelector(".outputs");
    if (!firstOutputs.has(cell)) firstOutputs.set(cell, outputs.innerHTML);
    // What is set here was sanitised when the page was made, and the policy lets no script of it run.
    const html = step && step.outputs in facts.outputs ? facts.outputs[step.outputs] : firstOutputs.get(cell);
    if (outputs.innerHTML !== html) outputs.innerHTML = html;
  }
  document.dispatchEvent(new Event("chosen"));
}

for (const input of all(".runs input")) input.addEventListener("change", () => choose(Number(input.value)));

show(tabs[0].getAttribute("aria-controls"));
follow();
