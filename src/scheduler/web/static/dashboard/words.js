// The scheduler's words in the words and colours of the page.

import { h } from "../lib/dom.js";

const OUTCOMES = {
  translated: ["good", "Translated"],
  silence_detected: ["", "Silence"],
  cancelled: ["", "Cancelled"],
  no_available_node: ["bad", "No machine"],
  job_timeout: ["bad", "Timeout"],
  node_failed: ["bad", "Machine failed"],
};

const STATES = {
  accepted: ["busy", "Accepted"],
  pending: ["warn", "Waiting"],
  assigned: ["busy", "Assigned"],
  received: ["busy", "Received"],
  started: ["busy", "Running"],
};

const RECEIPTS = {
  finished: "kept",
  written: "written",
  acknowledged: "delivered",
  expired: "expired",
};

export const chip = ([look, label], title) => h("span", { class: `chip ${look}`, title }, label);

/** How a job stands: its state while it lives, its outcome afterwards. */
export function stateOf(job) {
  return STATES[job.state] ?? OUTCOMES[job.outcome] ?? ["", job.outcome ?? job.state];
}

/** How far the outcome has come: "delivered" only if the session said so. */
export function receiptOf(job) {
  if (job.played_at_ms) return "played";
  return RECEIPTS[job.state] ?? null;
}

export function nodeState(node) {
  const notReady = node.capabilities.filter((each) => !each.ready);
  if (node.draining) return ["warn", "Draining"];
  if (node.quarantined) return ["bad", "Quarantined"];
  if (node.silent) return ["bad", "Silent"];
  if (notReady.length) return ["warn", notReady.length === node.capabilities.length ? "Not ready" : "Partly ready"];
  return node.slots_free ? ["good", "Ready"] : ["busy", "Busy"];
}

/** What needs somebody's attention comes first. */
export const rank = (node) => ({ bad: 0, warn: 1 })[nodeState(node)[0]] ?? 2;

/** The end of a long id is what tells it from others. */
export const short = (id) => (id.length > 14 ? `${id.slice(0, id.indexOf("-") + 1)}…${id.slice(-6)}` : id);

export const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
