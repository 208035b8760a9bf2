// A secret, shown once: it is nowhere in the page afterwards.

import { announce, el } from "./dom.js";

/**
 * @param {HTMLElement} holder where it is shown
 * @param {string} name of its key
 * @param {string} words the secret
 */
export function secret(holder, name, words) {
  const text = el("code", { tabindex: "0" }, words);
  const copy = el("button", { type: "button", click: () => copied(text, words) }, "Copy");
  const hide = () => {
    holder.replaceChildren();
    holder.hidden = true;
  };
  const kept = el("button", { type: "button", click: hide }, "I have kept it");
  holder.replaceChildren(el("p", {}, `The secret of ${name}. It is shown now and never again.`), text, el("div.actions", {}, copy, kept));
  holder.hidden = false;
  holder.scrollIntoView({ block: "nearest" });
}

/** @param {HTMLElement} text @param {string} words */
async function copied(text, words) {
  getSelection()?.selectAllChildren(text);
  // Without TLS there may be no clipboard: then it stays selected, to be copied by hand.
  await navigator.clipboard?.writeText(words).then(() => announce("Copied."), () => undefined);
}
