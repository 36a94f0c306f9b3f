// Drives the demo page for tests/it/demo_page.rs: `node demo_page.mjs URL`. Says what it has seen, a line each, and asks
// on stdout for what only the test can do. Ends with 0 when all was as it should be. With SCREENSHOTS set to a folder
// it leaves pictures there.

import assert from "node:assert/strict";
import readline from "node:readline";
import { chromium } from "playwright-core";

const url = process.argv[2];
const pictures = process.env.SCREENSHOTS;
const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function please(wish) {
  console.log(`please ${wish}`);
  assert.equal((await answers.next()).value, "done");
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const context = await browser.newContext({ viewport: { width: 1360, height: 850 }, colorScheme: "light" });
const page = await context.newPage();
// Long, for machines that are busy with other things too.
const PATIENCE_MS = 60_000;
page.setDefaultTimeout(PATIENCE_MS);

/** While the server is away the browser itself reports each refused attempt: that is no fault of the page. */
let serverIsAway = false;
const faults = [];
page.on("pageerror", (error) => faults.push(`uncaught: ${error}`));
page.on("console", (message) => {
  if (message.type() !== "error" && message.type() !== "warning") return;
  if (serverIsAway && /WebSocket connection to .* failed|ERR_CONNECTION_REFUSED/.test(message.text())) return;
  faults.push(`${message.type()}: ${message.text()}`);
});
page.on("request", (request) => {
  if (!request.url().startsWith(url) && !request.url().startsWith("data:")) faults.push(`outside request: ${request.url()}`);
});

/** Pictures are for people: that one fails is said, and fails nothing. */
async function picture(name) {
  if (!pictures) return;
  await page.screenshot({ path: `${pictures}/${name}.png` }).catch((error) => console.log(`no picture of ${name}: ${error}`));
}
const rows = page.locator("#table tbody tr:not(.leaving)");
const texts = (locator) => locator.allTextContents();
async function eventually(what, check) {
  const until = Date.now() + PATIENCE_MS;
  let last;
  while (Date.now() < until) {
    try {
      if (await check()) return console.log(`ok: ${what}`);
      last = undefined;
    } catch (error) {
      last = error;
    }
    await page.waitForTimeout(50);
  }
  throw new Error(`never: ${what}${last ? `: ${last}` : ""}`);
}
async function filter(text) {
  await page.fill("#filter", text);
  await page.press("#filter", "Enter");
}

try {
  const response = await page.goto(url);
  assert.equal(response.status(), 200);
  assert.match(response.headers()["content-security-policy"], /default-src 'none'/);
  assert.doesNotMatch(response.headers()["content-security-policy"], /unsafe/);
  await page.evaluate(() => { globalThis.stillTheSamePage = true; });

  await eventually("the page is connected", async () => (await page.textContent("#state-text")) === "Live");
  await eventually("rows are shown", async () => (await rows.count()) >= 20);
  assert.match((await texts(rows))[0], /^#\d+/);
  assert.match(await page.textContent("#counts"), /^[\d,.]+ orders match/);
  await picture("rows");

  const before = (await texts(rows)).join("\n");
  await eventually("a change arrives by itself", async () => (await texts(rows)).join("\n") !== before);
  await eventually("rows come, change and go", async () => {
    const [added, changed, removed] = (await page.textContent("#tally")).match(/\d+/g).map(Number);
    return added > 0 && changed + removed > 0;
  });
  await eventually("the message rate is shown", async () => Number((await page.textContent("#rate")).replace(/\D/g, "")) > 0);
  await eventually("events arrive", async () => {
    const all = (await texts(page.locator("#stream .what"))).join("\n");
    return /jobCompleted/.test(all) && /actorCheckpoint/.test(all);
  });
  // The newest: the oldest may be pushed out of the list before a slow machine has clicked it.
  await page.locator("#stream summary").first().evaluate((summary) => summary.click());
  await eventually("an event can be opened", async () => JSON.parse(await page.locator("#stream pre").first().textContent()).type === "event");

  // A mistake is shown at its place, and the rows of the last good query stay.
  await filter("status = 'pending' and total > 20");
  await eventually("a bad filter shows its error", async () => /line 1/.test(await page.textContent("#filter-error")));
  const marked = await page.locator(".field.filter mark").textContent();
  assert.equal(marked, "=", "the place is marked");
  assert.equal(await page.getAttribute("#filter", "aria-invalid"), "true");
  assert.ok((await rows.count()) > 0, "the last good query stays");
  await eventually("its rows are dimmed", async () => page.locator("#scroll.stale").isVisible());
  await picture("error");

  await filter("status == 'pending' and total > 20");
  await eventually("the mended filter works", async () => {
    const shown = await texts(rows);
    return (await page.textContent("#filter-error")) === "" && shown.length > 0 && shown.every((row) => row.includes("pending"));
  });
  assert.equal(await page.getAttribute("#filter", "aria-invalid"), null);
  assert.equal(await page.locator(".field.filter mark").count(), 0);
  assert.equal(await page.locator("#scroll.stale").count(), 0, "rows of the query that is shown are not dimmed");
  await page.click("text=All orders");
  await eventually("there are many orders", async () => /^[\d,.]+ orders match/.test(await page.textContent("#counts")));
  await filter(`id == '${await rows.first().getAttribute("data-id")}'`);
  await eventually("one order matches", async () => (await page.textContent("#counts")) === "1 order matches");
  await page.click("text=All orders");

  // What is suggested is put in place of all that was found, and of nothing else.
  const mended = [
    ["createdAt > now - 5m", "createdAt > now - 5 minutes"],
    ["createdAt > now - 5 m", "createdAt > now - 5 minutes"],
    ["createdAt > now - 1.5 days and total > 1", "createdAt > now - 36 hours and total > 1"],
    ["createdAt > now() - 7 days", "createdAt > now - 7 days"],
    ["note is not null", "note != nothing"],
    ["total > 5&&total < 9", "total > 5 and total < 9"],
    ["!note", "not note"],
  ];
  for (const [wrong, right] of mended) {
    await filter(wrong);
    const fix = page.locator("#filter-error button");
    await eventually(`'${wrong}' has a suggestion`, async () => (await fix.count()) === 1);
    await fix.click();
    await eventually(`'${wrong}' becomes '${right}'`, async () => (await page.inputValue("#filter")) === right);
  }
  await filter("status like 'p%'");
  await eventually("where nothing can be put in, there is no button", async () =>
    /startswith/.test(await page.textContent("#filter-error")) && (await page.locator("#filter-error button").count()) === 0);
  await filter("");

  await page.fill("#order", "total dsc");
  await page.press("#order", "Enter");
  await eventually("a bad order shows its error in its own place", async () => (await page.textContent("#order-error")) !== "");
  assert.equal(await page.textContent("#filter-error"), "");
  await page.fill("#order", "number desc");
  await page.press("#order", "Enter");
  await eventually("the rows are in the order asked for", async () => {
    const numbers = (await texts(rows.locator("td:first-child"))).map((text) => Number(text.slice(1)));
    return numbers.length > 1 && numbers.every((n, at) => at === 0 || n < numbers[at - 1]);
  });
  await page.fill("#limit", "5");
  await page.press("#limit", "Enter");
  await eventually("the limit is kept", async () => (await rows.count()) === 5 && /the first 5 are shown/.test(await page.textContent("#counts")));
  await page.fill("#limit", "0");
  await page.press("#limit", "Enter");
  await eventually("a limit of nothing is a count", async () => (await rows.count()) === 0 && /^[1-9][\d,.]* orders match/.test(await page.textContent("#counts")));
  await page.fill("#limit", "0.5");
  await page.press("#limit", "Enter");
  await eventually("a bad limit shows its error", async () => (await page.textContent("#limit-error")) !== "");
  await eventually("and the rows are dimmed under it", async () => page.locator("#scroll.stale").isVisible());
  await page.fill("#limit", "50");

  await page.click("text=Running jobs");
  await eventually("another set has its own columns", async () => (await texts(page.locator("thead th")))[2] === "Definition");
  await eventually("and its own rows", async () => (await rows.count()) > 0 && (await texts(rows)).every((row) => /pending|running/.test(row)));

  await page.fill("#path", "nothing/here");
  await page.click("#path-form button");
  await eventually("an unknown path shows its error", async () => /nothing\/here/.test(await page.textContent("#path-error")));
  await page.fill("#path", "job-definitions/sync-inventory");
  await page.click("#path-form button");
  await eventually("another path delivers", async () => (await texts(page.locator("#stream .what"))).some((text) => text.startsWith("jobStatistics")));
  assert.equal(await page.textContent("#path-error"), "");

  await page.click("text=All orders");
  await eventually("all orders are there", async () => (await rows.count()) > 200);
  serverIsAway = true;
  await please("stop the server");
  await eventually("the loss is shown", async () => (await page.getAttribute("#state", "data-state")) === "waiting");
  await eventually("the old rows are marked as such", async () => page.locator("#scroll.stale").isVisible());
  assert.ok((await rows.count()) > 200, "they stay");
  await picture("lost");
  await please("start the server");
  await eventually("the page connects again", async () => (await page.textContent("#state-text")) === "Live");
  serverIsAway = false;
  await eventually("the query is live again", async () => !(await page.locator("#scroll.stale").count()) && (await rows.count()) > 200);
  await page.click("#clear");
  await eventually("the events are subscribed again", async () => (await page.locator("#stream .what").count()) > 0);
  const again = await page.textContent("#tally");
  await eventually("changes arrive again", async () => (await page.textContent("#tally")) !== again);

  // No column is narrower than table.js says, and all of them are in sight.
  const rem = await page.evaluate(() => parseFloat(getComputedStyle(document.documentElement).fontSize));
  for (const [preset, flexible] of [["All orders", "Customer"], ["Running jobs", "Definition"]]) {
    await page.click(`text=${preset}`);
    await eventually(`${preset}: the columns are there`, async () => (await texts(page.locator("thead th"))).includes(flexible));
    for (const width of [1000, 1181, 1200, 1280, 1366, 1920]) {
      await page.setViewportSize({ width, height: 850 });
      // With the arrow of an order each heading is at its widest.
      const columns = await page.locator("thead th").evaluateAll((heads) => heads.filter((head) => head.offsetParent !== null)
        .map((head) => { head.setAttribute("aria-sort", "descending"); return head; })
        .map((head) => ({ title: head.textContent, width: head.getBoundingClientRect().width, least: Number(head.style.getPropertyValue("--w")),
          cut: head.firstElementChild.scrollWidth > head.firstElementChild.clientWidth })));
      const told = `${preset} at ${width}: ${JSON.stringify(columns)}`;
      assert.ok(columns.length >= 4 && columns.some((column) => column.title === flexible), told);
      for (const column of columns) assert.ok(column.least > 0 && column.width >= column.least * rem - 1 && !column.cut, told);
      assert.ok(await page.evaluate(() => { const { scrollWidth, clientWidth } = document.getElementById("scroll"); return scrollWidth <= clientWidth; }), `${told} fit`);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${told}: nothing sticks out`);
      if (width >= 1366) assert.ok(columns.length >= 8, `${told}: all columns`);
      await picture(`${preset}-${width}`);
    }
    console.log(`ok: ${preset}: no column collapses`);
  }
  await page.click("text=All orders");

  for (const [name, width, height, colorScheme] of [["dark", 1360, 850, "dark"], ["narrow", 390, 844, "light"], ["narrow-dark", 390, 844, "dark"]]) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name}: nothing sticks out`);
    await page.waitForTimeout(pictures ? 1500 : 100);
    await picture(name);
  }
  assert.equal(await page.evaluate(() => globalThis.stillTheSamePage), true, "the page was never reloaded");
  assert.deepEqual(faults, []);
  console.log("ok: no errors in the console");
} catch (error) {
  await picture("failed");
  throw error;
} finally {
  await browser.close();
  answers.return?.();
  process.stdin.destroy();
}
