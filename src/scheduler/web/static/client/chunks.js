// Speech that the scheduler is to cut into utterances, as `audio_chunk`s.
//
// What was sent lately is kept until the scheduler has made an utterance of it, and is sent again
// after a lost connection. `seq` goes on for the whole session: by it the scheduler knows what it
// has already.

import { toBase64 } from "../lib/base64.js";

const KEPT_MAX = 200; // 20 s in chunks of 100 ms

export class Chunks {
  #send;
  #memory;
  #seq;
  #kept = [];

  constructor(send, memory) {
    this.#send = send;
    this.#memory = memory;
    this.#seq = memory.loadSeq();
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

  /** There is a connection again. */
  resume() {
    this.#kept.forEach((chunk) => this.#send(chunk));
  }

  #next() {
    this.#seq += 1;
    this.#memory.saveSeq(this.#seq);
    return this.#seq;
  }

  #put(chunk) {
    this.#kept.push(chunk);
    if (this.#kept.length > KEPT_MAX) this.#kept.shift();
    this.#send(chunk);
  }
}
