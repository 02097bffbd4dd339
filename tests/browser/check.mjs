// Opens pages in headless Chromium and looks at them as people and attackers would.
//   node check.mjs CHROMIUM MODULES JOB.json
// JOB: {"pages": [{"name", "path", "hostile", "large"}], "pictures": folder or ""}
// Prints one JSON object: {"failures": [...], "figures": [...]}.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [executablePath, modules, jobPath] = process.argv.slice(2);
const require = createRequire(pathToFileURL(join(modules, "package.json")));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const job = JSON.parse(readFileSync(jobPath, "utf8"));
const failures = [];
const figures = [];
const fail = (page, text) => failures.push(`${page.name}: ${text}`);
const VIEWS = ["cells", "flow", "tasks", "changes", "storage", "environment"];

async function opened(context, page, colorScheme = "light") {
  const tab = await context.newPage();
  await tab.emulateMedia({ colorScheme });
  tab.on("dialog", (dialog) => (fail(page, `a dialog opened: ${dialog.message()}`), dialog.dismiss()));
  tab.on("pageerror", (error) => fail(page, `the page's script raised: ${error.message}`));
  tab.on("popup", () => fail(page, "a window opened"));
  tab.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith("data:") && url.split("#")[0] !== pathToFileURL(page.path).href) fail(page, `it asked for ${url}`);
  });
  await tab.goto(pathToFileURL(page.path).href, { waitUntil: "load" });
  return tab;
}

async function accessible(tab, page, view, scheme) {
  await tab.evaluate(axe);
  // Images inside hostile outputs have the texts that their authors gave them: none.
  const rules = { "image-alt": { enabled: !page.hostile } };
  const found = await tab.evaluate((rules) => axe.run(document, { resultTypes: ["violations"], rules }), rules);
  for (const one of found.violations) {
    const where = one.nodes.slice(0, 3).map((node) => node.target.join(" ")).join(" | ");
    fail(page, `axe, ${view}, ${scheme}: ${one.id} (${one.impact}), ${one.nodes.length} times: ${where}`);
  }
}

async function looked(context, page, scheme) {
  const tab = await opened(context, page, scheme);
  for (const view of VIEWS) {
    await tab.click(`#tab-${view}`);
    if (!(await tab.isVisible(`#${view}`))) fail(page, `${view} does not show`);
    // The large page is made of what the everyday page is made of, and takes axe minutes.
    if (!page.large) await accessible(tab, page, view, scheme);
    if (job.pictures) await tab.screenshot({ path: join(job.pictures, `${page.name}-${view}-${scheme}.png`) });
  }
  await tab.close();
}

async function used(context, page) {
  const tab = await opened(context, page);
  const badges = () => tab.$$eval(".cell .badge", (found) => found.map((one) => one.textContent).join());
  const newest = await badges();
  await tab.check(".runs input >> nth=-1");
  if ((await badges()) === newest) fail(page, "choosing the oldest run changes nothing");
  await tab.check(".runs input >> nth=0");
  if ((await badges()) !== newest) fail(page, "going back to the newest run does not restore what was shown");
  await tab.focus("#tab-cells");
  await tab.keyboard.press("ArrowRight");
  if (!(await tab.isVisible("#flow"))) fail(page, "the arrow key does not move to the next view");
  await tab.focus(".flow a.node");
  if (!(await tab.isVisible("svg.pointing"))) fail(page, "a cell of the graph in focus shows no neighbours");
  await tab.keyboard.press("Enter");
  if (!(await tab.isVisible("#cells"))) fail(page, "a cell of the graph does not lead to the cell");
  const before = await tab.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await tab.click("#theme");
  const after = await tab.evaluate(() => getComputedStyle(document.body).backgroundColor);
  if (before === after) fail(page, "the switch between light and dark does nothing");
  await tab.close();
}

async function attacked(context, page) {
  const tab = await opened(context, page);
  for (const run of await tab.$$(".runs input")) await run.check();
  for (const view of VIEWS) await tab.click(`#tab-${view}`);
  await tab.waitForTimeout(300);
  if (await tab.evaluate(() => Boolean(globalThis.hacked))) fail(page, "a script of an output ran");
  const images = await tab.$$eval("img", (found) => found.map((one) => (one.getAttribute("src") ?? "data:image/").slice(0, 11)));
  if (images.some((source) => source !== "data:image/")) fail(page, "an image comes from elsewhere");
  await tab.close();
}

async function measured(context, page) {
  const tab = await opened(context, page);
  const load = await tab.evaluate(async () => {
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    return performance.now();
  });
  // Other work on the machine makes the page wait and changes this little.
  const session = await context.newCDPSession(tab);
  await session.send("Performance.enable");
  const { metrics } = await session.send("Performance.getMetrics");
  const cpu = 1000 * (metrics.find((one) => one.name === "ProcessTime")?.value ?? 0);
  const times = { load, cpu };
  for (const view of ["tasks", "flow"]) {
    times[view] = await tab.evaluate(async (name) => {
      const started = performance.now();
      document.getElementById("tab-" + name).click();
      await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      return performance.now() - started;
    }, view);
  }
  figures.push({ page: page.name, milliseconds: times });
  await tab.close();
}

const profile = mkdtempSync(join(tmpdir(), "nbrewind-browser-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  viewport: { width: 1400, height: 900 },
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
});
try {
  for (const page of job.pages) {
    if (page.large) await measured(context, page);
    if (page.hostile) await attacked(context, page);
    else if (!page.large) await used(context, page);
    for (const scheme of ["light", "dark"]) await looked(context, page, scheme);
  }
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
console.log(JSON.stringify({ failures, figures }));
