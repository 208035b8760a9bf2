// Puts the page together: signing in, the columns, and which thread the address names.

import { get, path, request, session } from "./api.js";
import { Conversation } from "./chat.js";
import { byId, el, link, problem, setText } from "./dom.js";
import { navigation, ownTeams, pageAfterSignIn, whoWords } from "./pages.js";
import { Panel } from "./panel.js";
import { ThreadList } from "./threads.js";

/** @typedef {import("./types.js").FactoryEvent} FactoryEvent */

const CONNECTION = { loading: "loading…", live: "live", reconnecting: "reconnecting…", paused: "paused", none: "" };
/** After these the panel's figures are worth reading at once. */
const TELLING = new Set(["step.done", "step.undone", "plan.ended"]);

/** @type {Conversation|null} */
let conversation = null;
/** @type {Panel|null} */
let panel = null;
/** @type {ThreadList} */
let threads;
/** @type {import("./plan.js").Context} */
let context;

/** Ask who is signed in, and show the console or the form. */
async function start() {
  try {
    const me = await get("/v1/me");
    context = { me, links: await get("/v1/links") };
  } catch (error) {
    return showSignIn(error);
  }
  const page = pageAfterSignIn(location.hash);
  if (page) return location.replace(page);
  showConsole();
}

/** @param {any} [error] */
function showSignIn(error) {
  conversation?.close();
  panel?.stop();
  conversation = panel = null;
  byId("console").hidden = true;
  byId("signin").hidden = false;
  byId("signin-problem").replaceChildren(...(error && error.status !== 401 ? [problem(error)] : []));
  byId("signin-key").focus();
  offerProvider();
}

/** Lead to the provider of identities, where one is set; a key opens the console as well. */
async function offerProvider() {
  const { provider } = await get("/v1/sign-in/provider").catch(() => ({ provider: null }));
  setText(byId("signin-provider-name"), provider ?? "");
  byId("signin-provider").hidden = !provider;
}

async function showConsole() {
  const { me } = context;
  byId("signin").hidden = true;
  byId("console").hidden = false;
  setText(byId("who"), whoWords(me));
  byId("own-teams").replaceChildren(...ownTeams(me));
  byId("pages").replaceChildren(navigation("ask", me));
  byId("links").replaceChildren(...links());
  byId("composer").hidden = me.role === "viewer";
  threads = new ThreadList(me);
  panel = new Panel(byId("panel"), me, links());
  await threads.refresh();
  showThread();
}

/** @returns {HTMLElement[]} where else to look. */
function links() {
  const { temporal_url: temporal, temporal_namespace: space, mlflow_url: mlflow } = context.links;
  const workflows = temporal && `${temporal.replace(/\/$/, "")}${path`/namespaces/${space}/workflows`}`;
  return [workflows && link(workflows, "Temporal"), mlflow && link(mlflow, "MLflow")].filter(Boolean);
}

/** Show the thread that the address names, else the newest. */
async function showThread() {
  const named = /^#\/threads\/([A-Za-z0-9_-]+)$/.exec(location.hash)?.[1];
  if (!named && threads.first) return location.replace(`#/threads/${threads.first.id}`);
  conversation?.close();
  conversation = null;
  setDrawer("");
  if (!named) return showNone();
  threads.mark(named);
  try {
    const thread = threads.find(named) ?? (await get(path`/v1/threads/${named}`));
    if (!location.hash.endsWith(named)) return;
    openThread(thread);
  } catch (error) {
    showNone(error);
  }
}

/** @param {unknown} [error] */
function showNone(error) {
  setText(byId("thread-title"), "Lineshaft");
  showConnection("none");
  const words = "Ask for an outcome in words. The first message opens a thread.";
  byId("log").replaceChildren(error ? problem(error) : el("p.quiet.empty", {}, words));
}

/** @param {import("./types.js").Thread} thread */
function openThread(thread) {
  const team = thread.tenant && context.me.tenant === null ? ` (team ${thread.tenant})` : "";
  setText(byId("thread-title"), `${thread.title || "New conversation"}${team}`);
  panel?.look(context.me.tenant ?? thread.tenant);
  conversation = new Conversation(thread, { log: byId("log"), context, connection: showConnection, happened });
  if (!matchMedia("(max-width: 700px)").matches) byId("composer-text").focus();
}

/** @param {FactoryEvent} event */
async function happened(event) {
  if (TELLING.has(event.kind)) panel?.refresh();
  if (event.kind !== "message.user" || threads.find(event.thread_id)?.title) return;
  await threads.refresh();
  const thread = threads.find(event.thread_id);
  if (thread?.title && location.hash.endsWith(thread.id)) setText(byId("thread-title"), thread.title);
}

/** @param {string} state */
function showConnection(state) {
  byId("connection").dataset.state = state;
  setText(byId("connection"), CONNECTION[state] ?? state);
}

/** @param {Event} event */
async function signIn(event) {
  event.preventDefault();
  const field = byId("signin-key");
  try {
    await request("POST", "/v1/session", { key: field.value });
  } catch (error) {
    byId("signin-problem").replaceChildren(problem(error));
    return field.select();
  }
  field.value = "";
  start();
}

async function signOut() {
  await request("DELETE", "/v1/session").catch(() => null);
  location.hash = "";
  showSignIn();
}

/** @param {Event} event */
async function send(event) {
  event.preventDefault();
  const field = byId("composer-text");
  const text = field.value.trim();
  if (!text) return;
  if (conversation === null) return openWith(text);
  field.value = "";
  conversation.say(text);
}

/**
 * Open a thread with its first message.
 * @param {string} text
 */
async function openWith(text) {
  try {
    const thread = await request("POST", "/v1/threads", { tenant: byId("team").value || null });
    await threads.refresh();
    history.replaceState(null, "", `#/threads/${thread.id}`);
    threads.mark(thread.id);
    openThread(thread);
    byId("composer-text").value = "";
    conversation?.say(text);
  } catch (error) {
    showNone(error);
  }
}

/**
 * On a narrow page one side column at a time lies over the chat.
 * @param {string} name "threads", "panel", or "" for none
 */
function setDrawer(name) {
  byId("console").dataset.drawer = name;
  byId("show-threads").setAttribute("aria-expanded", String(name === "threads"));
  byId("show-panel").setAttribute("aria-expanded", String(name === "panel"));
}

/** @param {string} name */
const toggleDrawer = (name) => setDrawer(byId("console").dataset.drawer === name ? "" : name);

function listen() {
  byId("signin-form").addEventListener("submit", signIn);
  byId("sign-out").addEventListener("click", signOut);
  byId("composer").addEventListener("submit", send);
  byId("show-threads").addEventListener("click", () => toggleDrawer("threads"));
  byId("show-panel").addEventListener("click", () => toggleDrawer("panel"));
  byId("composer-text").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event);
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && setDrawer(""));
  window.addEventListener("hashchange", () => !byId("console").hidden && showThread());
  session.addEventListener("signedout", () => !byId("console").hidden && showSignIn());
}

listen();
start();
