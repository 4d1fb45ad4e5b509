// Where speech begins and ends, by loudness alone.
//
// The background is the quietest of the last seconds, so that a fan or a street raises the bar by
// itself. A pause must be long: people breathe in the middle of a sentence.

export const FRAME = 320; // samples: 20 ms
const FRAMES_PER_SECOND = 50;
const BEFORE = 0.3 * FRAMES_PER_SECOND; // kept from before speech was noticed
const AFTER = 0.3 * FRAMES_PER_SECOND; // kept of the pause behind it
const PAUSE = 0.8 * FRAMES_PER_SECOND;
const LONGEST = 15 * FRAMES_PER_SECOND;
const VOICED_LEAST = 0.2 * FRAMES_PER_SECOND; // less is a click
const BACKGROUND = 4 * FRAMES_PER_SECOND;
const QUIET = 0.006; // below this nobody speaks
const LOUD = 0.05; // above this somebody does, whatever the background
const ABOVE_BACKGROUND = 3.5;

export function loudness(frame) {
  let sum = 0;
  for (const sample of frame) sum += sample * sample;
  return Math.sqrt(sum / frame.length) / 32768;
}

export class Segmenter {
  #levels = []; // of the last seconds
  #before = [];
  #frames = null; // of the utterance that is being heard
  #recent = [];
  #quiet = 0;
  #voiced = 0;

  get hearing() {
    return this.#frames !== null;
  }

  /** Take a frame. `heard`: frames that belong to speech now; `utterance`: one that has just ended. */
  push(frame) {
    const level = loudness(frame);
    const voiced = level > this.#threshold(level);
    if (this.#frames === null) return this.#wait(frame, voiced, level);
    this.#frames.push(frame);
    this.#voiced += voiced;
    this.#quiet = voiced ? 0 : this.#quiet + 1;
    const over = this.#quiet >= PAUSE || this.#frames.length >= LONGEST;
    return { level, heard: [frame], utterance: over ? this.end() : null };
  }

  /** End what is being heard; null if it was nothing. */
  end() {
    const frames = this.#frames;
    if (frames === null) return null;
    const keep = frames.length - Math.max(0, this.#quiet - AFTER);
    const long = this.#voiced >= VOICED_LEAST;
    this.#frames = null;
    this.#before = [];
    return long ? join(frames.slice(0, keep)) : null;
  }

  #threshold(level) {
    this.#levels.push(level);
    if (this.#levels.length > BACKGROUND) this.#levels.shift();
    const background = Math.min(...this.#levels);
    return Math.min(LOUD, Math.max(QUIET, background * ABOVE_BACKGROUND));
  }

  #wait(frame, voiced, level) {
    this.#before.push(frame);
    if (this.#before.length > BEFORE) this.#before.shift();
    this.#recent.push(voiced);
    if (this.#recent.length > 5) this.#recent.shift();
    if (this.#recent.filter(Boolean).length < 3) return { level, heard: [], utterance: null };
    this.#frames = this.#before;
    this.#recent = [];
    this.#quiet = 0;
    this.#voiced = 3;
    return { level, heard: [...this.#frames], utterance: null };
  }
}

/** The utterances of a whole recording; all of it if no speech stands out. */
export function segmentsOf(samples) {
  if (samples.length <= LONGEST * FRAME) return [samples];
  const segmenter = new Segmenter();
  const found = [];
  for (let at = 0; at + FRAME <= samples.length; at += FRAME) {
    found.push(segmenter.push(samples.subarray(at, at + FRAME)).utterance);
  }
  found.push(segmenter.end());
  const spoken = found.filter(Boolean);
  return spoken.length ? spoken : [samples.subarray(0, LONGEST * FRAME)];
}

export function join(frames) {
  const joined = new Int16Array(frames.reduce((sum, frame) => sum + frame.length, 0));
  let at = 0;
  for (const frame of frames) {
    joined.set(frame, at);
    at += frame.length;
  }
  return joined;
}
