// A list of the API's: filters, pages, and what is shown while it loads, where it is empty and where it fails.

import { get } from "./api.js";
import { el, problem } from "./dom.js";
import { control } from "./form.js";
import { part, tableOf } from "./show.js";

/** @typedef {import("./show.js").Column} Column */
/** @typedef {import("./form.js").Field} Field */
/**
 * @typedef {object} ListForm
 * @property {string} title
 * @property {Column[]} columns
 * @property {string} none what is said where there is nothing
 * @property {(query: URLSearchParams) => string|null} path the address that is asked; null: nothing is asked for yet
 * @property {Field[]} [filters] each becomes a part of the query under its name
 * @property {number} [size] rows of a page; 0 where the API gives all at once
 * @property {number} [most] rows that can be seen in all
 * @property {(answer: any) => any[]} [pick] the rows within an answer
 * @property {(row: any) => string} [cursor] of a list that is read on `after` its last row
 * @property {any[]} [extra] what stands between the heading and the table
 */

/** One list. */
export class List {
  #form;
  #size;
  /** Where the page that is shown begins: rows to skip, or what it comes after. */
  #begins = ["0"];
  #asked = 0;
  #shown = "";
  #wanted = el("form.wanted", { submit: (/** @type {Event} */ event) => event.preventDefault() });
  #holder;
  #none = el("p.quiet", { hidden: true });
  #trouble = el("div", { role: "alert" });
  #where = el("span.quiet", { role: "status" });
  #back = el("button", { type: "button", click: () => this.#turn(-1) }, "Back");
  #on = el("button", { type: "button", click: () => this.#turn(1) }, "Next");
  #pager;
  /** @type {any[]} */
  rows = [];

  /** @param {ListForm} form */
  constructor(form) {
    this.#form = form;
    this.#size = form.size ?? 50;
    for (const field of form.filters ?? []) this.#wanted.append(el("span.pair", {}, ...control(field).labelled));
    this.#wanted.addEventListener("change", () => this.#restart());
    this.#holder = el("div.wide", { tabindex: "0", role: "region", "aria-label": `${form.title}, table`, "aria-busy": "true" }, el("p.quiet", {}, "Loading…"));
    this.#pager = el("div.pager", { hidden: true, role: "group", "aria-label": `Pages of ${form.title}` }, this.#back, this.#where, this.#on);
    const filters = form.filters?.length ? [this.#wanted] : [];
    this.element = part(form.title, ...(form.extra ?? []), ...filters, this.#trouble, this.#holder, this.#none, this.#pager);
    void this.again();
  }

  /** @returns {URLSearchParams} what the filters say. */
  get query() {
    const query = new URLSearchParams();
    for (const each of this.#wanted.elements) {
      const value = each.type === "checkbox" ? (each.checked ? "true" : "") : each.value.trim();
      if (each.name && value) query.set(each.name, value);
    }
    return query;
  }

  #restart() {
    this.#begins = ["0"];
    void this.again();
  }

  /** @param {-1|1} way */
  #turn(way) {
    if (way < 0) this.#begins.pop();
    else this.#begins.push(this.#form.cursor ? this.#form.cursor(this.rows.at(-1)) : String(this.#size * this.#begins.length));
    this.again().then(() => this.#holder.focus());
  }

  /** Ask again for what is shown. While somebody is about to decide something in it, it stays as it is. */
  async again() {
    const mine = ++this.#asked;
    const path = this.#form.path(this.#paged());
    if (path === null) return this.#draw([], false);
    try {
      const answer = await get(path);
      if (mine !== this.#asked) return;
      const rows = this.#form.pick ? this.#form.pick(answer) : answer;
      this.#trouble.replaceChildren();
      const more = this.#size > 0 && rows.length > this.#size && !this.#last;
      this.#draw(this.#size ? rows.slice(0, this.#size) : rows, more);
    } catch (error) {
      if (mine !== this.#asked) return;
      this.#holder.hidden = !this.#shown;
      this.#holder.removeAttribute("aria-busy");
      this.#trouble.replaceChildren(problem(error), el("button", { type: "button", click: () => void this.again() }, "Try again"));
    }
  }

  /** Whether the page after this one would go beyond what can be seen. */
  get #last() {
    return (this.#begins.length + 1) * this.#size + 1 > (this.#form.most ?? Infinity);
  }

  #paged() {
    const query = this.query;
    if (!this.#size) return query;
    query.set("limit", String(this.#size + 1));
    const begin = this.#begins.at(-1) ?? "0";
    if (begin !== "0") query.set(this.#form.cursor ? "after" : "offset", begin);
    return query;
  }

  /** @param {any[]} rows @param {boolean} more */
  #draw(rows, more) {
    const fingerprint = JSON.stringify(rows);
    const same = fingerprint === this.#shown && this.rows.length === rows.length;
    this.rows = rows;
    this.#holder.removeAttribute("aria-busy");
    if (!same && this.#holder.querySelector(".acts :focus") === null) {
      this.#shown = fingerprint;
      this.#holder.replaceChildren(rows.length ? tableOf(this.#form.columns, rows) : "");
    }
    this.#holder.hidden = rows.length === 0;
    this.#none.hidden = rows.length > 0;
    this.#none.textContent = this.query.size || this.#begins.length > 1 ? "Nothing more of that." : this.#form.none;
    this.#pager.hidden = !more && this.#begins.length === 1;
    this.#back.disabled = this.#begins.length === 1;
    this.#on.disabled = !more;
    const first = (this.#begins.length - 1) * this.#size;
    this.#where.textContent = rows.length ? `${first + 1} to ${first + rows.length}` : "none";
  }
}
