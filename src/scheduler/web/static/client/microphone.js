// The microphone: on, off, and frames of 20 ms while it is on.

import { RATE } from "./sound.js";

// The browser's own processing makes speech louder and worse to recognise.
const CONSTRAINTS = {
  audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
};

const SENTENCES = {
  NotAllowedError: "The microphone is not allowed here; allow it in the browser's settings for this page.",
  NotFoundError: "No microphone was found.",
  NotReadableError: "The microphone is used by another program.",
};

export class Microphone {
  #onFrame;
  #stream = null;
  #context = null;

  constructor(onFrame) {
    this.#onFrame = onFrame;
  }

  get on() {
    return this.#stream !== null;
  }

  /** Begin to listen. Throws an Error whose message is a sentence for people. */
  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("Browsers give a microphone only to pages from https:// or from localhost.");
    }
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia(CONSTRAINTS);
      await this.#connect();
    } catch (error) {
      await this.stop();
      throw new Error(SENTENCES[error.name] ?? `The microphone does not work: ${error.message}`);
    }
  }

  async #connect() {
    try {
      await this.#open(new AudioContext({ sampleRate: RATE }));
    } catch {
      await this.#open(new AudioContext()); // the worklet then converts
    }
  }

  async #open(context) {
    this.#context = context;
    const source = context.createMediaStreamSource(this.#stream);
    await context.audioWorklet.addModule("/static/client/capture-worklet.js");
    const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    capture.port.onmessage = ({ data }) => this.#onFrame(data);
    source.connect(capture);
    await context.resume();
  }

  async stop() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
    await this.#context?.close().catch(() => {});
    this.#context = null;
  }
}
