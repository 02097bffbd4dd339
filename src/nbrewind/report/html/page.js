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
  document.body.dataset.view = name;
  if (whenShown[name]) whenShown[name]();
}

tabs.forEach((tab, place) => {
  tab.addEventListener("click", () => {
    show(tab.getAttribute("aria-controls"));
    history.replaceState(null, "", "#view-" + tab.getAttribute("aria-controls"));
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
  if (tabs.some((tab) => "view-" + tab.getAttribute("aria-controls") === name)) return show(name.slice(5));
  const target = name && byId(name);
  if (!target) return;
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
  for (const cell of all("article.cell")) {
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

// -- data-flow -------------------------------------------------------------------------------

const graph = document.querySelector("svg.flow");

function neighbours(edges, start, from, to) {
  const found = new Set([start]);
  const waiting = [start];
  while (waiting.length) {
    for (const edge of edges.get(waiting.pop()) || []) {
      if (!found.has(edge[to])) {
        found.add(edge[to]);
        waiting.push(edge[to]);
      }
    }
  }
  return found;
}

if (graph) {
  const frame = graph.parentElement;
  const natural = [Number(graph.getAttribute("width")), Number(graph.getAttribute("height"))];
  const edges = all(".edge", graph).map((path) => ({ path, from: path.dataset.from, to: path.dataset.to }));
  const labels = all(".names", graph);
  const nodes = all(".node", graph);
  const byFrom = Map.groupBy(edges, (edge) => edge.from);
  const byTo = Map.groupBy(edges, (edge) => edge.to);

  const point = (node) => {
    graph.classList.toggle("pointing", Boolean(node));
    for (const one of [...nodes, ...labels, ...edges.map((edge) => edge.path)]) one.classList.remove("on");
    byId("pointed").textContent = "";
    if (!node) return;
    const name = node.dataset.node;
    const up = neighbours(byTo, name, "to", "from");
    const down = neighbours(byFrom, name, "from", "to");
    for (const one of nodes) if (up.has(one.dataset.node) || down.has(one.dataset.node)) one.classList.add("on");
    const onWay = (from, to) => (up.has(from) && up.has(to)) || (down.has(from) && down.has(to));
    for (const edge of edges) if (onWay(edge.from, edge.to)) edge.path.classList.add("on");
    for (const one of labels) if (onWay(one.dataset.from, one.dataset.to)) one.classList.add("on");
    byId("pointed").textContent = `${up.size - 1} before it, ${down.size - 1} after it`;
  };
  for (const node of nodes) {
    node.addEventListener("pointerenter", () => point(node));
    node.addEventListener("pointerleave", () => point(null));
    node.addEventListener("focus", () => point(node));
    node.addEventListener("blur", () => point(null));
  }

  let scale = 1;
  const zoom = (next) => {
    scale = Math.min(3, Math.max(0.05, next));
    graph.setAttribute("width", natural[0] * scale);
    graph.setAttribute("height", natural[1] * scale);
  };
  const fit = () => zoom(Math.min(1, (frame.clientWidth - 4) / natural[0]));
  for (const button of all("[data-zoom]")) {
    button.addEventListener("click", () => (button.dataset.zoom === "fit" ? fit() : zoom(scale * Number(button.dataset.zoom))));
  }
  let drag = null;
  frame.addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX + frame.scrollLeft, y: event.clientY + frame.scrollTop };
  });
  addEventListener("pointermove", (event) => {
    if (drag) frame.scrollTo(drag.x - event.clientX, drag.y - event.clientY);
  });
  addEventListener("pointerup", () => (drag = null));
  let fitted = false;
  whenShown.flow = () => {
    if (!fitted && frame.clientWidth) zoom(Math.max(0.55, Math.min(1, (frame.clientWidth - 4) / natural[0])));
    fitted = true;
  };
}

// -- tasks -----------------------------------------------------------------------------------

const RUN = 0, FAILED = 1, SERVED = 2;
const canvas = byId("timeline");

function seconds(value) {
  if (value < 0.0995) return (value * 1000).toFixed(value < 0.00995 ? 1 : 0) + " ms";
  if (value < 99.5) return value.toFixed(value < 9.995 ? 2 : 0) + " s";
  return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

// Tasks of one cell, or of all: those that ran get a lane of their worker, tasks at once in different lanes.
function lanesOf(tasks, cell) {
  const order = [];
  for (let i = 0; i < tasks.cell.length; i++) {
    if (tasks.state[i] !== SERVED && (cell < 0 || tasks.cell[i] === cell)) order.push(i);
  }
  order.sort((a, b) => tasks.start[a] - tasks.start[b]);
  const ends = tasks.workers.map(() => []);
  const lane = new Int32Array(order.length);
  order.forEach((task, place) => {
    const mine = ends[tasks.worker[task]];
    let at = mine.findIndex((end) => end <= tasks.start[task] + 0.0005);
    if (at < 0) at = mine.length < 64 ? mine.push(0) - 1 : place % 64;
    mine[at] = tasks.start[task] + tasks.seconds[task];
    lane[place] = at;
  });
  const first = [];
  let total = 0;
  tasks.workers.forEach((worker, w) => {
    first.push(total);
    total += ends[w].length;
  });
  return { order, lane: lane.map((at, place) => at + first[tasks.worker[order[place]]]), first, total };
}

let drawn = null;

function drawTasks() {
  const tasks = facts.tasks[chosen];
  const cell = Number(byId("task-cell").value);
  const { order, lane, first, total } = lanesOf(tasks, cell);
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name);
  const context = canvas.getContext("2d");
  const width = canvas.clientWidth, left = 8, top = 74;
  const step = total ? Math.max(1, Math.min(18, 420 / total)) : 0;
  const height = top + Math.max(24, total * step) + 26;
  const ratio = devicePixelRatio || 1;
  canvas.style.height = height + "px";
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  context.scale(ratio, ratio);
  context.font = "12px system-ui, sans-serif";

  const steps = facts.steps[chosen];
  const spans = steps.map((one, place) => ({ one, place })).filter(({ one }) => one && one.action !== "restored");
  const chosenSpans = cell < 0 ? spans : spans.filter(({ place }) => place === cell);
  let from = Infinity, to = 0;
  for (const { one } of chosenSpans) {
    from = Math.min(from, one.end - one.seconds);
    to = Math.max(to, one.end);
  }
  for (const task of order) {
    from = Math.min(from, tasks.start[task]);
    to = Math.max(to, tasks.start[task] + tasks.seconds[task]);
  }
  if (!(to > from)) { from = 0; to = 1; }
  const x = (time) => left + ((time - from) / (to - from)) * (width - 2 * left);

  const probe = document.createElement("i");
  canvas.parentElement.append(probe);
  const resolved = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
  const ink = resolved("--ink"), soft = resolved("--soft"), line = resolved("--line");
  const ran = resolved("--executed-fill"), failed = resolved("--failed-fill"), served = resolved("--restored");
  probe.remove();

  // The scale
  context.fillStyle = soft;
  context.strokeStyle = line;
  const unit = 10 ** Math.floor(Math.log10((to - from) / 4));
  const tick = [1, 2, 5, 10].map((n) => n * unit).find((n) => (to - from) / n <= 8);
  context.beginPath();
  for (let time = Math.ceil(from / tick) * tick; time <= to; time += tick) {
    context.moveTo(x(time) + 0.5, top - 6);
    context.lineTo(x(time) + 0.5, height - 20);
    context.fillText(Number(time.toFixed(3)) + " s", Math.min(x(time) + 3, width - 34), height - 6);
  }
  context.stroke();

  // The cells, and what was served to them
  for (const { one, place } of chosenSpans) {
    const x0 = x(one.end - one.seconds), x1 = Math.max(x0 + 2, x(one.end));
    context.fillStyle = one.action === "failed" ? failed : line;
    context.fillRect(x0, 8, x1 - x0 - 0.5, 20);
    if (x1 - x0 > 26) {
      context.fillStyle = ink;
      context.fillText(`cell ${facts.cells[place].index}`, x0 + 5, 22, x1 - x0 - 8);
    }
    if (one.tasks[0]) {
      context.strokeStyle = served;
      context.lineWidth = 2;
      context.strokeRect(x0 + 1, 37, Math.max(8, x1 - x0 - 3), 20);
      context.lineWidth = 1;
      context.fillStyle = served;
      context.fillText(`${one.tasks[0]} served`, x0 + 7, 51);
    }
  }

  // The tasks: one rectangle each, but never two in the same pixels
  const last = new Map();
  for (const state of [RUN, FAILED]) {
    context.fillStyle = state === RUN ? ran : failed;
    order.forEach((task, place) => {
      if (tasks.state[task] !== state) return;
      const x0 = x(tasks.start[task]), w = Math.max(1, x(tasks.start[task] + tasks.seconds[task]) - x0 - 0.5);
      const key = Math.floor(lane[place] * step) * 65536 + Math.floor(x0);
      if (w <= 1 && last.get(key) === state) return;
      last.set(key, state);
      context.fillRect(x0, top + lane[place] * step, w, Math.max(1, step - (step > 3 ? 1.5 : 0)));
    });
  }
  context.fillStyle = soft;
  tasks.workers.forEach((worker, w) => {
    const next = w + 1 < first.length ? first[w + 1] : total;
    if (next === first[w]) return;
    context.fillRect(left, top + first[w] * step - 1, width - 2 * left, 0.5);
    if ((next - first[w]) * step >= 12) context.fillText(worker.replace(/^tcp:\/\//, ""), left + 2, top + first[w] * step + 11);
  });
  drawn = { order, lane, step, top, x, tasks };
  const count = (state) => order.reduce((sum, task) => sum + (tasks.state[task] === state), 0);
  const counts = cell < 0 ? facts.runs[chosen].counts : { served: (steps[cell] || { tasks: [0] }).tasks[0] };
  const words = `${counts.served} served from the log, ${count(RUN)} run, ${count(FAILED)} failed, on ` +
    `${first.filter((_, w) => order.some((task) => tasks.worker[task] === w)).length} worker(s)`;
  byId("task-note").textContent = words;
  canvas.setAttribute("aria-label", "Tasks over time: " + words);
}

function tabulate() {
  const tasks = facts.tasks[chosen];
  const groups = new Map();
  for (let i = 0; i < tasks.cell.length; i++) {
    const key = tasks.cell[i] * 100003 + tasks.name[i];
    let group = groups.get(key);
    if (!group) groups.set(key, (group = { cell: tasks.cell[i], name: tasks.name[i], counts: [0, 0, 0], sum: 0, max: 0, saved: 0 }));
    group.counts[tasks.state[i]]++;
    if (tasks.state[i] === SERVED) group.saved += tasks.seconds[i];
    else group.sum += tasks.seconds[i];
    group.max = Math.max(group.max, tasks.seconds[i]);
  }
  const table = element("table", "data");
  const head = table.createTHead().insertRow();
  for (const title of ["cell", "task", "served", "run", "failed", "time of workers", "not spent again", "longest"]) {
    const cell = element("th", ["cell", "task"].includes(title) ? "" : "n", title);
    cell.scope = "col";
    head.append(cell);
  }
  const body = table.createTBody();
  const sorted = [...groups.values()].sort((a, b) => b.sum + b.saved - a.sum - a.saved).slice(0, 200);
  for (const group of sorted) {
    const row = body.insertRow();
    const link = element("a", "", String(facts.cells[group.cell].index));
    link.href = "#cell-" + facts.cells[group.cell].index;
    row.insertCell().append(link);
    row.insertCell().append(element("code", "", tasks.names[group.name]));
    const figures = [group.counts[SERVED], group.counts[RUN], group.counts[FAILED], seconds(group.sum), seconds(group.saved), seconds(group.max)];
    for (const figure of figures) row.append(element("td", "n", String(figure)));
  }
  const rest = groups.size - sorted.length;
  byId("task-table").replaceChildren(element("h3", "", "By name"), table);
  if (rest > 0) byId("task-table").append(element("p", "soft", `${rest} more names are left out.`));
}

if (canvas) {
  const choice = byId("task-cell");
  const refresh = () => {
    const present = [...new Set(facts.tasks[chosen].cell)].sort((a, b) => a - b);
    const before = choice.value;
    choice.replaceChildren(new Option("all", "-1"));
    for (const place of present) choice.append(new Option(`${facts.cells[place].index}  ${facts.cells[place].line.slice(0, 40)}`, String(place)));
    if (present.includes(Number(before))) choice.value = before;
    drawTasks();
    tabulate();
  };
  let shown = false;
  whenShown.tasks = () => { shown = true; refresh(); };
  const redraw = () => { if (shown && canvas.clientWidth) drawTasks(); };
  choice.addEventListener("change", redraw);
  document.addEventListener("chosen", () => { if (shown && canvas.clientWidth) refresh(); else shown = false; });
  document.addEventListener("themed", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("resize", redraw);
  canvas.addEventListener("pointermove", (event) => {
    if (!drawn) return;
    const box = canvas.getBoundingClientRect();
    const px = event.clientX - box.left, at = Math.floor((event.clientY - box.top - drawn.top) / drawn.step);
    const place = drawn.order.findIndex((task, i) => drawn.lane[i] === at && px >= drawn.x(drawn.tasks.start[task]) - 1 &&
      px <= Math.max(drawn.x(drawn.tasks.start[task]) + 2, drawn.x(drawn.tasks.start[task] + drawn.tasks.seconds[task])));
    if (place < 0) return;
    const task = drawn.order[place], tasks = drawn.tasks;
    byId("task-pointed").textContent = `${tasks.names[tasks.name[task]]}, cell ${facts.cells[tasks.cell[task]].index}: ` +
      `${seconds(tasks.seconds[task])} from ${seconds(tasks.start[task])} on, ${tasks.workers[tasks.worker[task]] || "here"}` +
      (tasks.state[task] === FAILED ? ", failed" : "");
  });
}

// -- changes ---------------------------------------------------------------------------------

function showChanges() {
  for (const part of all(".changes")) part.hidden = Number(part.dataset.run) !== chosen;
}
document.addEventListener("chosen", showChanges);
showChanges();

show(tabs[0].getAttribute("aria-controls"));
follow();
