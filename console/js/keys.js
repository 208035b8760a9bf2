// The page of keys and limits: who asks, which team, and what of it may be changed.

import { get } from "./api.js";
import { byId, el, problem } from "./dom.js";
import { drawKeys, listenToKeys } from "./keytable.js";
import { drawLimits, listenToLimits, offerKeys } from "./limittable.js";
import { chosenTeam, know, showBar } from "./page.js";

/** @typedef {import("./types.js").Me} Me */
/** @typedef {{tenant: string, mayKeep: boolean, mayLimit: boolean, role: string, again: () => Promise<void>}} Place */

const KEPT_AT_ONCE = 200;
/** Which question is the newest: an older one's answer that comes late is not shown. */
let asked = 0;
/** @type {Me} */
let me;

/** Ask who is signed in; without a session the console's own page asks for the key, and leads back here. */
async function start() {
  showBar("keys");
  try {
    me = await get("/v1/me");
    know("keys", me);
    if (me.tenant === null) await offerTeams();
  } catch (error) {
    if (error.status === 401) return signIn();
    return byId("trouble").replaceChildren(problem(error));
  }
  byId("make-part").hidden = !place().mayKeep;
  byId("set-part").hidden = !place().mayLimit;
  byId("wanted").addEventListener("change", show);
  listenToKeys(place);
  listenToLimits(place);
  await show();
}

const signIn = () => location.replace("./#/keys");

async function offerTeams() {
  const teams = await get("/v1/tenants");
  byId("team").replaceChildren(...teams.map((/** @type {{name: string}} */ each) => el("option", { value: each.name, selected: each.name === chosenTeam() }, each.name)));
  byId("team").hidden = byId("team-label").hidden = false;
}

/** @returns {Place} whose keys and limits are shown, and what the one who asks may do to them. */
function place() {
  const tenant = me.tenant ?? byId("team").value;
  return { tenant, role: me.role, mayKeep: ["approver", "admin"].includes(me.role), mayLimit: me.role === "admin", again: show };
}

async function show() {
  const [mine, here] = [++asked, place()];
  const query = new URLSearchParams({ tenant: here.tenant, limit: String(KEPT_AT_ONCE) });
  const keyQuery = new URLSearchParams(query);
  if (!byId("all").checked) keyQuery.set("state", "active");
  try {
    const [keys, limits] = await Promise.all([here.mayKeep ? get(`/v1/keys?${keyQuery}`) : [], get(`/v1/limits?${query}`)]);
    if (mine !== asked) return;
    byId("trouble").replaceChildren();
    drawKeys(keys, here);
    drawLimits(limits, keys, here);
    offerKeys(keys);
    if (Math.max(keys.length, limits.length) === KEPT_AT_ONCE) {
      byId("trouble").replaceChildren(el("p.quiet", {}, `The first ${KEPT_AT_ONCE} are shown; “lineshaft keys list” and “lineshaft limits list” show all.`));
    }
  } catch (error) {
    if (mine !== asked) return;
    if (error.status === 401) return signIn();
    byId("trouble").replaceChildren(problem(error));
  }
  byId("main").removeAttribute("aria-busy");
}

start();
