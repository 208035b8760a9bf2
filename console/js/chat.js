// One conversation: what was said, who is at work, and the plans that came of it.

import { announce, el, problem, setText } from "./dom.js";
import { clock } from "./format.js";
import { freshId, path, post } from "./api.js";
import { citationList, PlanCard } from "./plan.js";
import { EventFeed } from "./stream.js";

/** @typedef {import("./types.js").FactoryEvent} FactoryEvent */
/** @typedef {import("./types.js").Thread} Thread */

/**
 * @typedef {object} Surroundings
 * @property {HTMLElement} log where the conversation is shown
 * @property {import("./plan.js").Context} context
 * @property {(state: string) => void} connection
 * @property {(event: FactoryEvent) => void} happened told of every event that is live
 */

const NEAR_END_PIXELS = 120;

/** A thread on the page. */
export class Conversation {
  #thread;
  #around;
  #feed;
  #live = false;
  /** Whether the reader is at the end, and wants to stay there as the log grows. */
  #follows = true;
  #scrolledTo = 0;
  #growth = new ResizeObserver(() => this.#follows && this.#scrollToEnd());
  #list = el("ol.messages", { "aria-label": "Messages" });
  /** @type {Map<string, PlanCard>} */
  #plans = new Map();
  /** Messages of this page that the thread has not confirmed yet, by id. @type {Map<string, HTMLElement>} */
  #sending = new Map();
  /** @type {Activity|null} */
  #activity = null;

  /**
   * @param {Thread} thread
   * @param {Surroundings} around
   */
  constructor(thread, around) {
    this.#thread = thread;
    this.#around = around;
    around.log.replaceChildren(this.#list);
    around.log.onscroll = () => this.#scrolled();
    this.#list.addEventListener("click", (/** @type {any} */ event) => event.target.closest("summary") && (this.#follows = false));
    this.#growth.observe(this.#list);
    this.#feed = new EventFeed(thread.id, {
      event: (event) => this.#take(event),
      state: around.connection,
      caughtUp: () => this.#caughtUp(),
      ended: (error) => this.#list.append(el("li", {}, problem(error))),
    });
    this.#feed.run();
  }

  /** Leave the thread. */
  close() {
    this.#feed.stop();
    this.#growth.disconnect();
  }

  /**
   * Say something; shown at once, confirmed by the thread's own event.
   * @param {string} text
   */
  say(text) {
    const id = freshId();
    const bubble = el("li.message.user.sending", {}, el("p.text", {}, text), el("p.quiet", {}, "sending…"));
    this.#sending.set(id, bubble);
    this.#list.append(bubble);
    this.#scrollToEnd();
    this.#deliver(id, text, bubble);
  }

  /**
   * Deliver a message; one that may or may not have arrived is sent again under the same id.
   * @param {string} id
   * @param {string} text
   * @param {HTMLElement} bubble
   */
  async #deliver(id, text, bubble) {
    const note = /** @type {HTMLElement} */ (bubble.lastElementChild);
    setText(note, "sending…");
    try {
      await post(path`/v1/threads/${this.#thread.id}/messages`, { text, message_id: id });
    } catch (error) {
      const again = el("button", { type: "button", click: () => this.#deliver(id, text, bubble) }, "Send again");
      note.replaceChildren(problem(error), again);
      announce("The message was not sent.");
    }
  }

  #caughtUp() {
    this.#live = true;
    if (!this.#list.childElementCount) this.#welcome();
    for (const plan of this.#plans.values()) plan.confirm();
  }

  #welcome() {
    const examples = [
      "Train a digit classifier on one slot and put it live if it beats 95 percent.",
      "Which model reads digits best, on what data was it trained, and what did it cost?",
      "What hardware is here?",
    ];
    const items = examples.map((text) => el("li", {}, `“${text}”`));
    this.#list.append(el("li.welcome.quiet", {}, el("p", {}, "Ask for an outcome in words, for example:"), el("ul", {}, ...items)));
  }

  /** @param {FactoryEvent} event */
  #take(event) {
    this.#list.querySelector(".welcome")?.remove();
    if (this.#live) this.#around.happened(event);
    const say = SAYINGS[event.kind];
    if (event.kind === "message.user") this.#said(event);
    else if (event.kind === "message.assistant") this.#answered(event);
    else if (event.kind === "question") this.#asked(event);
    else if (event.kind === "refusal") this.#refused(event);
    else if (event.kind === "turn.done") this.#activity?.end();
    else if (event.kind === "plan.proposed") this.#proposed(event);
    else if (say) this.#activity?.add(say(event.payload));
    else this.#plans.get(event.plan_id)?.take(event, this.#live);
  }

  /** @param {FactoryEvent} event */
  #said(event) {
    const { text, message_id: id, actor } = event.payload;
    this.#sending.get(id)?.remove();
    this.#sending.delete(id);
    this.#list.querySelectorAll(".options button").forEach((/** @type {any} */ button) => (button.disabled = true));
    const foot = `${actor} · ${clock(event.at)}`;
    this.#activity?.end();
    this.#activity = new Activity();
    this.#list.append(el("li.message.user", {}, el("p.text", {}, text), el("p.quiet", {}, foot)), this.#activity.element);
    this.#sending.forEach((bubble) => this.#list.append(bubble));
  }

  /** @param {FactoryEvent} event */
  #answered(event) {
    const { text, citations = [], notes = [] } = event.payload;
    if (citations.length) this.#plans.get(event.plan_id)?.cite(citations);
    this.#append(
      el(
        "li.message.assistant",
        {},
        el("p.text", {}, text),
        notes.length > 0 && el("ul.notes", {}, ...notes.map((/** @type {string} */ note) => el("li", {}, note))),
        citations.length > 0 && citationList(citations),
      ),
    );
    this.#announce(text);
  }

  /** @param {FactoryEvent} event */
  #asked(event) {
    const { text, options = [] } = event.payload;
    const may = this.#around.context.me.role !== "viewer";
    const buttons = options.map((/** @type {string} */ option) =>
      el("button", { type: "button", disabled: !may, click: () => this.#choose(option) }, option),
    );
    const group = buttons.length > 0 && el("div.options", { role: "group", "aria-label": "Answers" }, ...buttons);
    this.#append(el("li.message.assistant.question", {}, el("p.text", {}, text), group));
    this.#announce(text);
  }

  /** @param {string} option */
  #choose(option) {
    this.#list.querySelectorAll(".options button").forEach((/** @type {any} */ button) => (button.disabled = true));
    this.say(option);
  }

  /** @param {FactoryEvent} event */
  #refused(event) {
    const { code, reason, remedy, title } = event.payload;
    const words = [title && el("p", {}, `Not possible: ${title}`), el("p", {}, el("strong", {}, reason)), remedy && el("p", {}, remedy)];
    this.#append(el("li.message.assistant.refusal", {}, ...words, el("p.quiet", {}, el("code", {}, code))));
    this.#announce(`${reason} ${remedy ?? ""}`);
  }

  /** @param {FactoryEvent} event */
  #proposed(event) {
    if (this.#plans.has(event.plan_id)) return;
    const card = new PlanCard(event, this.#around.context);
    this.#plans.set(event.plan_id, card);
    this.#append(el("li", {}, card.element));
    this.#announce(`A plan is proposed: ${event.payload.plan.title}`);
    if (this.#live) card.confirm();
  }

  /** @param {HTMLElement} item */
  #append(item) {
    this.#list.append(item);
  }

  /** @param {string} text */
  #announce(text) {
    if (this.#live) announce(text);
  }

  /** The log growing never moves it up: only the reader does. */
  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#around.log;
    if (scrollHeight - scrollTop - clientHeight < NEAR_END_PIXELS) this.#follows = true;
    else if (scrollTop < this.#scrolledTo) this.#follows = false;
    this.#scrolledTo = scrollTop;
  }

  #scrollToEnd() {
    this.#around.log.scrollTop = this.#around.log.scrollHeight;
  }
}

/** What each event of an agent at work says. @type {Record<string, (payload: any) => string>} */
const SAYINGS = {
  "agent.started": ({ agent, steps, model, planner }) =>
    steps ? `${agent} looks at ${steps.join(", ")}` : `${agent} reads the request (planner ${planner}, model ${model ?? "none"})`,
  "model.called": ({ failed, answer, model, question, tokens }) =>
    failed ? `the model did not answer: ${failed}` : `${model} answered “${answer}” to ${question} (${tokens} tokens)`,
  "tool.returned": ({ tool, agent, outcome }) => `${agent} called ${tool}: ${outcome}`,
};

/** A discreet line: who is at work now, and afterwards what was done for an answer. */
class Activity {
  #now = el("summary", {}, "taken; it is worked on…");
  #list = el("ul");
  #count = 0;
  #box = el("details", {}, this.#now, this.#list);
  element = el("li.activity.busy", {}, this.#box);

  /** @param {string} words */
  add(words) {
    this.#count += 1;
    this.#list.append(el("li", {}, words));
    if (this.element.classList.contains("busy")) setText(this.#now, `${words}…`);
  }

  end() {
    this.element.classList.remove("busy");
    if (this.#count === 0) this.element.remove();
    setText(this.#now, `How it was worked out (${this.#count})`);
  }
}
