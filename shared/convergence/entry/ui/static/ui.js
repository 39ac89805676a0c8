// Comfort only: every page works without this script.
"use strict";

const GO = { p: "pipelines", h: "pipelines/history", s: "pipelines/schedules", d: "dead-letters", c: "costs", q: "quality" };
let goes = false;

function typing(target) {
  return target.matches("input, select, textarea, [contenteditable]");
}

// Move the focus by rows that are marked for it.
function move(by) {
  const rows = [...document.querySelectorAll("[data-move] a, [data-move] summary")].filter((each, at, all) => {
    const row = each.closest("[data-move]");
    return all.findIndex((other) => other.closest("[data-move]") === row) === at;
  });
  const now = rows.findIndex((each) => each.closest("[data-move]").contains(document.activeElement));
  const next = rows[Math.max(0, Math.min(rows.length - 1, now + by))];
  if (next) next.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const org = document.querySelector(".nav a");
  if (goes && GO[event.key] && org) {
    location.href = org.getAttribute("href").replace(/pipelines$/, GO[event.key]);
  } else if (event.key === "/") {
    const field = document.querySelector("input[type=search]");
    if (field) {
      event.preventDefault();
      field.focus();
    }
  } else if (event.key === "j" || event.key === "k") {
    move(event.key === "j" ? 1 : -1);
  }
  goes = event.key === "g" && !goes;
});

// Live: what happens to the run reloads the page's content, at most once a second, and leaves open what is open.
let source = null;
let waiting = null;
let ended = false;

async function refresh() {
  waiting = null;
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok || answer.redirected) return stop();
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const opened = [...document.querySelectorAll("main details")].map((each) => each.open);
  const focused = document.activeElement && document.activeElement.id;
  document.querySelector("main").replaceWith(document.adoptNode(fresh.querySelector("main")));
  document.title = fresh.title;
  const now = [...document.querySelectorAll("main details")];
  if (now.length === opened.length) now.forEach((each, at) => { each.open = opened[at]; });
  if (focused) document.getElementById(focused)?.focus();
  if (!document.querySelector("[data-events]")) stop();
}

function stop() {
  if (source) source.close();
  source = null;
  ended = true;
}

function soon() {
  if (waiting === null && !typing(document.activeElement || document.body)) waiting = setTimeout(refresh, 1000);
}

// A stream that is refused, as when too many are open, is asked for again; until then the page is loaded now and then.
function listen() {
  const live = document.querySelector("[data-events]");
  if (ended || !live) return;
  source = new EventSource(live.dataset.events);
  source.addEventListener("move", soon);
  source.addEventListener("end", () => { stop(); soon(); });
  source.addEventListener("error", (event) => {
    if (event.target.readyState !== EventSource.CLOSED || ended) return;
    soon();
    setTimeout(listen, 15000);
  });
}

listen();
