// The log of a step's job, read on while it is open and the job runs.

import { ApiError, get, path } from "./api.js";
import { el, problem } from "./dom.js";

/** @typedef {import("./types.js").LogChunk} LogChunk */

const POLL_MS = 1_000;
const CHARACTERS_MAX = 200_000;

/** A log that is read only while somebody looks at it. */
export class JobLog {
  #job = "";
  #offset = 0;
  #complete = false;
  #reading = false;
  #text = document.createTextNode("");
  #output = el("pre.joblog", { tabindex: "0", "aria-label": "Job log" }, this.#text);
  #trouble = el("div");
  element = el("details.joblog-box", { hidden: true, toggle: () => this.#read() }, el("summary", {}, "Job log"), this.#output, this.#trouble);

  /**
   * Name the job, once it is known.
   * @param {string} job
   */
  follow(job) {
    if (this.#job) return;
    this.#job = job;
    this.element.hidden = false;
    this.element.querySelector("summary").textContent = `Log of ${job}`;
    this.#read();
  }

  /** Show the log without being asked. */
  open() {
    this.element.open = true;
  }

  async #read() {
    if (this.#reading || !this.#job) return;
    this.#reading = true;
    while (this.element.open && !this.#complete && this.element.isConnected) {
      const idle = await this.#page();
      if (idle) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    this.#reading = false;
  }

  /** @returns {Promise<boolean>} whether nothing new was there. */
  async #page() {
    if (document.hidden) return true;
    try {
      /** @type {LogChunk} */
      const chunk = await get(path`/v1/jobs/${this.#job}/logs?offset=${String(this.#offset)}`);
      this.#trouble.replaceChildren();
      this.#append(chunk.text);
      const idle = chunk.next_offset === this.#offset;
      this.#offset = chunk.next_offset;
      this.#complete = chunk.complete && idle;
      return idle;
    } catch (error) {
      this.#trouble.replaceChildren(problem(error));
      this.#complete = error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429;
      return true;
    }
  }

  /** @param {string} text */
  #append(text) {
    const output = this.#output;
    const atEnd = output.scrollHeight - output.scrollTop - output.clientHeight < 40;
    this.#text.appendData(text);
    if (this.#text.length > CHARACTERS_MAX) this.#text.deleteData(0, this.#text.length - CHARACTERS_MAX);
    if (atEnd) output.scrollTop = output.scrollHeight;
  }
}
