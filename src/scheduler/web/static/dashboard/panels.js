// What each part of the dashboard looks like.

import { clock, duration, h } from "../lib/dom.js";
import { chip, nodeState, plural, receiptOf, short, stateOf } from "./words.js";

const TYPES = { asr: "Recognises", nmt: "Translates", tts: "Speaks", semantic: "Repairs", tone: "Tone", phonetic: "Phonetic", punctuation: "Punctuates" };

export function figures({ sessions, nodes, jobs }) {
  const used = nodes.slots - nodes.slots_free;
  return [
    { name: "Sessions", value: sessions.connected, note: awayNote(sessions) },
    { name: "Machines", value: nodes.total, note: plural(nodes.slots, "slot") },
    { name: "Slots in use", value: used, note: `of ${nodes.slots}`, share: nodes.slots ? used / nodes.slots : 0 },
    { name: "Waiting", value: jobs.waiting, note: "for a machine", look: jobs.waiting ? "warn" : "" },
    { name: "Owed", value: jobs.owed_outcomes, note: "unacknowledged" },
  ];
}

function awayNote({ total, connected }) {
  return total > connected ? `connected, ${total - connected} away` : "connected";
}

export function figure({ name, value, note, share, look }) {
  return h(
    "div",
    { class: `figure card ${look ?? ""}` },
    h("dt", {}, name),
    h("dd", {}, h("b", {}, value), " ", h("span", {}, note)),
    share != null && h("meter", { min: 0, max: 1, value: share, "aria-label": name }),
  );
}

const jobLink = (job, text) => h("a", { href: `#${job.job_id}`, "data-focus": job.job_id, title: job.job_id }, text);

export function waiting(job) {
  return h(
    "li",
    { class: "card", "data-job": job.job_id },
    h("strong", {}, job.need),
    h("span", { class: "why" }, sentence(job.waiting_text ?? job.waiting_because ?? "")),
    h("span", { class: "left" }, h("span", { "data-deadline": job.deadline_at_ms }), h("progress", { max: 1, "data-from": job.accepted_at_ms, "data-deadline": job.deadline_at_ms, "aria-label": "Time left" })),
    jobLink(job, `${short(job.session_id)} no. ${job.utterance_index}`),
  );
}

export function node(node) {
  return h(
    "li",
    { class: "node card", "data-node": node.node_id },
    h("header", {}, h("strong", { title: node.node_id }, short(node.node_id)), chip(nodeState(node))),
    h(
      "p",
      { class: "slots" },
      h("span", { class: "pips", "aria-hidden": "true" }, pips(node)),
      node.slots_free ? `${node.slots_free} of ${plural(node.slots, "slot")} free` : `all ${plural(node.slots, "slot")} taken`,
    ),
    h("ul", { class: "services" }, node.capabilities.map((each) => service(each, node))),
    h("p", { class: "facts" }, facts(node)),
  );
}

// Many pips say no more than a few.
function pips({ slots, slots_free }) {
  const shown = Math.min(slots, 16);
  const taken = Math.round(((slots - slots_free) / slots) * shown);
  return Array.from({ length: shown }, (_, at) => h("i", { class: at < taken ? "taken" : "" }));
}

function service({ type, ready, reason }, { hears, speaks, pairs }) {
  const detail = { asr: hears?.join(", "), tts: speaks && few(neededFirst(speaks, pairs)), nmt: pairs.length ? few(pairs.map((pair) => pair.replace("-", "→"))) : null }[type];
  return h(
    "li",
    { class: ready ? "ready" : "unready" },
    h("span", {}, TYPES[type] ?? type),
    h("span", {}, ready ? detail || "ready" : `not ready${reason ? `: ${reason}` : ""}`),
  );
}

// A voice for everything says little; those that a translation can reach say more.
function neededFirst(speaks, pairs) {
  const needed = new Set(pairs.map((pair) => pair.split("-")[1]));
  return [...speaks.filter((tag) => needed.has(tag)), ...speaks.filter((tag) => !needed.has(tag))];
}

const few = (items) => (items.length > 5 ? `${items.slice(0, 4).join(", ")} and ${items.length - 4} more` : items.join(", "));

function facts({ completed, setbacks, version, platform, joined_at_ms, receipts }) {
  const parts = [`${completed} done`];
  if (setbacks) parts.push(`${plural(setbacks, "failure")} in a row`);
  parts.push(`since ${clock(joined_at_ms)}`, `${platform} ${version}`);
  if (!receipts) parts.push("gives no receipts");
  return parts.join(" · ");
}

export function session(session) {
  const state = session.connected ? ["good", "Connected"] : ["warn", "Away"];
  return h(
    "li",
    { "data-session": session.session_id },
    h("strong", { title: session.session_id }, short(session.session_id)),
    chip(state),
    h("span", {}, `${session.src_lang}→${session.tgt_lang} · ${session.platform}${session.receipts ? "" : " · cannot acknowledge"}`),
    h("span", { class: "facts" }, sessionFacts(session)),
  );
}

function sessionFacts({ unfinished, owed, connected, resumable_until_ms }) {
  const parts = [];
  if (unfinished) parts.push(`${unfinished} unfinished`);
  if (owed) parts.push(`${plural(owed, "result")} kept`);
  if (!connected && resumable_until_ms) parts.push(`may resume until ${clock(resumable_until_ms)}`);
  return parts.join(" · ") || "nothing open";
}

export function jobRow(job) {
  const receipt = receiptOf(job);
  const took = job.settled_at_ms ? duration(job.settled_at_ms - job.accepted_at_ms) : "";
  return h(
    "tr",
    { "data-job": job.job_id, "data-state": job.state, "data-outcome": job.outcome ?? "" },
    h("td", {}, chip(stateOf(job), job.hint), receipt && h("span", { class: "receipt" }, receipt)),
    h("td", { "data-label": "Utterance" }, jobLink(job, `no. ${job.utterance_index}`), h("span", { class: "of" }, ` of ${short(job.session_id)}`)),
    h("td", { "data-label": "Languages" }, job.need),
    h("td", { "data-label": "Machine" }, job.node_id ? h("span", { title: job.node_id }, short(job.node_id)) : "none", job.attempts.length > 1 && h("span", { class: "of" }, `, attempt ${job.attempts.length}`)),
    h("td", { class: "number", "data-label": "Took" }, took),
    h("td", { class: "number", "data-label": "Accepted" }, clock(job.accepted_at_ms)),
  );
}

export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
