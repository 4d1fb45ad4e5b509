// The scheduler's live feed: everything once, then what has changed.

const TABLES = { nodes: "node_id", sessions: "session_id", jobs: "job_id" };
const AGAIN_MS = 5_000;

export class Feed extends EventTarget {
  stats = null;
  tables = { nodes: new Map(), sessions: new Map(), jobs: new Map() };
  #skew = 0; // the scheduler's clock minus ours

  /** The scheduler's time, in Unix milliseconds. */
  get now() {
    return Date.now() + this.#skew;
  }

  connect() {
    const source = new EventSource("/api/v1/events");
    source.addEventListener("snapshot", ({ data }) => {
      for (const table of Object.values(this.tables)) table.clear();
      this.#take(JSON.parse(data));
    });
    source.addEventListener("change", ({ data }) => this.#take(JSON.parse(data)));
    source.onopen = () => this.#tell("state", true);
    source.onerror = () => {
      this.#tell("state", false);
      // The browser itself comes back after a lost connection, but not after a refusal.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.connect(), AGAIN_MS);
    };
  }

  /** The newest jobs first. */
  get jobs() {
    return [...this.tables.jobs.values()].sort((a, b) => b.accepted_at_ms - a.accepted_at_ms);
  }

  #take({ now_ms, stats, gone = {}, ...lists }) {
    this.#skew = now_ms - Date.now();
    this.stats = stats;
    for (const [name, key] of Object.entries(TABLES)) {
      for (const row of lists[name]) this.tables[name].set(row[key], row);
      for (const id of gone[name] ?? []) this.tables[name].delete(id);
    }
    this.#tell("change", lists);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
