"""What every page of the console must be for people who do not see it, and for who watches what a page asks for."""

from playwright.async_api import Page

FAULTS = """() => {
  const faults = [];
  const shown = (each) => each.checkVisibility();
  const said = (ids) => (ids ?? "").split(" ").filter(Boolean).map((id) => document.getElementById(id)?.textContent ?? "").join("");
  const named = (each) => (each.getAttribute("aria-label") ?? "") + said(each.getAttribute("aria-labelledby"))
    + [...(each.labels ?? [])].map((label) => label.textContent).join("") + each.textContent + (each.title ?? "");
  for (const each of document.querySelectorAll("a, button, input, select, textarea, progress, [role=region], nav, svg[role=img]")) {
    const field = each.matches("input, select, textarea");
    const wanted = field ? each.labels?.length || each.getAttribute("aria-label") : named(each).trim();
    if (shown(each) && !wanted) faults.push(`no name: ${each.outerHTML.slice(0, 120)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
  faults.push(...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `twice: #${id}`));
  for (const each of document.querySelectorAll("[aria-labelledby], [aria-controls], [aria-describedby]")) {
    for (const kind of ["aria-labelledby", "aria-controls", "aria-describedby"]) {
      const named = (each.getAttribute(kind) ?? "").split(" ").filter(Boolean);
      faults.push(...named.filter((id) => !ids.includes(id)).map((id) => `${kind} leads nowhere: ${id}`));
    }
  }
  if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
  if ([...document.querySelectorAll("main")].filter(shown).length !== 1) faults.push("not one main");
  let before = 1;
  for (const each of document.querySelectorAll("h1, h2, h3, h4")) {
    if (!shown(each)) continue;
    const level = Number(each.tagName[1]);
    if (level > before + 1) faults.push(`a level is left out before ${each.textContent}`);
    before = level;
  }
  for (const each of document.querySelectorAll("th")) if (!each.scope) faults.push(`th without scope: ${each.textContent}`);
  for (const each of document.querySelectorAll("[tabindex]")) if (each.tabIndex > 0) faults.push("an order of its own");
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth) faults.push("the page is wider than the window");
  return faults;
}"""

SETTLED = """async () => {
  const until = Date.now() + 30000;
  while (!document.querySelector("#pages a") || document.querySelector("[aria-busy]")) {
    if (Date.now() > until) throw new Error("It is still loading.");
    await new Promise(requestAnimationFrame);
  }
}"""


async def faults(page: Page) -> list[str]:
    """What of the page, as it is now, a screen reader or a keyboard does not find; and whether it is too wide."""
    found: list[str] = await page.evaluate(FAULTS)
    return found


async def settled(page: Page) -> None:
    """Wait until nothing of the page is still loading. It looks at each frame: asking from here would look seldom."""
    await page.evaluate(SETTLED)
