// One step of a plan on its card: what it would do, then what it does.

import { el, link, safeAddress, setText } from "./dom.js";
import { elapsed, priceRange, spelled } from "./format.js";
import { JobLog } from "./joblog.js";

/** @typedef {import("./types.js").Step} Step */
/** @typedef {import("./types.js").FactoryEvent} FactoryEvent */

const WORDS = {
  waiting: ["○", ""],
  running: ["◐", "running"],
  done: ["●", "done"],
  gated: ["▲", "not passed"],
  skipped: ["–", "skipped"],
  failed: ["✕", "failed"],
  cancelled: ["✕", "cancelled"],
  undone: ["↶", "undone"],
  undo_failed: ["!", "not undone"],
};
const EFFECTS = { read: "reads only", write: "changes", costly: "costs", destructive: "destroys" };

/**
 * Two columns, name and value; a value that is an address is a link.
 * @param {[string, any][]} rows
 */
export function facts(rows) {
  const cells = rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
  return el("dl.facts", {}, ...cells);
}

/** @param {Record<string, any>} values */
function valueRows(values) {
  return Object.entries(values).map(([name, value]) => {
    const linked = typeof value === "string" && /^(https?:\/\/|\/v1\/)/.test(value) && safeAddress(value) !== null;
    return /** @type {[string, any]} */ ([name, linked ? link(value, value) : spelled(value)]);
  });
}

/** The row of one step. */
export class StepRow {
  #step;
  #startedAt = "";
  #mark = el("span.mark", { "aria-hidden": "true" });
  #word = el("span.word");
  #stage = el("span.stage");
  #bar;
  #progress;
  #spec;
  #end = el("div");
  #log = new JobLog();
  state = "waiting";

  /** @param {Step} step */
  constructor(step) {
    this.#step = step;
    this.#bar = el("progress", { max: "100", "aria-label": `Progress of ${step.summary}` });
    this.#progress = el("div.progress", { hidden: true }, this.#bar, this.#stage);
    this.#spec = el("details.spec", { open: true }, el("summary", {}, "Arguments, checks and undo"), facts(this.#rows()));
    const head = el("p.step-head", {}, this.#mark, el("strong", {}, step.summary), " ", this.#word);
    const tags = el(
      "p.step-tags",
      {},
      el("span", {}, step.agent),
      el("code", {}, step.tool),
      el(`span.effect.${step.effect}`, {}, EFFECTS[step.effect] ?? step.effect),
      step.gate && el("span", {}, "gate"),
      step.always && el("span", {}, "in any case"),
      step.price && Number(step.price.high) > 0 && el("span", {}, priceRange(step.price)),
    );
    this.element = el("li.step", {}, head, tags, this.#spec, this.#progress, this.#log.element, this.#end);
    this.#show("waiting");
  }

  /** @returns {[string, any][]} */
  #rows() {
    const { dry_run: dry, price } = this.#step;
    const starts = dry?.starts_in_seconds;
    const foreseen = dry && [dry.reason, (starts ?? 0) > 0 && `starts in ${starts} s`].filter(Boolean).join("; ");
    /** @type {[string, any][]} */
    const rows = [
      ...valueRows(this.#step.arguments),
      ["Dry run", foreseen || null],
      ["Template", dry?.template ? el("details", {}, el("summary", {}, "CloudFormation"), el("pre", {}, dry.template)) : null],
      ["Quota", dry?.quota || null],
      ["Price", price && [priceRange(price), price.basis].filter(Boolean).join("; ")],
      ["Undo", this.#step.undo || "none"],
      ["Afterwards", this.#step.postcondition || null],
    ];
    return rows.filter(([, value]) => value !== null);
  }

  /** Fold what was approved away, to leave room for what happens. */
  fold() {
    this.#spec.open = false;
  }

  /** @param {FactoryEvent} event */
  started(event) {
    this.#startedAt = event.at;
    if (this.state === "waiting") this.#show("running");
  }

  /**
   * @param {FactoryEvent} event
   * @param {boolean} live whether this happens now, and not in a past that is being shown again
   */
  progressed(event, live) {
    const { percent, stage, job_id: job } = event.payload;
    if (this.state === "running") {
      this.#progress.hidden = false;
      if (percent === null) this.#bar.removeAttribute("value");
      else this.#bar.value = Number(percent);
      setText(this.#stage, [percent === null ? "" : `${Math.round(percent)} %`, stage].filter(Boolean).join(" · "));
    }
    this.#log.follow(String(job));
    if (live) this.#log.open();
  }

  /** @param {FactoryEvent} event */
  done(event) {
    this.finished(event.payload.result ?? {});
    this.#addTime(event.at);
  }

  /** @param {Record<string, any>} result */
  finished(result) {
    this.#show(this.#step.gate && result.passed === false ? "gated" : "done");
    if (typeof result.job_id === "string") this.#log.follow(result.job_id);
    const rows = valueRows(result);
    if (rows.length) this.#end.replaceChildren(el("details", {}, el("summary", {}, "Result"), facts(rows)));
  }

  /** @param {FactoryEvent} event */
  failed(event) {
    this.#show(event.payload.code === "cancelled" ? "cancelled" : "failed");
    this.#addTime(event.at);
    this.#trouble(event.payload);
  }

  /** @param {FactoryEvent} event */
  undone(event) {
    this.#show("undone");
    this.#end.append(el("p.quiet", {}, String(event.payload.told ?? "")));
  }

  /** @param {FactoryEvent} event */
  undoFailed(event) {
    this.#show("undo_failed");
    this.#trouble(event.payload);
  }

  /**
   * Take over where the step ended from the plan's own record.
   * @param {string} state
   */
  settle(state) {
    if (this.state !== state && !(state === "done" && this.state === "gated")) this.#show(state);
  }

  /** @param {string} at */
  #addTime(at) {
    if (this.#startedAt) setText(this.#word, `${this.#word.textContent} · ${elapsed(this.#startedAt, at)}`);
  }

  /** @param {Record<string, any>} payload */
  #trouble({ code, reason, remedy }) {
    const words = [el("strong", {}, reason), " ", remedy, " ", el("code", {}, code)];
    this.#end.append(el("div.problem", {}, ...words));
  }

  /** @param {string} state */
  #show(state) {
    this.state = state;
    this.element.dataset.state = state;
    const [mark, word] = WORDS[state] ?? ["", state];
    setText(this.#mark, mark);
    setText(this.#word, word);
    if (state !== "running") this.#progress.hidden = true;
  }
}
