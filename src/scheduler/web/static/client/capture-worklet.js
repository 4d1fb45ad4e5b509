// Runs beside the page, in the sound card's time: gathers frames of 20 ms at 16,000 samples a second.

const RATE = 16_000;
const FRAME = 320;

class Capture extends AudioWorkletProcessor {
  #frame = new Int16Array(FRAME);
  #filled = 0;
  #sum = 0;
  #count = 0;
  #phase = 0;

  process([[channel]]) {
    if (channel) {
      for (const sample of channel) this.#take(sample);
    }
    return true;
  }

  // Where the browser insists on another rate, each sample is the mean of those in its time.
  #take(sample) {
    this.#sum += sample;
    this.#count += 1;
    this.#phase += RATE / sampleRate;
    if (this.#phase < 1) return;
    const mean = this.#sum / this.#count;
    for (; this.#phase >= 1; this.#phase -= 1) this.#put(mean);
    this.#sum = 0;
    this.#count = 0;
  }

  #put(value) {
    this.#frame[this.#filled] = Math.max(-32768, Math.min(32767, Math.round(value * 32767)));
    this.#filled += 1;
    if (this.#filled === FRAME) {
      this.port.postMessage(this.#frame, [this.#frame.buffer]);
      this.#frame = new Int16Array(FRAME);
      this.#filled = 0;
    }
  }
}

registerProcessor("capture", Capture);
