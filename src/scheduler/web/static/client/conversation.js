// The utterances of this page and what becomes of them: the client's side of the protocol.
//
// Nothing is shown as done before the scheduler said so, an outcome is acknowledged once it is
// remembered, and what was submitted without being accepted is submitted again under its index.

import { Chunks } from "./chunks.js";
import { Link } from "./link.js";

/** Further apart than any number of utterances that the scheduler may be cutting just now. */
const CLEARANCE = 16;

const STEPS = ["waiting", "recognised", "translated", "played"];
const REACHED = { DISPATCHED: "waiting", NODE_ACCEPTED: "waiting", ASR_FINAL: "recognised", NMT_DONE: "translated" };

export class Conversation extends EventTarget {
  #memory;
  #link;
  #chunks;
  #languages;
  #session;
  #nextIndex; // never one that was used, also if its row is gone
  #limits = {};

  /** `languages()` gives { src_lang, tgt_lang } as they are chosen now. */
  constructor(memory, languages) {
    super();
    this.#memory = memory;
    this.#languages = languages;
    const { session = null, nextIndex = 0, rows = [] } = memory.load();
    this.#session = session;
    this.#nextIndex = nextIndex;
    this.rows = rows;
    this.state = { name: "connecting" };
    this.#link = new Link({
      hello: () => this.#hello(),
      onMessage: (message) => this.#hear(message),
      onState: (state) => this.#become(state),
    });
    this.#chunks = new Chunks((chunk) => this.#say("audio_chunk", chunk), memory);
  }

  connect() {
    this.#link.connect();
  }

  retryNow() {
    this.#link.retryNow();
  }

  /** End the session and begin another, as when audio chunks are to be in another language. */
  renew() {
    this.#say("session_close", { reason: "begun anew" });
    this.#session = null;
    this.#link.connect();
  }

  // -- what the person does ------------------------------------------------------------

  /** Submit an utterance: base64 of 16-bit samples, and what the row shows of it. */
  submit(audio, { seconds, name = null, byHand = false }) {
    const index = this.#nextIndex + (this.#chunks.pending ? CLEARANCE : 0);
    const row = this.#add(index, { seconds, name });
    this.#memory.keepSpoken(index, { audio, byHand }, this.rows);
    this.#submit(row);
    this.#changed(row);
  }

  /** Speech that the scheduler is to cut: 16-bit samples. */
  speak(bytes) {
    this.#chunks.add(bytes);
  }

  /** The person has stopped: the scheduler need not wait for the pause. */
  fallSilent() {
    this.#chunks.finish();
  }

  again(row) {
    const spoken = this.#memory.spoken(row.index);
    if (!spoken) return;
    if (row.end === "refused") {
      Object.assign(row, { end: null, hint: null, jobId: null });
      this.#submit(row);
      this.#changed(row);
    } else {
      this.submit(spoken.audio, { ...row, byHand: spoken.byHand });
    }
  }

  cancel(row) {
    if (!this.#say("job_cancel", { job_id: row.jobId })) this.#notice("This can be cancelled when there is a connection again.");
  }

  clear() {
    for (const row of this.rows.filter((each) => each.end)) this.#memory.forget(row.index);
    this.rows = this.rows.filter((row) => !row.end);
    this.#changed(null);
  }

  canRepeat(row) {
    return this.#memory.spoken(row.index) !== null;
  }

  voice(row) {
    return row.hasVoice ? this.#memory.voice(row.index) : null;
  }

  playing(row) {
    const ids = { trace_id: row.traceId, group_id: row.groupId };
    this.#say("tts_started", { ...ids, ts_start_ms: Date.now() });
  }

  played(row) {
    const ids = { trace_id: row.traceId, group_id: row.groupId };
    this.#say("tts_play_ended", { ...ids, ts_end_ms: Date.now() });
    row.reached = "played";
    this.#changed(row);
  }

  // -- what is said ----------------------------------------------------------------------

  #hello() {
    const resume = this.#session && {
      session_id: this.#session.id,
      resume_token: this.#session.token,
      last_seq: this.#session.lastSeq,
    };
    return { client_version: "1.0", platform: "web", receipts: true, ...this.#languages(), ...(resume && { resume }) };
  }

  #say(type, fields) {
    return this.#session !== null && this.#link.send({ type, session_id: this.#session.id, ...fields });
  }

  #submit(row) {
    const spoken = this.#memory.spoken(row.index);
    if (!spoken) return;
    const most = this.#limits.audio_chars_max ?? Infinity;
    if (spoken.audio.length > most) {
      this.#finish(row, "refused", `This recording is too long: it has ${spoken.audio.length} characters of audio, ${most} are taken.`);
      return;
    }
    const { src_lang, tgt_lang } = row;
    const what = { utterance_index: row.index, manual_cut: spoken.byHand, src_lang, tgt_lang };
    this.#say("utterance", { ...what, audio: spoken.audio, audio_format: "pcm16", sample_rate: 16_000 });
  }

  // -- what is heard ---------------------------------------------------------------------

  #hear(message) {
    switch (message.type) {
      case "session_init_ack":
        return this.#welcome(message);
      case "utterance_accepted":
        return this.#accepted(message);
      case "utterance_needed":
        return this.#submit(this.#row(message.utterance_index));
      case "ui_event":
        return this.#progress(message);
      case "translation_result":
      case "missing_result":
        return this.#outcome(message);
      case "error":
        return this.#refused(message);
      case "backpressure":
        return this.#notice(message.message ?? "The scheduler asks to speak less for a while.");
      default:
        return undefined;
    }
  }

  #welcome({ session_id, resume_token, resumed, recovered, limits }) {
    if (!resumed) this.#beginAnew();
    this.#session = { id: session_id, token: resume_token, lastSeq: resumed ? this.#session.lastSeq : 0 };
    this.#limits = limits ?? {};
    if (resumed && !recovered) this.#notice("Some results could not be kept while you were away.");
    for (const row of this.#open) row.hint = null;
    this.#changed(null);
    for (const row of this.#open) if (!row.jobId) this.#submit(row);
    this.#chunks.resume();
  }

  // The scheduler has forgotten what it had accepted: it is asked for again.
  #beginAnew() {
    for (const row of this.#open) {
      row.jobId = null;
      row.reached = "waiting";
      if (!this.#memory.spoken(row.index)) this.#finish(row, "lost", "The scheduler was started again and no longer had this.");
    }
  }

  #accepted({ utterance_index, job_id, trace_id }) {
    const row = this.#row(utterance_index);
    row.jobId = job_id;
    row.traceId = trace_id;
    this.#changed(row);
  }

  #progress({ utterance_index, event, hint }) {
    const row = this.rows.find((each) => each.index === utterance_index);
    if (!row || row.end) return;
    row.hint = event === "WAITING" ? hint : null;
    const reached = REACHED[event] ?? row.reached;
    // A second attempt begins again on the node, but not for the person.
    if (STEPS.indexOf(reached) > STEPS.indexOf(row.reached)) row.reached = reached;
    this.#changed(row);
  }

  #outcome(message) {
    if (message.seq > this.#session.lastSeq) {
      this.#session.lastSeq = message.seq;
      const row = this.#row(message.utterance_index);
      if (!row.end) this.#settle(row, message);
    }
    this.#save();
    this.#say("result_ack", { seq: this.#session.lastSeq });
  }

  #settle(row, message) {
    row.jobId = message.job_id;
    row.hint = null;
    if (message.type === "missing_result") {
      this.#finish(row, message.reason === "silence_detected" ? "silent" : "failed", message.hint ?? message.reason);
      return;
    }
    row.traceId = message.trace_id;
    row.groupId = message.group_id ?? message.job_id;
    row.heard = message.text_asr;
    row.translated = message.text_translated;
    row.reached = "translated";
    row.tookMs = Date.now() - row.at;
    row.hasVoice = Boolean(message.tts_audio);
    const sound = { audio: message.tts_audio, format: message.tts_format };
    if (row.hasVoice) this.#memory.keepVoice(row.index, sound, this.rows);
    this.#finish(row, "done", null);
    this.dispatchEvent(new CustomEvent("result", { detail: row }));
  }

  #refused({ code, message, details }) {
    const row = this.rows.find((each) => each.index === details?.utterance_index);
    if (row && !row.end && !row.jobId && code === "DRAINING") {
      row.hint = "The scheduler is being restarted; this is sent again as soon as it is back.";
      this.#changed(row);
    } else if (row && !row.end && !row.jobId) this.#finish(row, "refused", message);
    else if (code !== "RESUME_REFUSED") this.#notice(message);
  }

  // -- rows --------------------------------------------------------------------------------

  get #open() {
    return this.rows.filter((row) => !row.end);
  }

  /** The row of an index; a new one for an utterance that the scheduler has cut and numbered. */
  #row(index) {
    let row = this.rows.find((each) => each.index === index);
    if (!row) {
      row = this.#add(index, { seconds: null, name: null });
      this.#chunks.cut();
    }
    return row;
  }

  #add(index, shown) {
    const row = { index, ...this.#languages(), ...shown, at: Date.now(), reached: "waiting", end: null };
    this.rows.push(row);
    this.#nextIndex = Math.max(this.#nextIndex, index + 1);
    return row;
  }

  #finish(row, end, hint) {
    row.end = end;
    row.hint = hint;
    if (end === "done" || end === "silent") this.#memory.forgetSpoken(row.index);
    this.#changed(row);
  }

  #changed(row) {
    this.#save();
    this.dispatchEvent(new CustomEvent("change", { detail: row }));
  }

  #save() {
    this.#memory.save({ session: this.#session, nextIndex: this.#nextIndex, rows: this.rows });
  }

  #become(state) {
    this.state = state;
    if (state.name !== "open") {
      for (const row of this.#open) row.hint = row.jobId && "The scheduler has this; its result comes when there is a connection again.";
      this.#changed(null);
    }
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }

  #notice(text) {
    this.dispatchEvent(new CustomEvent("notice", { detail: text }));
  }
}
