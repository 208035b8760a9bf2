// The invoice page: what a team spent in a month, broken down as ticked, and the same as a file.

import { get } from "./api.js";
import { byId, el, problem, setText } from "./dom.js";
import { counted } from "./format.js";
import { chosenTeam, know, showBar } from "./page.js";

/** @typedef {{tenant: string, since: string, currency: string, by: string[], total: string, lines: any[]}} Invoice */

const UNITS = { tokens: "tokens", slot_seconds: "slot seconds", characters: "characters", audio_seconds: "seconds of audio" };
const QUANTITY = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });
/** Rows and total alike, as fine as the ledger counts; from the text, so that no digit is lost. */
const AMOUNT = new Intl.NumberFormat("en", { minimumFractionDigits: 6, maximumFractionDigits: 12 });
const FIGURES = ["attempts", "in", "out", "cached"];
/** Which question is the newest: an older one's answer that comes late is not shown. */
let asked = 0;

/** Ask who is signed in; without a session the console's own page asks for the key. */
async function start() {
  showBar("invoice");
  try {
    const me = await get("/v1/me");
    know("invoice", me);
    if (me.tenant === null) await offerTeams();
  } catch (error) {
    if (error.status === 401) return signIn();
    return byId("trouble").replaceChildren(problem(error));
  }
  byId("month").value = new Date().toISOString().slice(0, 7);
  byId("wanted").addEventListener("change", show);
  show();
}

/** The console's own page asks for the key, and knows this one by its name to lead back to it. */
const signIn = () => location.replace("./#/invoice");

async function offerTeams() {
  const teams = await get("/v1/tenants");
  byId("team").replaceChildren(...teams.map((each) => el("option", { value: each.name, selected: each.name === chosenTeam() }, each.name)));
  byId("team").hidden = byId("team-label").hidden = false;
}

/** @returns {URLSearchParams} what the form asks for. */
function wanted() {
  const by = [...document.querySelectorAll("#by input:checked")].map((each) => /** @type {HTMLInputElement} */ (each).value);
  const query = new URLSearchParams({ month: byId("month").value });
  if (by.length) query.set("by", by.join(","));
  if (!byId("team").hidden) query.set("tenant", byId("team").value);
  return query;
}

async function show() {
  const [query, mine] = [wanted(), ++asked];
  byId("csv").href = `/v1/invoices.csv?${query}`;
  try {
    const invoice = await get(`/v1/invoices?${query}`);
    if (mine !== asked) return;
    byId("trouble").replaceChildren();
    draw(invoice);
  } catch (error) {
    if (mine !== asked) return;
    if (error.status === 401) return signIn();
    byId("lines").replaceChildren();
    setText(byId("total"), "");
    byId("trouble").replaceChildren(problem(error));
  }
  byId("main").removeAttribute("aria-busy");
}

/** @param {Invoice} invoice */
function draw(invoice) {
  const attempts = invoice.lines.reduce((sum, line) => sum + line.calls, 0);
  const words = `${AMOUNT.format(invoice.total)} ${invoice.currency} for team ${invoice.tenant} in ${invoice.since.slice(0, 7)}, ${counted(attempts, "attempt")}.`;
  setText(byId("total"), invoice.lines.length ? words : `Team ${invoice.tenant} spent nothing in ${invoice.since.slice(0, 7)}.`);
  if (!invoice.lines.length) return byId("lines").replaceChildren();
  const heads = [...invoice.by, ...FIGURES, "unit", invoice.currency];
  const head = el("thead", {}, el("tr", {}, ...heads.map((each) => el(right(invoice, each) ? "th.figure" : "th", { scope: "col" }, each))));
  const body = el("tbody", {}, ...invoice.lines.map((line) => row(invoice, line)));
  byId("lines").replaceChildren(head, body, el("tfoot", {}, total(invoice, attempts)));
}

/** @param {Invoice} invoice @param {string} head */
const right = (invoice, head) => FIGURES.includes(head) || head === invoice.currency;

/** @param {Invoice} invoice @param {any} line */
function row(invoice, line) {
  const names = invoice.by.map((each) => el("td", {}, line[each] || "–"));
  const figures = [line.calls, line.quantity, line.quantity_out, line.quantity_cached].map((each) => el("td.figure", {}, QUANTITY.format(each)));
  return el("tr", {}, ...names, ...figures, el("td", {}, UNITS[line.unit] ?? line.unit), el("td.figure", {}, AMOUNT.format(line.amount)));
}

/**
 * The last row: money and attempts add up, quantities of several units do not.
 * @param {Invoice} invoice @param {number} attempts
 */
function total(invoice, attempts) {
  const label = el("th", { scope: "row", colspan: String(invoice.by.length) }, "Total");
  const quantities = el("td", { colspan: String(FIGURES.length) });
  return el("tr", {}, label, el("td.figure", {}, QUANTITY.format(attempts)), quantities, el("td.figure", {}, AMOUNT.format(invoice.total)));
}

start();
