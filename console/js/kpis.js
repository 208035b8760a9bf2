// The page of key figures: each with its goal, what it was made of, what was left out, and the statement that gives the same.

import { get, path, post } from "./api.js";
import { el } from "./dom.js";
import { control, folded } from "./form.js";
import { List } from "./list.js";
import { everyFewSeconds, followAddress, here, openPage } from "./page.js";
import { badge, facts, figure, lasting, opened, part, percent, tried, when, wide } from "./show.js";

/** @typedef {import("./show.js").Column} Column */

/** @type {[string, string][]} */
const WINDOWS = [["30", "30 days"], ["1", "a day"], ["7", "7 days"], ["90", "90 days"], ["365", "a year"]];
const DAY_MILLISECONDS = 86_400_000;

/** @type {Column[]} */
const KPIS = [
  ["figure", (row) => here([row.name], row.title), "row"],
  ["now", (row) => (row.value === null ? "no number" : shown(row.value, row.unit)), "figure"],
  ["bound", (row) => bound(row), "figure"],
  ["wanted", (row) => row.goal.words],
  ["met", (row) => (row.met === null ? badge("unknown") : badge(row.met ? "met" : "missed"))],
  ["of", (row) => `${amount(row.numerator)} of ${amount(row.denominator)}`],
  ["to know", (row) => row.note || "–"],
];
/** @type {Column[]} */
const ALERTS = [
  ["objective", (row) => row.objective, "row"],
  ["severity", (row) => badge(row.severity)],
  ["burn", (row) => figure(row.burn), "figure"],
  ["why", (row) => row.reason],
  ["raised", (row) => when(row.raised_at)],
  ["cleared", (row) => (row.cleared_at ? when(row.cleared_at) : "it stands")],
];
/** @type {Column[]} */
const COUNTERFACTUALS = [
  ["name", (row) => row.document.name, "row"],
  ["prices of an hour", (row) => Object.entries(row.document.hourly).map(([slot, price]) => `${slot} ${price} ${row.document.currency}`).join(", ")],
  ["in use", (row) => percent(row.document.used_share), "figure"],
  ["from where", (row) => row.document.basis || "–"],
  ["digest", (row) => el("code", { title: row.digest }, row.digest.slice(0, 12))],
  ["fixed", (row) => [when(row.fixed_at), ` by ${row.fixed_by}`]],
];

openPage(
  "kpis",
  async (place, main) => {
    if (!place.may("admin")) return main.replaceChildren(el("p.quiet", {}, "Key figures are of all teams together, and shown to administrators."));
    const span = control({ name: "days", label: "Over the last", kind: "select", options: WINDOWS });
    const [table, read, trouble, detail] = [el("div"), el("p.quiet", { role: "status" }), el("div", { role: "alert" }), el("div")];
    const since = () => new Date(Date.now() - Number(span.input.value) * DAY_MILLISECONDS).toISOString();
    const show = () => tried(trouble, async () => {
      const found = await get(path`/v1/kpis?since=${since()}`);
      table.replaceChildren(wide("Key figures", KPIS, found.kpis, "There is no figure."));
      read.replaceChildren(`${figure(found.log_events)} events were read until `, when(found.log_read_at), `; it took ${figure(found.milliseconds, "ms")}.`);
    });
    span.input.addEventListener("change", show);
    const wanted = el("form.wanted", {}, ...span.labelled);
    const alerts = new List({ title: "Alerts on objectives", columns: ALERTS, none: "No objective is burnt too quickly.", size: 20, filters: [{ name: "open_only", label: "only those that stand", kind: "check" }], path: (query) => `/v1/kpis/alerts?${query}` });
    main.replaceChildren(detail, part("Key figures", wanted, trouble, table, read), alerts.element, counterfactuals().element);
    await show();
    await followAddress(detail, ([name]) => one(name, since()));
    everyFewSeconds(() => Promise.all([show(), alerts.again()]));
  },
  { teams: "none" },
);

/** @param {number} value @param {string} unit */
const shown = (value, unit) => (unit === "share" ? percent(value) : unit === "seconds" ? lasting(value) : figure(value, "h"));

/** @param {any} row */
function bound(row) {
  if (row.lower !== null && row.upper !== null) return `${shown(row.lower, row.unit)} to ${shown(row.upper, row.unit)}`;
  return row.lower !== null ? `at least ${shown(row.lower, row.unit)}` : row.upper !== null ? `at most ${shown(row.upper, row.unit)}` : "–";
}

/** @param {{words: string, value: number, unit: string}} told */
const amount = ({ value, unit }) => figure(value, unit);

/** @param {string} name @param {string} since */
async function one(name, since) {
  const kpi = await get(path`/v1/kpis/${name}?since=${since}`);
  /** @type {Column[]} */
  const parts = [
    ["part", (row) => row.name, "row"],
    ["figure", (row) => (row.value === null ? "no number" : shown(row.value, kpi.unit)), "figure"],
    ["numerator", (row) => figure(row.numerator), "figure"],
    ["denominator", (row) => figure(row.denominator), "figure"],
    ["to know", (row) => row.note || "–"],
  ];
  return opened(
    [`${kpi.title} `, kpi.met === null ? badge("unknown") : badge(kpi.met ? "met" : "missed")],
    el("p", {}, kpi.definition),
    facts([
      ["Now", kpi.value === null ? `no number. ${kpi.note}` : `${shown(kpi.value, kpi.unit)}. ${kpi.note}`],
      ["Bound", bound(kpi)],
      ["Wanted", kpi.goal.words],
      ["Numerator", `${amount(kpi.numerator)}: ${kpi.numerator.words}`],
      ["Denominator", `${amount(kpi.denominator)}: ${kpi.denominator.words}`],
      ["Left out", kpi.exclusions.map((/** @type {any} */ each) => `${figure(each.amount)}: ${each.words}`).join("; ") || "nothing"],
      ["Formula from", kpi.source || "–"],
    ]),
    wide("By part", parts, kpi.parts, "It is not told by part."),
    kpi.query ? el("details", {}, el("summary", {}, "The statement that gives the same from the log"), el("pre.joblog", { tabindex: "0" }, kpi.query)) : "",
  );
}

function counterfactuals() {
  const list = new List({ title: "What costs are compared with", columns: COUNTERFACTUALS, none: "Nothing is fixed: without it no reduction of costs is told.", size: 10, path: (query) => `/v1/kpis/counterfactuals?${query}` });
  /** @type {import("./form.js").Field[]} */
  const fields = [
    { name: "name", label: "Name", required: true, characters: 80 },
    { name: "currency", label: "Currency", value: "USD", required: true, characters: 3 },
    { name: "hourly", label: "Prices of an hour", kind: "json", required: true, hint: '{"gpu:H100": 6.9, "cpu": 0.06}' },
    { name: "used_share", label: "Share in use", kind: "number", least: 0.01, most: 1, value: "1" },
    { name: "basis", label: "From where", kind: "long" },
  ];
  list.element.append(folded({ name: "Fix another", fields, yes: "Fix it for good", said: "It is fixed." }, async (values) => {
    await post("/v1/kpis/counterfactuals", values);
    await list.again();
  }));
  return list;
}
