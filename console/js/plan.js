// The card of a plan: what an approval is given for, and afterwards what comes of it.

import { get, path, post } from "./api.js";
import { announce, el, link, problem, setText } from "./dom.js";
import { clock, counted, moment, money, priceRange } from "./format.js";
import { facts, StepRow } from "./step.js";

/** @typedef {import("./types.js").Plan} Plan */
/** @typedef {import("./types.js").PlanRecord} PlanRecord */
/** @typedef {import("./types.js").Outcome} Outcome */
/** @typedef {import("./types.js").Citation} Citation */
/** @typedef {import("./types.js").FactoryEvent} FactoryEvent */
/** @typedef {{me: import("./types.js").Me, links: import("./types.js").Links}} Context */

const ORDER = ["proposed", "approved", "running"];
const WORDS = {
  proposed: "waits for a decision",
  approved: "approved",
  running: "running",
  done: "done",
  gated: "gated: not good enough to go on",
  failed: "failed",
  cancelled: "cancelled",
  refused: "refused",
  expired: "expired",
};

let cards = 0;

/** One plan. Its state comes from the events and from the plan's own record, whichever is further. */
export class PlanCard {
  #context;
  /** @type {Plan} */
  #plan;
  #digest;
  /** @type {Map<string, StepRow>} */
  #steps = new Map();
  #state = "proposed";
  /** Whether the record has confirmed that the decision is open: before that no button is shown. */
  #confirmed = false;
  #live = false;
  #badge = el("span.badge");
  #decided = el("p.quiet");
  #end = el("div.plan-end");
  #actions = el("div.actions");
  #trouble = el("div", { role: "alert" });

  /**
   * @param {FactoryEvent} event the proposal
   * @param {Context} context
   */
  constructor(event, context) {
    this.#context = context;
    this.#plan = event.payload.plan;
    this.#digest = String(event.payload.digest);
    for (const step of this.#plan.steps) this.#steps.set(step.id, new StepRow(step));
    this.element = this.#build();
    this.#show("proposed");
  }

  get final() {
    return !ORDER.includes(this.#state);
  }

  #build() {
    const plan = this.#plan;
    const title = `plan-title-${++cards}`;
    return el(
      "article.plan",
      { "aria-labelledby": title },
      el("header", {}, el("h3", { id: title }, plan.title), this.#badge),
      el("p.quiet", {}, `Plan for team ${plan.tenant}, asked for by ${plan.requested_by}.`),
      plan.notes.length > 0 && el("ul.notes", { "aria-label": "Notes" }, ...plan.notes.map((note) => el("li", {}, note))),
      el("ol.steps", { "aria-label": "Steps" }, ...[...this.#steps.values()].map((row) => row.element)),
      facts(this.#totals()),
      this.#decided,
      this.#end,
      this.#trouble,
      this.#actions,
    );
  }

  /** @returns {[string, any][]} */
  #totals() {
    const { price, planner, expires_at: expires, id } = this.#plan;
    const { temporal_url: temporal, temporal_namespace: space } = this.#context.links;
    const page = temporal && link(`${temporal.replace(/\/$/, "")}${path`/namespaces/${space}/workflows/${id}`}`, id);
    /** @type {[string, any][]} */
    const rows = [
      ["Price in all", el("span", {}, el("strong", {}, priceRange(price)), price.basis && ` (${price.basis})`)],
      ["Planned by", planner || null],
      ["Decide before", expires && moment(expires)],
      ["Digest", el("code", { title: this.#digest }, this.#digest.slice(0, 12))],
      ["In Temporal", page || el("code", {}, id)],
    ];
    return rows.filter(([, value]) => value !== null);
  }

  /**
   * Take an event of this plan.
   * @param {FactoryEvent} event
   * @param {boolean} live
   */
  take(event, live) {
    this.#live = live;
    const row = this.#steps.get(String(event.payload.step));
    switch (event.kind) {
      case "plan.approved":
        this.#decision(`Approved by ${event.payload.actor} at ${clock(event.at)}.`);
        return this.#show("approved");
      case "plan.refused":
        this.#decision(`Refused by ${event.payload.actor || "nobody"} at ${clock(event.at)}. ${event.payload.reason ?? ""}`);
        return this.#show("refused");
      case "plan.expired":
        return this.#show("expired");
      case "plan.started":
        return this.#show("running");
      case "plan.ended":
        return this.#finish(event.payload);
      case "step.started":
        return row?.started(event);
      case "step.progress":
        return row?.progressed(event, live);
      case "step.done":
        return row?.done(event);
      case "step.failed":
        return row?.failed(event);
      case "step.undone":
        return row?.undone(event);
      case "step.undo_failed":
        return row?.undoFailed(event);
    }
  }

  /** @param {Citation[]} citations */
  cite(citations) {
    if (this.#end.querySelector(".citations") === null) this.#end.append(citationList(citations));
  }

  /** Ask for the plan's record, which knows whether the decision is still open. */
  async confirm() {
    if (this.final) return;
    try {
      /** @type {PlanRecord} */
      const record = await get(path`/v1/plans/${this.#plan.id}`);
      this.#confirmed = true;
      this.#trouble.replaceChildren();
      if (record.decided_by && !this.#decided.textContent) this.#decision(`Decided by ${record.decided_by}.`);
      if (ORDER.includes(record.state)) this.#show(record.state);
      else this.#finish({ ...record.outcome, state: record.state });
    } catch (error) {
      const again = el("button", { type: "button", click: () => this.confirm() }, "Check again");
      this.#trouble.replaceChildren(problem(error), again);
    }
  }

  /** @param {string} words */
  #decision(words) {
    setText(this.#decided, words.trim());
  }

  /**
   * Go to a state; never back.
   * @param {string} state
   */
  #show(state) {
    if (this.final || (ORDER.includes(state) && ORDER.indexOf(state) < ORDER.indexOf(this.#state))) return this.#offer();
    const changed = this.#state !== state;
    this.#state = state;
    this.element.dataset.state = state;
    setText(this.#badge, WORDS[state] ?? state);
    if (state !== "proposed" && changed) this.#steps.forEach((row) => row.fold());
    if (changed && this.#live) announce(`Plan ${this.#plan.title}: ${WORDS[state] ?? state}`);
    this.#offer();
  }

  /** Show the buttons that make sense now to the one who looks; leave them alone while they are in use. */
  #offer() {
    const wanted = this.final || !this.#confirmed ? "" : this.#state === "proposed" ? "decide" : "cancel";
    if (this.#actions.dataset.offer === wanted) return;
    this.#actions.dataset.offer = wanted;
    this.#actions.replaceChildren(...this.#buttons(wanted));
  }

  /** @param {string} wanted */
  #buttons(wanted) {
    const { role } = this.#context.me;
    const plan = this.#plan.id;
    const refuse = () => this.#ask("Refuse the plan", "Why?", (reason) => post(path`/v1/plans/${plan}/refuse`, { reason }));
    const cancel = () => this.#ask("Cancel the plan", "Why?", (reason) => post(path`/v1/plans/${plan}/cancel`, { reason }));
    if (wanted === "" || role === "viewer") return [];
    if (wanted === "cancel") return [el("button.danger", { type: "button", click: cancel }, "Cancel")];
    if (role === "user") {
      const words = "An approver or an administrator decides. Your key has the role user.";
      return [el("p.quiet", {}, words), el("button", { type: "button", click: cancel }, "Withdraw")];
    }
    const approve = () => this.#send(() => post(path`/v1/plans/${plan}/approve`, { digest: this.#digest }));
    return [
      el("button.primary", { type: "button", click: approve }, "Approve"),
      el("button", { type: "button", click: refuse }, "Refuse"),
    ];
  }

  /**
   * Ask for a reason, then act.
   * @param {string} label
   * @param {string} question
   * @param {(reason: string) => Promise<any>} act
   */
  #ask(label, question, act) {
    const id = `${this.#plan.id}-reason`;
    const input = el("input", { id, maxlength: "500", autocomplete: "off" });
    const back = () => {
      delete this.#actions.dataset.offer;
      this.#offer();
      this.#actions.querySelector("button")?.focus();
    };
    const submit = (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#send(() => act(input.value));
    };
    const form = el(
      "form.reason",
      { submit, keydown: (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && back() },
      el("label", { for: id }, `${question} (may be left empty)`),
      input,
      el("button.danger", { type: "submit" }, label),
      el("button", { type: "button", click: back }, "Back"),
    );
    this.#actions.replaceChildren(form);
    input.focus();
  }

  /**
   * Send a decision once; a refusal of it is shown, and the record asked for what is true.
   * @param {() => Promise<{state: string}>} act
   */
  async #send(act) {
    const buttons = [...this.#actions.querySelectorAll("button")];
    buttons.forEach((button) => (button.disabled = true));
    this.#trouble.replaceChildren();
    try {
      const status = await act();
      if (ORDER.includes(status.state)) this.#show(status.state);
      if (this.#state !== "proposed") return;
      this.#actions.replaceChildren(el("p.quiet", {}, "Taken; it ends in a moment."));
    } catch (error) {
      await this.confirm();
      delete this.#actions.dataset.offer;
      this.#offer();
      this.#trouble.replaceChildren(problem(error));
    }
  }

  /** @param {any} outcome */
  #finish(outcome) {
    if (this.final && this.#end.childElementCount) return;
    for (const id of outcome.done ?? []) {
      if (this.#steps.get(id)?.state === "waiting" || this.#steps.get(id)?.state === "running") {
        this.#steps.get(id)?.finished(outcome.results?.[id] ?? {});
      }
    }
    for (const [ids, state] of [[outcome.skipped, "skipped"], [outcome.undone, "undone"], [outcome.undo_failed, "undo_failed"]]) {
      for (const id of ids ?? []) this.#steps.get(id)?.settle(state);
    }
    this.#show(outcome.state);
    this.#end.replaceChildren(...this.#ending(outcome));
  }

  /** @param {any} outcome */
  #ending(outcome) {
    const { reason, remedy, code, cost, undo_failed: stuck = [] } = outcome;
    const words = [];
    if (outcome.state !== "done" && reason) {
      words.push(el("div.problem", {}, el("strong", {}, reason), " ", remedy, " ", code && el("code", {}, code)));
    }
    if (stuck.length) words.push(el("div.problem", {}, el("strong", {}, `${counted(stuck.length, "step")} could not be undone: a person must look.`)));
    if (cost) words.push(costLine(cost));
    return words;
  }
}

/** @param {import("./types.js").Cost} cost */
function costLine(cost) {
  const reserved = Number(cost.reserved) > 0 && `, ${money(cost.reserved, cost.currency)} still reserved`;
  const lines = cost.lines.map((line) => {
    const quantity = (Number(line.quantity) + Number(line.quantity_out)).toLocaleString("en", { maximumFractionDigits: 1 });
    return el("li", {}, `${quantity} ${line.unit.replace("_", "-")} of ${line.subject}: ${money(line.amount, cost.currency)}`);
  });
  return el("div", {}, el("p", {}, "Cost: ", el("strong", {}, money(cost.spent, cost.currency)), reserved), lines.length > 0 && el("ul.quiet", {}, ...lines));
}

/**
 * What an answer can be checked against.
 * @param {Citation[]} citations
 */
export function citationList(citations) {
  const items = citations.map((each) => {
    const run = each.run_url ? [" · ", link(each.run_url, "its run")] : [];
    return el("li", {}, link(each.url, each.title), ...run);
  });
  return el("ul.citations", { "aria-label": "Sources" }, ...items);
}
