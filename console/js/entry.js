// One entry of the catalog: what is said of it, its lineage, and what may be done with it.

import { freshId, get, post, request } from "./api.js";
import { announce, el, safeAddress, link } from "./dom.js";
import { folded, form } from "./form.js";
import { spelled } from "./format.js";
import { planLink } from "./page.js";
import { lineage } from "./lineage.js";
import { badge, facts, opened, tried, wide } from "./show.js";
import { asking } from "./sure.js";

/** @typedef {import("./page.js").Place} Place */
/** @typedef {import("./form.js").Field} Field */
/** @typedef {import("./show.js").Column} Column */

const TONES = { good: "good", fair: "look", poor: "bad", neutral: "plain" };

/** @param {{name: string, value: string, level: string, basis: string}[]} found */
export const badges = (found) => (found.length ? found.flatMap((each) => [el("span.badge", { "data-tone": TONES[each.level] ?? "plain", title: each.basis }, `${each.name}: ${each.value}`), " "]) : ["–"]);

/** @param {string} id @returns {string} its address below what holds it, part by part */
const below = (id) => id.split("/").map(encodeURIComponent).join("/");

/** @type {Column[]} */
const STEPS = [
  ["step", (row) => row.id, "row"],
  ["does", (row) => row.summary],
  ["tool", (row) => el("code", {}, row.tool)],
  ["after", (row) => row.after.join(", ") || "–"],
];

/**
 * @param {Place} place
 * @param {string} id
 * @param {() => Promise<void>} changed
 */
export async function showEntry(place, id, changed) {
  const entry = await get(`/v1/catalog/${below(id)}?${place.asked()}`);
  const own = place.me.tenant === null || entry.tenant === place.me.tenant;
  const parts = [
    el("p.told", {}, entry.description),
    entry.badges.length ? el("p", {}, ...badges(entry.badges)) : "",
    facts(told(entry)),
  ];
  if (!entry.usable && place.may("user") && place.team) parts.push(wish(place, entry, changed));
  if (entry.usable && entry.kind === "document") parts.push(await text(place, id));
  if (entry.usable && entry.blueprint) parts.push(...blueprint(place, entry));
  if (own && place.may("user") && entry.tenant !== "shared") parts.push(owned(place, entry, changed));
  parts.push(await lineage(place, id).catch(() => ""));
  return opened([`${entry.name} `, badge(entry.kind), " ", badge(entry.usable ? "open" : "on request")], ...parts);
}

/** @param {any} entry @returns {[string, any][]} */
function told(entry) {
  const more = Object.entries(entry.facts).map(([name, value]) => /** @type {[string, any]} */ ([name.replaceAll("_", " "), spelled(value)]));
  return [
    ["Entry", el("code", {}, entry.id)],
    ["Team", entry.tenant],
    ["Owner", entry.owner || "–"],
    ["Version", entry.version || "–"],
    ["Tags", entry.tags.join(", ") || "–"],
    ["Seen by", { private: "its owner", team: "its team", organisation: "its organisation", shared: "every team" }[entry.visibility] ?? entry.visibility],
    ...(entry.url && safeAddress(entry.url) ? [/** @type {[string, any]} */ (["Address", link(entry.url, entry.url)])] : []),
    ...more,
  ];
}

/** @param {Place} place @param {any} entry @param {() => Promise<void>} changed */
function wish(place, entry, changed) {
  const said = el("p", { role: "status" });
  /** @type {Field[]} */
  const fields = [
    { name: "reason", label: "What for", kind: "long", required: true },
    { name: "days", label: "For how many days", kind: "number", least: 1, most: 365, value: "30" },
  ];
  const asked = form({ name: "Ask for access", fields, yes: "Ask for access" }, async ({ reason, days = 30 }) => {
    const made = await post("/v1/access-requests", { entry_id: entry.id, reason, days, tenant: place.team });
    said.replaceChildren(badge(made.state), ` Request ${made.id}: team ${made.owner_tenant} decides.`);
    await changed();
  });
  return el("div.part", {}, el("h4", {}, "Ask for access"), el("p.quiet", {}, `Team ${entry.tenant} gives it when it is asked.`), asked, said);
}

/** @param {Place} place @param {string} id */
async function text(place, id) {
  const { text: words } = await get(`/v1/documents/${below(id)}?${place.asked()}`);
  return el("details", { open: true }, el("summary", {}, "The document"), el("pre.joblog", { tabindex: "0" }, words));
}

/** @param {Place} place @param {any} entry */
function blueprint(place, entry) {
  const { steps, slots } = entry.blueprint;
  const shown = wide("Steps of the blueprint", STEPS, steps, "");
  if (!place.may("user") || !place.team) return [shown];
  const said = el("p", { role: "status" });
  const fields = Object.entries(slots).map(([name, slot]) => field(name, /** @type {any} */ (slot)));
  let key = freshId();
  const use = form({ name: "Use the blueprint", fields, yes: "Make a plan of it", keep: true }, async (values) => {
    const given = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, slots[name].kind === "int" ? Math.round(value) : value]));
    const plan = await post("/v1/catalog-uses", { entry_id: entry.id, values: given, key, tenant: place.team });
    key = freshId();
    said.replaceChildren("It became plan ", planLink(plan.id), ", which ", badge(plan.state), ".");
  });
  return [shown, el("div.part", {}, el("h4", {}, "Use it"), use, said)];
}

/** @param {string} name @param {any} slot @returns {Field} */
function field(name, slot) {
  const kinds = { int: "number", float: "number", flag: "check", text: slot.choices.length ? "select" : "text" };
  const value = slot.default === null ? undefined : String(slot.default);
  const bounds = { least: slot.least ?? undefined, most: slot.most ?? undefined };
  return { name, label: slot.description || name.replaceAll("_", " "), kind: /** @type {any} */ (kinds[slot.kind]), options: slot.choices, value, required: slot.required, ...bounds };
}

/** @param {Place} place @param {any} entry @param {() => Promise<void>} changed */
function owned(place, entry, changed) {
  const holder = el("div.actions");
  const trouble = el("div", { role: "alert" });
  const remove = () => tried(trouble, async () => {
    await request("DELETE", `/v1/catalog/${below(entry.id)}`);
    location.hash = "";
    announce("It is out of the catalog.");
    await changed();
  });
  holder.append(asking(holder, "Take it out", "Take it out of the catalog? No search finds it then.", "Yes, take it out", remove));
  if (!place.may("approver") || entry.access !== "request") return el("div", {}, holder, trouble);
  /** @type {Field[]} */
  const fields = [
    { name: "team", label: "Team", required: true, characters: 64 },
    { name: "days", label: "For how many days", kind: "number", least: 1, most: 365, value: "30" },
  ];
  const share = folded({ name: "Give a team access", fields, yes: "Give it", said: "Access is given." }, async ({ team, days = 30 }) => {
    await post("/v1/access-requests/share", { entry_id: entry.id, team, days });
    await changed();
  });
  return el("div", {}, holder, trouble, share);
}

