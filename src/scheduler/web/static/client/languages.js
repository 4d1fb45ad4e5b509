// The two languages: what may be chosen, and what the machines that are there now can do.

import { h } from "../lib/dom.js";

const OFFERED = ["en", "es", "ca", "de", "fr", "gl", "it", "pt", "nl", "pl", "ru", "tr", "uk", "ar", "hi", "ja", "ko", "zh"];
const CHOICE = "lingua.languages";
const names = new Intl.DisplayNames(["en"], { type: "language" });

export function nameOf(tag) {
  try {
    return names.of(tag);
  } catch {
    return tag;
  }
}

export class Languages extends EventTarget {
  #from = document.querySelector("#from");
  #to = document.querySelector("#to");
  #pairs = [];

  constructor() {
    super();
    const [src, tgt] = (localStorage.getItem(CHOICE) ?? "en es").split(" ");
    this.chosen = { src_lang: src, tgt_lang: tgt };
    this.#from.addEventListener("change", () => this.#choose(this.#from.value, this.chosen.tgt_lang));
    this.#to.addEventListener("change", () => this.#choose(this.chosen.src_lang, this.#to.value));
    document.querySelector("#swap").addEventListener("click", () => this.#choose(this.chosen.tgt_lang, this.chosen.src_lang));
    this.#draw();
  }

  /** Whether a machine is connected that can do the chosen pair. */
  get possible() {
    return this.#pairs.some(([src, tgt]) => src === this.chosen.src_lang && tgt === this.chosen.tgt_lang);
  }

  /** Ask which pairs can be done now. */
  async refresh() {
    const answer = await fetch("/api/v1/nodes").then((response) => response.json());
    this.#pairs = answer.nodes.flatMap(pairsOf);
    this.#draw();
    this.dispatchEvent(new Event("pairs"));
  }

  #choose(src, tgt) {
    this.chosen = { src_lang: src, tgt_lang: tgt };
    localStorage.setItem(CHOICE, `${src} ${tgt}`);
    this.#draw();
    this.dispatchEvent(new Event("chosen"));
  }

  #draw() {
    const { src_lang, tgt_lang } = this.chosen;
    fill(this.#from, src_lang, this.#pairs.map(([src]) => src));
    fill(this.#to, tgt_lang, this.#pairs.filter(([src]) => src === src_lang).map(([, tgt]) => tgt));
  }
}

/** What a node can do from speech to speech: all of it ready, and both languages its own. */
function pairsOf({ capabilities, pairs, hears, speaks, draining }) {
  const ready = ["asr", "nmt", "tts"].every((type) => capabilities.some((each) => each.type === type && each.ready));
  if (!ready || draining) return [];
  return pairs
    .map((pair) => pair.split("-", 2))
    .filter(([src, tgt]) => (!hears || hears.includes(src)) && (!speaks || speaks.includes(tgt)));
}

function fill(select, chosen, now) {
  const available = [...new Set(now)].sort(byName);
  const others = [...new Set([...OFFERED, chosen])].filter((tag) => !available.includes(tag)).sort(byName);
  const group = (label, tags) =>
    tags.length && h("optgroup", { label }, tags.map((tag) => h("option", { value: tag, selected: tag === chosen }, nameOf(tag))));
  select.replaceChildren(...[group("Possible now", available), group("No machine for it now", others)].filter(Boolean));
}

const byName = (a, b) => nameOf(a).localeCompare(nameOf(b));
