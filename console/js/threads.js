// The list of threads, and the form that opens a new one.

import { get, post } from "./api.js";
import { byId, el, problem } from "./dom.js";
import { moment } from "./format.js";

/** @typedef {import("./types.js").Thread} Thread */

const PAGE = 50;
/** The administrators' own team: nothing is planned for it. */
const PLATFORM = "platform";

/** The left column. */
export class ThreadList {
  /** @type {Thread[]} */
  #threads = [];
  #current = "";
  #me;

  /** @param {import("./types.js").Me} me */
  constructor(me) {
    this.#me = me;
    byId("more-threads").onclick = () => this.#page(this.#threads.length);
    byId("new-thread").onsubmit = (/** @type {Event} */ event) => this.#open(event);
    byId("new-thread").hidden = me.role === "viewer";
    if (me.role === "admin" && me.tenant === null) this.#offerTeams();
  }

  /** Read the newest threads. */
  refresh() {
    return this.#page(0);
  }

  /** @param {string} id */
  mark(id) {
    this.#current = id;
    this.#show();
  }

  /** @param {string} id */
  find(id) {
    return this.#threads.find((thread) => thread.id === id);
  }

  get first() {
    return this.#threads[0];
  }

  /** @param {number} offset */
  async #page(offset) {
    try {
      /** @type {Thread[]} */
      const page = await get(`/v1/threads?limit=${PAGE}&offset=${offset}`);
      const known = new Map([...this.#threads, ...page].map((thread) => [thread.id, thread]));
      page.forEach((thread) => known.set(thread.id, thread));
      this.#threads = [...known.values()].sort((a, b) => b.created_at.localeCompare(a.created_at));
      byId("more-threads").hidden = offset + page.length >= this.#threads.length && page.length < PAGE;
      this.#show();
      byId("threads-problem").replaceChildren();
    } catch (error) {
      byId("threads-problem").replaceChildren(problem(error));
    }
  }

  #show() {
    const items = this.#threads.map((thread) => {
      const team = this.#me.tenant === null && thread.tenant;
      const about = [team, moment(thread.created_at)].filter(Boolean).join(" · ");
      const current = thread.id === this.#current ? "page" : null;
      const title = el("span.title", {}, thread.title || "New conversation");
      return el("li", {}, el("a", { href: `#/threads/${thread.id}`, "aria-current": current }, title, el("span.quiet", {}, about)));
    });
    byId("thread-list").replaceChildren(...items);
  }

  async #offerTeams() {
    const tenants = await get("/v1/tenants").catch(() => []);
    const names = tenants.map((/** @type {any} */ each) => each.name).filter((/** @type {string} */ name) => name !== PLATFORM);
    const options = names.map((/** @type {string} */ name) => el("option", { value: name }, name));
    byId("team").replaceChildren(el("option", { value: "" }, "any, as the words say"), ...options);
    byId("team").hidden = byId("team-label").hidden = false;
  }

  /** @param {Event} event */
  async #open(event) {
    event.preventDefault();
    try {
      /** @type {Thread} */
      const thread = await post("/v1/threads", { tenant: byId("team").value || null });
      byId("threads-problem").replaceChildren();
      this.#threads.unshift(thread);
      location.hash = `#/threads/${thread.id}`;
    } catch (error) {
      byId("threads-problem").replaceChildren(problem(error));
    }
  }
}
