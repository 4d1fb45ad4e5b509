// One job's timeline, in a dialog: its verdict, and everything that ever happened to it.

import { duration, h } from "../lib/dom.js";
import { sentence } from "./panels.js";
import { chip, receiptOf, short, stateOf } from "./words.js";

const $ = (selector) => document.querySelector(selector);
const SHOWN_ELSEWHERE = new Set(["at_ms", "what", "actor", "text"]);

/** Show the job that the address names after `#`, now and whenever that changes. */
export function followAddress() {
  const dialog = $("#job");
  const show = () => {
    const id = location.hash.slice(1);
    if (id.startsWith("job-")) load(id);
    else if (dialog.open) dialog.close();
  };
  addEventListener("hashchange", show);
  $("#job-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    const id = location.hash.slice(1);
    history.replaceState(null, "", location.pathname);
    document.querySelector(`[data-focus="${CSS.escape(id)}"]`)?.focus();
  });
  show();
}

/** The feed says that these jobs have changed. */
export function refresh(jobs) {
  const id = location.hash.slice(1);
  if ($("#job").open && jobs.some((job) => job.job_id === id)) load(id);
}

async function load(id) {
  const [job, trace] = await Promise.all([ask(`/api/v1/jobs/${id}`), ask(`/api/v1/traces/${id}`)]);
  if (location.hash.slice(1) !== id) return;
  $("#job-title").replaceChildren("Utterance ", job ? `no. ${job.utterance_index}` : "");
  $("#job-body").replaceChildren(...(job ? content(job, trace) : [h("p", {}, "Nothing is known of this job any more. What is finished is kept for a while, and not over a restart of the scheduler.")]));
  if (!$("#job").open) $("#job").showModal();
}

async function ask(path) {
  const response = await fetch(path).catch(() => null);
  return response?.ok ? response.json() : null;
}

function content(job, trace) {
  const verdict = verdictOf(trace, job) ?? job.hint;
  return [
    h("p", { class: "state" }, chip(stateOf(job)), receiptOf(job) && h("span", { class: "receipt" }, receiptOf(job)), job.code && h("code", {}, job.code)),
    verdict && h("p", { class: "verdict" }, sentence(verdict)),
    h(
      "dl",
      { class: "names" },
      ...named("Languages", job.need),
      ...named("Job", job.job_id),
      ...named("Session", job.session_id),
      ...named("Trace", job.trace_id),
      ...named("Machine", job.node_id ?? "none"),
    ),
    h("h3", {}, "What happened"),
    h("ol", { class: "story" }, job.story.map((line, at) => storyLine(line, job.story[at - 1], job.accepted_at_ms))),
  ];
}

const named = (name, value) => [h("dt", {}, name), h("dd", {}, value)];

/** The sentence of `/api/v1/traces`, whose answer may hold one job or several. */
function verdictOf(trace, { job_id }) {
  const jobs = trace?.jobs ?? [trace];
  const found = jobs.find((each) => each?.job_id === job_id) ?? (jobs.length === 1 ? jobs[0] : null);
  const verdict = found?.verdict;
  return typeof verdict === "string" ? verdict : verdict?.text ?? null;
}

function storyLine(line, before, from) {
  const pause = before ? line.at_ms - before.at_ms : 0;
  const detail = Object.entries(line).filter(([name, value]) => !SHOWN_ELSEWHERE.has(name) && value != null);
  return h(
    "li",
    { class: pause >= 1000 ? "after-pause" : "", "data-what": line.what },
    h("time", { datetime: new Date(line.at_ms).toISOString() }, `+${((line.at_ms - from) / 1000).toFixed(3)} s`),
    h(
      "div",
      {},
      h("b", {}, line.what),
      h("span", { class: "actor", title: line.actor }, line.actor === "scheduler" ? "" : ` by ${short(line.actor)}`),
      line.text && h("p", {}, sentence(line.text)),
      detail.length > 0 && h("p", { class: "detail" }, detail.map(([name, value]) => h("span", {}, `${words(name)} `, h("code", {}, told(name, value))))),
    ),
    pause >= 1000 && h("span", { class: "pause" }, `${duration(pause)} later`),
  );
}

const words = (name) => name.replace(/_(ms|at|id)$/, "").replaceAll("_", " ");

function told(name, value) {
  if (Array.isArray(value)) return value.map((each) => told("", each)).join("; ");
  if (typeof value === "object") return Object.entries(value).map(([key, each]) => `${key} ${told("", each)}`).join(", ");
  if (name.endsWith("_ms") && value > 1e12) return new Date(value).toLocaleTimeString();
  return String(value);
}
