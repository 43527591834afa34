// The page: the list of runs, the one that is shown, and the stream of what happens to it.

import { count, duration, element, say } from "./dom.js";
import { redraw, theme } from "./plot.js";
import bart from "./views/bart.js";
import generic from "./views/generic.js";
import nuts from "./views/nuts.js";
import sim from "./views/sim.js";
import smc2 from "./views/smc2.js";
import spc from "./views/spc.js";
import twin from "./views/twin.js";

const VIEWS = { nuts, smc2, bart, sim, spc, twin, generic };
const at = (id) => document.getElementById(id);
const shows = new Map(); // run -> the series that were asked for
const rows = new Map(); // run -> its entry in the list

let runs = null;
let clock = 0; // the server's clock minus ours
let selected = null;
let source = null;
let retry = 0;
let view = null;
let viewName = null;
let waiting = []; // what came for a view that is being fetched
let connection = "connecting"; // or live, or reconnecting

function run() {
  return runs?.find((each) => each.run === selected);
}

// What is shown, and the stream

/** The address's fragment: a run, and the series chosen of it, as in `#run&show=mu&show=tau`. */
function fromHash() {
  const [name, ...rest] = location.hash.slice(1).split("&");
  try {
    return [decodeURIComponent(name) || null, new URLSearchParams(rest.join("&")).getAll("show")];
  } catch {
    return [null, []];
  }
}

function hash(name) {
  return ["#" + encodeURIComponent(name), ...(shows.get(name) ?? []).map((each) => `show=${encodeURIComponent(each)}`)].join("&");
}

function select(name, show = shows.get(name) ?? []) {
  if (name === selected && source && String(show) === String(shows.get(name) ?? [])) return;
  if (name) shows.set(name, show);
  selected = name;
  leave();
  tell("");
  header();
  list();
  open();
}

function leave() {
  view?.destroy();
  view = viewName = null;
  waiting = [];
  at("view").replaceChildren();
}

function open() {
  source?.close();
  clearTimeout(retry);
  connected(connection === "reconnecting" ? "reconnecting" : "connecting");
  const query = new URLSearchParams();
  if (selected) query.set("run", selected);
  for (const name of (selected && shows.get(selected)) || []) query.append("show", name);
  source = new EventSource(`/events?${query}`);
  source.addEventListener("open", () => connected("live"));
  source.addEventListener("runs", (event) => take(JSON.parse(event.data)));
  source.addEventListener("view", (event) => draw(JSON.parse(event.data)));
  source.addEventListener("gone", (event) => gone(JSON.parse(event.data).run));
  source.addEventListener("error", failed);
}

function failed() {
  connected("reconnecting");
  if (source.readyState !== EventSource.CLOSED) return;
  // The browser gave up: another program answers there, or the same with another token.
  retry = setTimeout(open, 2000);
  fetch("/static/icon.svg", { cache: "no-store" }).then(
    (answer) => answer.status === 403 && trouble("This page's token is not valid any more. Open the address that the server printed."),
    () => {},
  );
}

function connected(state) {
  connection = state;
  badge();
}

function badge() {
  const state = connection === "live" && run()?.ended ? "ended" : connection;
  at("state").dataset.state = state;
  say(at("state"), state);
}

// The events

function take(data) {
  const first = runs === null;
  runs = data.runs;
  clock = data.now - Date.now() / 1000;
  trouble(data.problem ? `The queue does not answer: ${data.problem}` : "");
  if (!selected && runs.length) {
    const newest = runs.find((each) => !each.ended) ?? runs[0];
    history.replaceState(null, "", hash(newest.run));
    select(newest.run);
    return;
  }
  list(!first);
  header();
}

function draw(data) {
  if (data.run !== selected) return;
  if (viewName !== data.view) {
    if (!data.full) return;
    leave();
    viewName = data.view;
    if (VIEWS[data.view]) view = VIEWS[data.view](at("view"), page);
    else fetchView(data.view);
  }
  if (!view) {
    waiting.push(data);
    return;
  }
  at("empty").hidden = true;
  view.update(data);
}

/** A view of somebody's own is a module that the server has beside ours. */
async function fetchView(name) {
  try {
    VIEWS[name] = (await import(`/static/views/${name}.js`)).default;
  } catch (error) {
    tell(`The view ${name} cannot be loaded: ${error.message}`);
    return;
  }
  if (viewName !== name || view) return;
  const come = waiting;
  waiting = [];
  view = VIEWS[name](at("view"), page);
  for (const data of come) draw(data);
}

function gone(name) {
  if (name !== selected) return;
  leave();
  at("empty").hidden = false;
  say(at("empty"), `There is no run ${name} on the queue. It appears here as soon as there is.`);
}

const page = {
  theme,
  /** Ask the server for other series of this run. */
  show(names) {
    shows.set(selected, names);
    history.replaceState(null, "", hash(selected));
    list();
    open();
  },
};

// The list of runs

function list(flash = false) {
  if (!runs) return;
  const now = Date.now() / 1000 + clock;
  say(at("runs-count"), runs.length ? String(runs.length) : "");
  const wanted = runs.map((each) => {
    const known = rows.get(each.run) ?? entry(each.run, flash);
    rows.set(each.run, known);
    const state = each.status.replace(/\W/g, "") || "running";
    known.root.dataset.status = each.ended ? (["failed", "interrupted"].includes(state) ? "failed" : "ended") : state === "failed" ? "failed" : "running";
    known.link.setAttribute("aria-current", String(each.run === selected));
    known.link.href = hash(each.run);
    say(known.label, each.label || each.run);
    say(known.status, each.status);
    say(known.id, each.run);
    known.id.hidden = each.run === (each.label || each.run);
    say(known.about, `${duration(now - each.created)} ago · ${count(each.messages)} messages`);
    return known.root;
  });
  for (const name of rows.keys()) if (!runs.some((each) => each.run === name)) rows.delete(name);
  if (wanted.some((root, place) => at("runs").children[place] !== root) || at("runs").children.length !== wanted.length) {
    at("runs").replaceChildren(...wanted);
  }
  if (!runs.length) {
    at("empty").hidden = false;
    say(at("empty"), "No runs on the queue yet. They appear here by themselves; try: live run spc");
  }
}

function entry(name, flash) {
  const label = element("span", { class: "run-label" });
  const status = element("span", { class: "run-status" });
  const id = element("span", { class: "run-about" });
  const about = element("span", { class: "run-about" });
  const link = element("a", { "data-testid": "run" }, label, status, id, about);
  return { root: element("li", { "data-run": name, class: flash ? "new" : "" }, link), link, label, status, id, about };
}

function header() {
  const shown = run();
  at("head").hidden = !selected;
  document.title = shown ? `${shown.label || shown.run} · Live` : "Live";
  badge();
  if (!selected) return;
  say(at("label"), shown?.label || selected);
  const age = shown ? ` · ${shown.engine || "unknown engine"} · ${shown.status} · began ${duration(Date.now() / 1000 + clock - shown.created)} ago` : "";
  say(at("about"), selected + age);
  at("stop").hidden = !shown || shown.ended;
  if (!view && shown) {
    at("empty").hidden = false;
    say(at("empty"), "Reading the run.");
  }
}

function trouble(text) {
  at("problem").hidden = !text;
  say(at("problem"), text);
}

function tell(text) {
  at("told").hidden = !text;
  say(at("told"), text);
}

// Stopping

at("stop").addEventListener("click", () => at("confirm").showModal());
at("go-on").addEventListener("click", () => at("confirm").close());
at("stop-now").addEventListener("click", async () => {
  at("confirm").close();
  const name = selected;
  try {
    const answer = await fetch(`/stop?run=${encodeURIComponent(name)}`, { method: "POST", headers: { "X-Live": "1" } });
    if (name === selected) tell(answer.ok ? "Asked the run to stop. What it has made is kept." : (await answer.text()).trim());
  } catch {
    tell("The server does not answer: the run was not asked to stop.");
  }
});

// Light and dark

const THEMES = ["auto", "light", "dark"];
let chosen = "auto";
try {
  chosen = THEMES.includes(localStorage.getItem("live-theme")) ? localStorage.getItem("live-theme") : "auto";
} catch {
  // No storage: the choice lasts as long as the page.
}

function paintTheme() {
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  say(at("theme"), `theme: ${chosen}`);
  redraw();
}

at("theme").addEventListener("click", () => {
  chosen = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length];
  try {
    localStorage.setItem("live-theme", chosen);
  } catch {
    // As above.
  }
  paintTheme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

const wide = matchMedia("(min-width: 1100px)");
const fold = () => { at("runs-fold").open = wide.matches; };
wide.addEventListener("change", fold);

addEventListener("hashchange", () => {
  select(...fromHash());
  if (!wide.matches) fold();
});
addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => event.persisted && open());
setInterval(() => { list(); header(); }, 5000);
fold();
paintTheme();
select(...fromHash());
