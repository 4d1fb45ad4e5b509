// The dashboard: draws what the feed tells.

import { duration, keep } from "../lib/dom.js";
import { Feed } from "./feed.js";
import { followAddress, refresh } from "./job.js";
import * as panels from "./panels.js";
import { rank } from "./words.js";

const SHOWN_MAX = 50; // of each list

const $ = (selector) => document.querySelector(selector);
const feed = new Feed();
let drawing = false;

feed.addEventListener("change", ({ detail }) => {
  refresh(detail.jobs);
  if (drawing) return;
  drawing = true; // once per picture on the screen, however many changes there are
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
});

feed.addEventListener("state", ({ detail: live }) => {
  const chip = $("#live");
  chip.className = `chip ${live ? "good" : "bad"}`;
  chip.textContent = live ? "Live" : "No connection; what you see is old";
  document.body.classList.toggle("stale", !live);
});

function draw() {
  const { nodes, sessions } = feed.tables;
  const jobs = feed.jobs;
  const pending = jobs.filter((job) => job.state === "pending").reverse();
  $("#draining").hidden = !feed.stats.draining;
  $("#journal").hidden = !feed.stats.journal_failing;
  list("#figures", panels.figures(feed.stats), (figure) => figure.name, panels.figure);
  list("#nodes", troubledFirst([...nodes.values()]), (node) => node.node_id, panels.node, "#no-nodes");
  list("#sessions", connectedFirst([...sessions.values()]), (session) => session.session_id, panels.session, "#no-sessions");
  list("#job-rows", jobs, (job) => job.job_id, panels.jobRow, "#no-jobs");
  list("#waiting", pending, (job) => job.job_id, panels.waiting);
  $("#more-nodes").textContent = more(feed.stats.nodes.total);
  $("#more-sessions").textContent = more(feed.stats.sessions.total);
  $("#waiting-panel").hidden = pending.length === 0;
  $("#jobs").hidden = jobs.length === 0;
  $("#sessions").hidden = sessions.size === 0;
  count();
}

function list(selector, rows, key, make, nothing) {
  keep($(selector), rows.slice(0, SHOWN_MAX), key, make);
  if (nothing) $(nothing).hidden = rows.length > 0;
}

const more = (total) => (total > SHOWN_MAX ? `and ${total - SHOWN_MAX} more` : "");

const connectedFirst = (sessions) => sessions.sort((a, b) => b.connected - a.connected || b.joined_at_ms - a.joined_at_ms);

const troubledFirst = (nodes) => nodes.sort((a, b) => rank(a) - rank(b) || a.joined_at_ms - b.joined_at_ms);

/** The time that is left: it passes without any news from the scheduler. */
function count() {
  for (const element of document.querySelectorAll("[data-deadline]")) {
    const deadline = Number(element.dataset.deadline);
    const left = Math.max(0, deadline - feed.now);
    if (element.dataset.from) element.value = left / Math.max(1, deadline - Number(element.dataset.from));
    else element.textContent = `${duration(left)} left`;
  }
}

setInterval(count, 200);
followAddress();
feed.connect();
