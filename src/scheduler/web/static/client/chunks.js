// Speech that the scheduler is to cut into utterances, as `audio_chunk`s.
//
// What was sent lately is kept until the scheduler has made an utterance of it, and is sent again
// after a lost connection: by `seq` the scheduler knows what it has already.

import { toBase64 } from "../lib/base64.js";

const KEPT_MAX = 200; // 20 s in chunks of 100 ms

export class Chunks {
  #send;
  #memory;
  #seq;
  #begun; // this session knows with which number we began
  #kept = [];

  constructor(send, memory) {
    this.#send = send;
    this.#memory = memory;
    [this.#seq, this.#begun] = memory.loadChunks();
  }

  /** Whether there is speech that is no utterance yet, as far as we know. */
  get pending() {
    return this.#kept.length > 0;
  }

  add(bytes) {
    this.#put({ seq: this.#next(), is_final: false, payload: toBase64(bytes), client_timestamp_ms: Date.now() });
  }

  finish() {
    if (this.pending) this.#put({ seq: this.#next(), is_final: true });
  }

  /** An utterance was made of what was sent. */
  cut() {
    this.#kept = [];
  }

  /** There is a connection again; `resumed` tells whether the scheduler still knows the session. */
  resume(resumed) {
    if (!resumed) this.#begun = false;
    const kept = this.#kept;
    if (!kept.length) return;
    this.#begin();
    kept.forEach((chunk) => this.#send(chunk));
  }

  #next() {
    this.#seq += 1;
    this.#memory.saveChunks(this.#seq, this.#begun);
    return this.#seq;
  }

  #put(chunk) {
    this.#begin();
    this.#kept.push(chunk);
    if (this.#kept.length > KEPT_MAX) this.#kept.shift();
    this.#send(chunk);
  }

  // An empty chunk with the number 0, so that no later one can be taken for the first.
  #begin() {
    if (!this.#begun) this.#begun = this.#send({ seq: 0, is_final: false });
  }
}
