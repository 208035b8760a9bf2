// The pages of the console, in the order of the navigation, and the bar that leads to them.

import { el } from "./dom.js";

/** @typedef {import("./types.js").Me} Me */
/** @typedef {{name: string, title: string, file: string, role?: string}} PageEntry `role`: the least that sees anything there */

/** @type {PageEntry[]} */
const PAGES = [
  { name: "ask", title: "Ask", file: "./" },
  { name: "plans", title: "Plans", file: "plans.html" },
  { name: "catalog", title: "Catalog", file: "catalog.html" },
  { name: "pipelines", title: "Pipelines", file: "pipelines.html" },
  { name: "training", title: "Training", file: "training.html" },
  { name: "features", title: "Features", file: "features.html" },
  { name: "endpoints", title: "Endpoints", file: "endpoints.html" },
  { name: "fleet", title: "Fleet", file: "fleet.html" },
  { name: "nodes", title: "Nodes", file: "nodes.html" },
  { name: "waiting", title: "Waiting", file: "waiting.html" },
  { name: "costs", title: "Costs", file: "costs.html" },
  { name: "invoice", title: "Invoice", file: "invoice.html" },
  { name: "kpis", title: "Key figures", file: "kpis.html", role: "admin" },
  { name: "team", title: "Team", file: "team.html" },
  { name: "people", title: "People", file: "people.html" },
  { name: "keys", title: "Keys", file: "keys.html" },
  { name: "audit", title: "Audit", file: "audit.html", role: "approver" },
];

const ROLES = ["viewer", "user", "operator", "approver", "admin"];

/**
 * Whether somebody may do what asks for a role. With a role of one's own the API decides route by route, and says so.
 * @param {Me} me
 * @param {string} role
 */
export function may(me, role) {
  if (role !== "admin" && me.permissions) return true;
  return ROLES.indexOf(me.role) >= ROLES.indexOf(role);
}

/** @param {Me} me */
export const whoWords = (me) => `${me.name} · ${me.role}${me.tenant ? ` of ${me.tenant}` : ""}`;

/**
 * The links to all pages.
 * @param {string} current the name of the page that is shown
 * @param {Me|null} me null while it is not known who asks
 * @param {string} [team] that the next page shows as well
 */
export function navigation(current, me, team = "") {
  const query = team ? `?${new URLSearchParams({ team })}` : "";
  const seen = PAGES.filter((page) => !page.role || (me !== null && may(me, page.role)));
  const links = seen.map((page) => el("a", { href: page.file + query, "aria-current": page.name === current ? "page" : null }, page.title));
  return el("ul", {}, ...links.map((each) => el("li", {}, each)));
}

/**
 * Where a visitor goes on who was sent away to sign in: an address is never taken from another.
 * @param {string} hash such as "#/fleet"
 * @returns {string|null}
 */
export function pageAfterSignIn(hash) {
  const name = /^#\/([a-z]+)$/.exec(hash)?.[1];
  return PAGES.find((page) => page.name === name && page.name !== "ask")?.file ?? null;
}

/**
 * Of a person with several teams: the choice of the one to act in. The server asks who is in it; the choice is no secret, and kept by the browser.
 * @param {Me} me
 * @returns {any[]}
 */
export function ownTeams(me) {
  if ((me.teams ?? []).length < 2) return [];
  const choose = () => {
    document.cookie = `lineshaft_team=${encodeURIComponent(choice.value)}; path=/; samesite=strict`;
    location.reload();
  };
  const choice = el("select", { id: "own-team", change: choose }, ...(me.teams ?? []).map((each) => el("option", { value: each, selected: each === me.tenant }, each)));
  return [el("label", { for: "own-team" }, "Acting in team"), choice];
}
