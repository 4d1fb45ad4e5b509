// What this tab remembers over a reload: the session, its utterances, their sound.
//
// sessionStorage and not localStorage: two tabs are two sessions, and must not take each other's.
// It is written before anything is acknowledged, so an acknowledged outcome is not lost by a reload.

const ROWS_MAX = 100;
const STATE = "lingua.conversation";
const CHUNKS = "lingua.chunks";
const SPOKEN = "lingua.spoken."; // + index: what was said, until there is a result
const VOICE = "lingua.voice."; // + index: what came back

export class Memory {
  #inMemory = new Map(); // what did not fit; lost by a reload

  load() {
    try {
      return JSON.parse(sessionStorage.getItem(STATE)) ?? {};
    } catch {
      return {};
    }
  }

  /** Remember the state; the oldest rows that are over make room. */
  save(state) {
    const rows = state.rows;
    while (rows.length > ROWS_MAX && rows[0].end) this.forget(rows.shift().index);
    this.#put(STATE, JSON.stringify(state), rows);
  }

  /** The number of the last chunk, and whether the session knows that the first was 0. */
  /** The number of the last chunk that was sent. */
  loadSeq() {
    return Number.parseInt(sessionStorage.getItem(CHUNKS) ?? "0", 10);
  }

  saveSeq(seq) {
    sessionStorage.setItem(CHUNKS, String(seq));
  }

  keepSpoken(index, sound, rows) {
    this.#put(SPOKEN + index, JSON.stringify(sound), rows);
  }

  keepVoice(index, sound, rows) {
    this.#put(VOICE + index, JSON.stringify(sound), rows);
  }

  spoken(index) {
    return this.#get(SPOKEN + index);
  }

  voice(index) {
    return this.#get(VOICE + index);
  }

  forgetSpoken(index) {
    this.#delete(SPOKEN + index);
  }

  forget(index) {
    this.#delete(SPOKEN + index);
    this.#delete(VOICE + index);
  }

  // The storage is small. The sound of old results goes first: their texts stay.
  #put(key, text, rows) {
    const old = rows.filter((row) => row.end && VOICE + row.index !== key).map((row) => row.index);
    for (;;) {
      try {
        sessionStorage.setItem(key, text);
        this.#inMemory.delete(key);
        return;
      } catch {
        if (!old.length) break;
        this.#delete(VOICE + old.shift());
      }
    }
    this.#inMemory.set(key, text);
  }

  #get(key) {
    const text = this.#inMemory.get(key) ?? sessionStorage.getItem(key);
    return text === null ? null : JSON.parse(text);
  }

  #delete(key) {
    this.#inMemory.delete(key);
    sessionStorage.removeItem(key);
  }
}
