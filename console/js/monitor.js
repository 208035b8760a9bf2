// One monitor: what it compares, what each comparison found feature by feature, and its definition to change.

import { get, path, post, request } from "./api.js";
import { announce, el } from "./dom.js";
import { folded } from "./form.js";
import { counted } from "./format.js";
import { List } from "./list.js";
import { planLink } from "./page.js";
import { acting, badge, facts, figure, lasting, opened, percent, tried, when, wide } from "./show.js";
import { asking } from "./sure.js";

/** @typedef {import("./page.js").Place} Place */

/** What a monitor is beside what was asked for. */
const KEPT = ["tenant", "revision", "enabled", "due_at", "checked_at", "verdict", "created_by", "updated_at"];
const EXAMPLE = { name: "words", view: "words", past: { set_id: "set-…" }, window_seconds: 86_400, every_seconds: 3600 };

/** @type {import("./show.js").Column[]} */
const FEATURES = [
  ["feature", (row) => row.feature, "row"],
  ["found", (row) => badge(row.drifted ? "drifted" : "stable")],
  ["population stability", (row) => (row.psi === null ? "–" : `${figure(row.psi)}${row.psi_noise === null ? "" : ` (chance up to ${figure(row.psi_noise)})`}`), "figure"],
  ["Kolmogorov-Smirnov", (row) => (row.ks === null ? "–" : `${figure(row.ks)}, p ${chance(row.ks_p)}`), "figure"],
  ["of vectors", (row) => (row.mmd === null ? "–" : `${figure(row.mmd)}, p ${chance(row.mmd_p)}`), "figure"],
  ["missing", (row) => `${percent(row.missing_before)} → ${percent(row.missing_now)}`, "figure"],
  ["began about", (row) => when(row.since)],
  ["in words", (row) => row.words],
];

/** @param {number|null} p */
const chance = (p) => (p === null ? "–" : p < 0.001 ? "< 0.001" : figure(p));

/**
 * @param {Place} place
 * @param {string} team
 * @param {string} name
 * @param {() => Promise<void>} changed
 */
export async function showMonitor(place, team, name, changed) {
  const at = path`/v1/features/monitors/${name}`;
  const query = place.me.tenant === null ? path`tenant=${team}` : "";
  const monitor = await get(`${at}?${query}`);
  const report = el("div");
  const checks = new List({
    title: "Comparisons",
    size: 10,
    none: "It has not compared yet.",
    columns: [
      ["at", (row) => when(row.at)],
      ["found", (row) => badge(row.verdict)],
      ["rows then and now", (row) => `${row.report.rows_before} and ${row.report.rows_now}`, "figure"],
      ["why", (row) => row.report.reason],
      ["by feature", (row) => acting("Show", async () => report.replaceChildren(byFeature(row)))],
    ],
    path: (asked) => `${at}/checks?${asked}&${query}`,
  });
  const again = async () => void (await Promise.all([checks.again(), changed()]));
  return opened([`Monitor ${monitor.name} `, monitor.verdict ? badge(monitor.verdict) : ""], el("p", {}, monitor.description), facts(told(monitor)), acts(place, at, query, again), checks.element, report, change(place, monitor, at, query, changed));
}

/** @param {any} check */
function byFeature(check) {
  return el("div.part", {}, el("h4", {}, "Of ", when(check.at), ", by feature"), wide("By feature", FEATURES, check.report.features, "Nothing was compared: too few rows."));
}

/** @param {any} monitor @returns {[string, any][]} */
function told(monitor) {
  const { past, thresholds, retraining } = monitor;
  return [
    ["Watches", monitor.view ? `view ${monitor.view}` : `endpoint ${monitor.endpoint}`],
    ["Features", monitor.features.join(", ") || "all"],
    ["Compared with", past.set_id ? `training set ${past.set_id}` : `${new Date(past.start).toLocaleString()} to ${new Date(past.end).toLocaleString()}`],
    ["The present is", `the last ${lasting(monitor.window_seconds)}, ${monitor.rows_min} rows at least`],
    ["Compared every", lasting(monitor.every_seconds)],
    ["Next", when(monitor.due_at)],
    ["Counts from", `index ${thresholds.psi}, distance ${thresholds.ks}, of vectors ${thresholds.mmd}, missing ${percent(thresholds.missing)}; by chance once in ${figure(1 / thresholds.alpha)}; ${counted(thresholds.features_min, "feature")} at least`],
    ["Then", retraining ? `a plan: train ${retraining.model_name} anew, above ${percent(retraining.accuracy_min)}, to ${retraining.endpoint} by canary` : "an alert, and nothing is proposed"],
    ["Revision", monitor.revision],
  ];
}

/** @param {Place} place @param {string} at @param {string} query @param {() => Promise<void>} again */
function acts(place, at, query, again) {
  if (!place.may("user")) return "";
  const holder = el("div.actions");
  const said = el("p", { role: "status" });
  const trouble = el("div", { role: "alert" });
  const compare = async () => {
    const { check, alert } = await post(`${at}/check?${query}`, {});
    said.replaceChildren(badge(check.verdict), ` ${check.report.reason} `, ...(alert?.plan_id ? ["Answered by plan ", planLink(alert.plan_id), "."] : []));
    await again();
  };
  const end = () => tried(trouble, async () => {
    await request("DELETE", `${at}?${query}`);
    location.hash = "";
    announce("It is watched no more.");
    await again();
  });
  holder.append(acting("Compare now", compare), asking(holder, "Watch no more", "End this monitor? What it found stays.", "Yes, end it", end));
  return el("div", {}, holder, said, trouble);
}

/** @param {Place} place @param {any} monitor @param {string} at @param {string} query @param {() => Promise<void>} changed */
function change(place, monitor, at, query, changed) {
  if (!place.may("user")) return "";
  const spec = Object.fromEntries(Object.entries(monitor).filter(([name]) => !KEPT.includes(name)));
  const fields = [{ name: "spec", label: "Definition", kind: /** @type {"json"} */ ("json"), required: true, value: JSON.stringify(spec, null, 2) }];
  return folded({ name: "Change what is watched", fields, yes: "Change it", keep: true, said: "It is changed." }, async (values) => {
    await request("PUT", `${at}?${query}`, { spec: values.spec, revision: monitor.revision });
    await changed();
    location.reload();
  });
}

/** @param {Place} place @param {() => Promise<void>} changed */
export function watchForm(place, changed) {
  const fields = [{ name: "spec", label: "Definition", kind: /** @type {"json"} */ ("json"), required: true, value: JSON.stringify(EXAMPLE, null, 2) }];
  return folded({ name: "Watch something", fields, yes: "Watch it", said: "It is watched." }, async ({ spec }) => {
    await request("PUT", `${path`/v1/features/monitors/${String(spec.name ?? "")}`}?${place.asked()}`, { spec });
    await changed();
  });
}
