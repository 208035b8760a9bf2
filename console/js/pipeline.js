// One pipeline: its steps, its text, its versions, who stands by it, what starts it, and a run to ask for.

import { freshId, get, path, post, request } from "./api.js";
import { announce, el } from "./dom.js";
import { folded } from "./form.js";
import { List } from "./list.js";
import { here } from "./page.js";
import { badge, facts, opened, tried, when, wide } from "./show.js";
import { asking } from "./sure.js";
import { triggers } from "./triggers.js";

/** @typedef {import("./page.js").Place} Place */
/** @typedef {import("./show.js").Column} Column */
/** @typedef {import("./form.js").Field} Field */

/** @type {Column[]} */
const STANDING = [["who", (row) => row.actor, "row"], ["role", (row) => row.role], ["since", (row) => when(row.at)], ["until", (row) => when(row.expires_at)]];
/** @type {Column[]} */
const VERSIONS = [
  ["version", (row) => row.version, "row"],
  ["digest", (row) => el("code", { title: row.digest }, row.digest.slice(0, 12))],
  ["by", (row) => row.created_by],
  ["since", (row) => when(row.created_at)],
];

/** @param {Place} place @param {string} team */
const whose = (place, team) => (place.me.tenant === null ? new URLSearchParams({ tenant: team }) : new URLSearchParams());

/**
 * @param {Place} place
 * @param {string} team
 * @param {string} name
 * @param {() => Promise<void>} changed
 */
export async function showPipeline(place, team, name, changed) {
  const at = path`/v1/pipelines/${name}`;
  const query = whose(place, team);
  const kept = await get(`${at}?${query}`);
  const steps = Object.entries(kept.lines).map(([id, line]) => ({ id, line, spec: stepOf(kept.document, id) }));
  const versions = new List({ title: "Versions", columns: VERSIONS, none: "", size: 10, path: (page) => `${at}/versions?${page}&${query}` });
  const parts = [
    el("p", {}, kept.document.description ?? ""),
    facts([
      ["Digest", el("code", { title: kept.digest }, kept.digest.slice(0, 16))],
      ["File", kept.file],
      ["Kept by", kept.created_by],
      ["Since", when(kept.created_at)],
    ]),
    wide("Steps", STEPS, steps, "It has no steps."),
    el("details", {}, el("summary", {}, "Its text"), el("pre.joblog", { tabindex: "0" }, kept.text)),
    el("h4", {}, "Who stands by its runs"),
    wide("Who stands by its runs", STANDING, kept.approvals, "Nobody: each run is judged by the policy."),
  ];
  if (!kept.retired_at && place.may("user")) parts.push(running(at, query, kept, changed));
  if (!kept.retired_at) parts.push(acts(place, at, query, kept, changed));
  return opened([`${kept.name} version ${kept.version} `, badge(kept.retired_at ? "retired" : "live")], ...parts, triggers(place, at, query), versions.element);
}

/** @type {Column[]} */
const STEPS = [
  ["step", (row) => row.id, "row"],
  ["kind", (row) => row.spec?.kind ?? "run"],
  ["after", (row) => before(row.spec ?? {}).join(", ") || "–"],
  ["pool", (row) => row.spec?.pool || "–"],
  ["asks people", (row) => (row.spec?.approval ? "yes" : "no")],
  ["line", (row) => row.line, "figure"],
];

/** @param {any} spec @returns {string[]} the steps that it waits for: those it names, and those whose files it reads */
function before(spec) {
  const files = [spec.rows, ...Object.values(spec.inputs ?? {})].filter((each) => typeof each === "string" && each.includes("/"));
  return [...new Set([...(spec.after ?? []), ...files.map((each) => each.split("/")[0])])];
}

/** @param {any} document @param {string} id */
const stepOf = (document, id) => (Array.isArray(document.steps) ? document.steps.find((/** @type {any} */ each) => each.id === id) : document.steps?.[id]);

/** @param {string} at @param {URLSearchParams} query @param {any} kept @param {() => Promise<void>} changed */
function running(at, query, kept, changed) {
  const said = el("p", { role: "status" });
  let key = freshId();
  /** @type {Field[]} */
  const fields = [
    { name: "parameters", label: "Parameters", kind: "json", value: "{}" },
    { name: "anew", label: "do everything anew, also what is known", kind: "check" },
  ];
  const made = folded({ name: "Run it", fields, yes: "Run it", keep: true }, async ({ parameters = {}, anew }) => {
    const run = await post(`${at}/runs?${query}`, { parameters, version: kept.version, key, cache: !anew });
    key = freshId();
    said.replaceChildren("Run ", here(["run", run.id], run.id), " is ", badge(run.state), ".");
    await changed();
  });
  made.append(said);
  return made;
}

/** @param {Place} place @param {string} at @param {URLSearchParams} query @param {any} kept @param {() => Promise<void>} changed */
function acts(place, at, query, kept, changed) {
  const holder = el("div.actions");
  const trouble = el("div", { role: "alert" });
  if (place.may("approver")) {
    const days = el("input", { type: "number", min: "0", max: "365", value: "30", "aria-label": "Days; none takes it back" });
    const stand = () => tried(trouble, async () => {
      await post(`${at}/approve?${query}`, { digest: kept.digest, days: Number(days.value) });
      location.reload();
    });
    holder.append(asking(holder, "Stand by its runs", `Approve runs of exactly this version, ${kept.digest.slice(0, 12)}, for so many days:`, "Yes, stand by them", stand, days));
  }
  if (place.may("user")) {
    const retire = () => tried(trouble, async () => {
      await request("DELETE", `${at}?${query}`);
      location.hash = "";
      announce("The pipeline is retired.");
      await changed();
    });
    holder.append(asking(holder, "Retire", "Start it no more? Its runs stay.", "Yes, retire it", retire));
  }
  return el("div", {}, holder, trouble);
}
