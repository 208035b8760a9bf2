// What every page but the conversation begins with: its bar, who asks, which team, and where trouble is said.

import { get, request, session } from "./api.js";
import { byId, el, problem, setText } from "./dom.js";
import { may, navigation, ownTeams, whoWords } from "./pages.js";

/** @typedef {import("./types.js").Me} Me */
/**
 * @typedef {object} Place who asks and what is looked at
 * @property {Me} me
 * @property {string} team of the asker, or as an administrator chose; empty for all
 * @property {(role: string) => boolean} may whether the asker has a role
 * @property {(query?: Record<string, string>) => URLSearchParams} asked a query that names the team where it must
 */

const AGAIN_MS = 5000;

/**
 * Open a page: find out who asks, then have it drawn, and drawn again when another team is chosen.
 * @param {string} name as in the navigation
 * @param {(place: Place, main: HTMLElement) => void|Promise<void>} draw
 * @param {{teams?: "one"|"all"|"none"}} [wanted] whether the page is of one team, may be of all, or of none
 */
export async function openPage(name, draw, { teams = "all" } = {}) {
  const main = byId("main");
  const body = el("div.parts", { "aria-busy": "true" }, el("p.quiet", {}, "Loading…"));
  main.append(body);
  showBar(name);
  session.addEventListener("signedout", () => location.replace(`./#/${name}`));
  const start = async () => {
    body.replaceChildren(el("p.quiet", {}, "Loading…"));
    body.setAttribute("aria-busy", "true");
    try {
      const me = await get("/v1/me");
      const chosen = await team(me, teams);
      know(name, me, chosen);
      await draw(placeOf(me, chosen), body);
    } catch (error) {
      if (error?.status === 401) return;
      body.replaceChildren(problem(error), again(start));
    }
    body.removeAttribute("aria-busy");
  };
  await start();
}

/** @param {Me} me @param {string} team @returns {Place} */
function placeOf(me, team) {
  const asked = (/** @type {Record<string, string>} */ query = {}) => {
    const made = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ""));
    if (me.tenant === null && team) made.set("tenant", team);
    return made;
  };
  return { me, team: me.tenant ?? team, may: (role) => may(me, role), asked };
}

/**
 * Which team is looked at: the asker's own, else the one that the address names, which a choice in the bar changes.
 * @param {Me} me @param {"one"|"all"|"none"} teams
 */
async function team(me, teams) {
  if (me.tenant !== null || teams === "none") return me.tenant ?? "";
  const names = (await get("/v1/tenants")).map((/** @type {{name: string}} */ each) => each.name);
  const named = chosenTeam();
  const chosen = names.includes(named) ? named : teams === "one" ? (names[0] ?? "") : "";
  const options = [...(teams === "all" ? [["", "all teams"]] : []), ...names.map((/** @type {string} */ each) => [each, each])];
  const choice = el("select", { id: "team", change: () => location.assign(`?${new URLSearchParams({ team: choice.value })}`) });
  choice.append(...options.map(([value, words]) => el("option", { value, selected: value === chosen }, words)));
  byId("whose").replaceChildren(el("label", { for: "team" }, "Team"), choice);
  return chosen;
}

/** @returns {string} the team that the address names */
export const chosenTeam = () => new URLSearchParams(location.search).get("team") ?? "";

/**
 * Say who asks, and lead to all pages that they see something on.
 * @param {string} name of this page
 * @param {Me} me
 * @param {string} [chosen] the team that an administrator looks at
 */
export function know(name, me, chosen = chosenTeam()) {
  setText(byId("who"), whoWords(me));
  if (me.tenant !== null) byId("whose").replaceChildren(...ownTeams(me));
  byId("pages").replaceChildren(navigation(name, me, me.tenant === null ? chosen : ""));
  // On a narrow page the bar is scrolled: this page's name should be seen.
  byId("pages").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
}

/**
 * Draw the bar of a page.
 * @param {string} name
 */
export function showBar(name) {
  byId("top").replaceChildren(...bar(name));
}

/** @param {string} name */
function bar(name) {
  const out = async () => {
    await request("DELETE", "/v1/session").catch(() => null);
    location.replace("./");
  };
  return [
    el("h1", {}, el("a", { href: "./" }, "Lineshaft")),
    el("span.whose", { id: "whose" }),
    el("span.who", { id: "who" }),
    el("button", { type: "button", click: out }, "Sign out"),
    el("nav.pages", { id: "pages", "aria-label": "Pages" }, navigation(name, null)),
  ];
}

/** @param {() => unknown} act */
const again = (act) => el("button", { type: "button", click: () => void act() }, "Try again");

/**
 * Do something every few seconds while somebody looks, one turn at a time.
 * @param {() => Promise<unknown>} act
 */
export function everyFewSeconds(act) {
  const turn = async () => {
    if (!document.hidden) await act();
    setTimeout(turn, AGAIN_MS);
  };
  setTimeout(turn, AGAIN_MS);
}

/**
 * Show what the address names after “#/”, and again whenever it names something else. Its heading takes the focus when it was asked for by hand.
 * @param {HTMLElement} holder
 * @param {(parts: string[]) => Promise<any>|any} draw the element for the parts of the address; null for what is not known
 */
export function followAddress(holder, draw) {
  let asked = 0;
  const show = async (/** @type {boolean} */ byHand) => {
    const mine = ++asked;
    const parts = location.hash.startsWith("#/") ? location.hash.slice(2).split("/").map(decoded) : [];
    if (!parts.length) return holder.replaceChildren();
    holder.replaceChildren(el("p.quiet", { "aria-busy": "true" }, "Loading…"));
    const made = await Promise.resolve(draw(parts)).catch((error) => el("div", {}, problem(error), again(() => show(true))));
    if (mine !== asked) return;
    holder.replaceChildren(...(made ? [made] : []));
    if (!byHand) return;
    holder.scrollIntoView({ block: "start" });
    const heading = holder.querySelector("h3");
    heading?.setAttribute("tabindex", "-1");
    heading?.focus({ preventScroll: true });
  };
  window.addEventListener("hashchange", () => show(true));
  return show(false);
}

/** @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * A link to a part of this page.
 * @param {string[]} parts
 * @param {string} words
 */
export const here = (parts, words) => el("a", { href: `#/${parts.map(encodeURIComponent).join("/")}` }, words);

/** @param {string|null|undefined} plan @returns {any} a link to a plan, or a dash */
export const planLink = (plan) => (plan ? el("a", { href: `plans.html#/${encodeURIComponent(plan)}` }, plan) : "–");
