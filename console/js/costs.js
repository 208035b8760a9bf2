// The page of costs: who used what, what stood idle, what to do about it, what will be needed, and how it is bought best.

import { get } from "./api.js";
import { el } from "./dom.js";
import { control } from "./form.js";
import { counted } from "./format.js";
import { List } from "./list.js";
import { openPage } from "./page.js";
import { badge, facts, figure, part, percent, tried, when, wide } from "./show.js";
import { capacity } from "./capacity.js";
import { findings } from "./findings.js";
import { mixes } from "./mixes.js";
import { learnPools, poolNamed } from "./twins.js";

/** @typedef {import("./page.js").Place} Place */
/** @typedef {import("./show.js").Column} Column */

const DIMENSIONS = ["organisation", "team", "project", "plan", "model", "pool", "agent", "key", "day"];
const AT_FIRST = ["team", "project", "pool", "model"];
const LINES_MAX = 500;
/** From the text, so that no digit is lost. */
const AMOUNT = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 12 });
const MONEY = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 4 });

openPage("costs", async (place, main) => {
  const pools = learnPools(await get("/v1/pools"));
  const month = control({ name: "month", label: "Month", value: new Date().toISOString().slice(0, 7), characters: 7 });
  month.input.type = "month";
  const [spent, stood] = [allocation(place, () => month.input.value), idle(place, () => month.input.value)];
  month.input.addEventListener("change", () => void Promise.all([spent.show(), stood.show()]));
  const wanted = el("form.wanted", { submit: (/** @type {Event} */ event) => event.preventDefault() }, ...month.labelled);
  main.replaceChildren(budgets(place).element, wanted, spent.element, stood.element, findings(place).element, capacity(pools), mixes(pools));
  await Promise.all([spent.show(), stood.show()]);
});

/** @param {Place} place */
function budgets(place) {
  return new List({
    title: "Budgets",
    none: "No team has a budget.",
    size: 20,
    columns: [
      ["team", (row) => row.team, "row"],
      ["spent", (row) => MONEY.format(row.spent), "figure"],
      ["taken", (row) => MONEY.format(row.taken), "figure"],
      ["of", (row) => `${MONEY.format(row.budget)} ${row.currency}`, "figure"],
      ["share", (row) => el("progress", { max: "100", value: String(Math.min(row.percent, 100)), "aria-label": `${figure(row.percent)} % of the budget of ${row.team} taken` })],
      ["mark", (row) => (row.mark ? badge(row.mark >= 100 ? "missed" : `${row.mark} %`) : "–")],
      ["a day", (row) => MONEY.format(row.per_day), "figure"],
      ["ends at that pace", (row) => when(row.ends_at)],
    ],
    path: (query) => `/v1/costs/budgets?${new URLSearchParams([...query, ...place.asked()])}`,
  });
}

/** @param {Place} place @param {() => string} month */
function allocation(place, month) {
  const found = el("div.parts", { "aria-live": "polite" });
  const trouble = el("div", { role: "alert" });
  const boxes = DIMENSIONS.map((name) => ({ name, ...control({ name, label: name, kind: "check", value: String(AT_FIRST.includes(name)) }) }));
  let asked = 0;
  const show = () => tried(trouble, async () => {
    const mine = ++asked;
    const by = boxes.filter((each) => each.input.checked).map((each) => each.name).join(",");
    const query = place.asked({ month: month(), by });
    const told = await get(`/v1/costs/allocation?${query}`);
    if (mine === asked) found.replaceChildren(...allocated(told, place.asked({ month: month() })));
  });
  const by = el("fieldset", { change: show }, el("legend", {}, "Broken down by"), ...boxes.flatMap((each) => each.labelled));
  return { element: part("Who used what", el("form.wanted", {}, by), trouble, found), show };
}

/** @param {any} told @param {URLSearchParams} query */
function allocated(told, query) {
  const files = el("p", {}, "All charges in FOCUS 1.2 as ", el("a", { href: `/v1/costs/focus.csv?${query}`, download: true }, "CSV"), " or ", el("a", { href: `/v1/costs/focus.parquet?${query}`, download: true }, "Parquet"), ".");
  const exact = Number(told.total) === Number(told.ledger_total) && told.total === told.ledger_total;
  const sum = el("p.total", {}, `${AMOUNT.format(told.total)} ${told.currency} in ${counted(told.lines.length, "line")} `, badge(exact ? "ok" : "broken"), exact ? " the ledger says the same." : ` the ledger says ${AMOUNT.format(told.ledger_total)}.`);
  /** @type {Column[]} */
  const columns = [
    ...told.by.map((/** @type {string} */ name, /** @type {number} */ at) => [name, (/** @type {any} */ line) => (name === "pool" ? poolNamed(line[name]) : line[name] || "–"), at ? undefined : "row"]),
    ["quantity", (line) => `${figure(Number(line.quantity))}${Number(line.quantity_out) ? ` + ${figure(Number(line.quantity_out))}` : ""}`, "figure"],
    ["unit", (line) => line.unit.replaceAll("_", " ")],
    [told.currency, (line) => AMOUNT.format(line.amount), "figure"],
    ["share", (line) => share(line, told)],
  ];
  const shown = told.lines.slice(0, LINES_MAX);
  const rest = told.lines.length - shown.length;
  return [sum, wide("Lines of the allocation", columns, shown, "Nothing was charged."), rest ? el("p.quiet", {}, `${rest} more lines are in the files.`) : "", files];
}

/** @param {any} line @param {any} told */
function share(line, told) {
  const part = Number(told.total) ? Number(line.amount) / Number(told.total) : 0;
  return el("progress", { max: "1", value: String(Math.max(0, Math.min(part, 1))), "aria-label": `${percent(part)} of the total` });
}

/** @param {Place} place @param {() => string} month */
function idle(place, month) {
  const rule = control({ name: "rule", label: "Shown to", kind: "select", options: [["", "as is set"], ["platform", "the platform"], ["use", "teams by use"], ["quota", "teams by quota"]] });
  const found = el("div.parts");
  const trouble = el("div", { role: "alert" });
  const show = () => tried(trouble, async () => found.replaceChildren(...stood(await get(`/v1/costs/idle?${place.asked({ month: month(), rule: rule.input.value })}`))));
  rule.input.addEventListener("change", show);
  return { element: part("What stood idle", el("form.wanted", {}, ...rule.labelled), trouble, found), show };
}

/** @param {any} told */
function stood(told) {
  /** @type {Column[]} */
  const unleased = [
    ["pool", (row) => poolNamed(row.pool), "row"],
    ["of", (row) => row.accelerator || row.slot_kind],
    ["bought", (row) => row.price_class.replaceAll("_", " ")],
    ["stood there", (row) => hours(row.slot_seconds), "figure"],
    ["was leased", (row) => hours(row.leased_slot_seconds), "figure"],
    ["was idle", (row) => hours(row.idle_slot_seconds), "figure"],
    [told.currency, (row) => AMOUNT.format(row.amount), "figure"],
  ];
  /** @type {Column[]} */
  const shares = [["team", (row) => row.team, "row"], ["pool", (row) => poolNamed(row.pool)], [told.currency, (row) => AMOUNT.format(row.amount), "figure"]];
  /** @type {Column[]} */
  const unused = [
    ["lease", (row) => row.lease_id, "row"],
    ["team", (row) => row.team],
    ["pool", (row) => poolNamed(row.pool)],
    ["slots", (row) => row.slots, "figure"],
    ["leased", (row) => hours(row.leased_slot_seconds), "figure"],
    ["not used", (row) => hours(row.unused_slot_seconds), "figure"],
    [told.currency, (row) => AMOUNT.format(row.amount), "figure"],
    ["state", (row) => badge(row.active ? "active" : "released")],
  ];
  return [
    el("p", {}, told.rule_in_words),
    facts([
      ["Unleased", `${AMOUNT.format(told.unleased_total)} ${told.currency}, charged to nobody`],
      ["Leased and not used", `${AMOUNT.format(told.unused_total)} ${told.currency}, within what was charged`],
      ["Observed", `${figure(told.observed_hours, "h")} of ${figure(told.period_hours, "h")}: what was not is not counted as idle`],
    ]),
    wide("Unleased, by pool", unleased, told.unleased, "Nothing that you are shown stood unleased."),
    wide("Shares of it, by team", shares, told.shares, "No team is shown any of it."),
    wide("Leased and not used", unused, told.unused.slice(0, LINES_MAX), "Every lease was used all the time."),
  ];
}

/** @param {string} slotSeconds */
const hours = (slotSeconds) => `${figure(Number(slotSeconds) / 3600)} slot h`;
