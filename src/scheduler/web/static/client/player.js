// Plays results one after the other, in the order in which they were asked for.

import { fromBase64 } from "../lib/base64.js";

const TYPES = { wav: "audio/wav", mp3: "audio/mpeg", ogg: "audio/ogg", opus: "audio/ogg" };

export class Player extends EventTarget {
  #queue = [];
  #audio = null;

  /** The row that is heard now, or null. */
  current = null;

  /** Play `voice` ({ audio, format }) when everything before it was played. */
  add(row, voice) {
    this.#queue.push([row, voice]);
    if (!this.current) this.#next();
  }

  stop() {
    this.#queue = [];
    this.#audio?.pause();
    this.#done(false);
  }

  async #next() {
    const [row, voice] = this.#queue.shift() ?? [];
    if (!row) return;
    const type = TYPES[voice.format] ?? "audio/wav";
    const address = URL.createObjectURL(new Blob([fromBase64(voice.audio)], { type }));
    const audio = new Audio(address);
    this.current = row;
    this.#audio = audio;
    audio.onended = () => this.#done(true);
    audio.onerror = () => this.#failed(row, "This browser cannot play the sound of this result.");
    audio.onplaying = () => this.#tell("begun", row);
    try {
      await audio.play();
    } catch (error) {
      const forbidden = error.name === "NotAllowedError";
      if (this.#audio === audio) this.#failed(row, forbidden ? "Press play: the browser plays sound only after a click." : null);
    }
  }

  #failed(row, text) {
    this.#done(false);
    if (text) this.#tell("silenced", { row, text });
  }

  #done(toTheEnd) {
    const row = this.current;
    if (this.#audio) URL.revokeObjectURL(this.#audio.src);
    this.current = null;
    this.#audio = null;
    if (row) this.#tell(toTheEnd ? "ended" : "broken", row);
    this.#next();
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
