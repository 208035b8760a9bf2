// A thread's events: the past in pages, then live, resumed after every break where it was broken.

import { ApiError, get, path, refusal, unreachable } from "./api.js";

/** @typedef {import("./types.js").FactoryEvent} FactoryEvent */

const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 5_000;
/** The server says something at least every 15 s: a connection that is quiet for longer than this is dead. */
const QUIET_MS_MAX = 40_000;
/** Browsers allow few connections to one server: a page that nobody looks at gives its own back after this long. */
const HIDDEN_MS_MAX = 30_000;

/** Cuts server-sent events out of text that arrives in any pieces. */
export class FrameParser {
  #rest = "";
  #id = "";
  /** @type {string[]} */
  #data = [];

  /**
   * @param {string} text
   * @returns {{id: string, data: string}[]} the frames that are complete now.
   */
  push(text) {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    return lines.flatMap((line) => this.#line(line.endsWith("\r") ? line.slice(0, -1) : line));
  }

  /** @param {string} line */
  #line(line) {
    if (line === "") return this.#end();
    const colon = line.indexOf(":");
    const [field, value] = colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
    if (field === "id") this.#id = value;
    if (field === "data") this.#data.push(value);
    return [];
  }

  #end() {
    const frames = this.#data.length ? [{ id: this.#id, data: this.#data.join("\n") }] : [];
    this.#data = [];
    return frames;
  }
}

/**
 * @typedef {object} Listener
 * @property {(event: FactoryEvent) => void} event called for each event once, in order
 * @property {(state: "loading"|"live"|"reconnecting"|"paused") => void} state
 * @property {() => void} caughtUp called when the past is complete, and after every break that was mended
 * @property {(error: ApiError) => void} ended called when the thread cannot be followed any more
 */

/** Follows one thread until it is stopped. */
export class EventFeed {
  #thread;
  #listener;
  #position = 0;
  #stopped = false;
  #retryMs = RETRY_MS_MIN;
  #connection = new AbortController();
  #wake = () => {};
  /** @type {number|undefined} */
  #hiddenTimer;

  /**
   * @param {string} thread
   * @param {Listener} listener
   */
  constructor(thread, listener) {
    this.#thread = thread;
    this.#listener = listener;
  }

  /** Load the past, then listen. Returns when it is stopped. */
  async run() {
    document.addEventListener("visibilitychange", this.#onVisibility);
    window.addEventListener("online", this.#hurry);
    this.#listener.state("loading");
    while (!this.#stopped) {
      try {
        await this.#load();
        this.#listener.caughtUp();
        if (!this.#stopped) await this.#listen();
      } catch (error) {
        if (this.#isOver(error)) return;
      }
      await this.#pause();
    }
  }

  /** Stop for good. */
  stop() {
    this.#stopped = true;
    document.removeEventListener("visibilitychange", this.#onVisibility);
    window.removeEventListener("online", this.#hurry);
    clearTimeout(this.#hiddenTimer);
    this.#connection.abort();
    this.#wake();
  }

  async #load() {
    for (;;) {
      const page = await get(path`/v1/threads/${this.#thread}/events?after=${String(this.#position)}`);
      if (page.length === 0 || this.#stopped) return;
      page.forEach(this.#take);
    }
  }

  async #listen() {
    this.#connection = new AbortController();
    const headers = { Accept: "text/event-stream", "Last-Event-ID": String(this.#position) };
    const response = await fetch(path`/v1/threads/${this.#thread}/events`, {
      headers,
      cache: "no-store",
      credentials: "same-origin",
      signal: this.#connection.signal,
    });
    if (!response.ok) throw await refusal(response);
    if (response.body === null) throw unreachable();
    this.#listener.state("live");
    await this.#readAll(response.body.pipeThrough(new TextDecoderStream()).getReader());
  }

  /** @param {ReadableStreamDefaultReader<string>} reader */
  async #readAll(reader) {
    const parser = new FrameParser();
    for (;;) {
      const watchdog = setTimeout(() => this.#connection.abort(), QUIET_MS_MAX);
      const { done, value } = await reader.read().finally(() => clearTimeout(watchdog));
      if (done || this.#stopped) return;
      this.#retryMs = RETRY_MS_MIN;
      for (const frame of parser.push(value)) this.#take(JSON.parse(frame.data));
    }
  }

  /** @param {FactoryEvent} event */
  #take = (event) => {
    if (this.#stopped || event.id <= this.#position) return;
    this.#position = event.id;
    try {
      this.#listener.event(event);
    } catch (error) {
      reportError(error); // One event that cannot be shown must not hide those after it.
    }
  };

  /** @param {unknown} error */
  #isOver(error) {
    if (this.#stopped) return true;
    if (!(error instanceof ApiError) || error.status === 0 || error.status >= 500 || error.status === 429) return false;
    this.stop();
    this.#listener.ended(error);
    return true;
  }

  /** Wait before the next attempt, or as long as nobody looks. */
  async #pause() {
    if (this.#stopped) return;
    const hidden = document.hidden;
    this.#listener.state(hidden ? "paused" : "reconnecting");
    const delay = this.#retryMs * (0.75 + Math.random() / 2);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS_MAX);
    await new Promise((resolve) => {
      this.#wake = () => resolve(undefined);
      if (!hidden) setTimeout(resolve, delay);
    });
  }

  #hurry = () => {
    this.#retryMs = RETRY_MS_MIN;
    this.#wake();
  };

  #onVisibility = () => {
    clearTimeout(this.#hiddenTimer);
    if (document.hidden) this.#hiddenTimer = setTimeout(() => this.#connection.abort(), HIDDEN_MS_MAX);
    else this.#hurry();
  };
}
