// A button in a row of a list that removes what the row is of.

import { request } from "./api.js";
import { el } from "./dom.js";
import { tried } from "./show.js";
import { asking } from "./sure.js";

/**
 * The button, which asks once more, and where its refusal is said.
 * @param {string} question @param {string} at @param {() => Promise<void>} again
 */
export function ending(question, at, again) {
  const holder = el("span");
  const trouble = el("div", { role: "alert" });
  holder.append(asking(holder, "Remove", question, "Yes, remove", async () => {
    if (await tried(trouble, () => request("DELETE", at))) await again();
  }));
  return [holder, trouble];
}
