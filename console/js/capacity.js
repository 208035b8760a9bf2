// What a pool will be asked for, with how sure that is, when it is full, and what is best reserved.

import { get } from "./api.js";
import { el } from "./dom.js";
import { chart } from "./draw.js";
import { form } from "./form.js";
import { facts, figure, part, percent, when, wide } from "./show.js";

/** @typedef {import("./form.js").Field} Field */

/** @param {string[]} pools */
export function capacity(pools) {
  const found = el("div.parts", { role: "status" });
  /** @type {Field[]} */
  const fields = [
    { name: "pool", label: "Pool", kind: "select", options: pools },
    { name: "bucket", label: "By", kind: "select", options: [["", "what the past allows"], ["hour", "hour"], ["day", "day"]] },
    { name: "level", label: "The interval holds", kind: "select", options: [["0.8", "80 of 100"], ["0.5", "50 of 100"], ["0.95", "95 of 100"]] },
    { name: "fresh", label: "forecast anew", kind: "check" },
  ];
  const asked = form({ name: "Demand to come", fields, yes: "Foresee", keep: true, said: "The forecast is there." }, async ({ fresh, ...values }) => {
    found.replaceChildren(el("p.quiet", {}, "Foreseeing…"));
    try {
      found.replaceChildren(...told(await get(`/v1/costs/capacity?${new URLSearchParams({ ...values, ...(fresh ? { fresh: "true" } : {}) })}`)));
    } catch (error) {
      found.replaceChildren();
      throw error;
    }
  });
  return part("What will be needed", asked, found);
}

/** @param {any} report */
function told(report) {
  if (!report.enough) return [el("p", {}, report.words)];
  const { fills, reserving, backtest } = report;
  return [
    el("p", {}, report.words),
    forecast(report),
    el("details", {}, el("summary", {}, "The same as a table"), wide("Demand to come", POINTS, report.total, "")),
    facts([
      ["Made", el("span", {}, when(report.made_at), ` from ${report.history} ${report.bucket}s, by ${report.model}`)],
      ["In the past", backtest ? `its error was ${figure(backtest.error)}, that of the seasonal naive forecast ${figure(backtest.error_naive)}; ${percent(backtest.coverage)} lay in the interval, over ${backtest.windows} windows` : "too short to hold any back"],
      ["Stands there", `${report.capacity} slots`],
      ["Full at the earliest", fills?.earliest ? when(fills.earliest) : "not within this time"],
      ["Full as expected", fills?.expected ? when(fills.expected) : "not within this time"],
      ["Full at the latest", fills?.latest ? when(fills.latest) : "not within this time"],
      ["Best reserved", reserving ? `${reserving.slots} slots: ${figure(reserving.hourly_cost)} an hour, against ${figure(reserving.hourly_cost_on_demand)} with none and ${figure(reserving.hourly_cost_peak)} for the busiest hour` : "not known"],
    ]),
    wide("By team", TEAMS, report.teams, "No team's part can be told."),
    report.others ? el("p.quiet", {}, `All other teams together: ${figure(report.others.mean)} slots on the mean.`) : "",
  ];
}

/** @type {import("./show.js").Column[]} */
const POINTS = [
  ["at", (row) => when(row.at), "row"],
  ["slots expected", (row) => figure(row.mean), "figure"],
  ["at least", (row) => figure(row.low), "figure"],
  ["at most", (row) => figure(row.high), "figure"],
];
/** @type {import("./show.js").Column[]} */
const TEAMS = [
  ["team", (row) => row.team, "row"],
  ["now", (row) => figure(row.now), "figure"],
  ["at the end", (row) => figure(row.points.at(-1)?.mean), "figure"],
  ["between", (row) => `${figure(row.points.at(-1)?.low)} and ${figure(row.points.at(-1)?.high)}`, "figure"],
  ["by", (row) => row.model],
];

/** @param {any} report */
function forecast(report) {
  const points = report.total.map((/** @type {any} */ each) => [Date.parse(each.at), each.mean, each.low, each.high]);
  return chart({
    words: `Slots that will be asked for in ${report.pool}, with the interval that holds ${percent(report.level)} of what may come.`,
    lines: [{ name: "expected", tone: "accent", points: points.map(([at, mean]) => [at, mean]) }],
    bands: [{ tone: "", points: points.map(([at, , low, high]) => [at, low, high]) }],
    marks: [{ y: report.capacity, words: `${report.capacity} slots stand there` }],
    x: (at) => new Date(at).toLocaleDateString(undefined, { month: "short", day: "numeric" }),
    y: (value) => figure(value),
  });
}
