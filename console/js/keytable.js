// Keys: a row each, made, rotated and revoked. A secret is shown once, and is nowhere in this page afterwards.

import { path, post, request } from "./api.js";
import { announce, byId, el, problem } from "./dom.js";
import { moment } from "./format.js";
import { secret } from "./secret.js";
import { asking } from "./sure.js";

/** @typedef {import("./keys.js").Place} Place */
/** @typedef {{id: string, name: string, role: string, project: string, models: string[]|null, scopes: string[], expires_at: string|null, old_until: string|null, state: string}} Key */

const ROLES = ["viewer", "user", "approver", "admin"];
const SCOPES = { gateway: "call models", manage: "rest of the API", nodes: "report as a node" };
const OVERLAPS = new Map([["0", "ends at once"], ["3600", "stands for an hour"], ["86400", "stands for a day"]]);
const DAY_MILLISECONDS = 86_400_000;

/**
 * @param {Key[]} keys
 * @param {Place} here
 */
export function drawKeys(keys, here) {
  const none = here.mayKeep ? `Team ${here.tenant} has no such key.` : "Keys are shown to approvers.";
  byId("keys-none").hidden = keys.length > 0;
  byId("keys-none").textContent = none;
  if (!keys.length) return byId("keys").replaceChildren();
  const heads = ["name", "id", "role", "project", "models", "may", "until", "state", ""];
  const head = el("thead", {}, el("tr", {}, ...heads.map((each) => el("th", { scope: "col" }, each || el("span.hidden", {}, "actions")))));
  byId("keys").replaceChildren(head, el("tbody", {}, ...keys.map((key) => row(key, here))));
}

/** @param {Key} key @param {Place} here */
function row(key, here) {
  const cells = [key.role, key.project || "–", key.models === null ? "all" : key.models.join(", "), key.scopes.map((each) => SCOPES[each] ?? each).join(", ")];
  const until = key.expires_at === null ? "–" : moment(key.expires_at);
  const state = key.old_until && Date.parse(key.old_until) > Date.now() ? `${key.state}, old secret until ${moment(key.old_until)}` : key.state;
  const acts = el("td.acts", {});
  if (key.state === "active") acts.append(...actions(key, here, acts));
  return el("tr", {}, el("th", { scope: "row" }, key.name), el("td", {}, el("code", {}, key.id)), ...cells.map((each) => el("td", {}, each)), el("td", {}, until), el("td", {}, state), acts);
}

/** @param {Key} key @param {Place} here @param {HTMLElement} acts */
function actions(key, here, acts) {
  const overlap = el("select", { "aria-label": "The secret of now" }, ...[...OVERLAPS].map(([value, words]) => el("option", { value }, words)));
  const rotate = asking(acts, `Rotate`, `A new secret for ${key.name}; the one of now`, "Make it", () => turn(key, Number(overlap.value), here), overlap);
  const revoke = asking(acts, "Revoke", `Revoke ${key.name} for good?`, "Yes, revoke", () => end(key, here));
  return [rotate, revoke];
}

/** @param {Key} key @param {number} seconds @param {Place} here */
async function turn(key, seconds, here) {
  await tried(async () => {
    const issued = await post(path`/v1/keys/${key.id}/rotate`, { overlap_seconds: seconds });
    await here.again();
    secret(byId("secret"), issued.key.name, issued.secret);
  });
}

/** @param {Key} key @param {Place} here */
async function end(key, here) {
  await tried(async () => {
    await request("DELETE", path`/v1/keys/${key.id}`);
    announce(`Key ${key.name} is revoked.`);
    await here.again();
  });
}

/** @param {() => Promise<void>} act */
async function tried(act) {
  byId("keys-trouble").replaceChildren();
  try {
    await act();
  } catch (error) {
    byId("keys-trouble").replaceChildren(problem(error));
  }
}

/** @param {() => Place} place */
export function listenToKeys(place) {
  const offered = place().role === "admin" ? ROLES.slice(0, 3) : ROLES.slice(0, 2);
  byId("make-role").replaceChildren(...offered.map((each) => el("option", { value: each, selected: each === "user" }, each)));
  byId("make").addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    const here = place();
    await tried(async () => {
      const issued = await post("/v1/keys", wanted(here));
      byId("make").reset();
      byId("make-role").value = "user";
      byId("make-part").open = false;
      await here.again();
      secret(byId("secret"), issued.key.name, issued.secret);
    });
  });
}

/** @param {Place} here */
function wanted(here) {
  const models = byId("make-models").value.split(",").map((/** @type {string} */ each) => each.trim()).filter(Boolean);
  const days = Number(byId("make-days").value);
  return {
    tenant: here.tenant,
    name: byId("make-name").value,
    role: byId("make-role").value,
    project: byId("make-project").value.trim(),
    scopes: ["gateway", "manage"].filter((each) => byId(`make-${each}`).checked),
    ...(models.length ? { models } : {}),
    ...(days ? { expires_at: new Date(Date.now() + days * DAY_MILLISECONDS).toISOString() } : {}),
  };
}
