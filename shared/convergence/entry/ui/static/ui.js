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

// Live: what happens to the run reloads the page's content, at most once a second. What is open stays open, what was
// scrolled stays where it was, the focus stays on what it was on, and nothing changes while a field has it.
let source = null;
let waiting = null;
let postponed = false;
let ended = false;

function typed() {
  postponed = typing(document.activeElement || document.body);
  return postponed;
}

// What has the focus, as it is found again in fresh content: alike elements are told apart by their order.
function alike(each) {
  return [each.tagName, each.id, each.name, each.getAttribute("href"), each.getAttribute("aria-label"), each.textContent.trim()].join("\n");
}

function focusable() {
  return [...document.querySelectorAll("main a, main button, main summary, main [tabindex]")];
}

async function refresh() {
  waiting = null;
  if (typed()) return;
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok || answer.redirected) return stop();
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (typed()) return;
  const main = document.querySelector("main");
  const active = main.contains(document.activeElement) ? document.activeElement : null;
  const twins = active && focusable().filter((each) => alike(each) === alike(active));
  const opened = [...main.querySelectorAll("details")].map((each) => each.open);
  const places = [...main.querySelectorAll("[tabindex]")].map((each) => [each.scrollLeft, each.scrollTop]);
  main.replaceWith(document.adoptNode(fresh.querySelector("main")));
  const now = [...document.querySelectorAll("main details")];
  if (now.length === opened.length) now.forEach((each, at) => { each.open = opened[at]; });
  const areas = [...document.querySelectorAll("main [tabindex]")];
  if (areas.length === places.length) areas.forEach((each, at) => { [each.scrollLeft, each.scrollTop] = places[at]; });
  if (active) {
    const found = focusable().filter((each) => alike(each) === alike(active))[twins.indexOf(active)];
    (found || document.querySelector("main")).focus({ preventScroll: true });
  }
  if (document.title !== fresh.title) document.getElementById("news").textContent = fresh.title;
  document.title = fresh.title;
  if (!document.querySelector("[data-events]")) stop();
}

function stop() {
  if (source) source.close();
  source = null;
  ended = true;
}

function soon() {
  if (waiting === null) waiting = setTimeout(refresh, 1000);
}

document.addEventListener("focusout", () => {
  if (postponed) soon();
});

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

// On a phone the navigation scrolls: it begins where the page is.
const here = document.querySelector(".nav [aria-current]");
if (here) here.parentElement.scrollLeft = here.offsetLeft - 40;
