// One connection to the scheduler, made again for as long as the page is open.
//
// A pause between two attempts is drawn from [0, ceiling), and the ceiling doubles: many pages that
// lost their scheduler at once do not come back at once. A heartbeat without an answer ends the
// connection, because a browser notices a dead network only after minutes.

const FIRST_CEILING_MS = 500;
const LAST_CEILING_MS = 30_000;
const WELCOME_MS = 5_000;
const REPLACED = 4003;

const hopeless = (code) => (code >= 4500 && code <= 4999) || code === 1008 || code === 1009;

export class Link {
  #hello;
  #onMessage;
  #onState;
  #socket = null;
  #welcomed = false;
  #failures = 0;
  #timer = null; // of the next attempt, or of the welcome
  #heartbeat = null;
  #answer = null; // what ends the connection unless something is heard
  #timers = {};

  /** `hello()` makes a session_init; `onState({ name, retryAt?, text? })` tells how it goes. */
  constructor({ hello, onMessage, onState }) {
    this.#hello = hello;
    this.#onMessage = onMessage;
    this.#onState = onState;
    addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.retryNow());
  }

  get open() {
    return this.#welcomed;
  }

  connect() {
    this.#drop();
    this.#onState({ name: "connecting" });
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws/session`);
    this.#socket = socket;
    socket.onopen = () => socket.send(JSON.stringify({ type: "session_init", ...this.#hello() }));
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
    this.#timer = setTimeout(() => this.#lost(null, "no answer"), WELCOME_MS);
  }

  /** Try at once if a pause is being waited out. */
  retryNow() {
    if (this.#socket === null && this.#timer !== null) this.connect();
  }

  /** Say a message; false if there is no session to say it to. */
  send(message) {
    if (!this.#welcomed) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #receive(data) {
    clearTimeout(this.#answer);
    this.#answer = null;
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (message.type === "session_init_ack") this.#welcome(message);
    if (message.type === "going_away") this.#pause(message.reconnect_after_ms ?? 0, message.reason);
    else this.#onMessage(message);
  }

  #welcome(message) {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#welcomed = true;
    this.#failures = 0;
    this.#timers = message.timers ?? {};
    clearInterval(this.#heartbeat);
    const every = this.#timers.ping_ms ?? 10_000;
    this.#heartbeat = setInterval(() => this.#beat(message.session_id), every);
    this.#onState({ name: "open" });
  }

  #beat(session_id) {
    this.send({ type: "client_heartbeat", session_id, timestamp: Date.now() });
    this.#answer ??= setTimeout(() => this.#lost(null, "no sign of life"), this.#timers.pong_ms ?? 5_000);
  }

  #lost(code, reason) {
    if (code === REPLACED) {
      this.#drop();
      this.#onState({ name: "elsewhere" });
    } else if (hopeless(code)) {
      this.#drop();
      this.#onState({ name: "refused", text: reason || `closed with ${code}` });
    } else {
      const last = this.#timers.backoff_max_ms ?? LAST_CEILING_MS;
      const ceiling = Math.min(last, FIRST_CEILING_MS * 2 ** this.#failures);
      this.#failures = Math.min(this.#failures + 1, 16);
      this.#pause(Math.random() * ceiling, reason);
    }
  }

  #pause(ms, text) {
    this.#drop();
    this.#timer = setTimeout(() => this.connect(), ms);
    this.#onState({ name: "waiting", retryAt: Date.now() + ms, text });
  }

  #drop() {
    clearTimeout(this.#timer);
    clearTimeout(this.#answer);
    clearInterval(this.#heartbeat);
    this.#timer = this.#answer = this.#heartbeat = null;
    this.#welcomed = false;
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }
}
