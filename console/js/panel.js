// The side panel: what the factory holds now. Read every few seconds while somebody looks.

import { get, path } from "./api.js";
import { el, link, problem } from "./dom.js";
import { clock, counted, money } from "./format.js";

const POLL_MS = 4_000;

/** @typedef {{slots: number[], id: string, tenant: string, purpose: string, expires_at: string, slot_kind: string}} Lease */

/** What is free, held, live and spent: of one team, or of all for an administrator. */
export class Panel {
  #me;
  /** @type {string|null} */
  #team;
  #body = el("div");
  #trouble = el("div");
  #shown = "";
  #timer = 0;

  /**
   * @param {HTMLElement} element
   * @param {import("./types.js").Me} me
   * @param {HTMLElement[]} links other faces of the installation
   */
  constructor(element, me, links) {
    this.#me = me;
    this.#team = me.tenant;
    element.replaceChildren(el("h2", {}, "Factory"), this.#body, this.#trouble, el("p.links", {}, ...links));
    document.addEventListener("visibilitychange", this.#onVisibility);
    this.refresh();
  }

  /** @param {string|null} team whose figures are shown; null for all */
  look(team) {
    if (team === this.#team) return;
    this.#team = team;
    this.refresh();
  }

  /** Read now, and again later. */
  async refresh() {
    clearTimeout(this.#timer);
    const timer = (this.#timer = setTimeout(() => this.refresh(), POLL_MS));
    try {
      const rows = await this.#read(this.#team);
      if (timer === this.#timer) this.#trouble.replaceChildren();
      if (timer === this.#timer) this.#show(rows);
    } catch (error) {
      if (timer === this.#timer) this.#trouble.replaceChildren(problem(error));
    }
  }

  stop() {
    clearTimeout(this.#timer);
    document.removeEventListener("visibilitychange", this.#onVisibility);
  }

  #onVisibility = () => {
    clearTimeout(this.#timer);
    if (!document.hidden) this.refresh();
  };

  /** @param {string|null} team */
  async #read(team) {
    const query = team === null ? "" : path`tenant=${team}`;
    const [pool, leases, endpoints, cost, tenant] = await Promise.all([
      get("/v1/accelerators"),
      get(`/v1/leases?limit=500&${query}`),
      get(`/v1/endpoints?${query}`),
      get(`/v1/cost?${query}`),
      team === null ? null : get(path`/v1/tenants/${team}`),
    ]);
    return { team, pool, leases, endpoints, cost, tenant };
  }

  /** @param {any} found */
  #show(found) {
    const fingerprint = JSON.stringify(found);
    if (fingerprint === this.#shown) return;
    this.#shown = fingerprint;
    const { team, pool, leases, endpoints, cost, tenant } = found;
    this.#body.replaceChildren(
      el("p.quiet", {}, team === null ? "All teams" : `Team ${team}`),
      ...this.#slots(pool, leases, tenant),
      ...list("Leases", leases.map((/** @type {Lease} */ lease) => leaseWords(lease, team)), "No lease is held."),
      ...list("Endpoints", endpoints.map((/** @type {any} */ each) => endpointWords(each, team)), "No endpoint is live."),
      el("h3", {}, "Money"),
      el("p", {}, el("strong", {}, money(cost.spent, cost.currency)), tenant ? ` of ${money(tenant.budget, cost.currency)}` : "", " spent"),
      el("p.quiet", {}, `${money(cost.reserved, cost.currency)} reserved`),
    );
  }

  /**
   * Only an administrator sees everyone's leases, and so what is free in all.
   * @param {any} pool
   * @param {Lease[]} leases
   * @param {any} tenant
   */
  #slots(pool, leases, tenant) {
    const total = pool.slots.length;
    const held = leases.reduce((sum, lease) => sum + lease.slots.length, 0);
    const kind = pool.slots[0]?.kind === "gpu" ? "GPU" : "CPU";
    const all = this.#me.tenant === null && tenant === null;
    const figure = all ? `${Math.max(total - held, 0)} of ${total} free` : `${Math.max(tenant.quota_slots - held, 0)} of ${tenant.quota_slots} left`;
    const rest = all ? counted(held, `${kind} slot`) + " leased" : `of the team's quota; ${counted(total, `${kind} slot`)} in this place`;
    return [el("h3", {}, "Slots"), el("p", {}, el("strong", {}, figure)), el("p.quiet", {}, rest)];
  }
}

/**
 * @param {string} title
 * @param {HTMLElement[]} items
 * @param {string} none
 */
function list(title, items, none) {
  return [el("h3", {}, title), items.length ? el("ul", {}, ...items) : el("p.quiet", {}, none)];
}

/** @param {Lease} lease @param {string|null} team */
function leaseWords(lease, team) {
  const what = `${counted(lease.slots.length, "slot")} for ${lease.purpose || "no stated purpose"}`;
  const whose = team === null ? `${lease.tenant}, ` : "";
  return el("li", {}, what, el("span.quiet", {}, ` ${whose}until ${clock(lease.expires_at)}`));
}

/** @param {any} endpoint @param {string|null} team */
function endpointWords(endpoint, team) {
  const name = team === null ? `${endpoint.tenant}/${endpoint.name}` : endpoint.name;
  const page = path`/v1/endpoints/${endpoint.tenant}/${endpoint.name}`;
  return el("li", {}, link(page, name), el("span.quiet", {}, ` ${endpoint.model_name} version ${endpoint.version}`));
}
