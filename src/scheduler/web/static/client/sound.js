// Sound as the scheduler takes it: 16-bit samples, mono, 16,000 a second.

export const RATE = 16_000;

/** Samples from -1 to 1 as 16-bit ones. */
export function toPcm16(floats) {
  return Int16Array.from(floats, (sample) => Math.max(-32768, Math.min(32767, Math.round(sample * 32767))));
}

/** The bytes of 16-bit samples, little endian whatever machine this is. */
export function bytesOf(samples) {
  const view = new DataView(new ArrayBuffer(samples.length * 2));
  samples.forEach((sample, at) => view.setInt16(at * 2, sample, true));
  return new Uint8Array(view.buffer);
}

/** A recording in any format that the browser knows, or headerless samples in a `.raw` file. */
export async function samplesOf(file) {
  const content = await file.arrayBuffer();
  if (/\.(raw|pcm)$/i.test(file.name)) {
    return new Int16Array(content.slice(0, content.byteLength & ~1));
  }
  // Decoding into a context converts to that context's rate.
  const decoded = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(content);
  const mixed = new Float32Array(decoded.length);
  for (let channel = 0; channel < decoded.numberOfChannels; channel += 1) {
    const part = decoded.getChannelData(channel);
    for (let at = 0; at < part.length; at += 1) mixed[at] += part[at] / decoded.numberOfChannels;
  }
  return toPcm16(mixed);
}

export const seconds = (samples) => samples.length / RATE;
