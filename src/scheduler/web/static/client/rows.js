// How an utterance looks.

import { clock, duration, h, icon } from "../lib/dom.js";
import { nameOf } from "./languages.js";

const STEPS = [
  ["waiting", "Waiting"],
  ["recognised", "Recognised"],
  ["translated", "Translated"],
  ["played", "Played"],
];

const ENDS = {
  silent: ["", "Nobody spoke"],
  failed: ["bad", "Not translated"],
  refused: ["warn", "Not taken"],
  lost: ["bad", "Lost"],
};

/** The element of an utterance; `act` has what its buttons do. */
export function utterance(row, act) {
  const failed = ENDS[row.end];
  return h(
    "li",
    { class: `utterance card ${failed ? "over" : row.end ? "done" : "open"}`, "data-index": row.index, "data-reached": row.reached, "data-end": row.end ?? "" },
    h(
      "header",
      {},
      h("span", { class: "pair" }, `${nameOf(row.src_lang)} → ${nameOf(row.tgt_lang)}`),
      h("span", { class: "when" }, facts(row)),
    ),
    row.heard && h("p", { class: "heard", lang: row.src_lang }, row.heard),
    row.translated && h("p", { class: "translated", lang: row.tgt_lang, dir: "auto" }, row.translated),
    !row.end && h("p", { class: "hint" }, sentence(row.hint ?? working(row))),
    failed && h("p", { class: "hint" }, h("span", { class: `chip ${failed[0]}` }, failed[1]), row.hint && ` ${sentence(row.hint)}`),
    h("footer", {}, failed ? null : steps(row), buttons(row, act)),
  );
}

function facts(row) {
  const took = row.tookMs ? `back in ${duration(row.tookMs)}` : null;
  const long = row.seconds ? `${row.seconds.toFixed(1)} s` : null;
  return [row.name, long, took, clock(row.at).replace(/(:\d\d):\d\d/, "$1")].filter(Boolean).join(" · ");
}

function working({ jobId, reached }) {
  if (!jobId) return "Not with the scheduler yet; it goes there as soon as there is a connection.";
  return { waiting: "Listening to what was said…", recognised: "Translating…" }[reached] ?? "Finding a voice for it…";
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function steps(row) {
  const reached = STEPS.findIndex(([name]) => name === row.reached);
  const wanted = row.end && !row.hasVoice ? STEPS.slice(0, 3) : STEPS;
  return h(
    "ol",
    { class: "steps", "aria-label": "How far it is" },
    wanted.map(([name, label], at) => {
      const state = at < reached || (at === reached && row.end) ? "past" : at === reached ? "now" : "ahead";
      return h("li", { class: state, "aria-current": at === reached ? "step" : null, "data-step": name }, label);
    }),
  );
}

function buttons(row, act) {
  const button = (label, name, run, picture) =>
    h("button", { type: "button", class: "button small", "data-focus": `${name}-${row.index}`, "data-act": name, click: run }, picture && icon(picture), label);
  const playing = act.isPlaying(row);
  return h(
    "span",
    { class: "acts" },
    !row.end && row.jobId && button("Cancel", "cancel", () => act.cancel(row)),
    row.hasVoice && (playing ? button("Stop", "stop", () => act.stop(), "stop") : button(row.reached === "played" ? "Play again" : "Play", "play", () => act.play(row), "play")),
    (row.end === "failed" || row.end === "refused") && act.canRepeat(row) && button("Try again", "again", () => act.again(row)),
  );
}
