// The page of features and drift: what is known of whom, what it is compared with, and what was found.

import { el } from "./dom.js";
import { List } from "./list.js";
import { everyFewSeconds, followAddress, here, openPage, planLink } from "./page.js";
import { badge, lasting, percent, when } from "./show.js";
import { showSet, showView } from "./views.js";
import { showMonitor, watchForm } from "./monitor.js";

/** @type {import("./show.js").Column[]} */
const ALERTS = [
  ["monitor", (row) => here(["monitor", row.tenant, row.monitor], row.monitor), "row"],
  ["team", (row) => row.tenant],
  ["drift", (row) => row.reason],
  ["answered by plan", (row) => planLink(row.plan_id)],
  ["since", (row) => when(row.opened_at)],
  ["closed", (row) => (row.closed_at ? [when(row.closed_at), ` ${row.closed_because}`] : "open")],
];
/** @type {import("./show.js").Column[]} */
const MONITORS = [
  ["monitor", (row) => here(["monitor", row.tenant, row.name], row.name), "row"],
  ["team", (row) => row.tenant],
  ["watches", (row) => (row.view ? `view ${row.view}` : `endpoint ${row.endpoint}`)],
  ["last found", (row) => (row.verdict ? badge(row.verdict) : "–")],
  ["at", (row) => when(row.checked_at)],
  ["every", (row) => lasting(row.every_seconds), "figure"],
  ["answers with", (row) => (row.retraining ? `a plan for ${row.retraining.endpoint}` : "an alert")],
];
/** @type {import("./show.js").Column[]} */
const VIEWS = [
  ["view", (row) => here(["view", row.tenant, row.name, String(row.version)], row.name), "row"],
  ["version", (row) => row.version, "figure"],
  ["team", (row) => row.tenant],
  ["keys", (row) => row.keys.map((/** @type {any} */ key) => key.name).join(", ")],
  ["features", (row) => row.features.length, "figure"],
  ["believed for", (row) => (row.ttl_seconds ? lasting(row.ttl_seconds) : "ever"), "figure"],
  ["store", (row) => row.provider],
  ["state", (row) => badge(row.retired_at ? "retired" : "live")],
];
/** @type {import("./show.js").Column[]} */
const SETS = [
  ["training set", (row) => here(["set", row.tenant, row.id], row.id), "row"],
  ["team", (row) => row.tenant],
  ["rows", (row) => row.rows, "figure"],
  ["features", (row) => row.features.length, "figure"],
  ["label", (row) => row.label || "–"],
  ["complete", (row) => percent(row.complete), "figure"],
  ["made", (row) => when(row.created_at)],
];

openPage("features", async (place, main) => {
  const listed = (/** @type {string} */ what) => (/** @type {URLSearchParams} */ query) => `/v1/features/${what}?${new URLSearchParams([...query, ...place.asked()])}`;
  const every = (/** @type {string} */ label) => [{ name: "every", label, kind: /** @type {"check"} */ ("check") }];
  const alerts = new List({ title: "Drift that is not answered", columns: ALERTS, none: "No drift is open.", size: 20, filters: every("also what was answered"), path: listed("alerts") });
  const monitors = new List({ title: "Monitors", columns: MONITORS, none: "Nothing is watched for drift.", size: 20, path: listed("monitors") });
  const views = new List({ title: "Feature views", columns: VIEWS, none: "No feature view is defined: see “lineshaft features define”.", size: 20, filters: every("also retired versions"), path: listed("views") });
  const sets = new List({ title: "Training sets", columns: SETS, none: "No training set was joined.", size: 20, path: listed("training-sets") });
  const changed = async () => void (await Promise.all([alerts.again(), monitors.again(), views.again()]));
  const detail = el("div");
  if (place.may("user") && place.team) monitors.element.append(watchForm(place, changed));
  main.replaceChildren(detail, alerts.element, monitors.element, views.element, sets.element);
  await followAddress(detail, ([kind, team, name, version]) => {
    if (kind === "monitor") return showMonitor(place, team, name, changed);
    if (kind === "view") return showView(place, team, name, version, changed);
    return kind === "set" ? showSet(place, team, name) : null;
  });
  everyFewSeconds(() => Promise.all([alerts.again(), monitors.again()]));
});
