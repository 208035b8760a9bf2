// Limits: a row each with how much of it is taken now, set and removed by administrators.

import { path, request } from "./api.js";
import { announce, byId, el, problem } from "./dom.js";
import { asking } from "./sure.js";

/** @typedef {import("./keys.js").Place} Place */
/** @typedef {import("./keytable.js").Key} Key */
/** @typedef {{id: string, project: string, key_id: string, resource: string, window: string, cap: string, used: string, set_by: string}} Limit */

const RESOURCES = { parallel: "calls at one time" };
const WINDOWS = { now: "", total: "in all" };
const FIGURES = ["used", "at most"];
/** From the text, so that no digit is lost. */
const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 12 });

/**
 * @param {Limit[]} limits
 * @param {Key[]} keys to name those that a limit is of
 * @param {Place} here
 */
export function drawLimits(limits, keys, here) {
  byId("limits-none").hidden = limits.length > 0;
  byId("limits-none").textContent = `Team ${here.tenant} has no limit but its budget.`;
  if (!limits.length) return byId("limits").replaceChildren();
  const heads = ["of", "what", "per", "used", "at most"].map((each) => el(FIGURES.includes(each) ? "th.figure" : "th", { scope: "col" }, each));
  const more = [el("span.hidden", {}, "share"), "set by", el("span.hidden", {}, "actions")].map((each) => el("th", { scope: "col" }, each));
  const head = el("thead", {}, el("tr", {}, ...heads, ...more));
  const names = new Map(keys.map((key) => [key.id, key.name]));
  byId("limits").replaceChildren(head, el("tbody", {}, ...limits.map((limit) => row(limit, names, here))));
}

/** @param {Limit} limit @param {Map<string, string>} names @param {Place} here */
function row(limit, names, here) {
  const whose = limit.project ? `project ${limit.project}` : limit.key_id ? `key ${names.get(limit.key_id) ?? limit.key_id}` : "the team";
  const [used, cap] = [Number(limit.used), Number(limit.cap)];
  const share = cap > 0 ? used / cap : 1;
  const bar = el("progress", { max: "1", value: String(Math.min(share, 1)), "aria-label": `${Math.round(share * 100)} % of ${whose}'s ${limit.resource} used` });
  const acts = el("td.acts", {});
  if (here.mayLimit) acts.append(asking(acts, "Remove", `Remove this limit of ${whose}?`, "Yes, remove", () => remove(limit, here)));
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, whose),
    el("td", {}, RESOURCES[limit.resource] ?? limit.resource),
    el("td", {}, WINDOWS[limit.window] ?? limit.window),
    el("td.figure", {}, NUMBER.format(limit.used)),
    el("td.figure", {}, NUMBER.format(limit.cap)),
    el("td", {}, bar),
    el("td", {}, limit.set_by),
    acts,
  );
}

/** @param {Key[]} keys */
export function offerKeys(keys) {
  const before = byId("set-key").value;
  const options = keys.filter((key) => key.state === "active").map((key) => el("option", { value: key.id }, `${key.name} (${key.id})`));
  byId("set-key").replaceChildren(el("option", { value: "" }, "every key"), ...options);
  byId("set-key").value = keys.some((key) => key.id === before) ? before : "";
}

/** @param {Limit} limit @param {Place} here */
async function remove(limit, here) {
  await tried(async () => {
    await request("DELETE", path`/v1/limits/${limit.id}`);
    announce("The limit is removed.");
    await here.again();
  });
}

/** @param {() => Place} place */
export function listenToLimits(place) {
  byId("set-resource").addEventListener("change", () => {
    const parallel = byId("set-resource").value === "parallel";
    byId("set-window").value = parallel ? "now" : "month";
    byId("set-window").disabled = parallel;
  });
  byId("set").addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    const here = place();
    await tried(async () => {
      await request("PUT", "/v1/limits", {
        tenant: here.tenant,
        project: byId("set-project").value.trim(),
        key_id: byId("set-key").value,
        resource: byId("set-resource").value,
        window: byId("set-window").value,
        cap: byId("set-cap").value,
      });
      byId("set-cap").value = "";
      announce("The limit is set.");
      await here.again();
    });
  });
}

/** @param {() => Promise<void>} act */
async function tried(act) {
  byId("limits-trouble").replaceChildren();
  try {
    await act();
  } catch (error) {
    byId("limits-trouble").replaceChildren(problem(error));
  }
}
