// Asks once more before what cannot be taken back, in the place of the buttons that were there.

import { el } from "./dom.js";

/**
 * A button that first asks.
 * @param {HTMLElement} holder what holds the buttons
 * @param {string} name of the button
 * @param {string} question
 * @param {string} yes
 * @param {() => Promise<void>} act
 * @param {...Node} more what the question needs besides
 * @returns {HTMLButtonElement}
 */
export function asking(holder, name, question, yes, act, ...more) {
  const ask = () => {
    const before = [...holder.childNodes];
    const back = () => {
      holder.replaceChildren(...before);
      button.focus();
    };
    const no = el("button", { type: "button", click: back }, "No");
    const sure = el("button.danger", { type: "button", click: () => void act() }, yes);
    holder.replaceChildren(el("span", {}, question, " "), ...more, sure, no);
    no.focus();
  };
  const button = el("button", { type: "button", click: ask }, name);
  return button;
}
