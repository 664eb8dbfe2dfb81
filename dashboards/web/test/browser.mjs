// What the tests of pages have in common: headless Chromium, and pages that complain about nothing and ask nothing of
// any network. A test program that imports this ends with exit code 77 where there is no browser.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before } from "node:test";
import { chromium } from "playwright-core";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
if (!existsSync(executablePath)) {
  console.log(`skipped: no browser at ${executablePath}`);
  process.exit(77);
}

let browser;
before(async () => {
  browser = await chromium.launch({
    executablePath,
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
});
after(async () => browser?.close());

export const desktop = { viewport: { width: 1280, height: 900 } };
export const telephone = { viewport: { width: 390, height: 844 } };

// Every message and error of a page is kept, to be found empty, and every request that is not for a page by itself.
export async function openPage(address, options, use) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(120_000); // the machine may be busy; nothing waits for this long elsewhere
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => complaints.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => {
    const own = request.isNavigationRequest() && new URL(request.url()).origin === new URL(address).origin;
    if (!own && !request.url().startsWith("data:")) complaints.push(`request: ${request.url()}`);
  });
  await page.goto(address);
  await use(page);
  assert.deepEqual(complaints, []);
  await context.close();
}

// The cells of a table's body as they are read.
export const cells = (page, name, index = 0) =>
  page
    .locator(`table[data-table="${name}"]`)
    .nth(index)
    .evaluate((table) =>
      [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.innerText.trim().replace(/\s+/g, " "))),
    );

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// All rules, or those named.
export async function assertAccessible(page, rules = []) {
  await page.evaluate(axe);
  const options = rules.length > 0 ? { runOnly: rules } : {};
  const found = await page.evaluate((chosen) => globalThis.axe.run(chosen), options);
  const grave = found.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join("; ")}`);
  assert.deepEqual(grave, [], page.url());
}

export async function assertFitsSideways(page) {
  const [content, window_] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= window_, `${page.url()}: ${content} > ${window_}`);
}
