// Shows what was found: tables, facts, badges, parts of a page with their own trouble.

import { el, problem } from "./dom.js";
import { moment } from "./format.js";

export { facts } from "./step.js";

/** @typedef {[string, (row: any) => any, ("figure"|"row"|"acts")?]} Column name, cell, and how it stands */

let parts = 0;

/** States that need no second look, a look, and help, as far as a colour says so beside the word. */
const GOOD = new Set(["live", "healthy", "promoted", "finished", "stable", "done", "active", "granted", "succeeded", "ok", "on", "met", "complete", "cached", "started", "fixing"]);
const LOOK = new Set(["paused", "draining", "suspect", "asleep", "degraded", "queued", "pending", "waiting", "gated", "repairing", "unknown", "expired", "closed", "proposed", "asked", "pruned", "pruning", "stopping", "asking", "skipped"]);
const BAD = new Set(["failed", "rolled_back", "aborted", "down", "drifted", "revoked", "refused", "missed", "lost", "broken", "page"]);

/** @param {string} state @returns {any} the state as a word in a frame */
export function badge(state) {
  const tone = GOOD.has(state) ? "good" : LOOK.has(state) ? "look" : BAD.has(state) ? "bad" : "plain";
  return el("span.badge", { "data-tone": tone }, state.replaceAll("_", " "));
}

/** The mark of everything that is not real. */
export const simulated = () => el("span.badge.simulated", { title: "No machine of this is real: the twin made it up." }, "simulated");

/** @param {string|null|undefined} at */
export const when = (at) => (at ? el("time", { datetime: at }, moment(at)) : "–");

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });
/** @param {number|null|undefined} value @param {string} [unit] */
export const figure = (value, unit = "") => (value === null || value === undefined ? "–" : `${NUMBER.format(value)}${unit && ` ${unit}`}`);

/** @param {number|null|undefined} share from 0 to 1 */
export const percent = (share) => (share === null || share === undefined ? "–" : `${NUMBER.format(Math.round(share * 10_000) / 100)} %`);

/** @param {number} seconds */
export function lasting(seconds) {
  const [value, unit] = seconds < 120 ? [seconds, "s"] : seconds < 7200 ? [seconds / 60, "min"] : seconds < 172_800 ? [seconds / 3600, "h"] : [seconds / 86_400, "days"];
  return `${NUMBER.format(Math.round(value * 10) / 10)} ${unit}`;
}

/**
 * A table without anything around it.
 * @param {Column[]} columns
 * @param {any[]} rows
 */
export function tableOf(columns, rows) {
  const head = columns.map(([name, , kind]) => el(kind === "figure" ? "th.figure" : "th", { scope: "col" }, kind === "acts" ? el("span.hidden", {}, name) : name));
  return el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows.map((row) => el("tr", {}, ...columns.map((column) => cell(column, row))))));
}

/** @param {Column} column @param {any} row */
function cell([, value, kind], row) {
  const shown = value(row);
  if (kind === "row") return el("th", { scope: "row" }, shown);
  return el(kind ? `td.${kind}` : "td", {}, ...(Array.isArray(shown) ? shown : [shown]));
}

/**
 * A table that may be wider than the page, with what is said where it is empty.
 * @param {string} name for screen readers
 * @param {Column[]} columns
 * @param {any[]} rows
 * @param {string} none
 */
export function wide(name, columns, rows, none) {
  if (!rows.length) return el("p.quiet", {}, none);
  return el("div.wide", { tabindex: "0", role: "region", "aria-label": `${name}, table` }, tableOf(columns, rows));
}

/**
 * A part of a page under a heading.
 * @param {any} title
 * @param {...any} children
 */
export function part(title, ...children) {
  const id = `part-${++parts}`;
  return el("section.part", { "aria-labelledby": id }, el("h3", { id }, ...(Array.isArray(title) ? title : [title])), ...children);
}

/**
 * What a person opened: with a way back.
 * @param {any} title
 * @param {...any} children
 */
export function opened(title, ...children) {
  const shut = el("a.shut", { href: "#" }, "Close");
  const made = part(title, ...children);
  made.classList.add("opened");
  made.querySelector("h3").after(shut);
  return made;
}

/**
 * A button that asks the API for something, with its trouble beside it.
 * @param {string} name
 * @param {() => Promise<unknown>} act
 */
export function acting(name, act) {
  const trouble = el("span", { role: "alert" });
  const button = el("button", { type: "button" }, name);
  button.addEventListener("click", async () => {
    button.disabled = true;
    trouble.replaceChildren();
    await tried(trouble, act);
    button.disabled = false;
  });
  return el("span.acting", {}, button, trouble);
}

/**
 * Do something, and say where it was refused.
 * @param {HTMLElement} trouble
 * @param {() => Promise<unknown>} act
 * @returns {Promise<boolean>} whether it was done
 */
export async function tried(trouble, act) {
  try {
    trouble.replaceChildren();
    await act();
    return true;
  } catch (error) {
    trouble.replaceChildren(problem(error));
    return false;
  }
}
