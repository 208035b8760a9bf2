// One version of a feature view, and one training set.

import { get, path, post, request } from "./api.js";
import { announce, el } from "./dom.js";
import { folded } from "./form.js";
import { List } from "./list.js";
import { badge, facts, figure, lasting, opened, percent, tried, when, wide } from "./show.js";
import { asking } from "./sure.js";

/** @typedef {import("./page.js").Place} Place */

/** @param {Place} place @param {string} team @param {Record<string, string>} [more] */
const asked = (place, team, more = {}) => new URLSearchParams({ ...more, ...(place.me.tenant === null ? { tenant: team } : {}) });

/**
 * @param {Place} place
 * @param {string} team
 * @param {string} name
 * @param {string} version
 * @param {() => Promise<void>} changed
 */
export async function showView(place, team, name, version, changed) {
  const query = asked(place, team, { version });
  const at = path`/v1/features/views/${name}`;
  const { view, rows_written, first_event_at, last_event_at } = await get(`${at}?${query}`);
  const parts = [
    el("p", {}, view.description),
    facts([
      ["Keys", view.keys.map((/** @type {any} */ key) => `${key.name} (${key.kind})`).join(", ")],
      ["True from", view.timestamp],
      ["Believed for", view.ttl_seconds ? lasting(view.ttl_seconds) : "ever"],
      ["Store", view.provider],
      ["Rows", rows_written ? `${figure(rows_written)}, of ${new Date(first_event_at).toLocaleString()} to ${new Date(last_event_at).toLocaleString()}` : "none was written"],
      ["Made by", view.created_by],
      ["Made", when(view.created_at)],
    ]),
    wide("Features", [["feature", (row) => row.name, "row"], ["kind", (row) => row.kind + (row.dimensions ? ` of ${row.dimensions}` : "")], ["what it is", (row) => row.description]], view.features, ""),
  ];
  if (place.may("user") && !view.retired_at) parts.push(reading(at, query, view), retiring(at, query, changed));
  return opened([`${view.name} version ${view.version} `, badge(view.retired_at ? "retired" : "live")], ...parts);
}

/** @param {string} at @param {URLSearchParams} query @param {any} view */
function reading(at, query, view) {
  const answer = el("div", { role: "status" });
  const example = JSON.stringify([Object.fromEntries(view.keys.map((/** @type {any} */ key) => [key.name, key.kind === "int" ? 1 : "…"]))]);
  const fields = [{ name: "entities", label: "Of whom", kind: /** @type {"json"} */ ("json"), required: true, value: example }];
  const made = folded({ name: "Read what is known now", fields, yes: "Read", keep: true }, async ({ entities }) => {
    const { rows } = await post(`${at}/read?${query}`, { entities });
    const values = view.features.map((/** @type {any} */ each) => [each.name, (/** @type {any} */ row) => JSON.stringify(row.values[each.name] ?? null)]);
    const columns = [["of", (/** @type {any} */ row) => Object.values(row.keys).join(", "), "row"], ["state", (/** @type {any} */ row) => badge(row.state)], ["since", (/** @type {any} */ row) => when(row.event_at)], ...values];
    answer.replaceChildren(wide("What is known", /** @type {any} */ (columns), rows, ""));
  });
  made.append(answer);
  return made;
}

/** @param {string} at @param {URLSearchParams} query @param {() => Promise<void>} changed */
function retiring(at, query, changed) {
  const holder = el("div.actions");
  const trouble = el("div", { role: "alert" });
  const retire = () => tried(trouble, async () => {
    await request("DELETE", `${at}?${query}`);
    location.hash = "";
    announce("The version is retired.");
    await changed();
  });
  holder.append(asking(holder, "Retire", "Read and write this version no more? Its history stays.", "Yes, retire it", retire));
  return el("div", {}, holder, trouble);
}

/**
 * @param {Place} place
 * @param {string} team
 * @param {string} id
 */
export async function showSet(place, team, id) {
  const at = path`/v1/features/training-sets/${id}`;
  const query = asked(place, team);
  const set = await get(`${at}?${query}`);
  const rows = new List({
    title: "Rows",
    size: 25,
    none: "It has no rows.",
    pick: rowsOf,
    columns: [
      ["of", (row) => row.keys, "row"],
      ["at", (row) => when(row.at)],
      ...set.features.map((/** @type {string} */ name) => [name.replace("__", ": "), (/** @type {any} */ row) => JSON.stringify(row.values[name] ?? null)]),
      ...(set.label ? [["label", (/** @type {any} */ row) => String(row.label)]] : []),
    ],
    path: (page) => `${at}/rows?${page}&${query}`,
  });
  return opened(
    `Training set ${set.id}`,
    facts([
      ["Takes part as", el("code", {}, `set:${set.id}`)],
      ["Digest", el("code", { title: set.digest }, set.digest.slice(0, 16))],
      ["Rows", figure(set.rows)],
      ["Joined from", set.views.join(", ")],
      ["Complete", percent(set.complete)],
      ["Made by", set.created_by],
      ["Made", when(set.created_at)],
    ]),
    rows.element,
  );
}

/** @param {any} answer columns @returns {any[]} rows */
function rowsOf(answer) {
  return answer.moments.map((/** @type {string} */ at, /** @type {number} */ each) => ({
    at,
    keys: Object.values(answer.keys).map((/** @type {any} */ column) => column[each]).join(", "),
    values: Object.fromEntries(Object.entries(answer.columns).map(([name, column]) => [name, /** @type {any[]} */ (column)[each]])),
    label: answer.labels[each],
  }));
}
