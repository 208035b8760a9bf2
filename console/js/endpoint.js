// One endpoint: its health, how it grows, what is kept of its requests, and a question to it.

import { get, path, post, request } from "./api.js";
import { announce, el } from "./dom.js";
import { form, folded } from "./form.js";
import { counted } from "./format.js";
import { List } from "./list.js";
import { badge, facts, figure, lasting, opened, percent, when, wide } from "./show.js";

/** @typedef {import("./page.js").Place} Place */

/**
 * @param {Place} place
 * @param {string} team
 * @param {string} name
 */
export async function showEndpoint(place, team, name) {
  const at = path`/v1/endpoints/${team}/${name}`;
  const [endpoint, health, scaling] = await Promise.all([get(at), get(`${at}/health`), get(`${at}/scaling`)]);
  const consent = await get(`${at}/consent`);
  const parts = [
    facts(told(endpoint, health, scaling)),
    wide("Servers", [["server", (row) => row.job_id, "row"], ["as", (row) => row.role], ["state", (row) => badge(row.up ? "healthy" : "down")]], health.servers, "No server runs: the first question wakes it."),
  ];
  if (place.may("user")) parts.push(question(at));
  parts.push(kept(place, at, consent));
  if (place.may("approver") && consent.days !== null) parts.push(requests(at));
  return opened([`${team}/${name} `, badge(health.state)], ...parts);
}

/** @param {any} endpoint @param {any} health @param {any} scaling @returns {[string, any][]} */
function told(endpoint, health, scaling) {
  const { minute } = health;
  const failed = minute.requests ? `, ${percent(minute.errors / minute.requests)} failed, 95 of 100 within ${figure(minute.latency_p95_ms, "ms")}` : "";
  return [
    ["Answers with", `${endpoint.model_name} ${endpoint.version}`],
    ["Address", el("code", {}, endpoint.url)],
    ["Last minute", `${counted(minute.requests, "request")}${failed}`],
    ["At one time", figure(health.parallel)],
    ["Servers", `${scaling.servers} of at most ${scaling.servers_max}, one for ${figure(scaling.parallel_target)} requests at one time`],
    ["Sleeps", scaling.idle_seconds === null ? "never" : `after ${lasting(scaling.idle_seconds)} unasked`],
    ["Live since", when(endpoint.updated_at)],
  ];
}

/** @param {string} at */
function question(at) {
  const answer = el("div", { role: "status" });
  const fields = [{ name: "rows", label: "Rows", kind: /** @type {"json"} */ ("json"), required: true, hint: "[[5.1, 3.5, 1.4, 0.2]]" }];
  const asked = folded({ name: "Ask it", fields, yes: "Ask", keep: true }, async ({ rows }) => {
    const told = await post(`${at}/predict`, { rows });
    const lines = told.labels.map((/** @type {string} */ label, /** @type {number} */ each) => [each + 1, label, told.probabilities?.[each]]);
    const columns = [["row", (/** @type {any} */ line) => line[0], "figure"], ["answer", (/** @type {any} */ line) => line[1], "row"], ["surest", (/** @type {any} */ line) => (line[2] ? percent(Math.max(...line[2])) : "–"), "figure"]];
    answer.replaceChildren(el("p.quiet", {}, `Answered by ${told.model_name} ${told.version}.`), wide("Answers", /** @type {any} */ (columns), lines, ""));
  });
  asked.append(answer);
  return asked;
}

/** @param {Place} place @param {string} at @param {any} consent */
function kept(place, at, consent) {
  const words = el("p", {}, keptWords(consent));
  if (!place.may("approver")) return words;
  const fields = [
    { name: "days", label: "Days", kind: /** @type {"number"} */ ("number"), least: 1, most: 365, hint: "none: keep nothing" },
    { name: "share", label: "Share", kind: /** @type {"number"} */ ("number"), least: 0.001, most: 1, value: "1" },
  ];
  const change = form({ name: "Requests that are kept", fields, yes: "Keep from now on", keep: true }, async ({ days = null, share = 1 }) => {
    words.textContent = keptWords(await request("PUT", `${at}/consent`, { days, share }));
    announce(words.textContent);
  });
  const shut = el("details", {}, el("summary", {}, "Change what is kept"), change);
  return el("div", {}, words, shut);
}

/** @param {any} consent */
const keptWords = (consent) =>
  consent.days === null ? "Its requests are not kept." : `${percent(consent.share)} of its requests are kept for ${counted(consent.days, "day")}, as ${consent.set_by || "somebody"} said.`;

/** @param {string} at */
function requests(at) {
  return new List({
    title: "Kept requests",
    columns: [
      ["at", (row) => when(row.at)],
      ["version", (row) => `${row.model_name} ${row.version}`],
      ["rows", (row) => row.rows.length, "figure"],
      ["answers", (row) => row.labels.slice(0, 8).join(", ") + (row.labels.length > 8 ? ", …" : "")],
    ],
    none: "Nothing was asked since requests are kept.",
    size: 20,
    filters: [{ name: "since", label: "Since", kind: "moment" }],
    path: (query) => {
      const since = query.get("since");
      if (since) query.set("since", new Date(since).toISOString());
      return `${at}/requests?${query}`;
    },
  }).element;
}
