// The page: puts the parts together and shows what they say.

import { toBase64 } from "../lib/base64.js";
import { duration, keep } from "../lib/dom.js";
import { Conversation } from "./conversation.js";
import { Languages } from "./languages.js";
import { Memory } from "./memory.js";
import { Microphone } from "./microphone.js";
import { Player } from "./player.js";
import { utterance } from "./rows.js";
import { join, segmentsOf, Segmenter } from "./segmenter.js";
import { bytesOf, samplesOf, seconds } from "./sound.js";

const CHUNK_FRAMES = 5; // 100 ms
const OPTIONS = "lingua.options";

const $ = (selector) => document.querySelector(selector);
const languages = new Languages();
const conversation = new Conversation(new Memory(), () => languages.chosen);
const player = new Player();
const microphone = new Microphone(hear);
let segmenter = new Segmenter();
let unsent = []; // frames that are no chunk yet

const options = { atScheduler: false, aloud: true, listenOn: false, ...JSON.parse(localStorage.getItem(OPTIONS) ?? "{}") };

// -- speaking ------------------------------------------------------------------------------

function hear(frame) {
  if (player.current && !options.listenOn) {
    finishSpeaking(); // or the page would translate its own voice
    level(0, "Waiting until the translation was heard");
    return;
  }
  const { level: loud, heard, utterance: spoken } = segmenter.push(frame);
  if (options.atScheduler) sendChunks(heard);
  else if (spoken) submit(spoken);
  level(loud, segmenter.hearing ? "I hear you" : "Listening: speak when you like");
}

function sendChunks(frames) {
  unsent.push(...frames);
  while (unsent.length >= CHUNK_FRAMES) conversation.speak(bytesOf(join(unsent.splice(0, CHUNK_FRAMES))));
}

function finishSpeaking() {
  const spoken = segmenter.end();
  segmenter = new Segmenter();
  if (options.atScheduler) {
    if (unsent.length) conversation.speak(bytesOf(join(unsent)));
    conversation.fallSilent();
  } else if (spoken) submit(spoken);
  unsent = [];
}

function submit(samples, about = {}) {
  conversation.submit(toBase64(bytesOf(samples)), { seconds: seconds(samples), ...about });
}

async function toggleMicrophone() {
  try {
    if (microphone.on) {
      await microphone.stop();
      finishSpeaking();
    } else {
      await microphone.start();
    }
  } catch (error) {
    notice(error.message);
  }
  const on = microphone.on;
  $("#speak").setAttribute("aria-pressed", on);
  $("#speak-label").textContent = on ? "Stop" : "Speak";
  $("#speak-icon").setAttribute("href", `/static/lib/icons.svg#${on ? "stop" : "microphone"}`);
  level(0, on ? "Listening: speak when you like" : "");
}

function level(loud, text) {
  $("#speak").style.setProperty("--level", Math.min(1, Math.sqrt(loud * 6)).toFixed(2));
  $("#speak").dataset.hearing = segmenter.hearing;
  if ($("#hearing").textContent !== text) $("#hearing").textContent = text;
}

// -- recordings ------------------------------------------------------------------------------

async function take(files) {
  for (const file of files) {
    try {
      const samples = await samplesOf(file);
      if (!samples.length) throw new Error("it is empty");
      for (const part of segmentsOf(samples)) submit(part, { name: file.name, byHand: true });
    } catch (error) {
      notice(`${file.name} cannot be read as sound: ${error.message}`);
    }
  }
}

$("#file").addEventListener("change", ({ target }) => {
  take([...target.files]);
  target.value = "";
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => event.relatedTarget ?? document.body.classList.remove("dropping"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  take([...event.dataTransfer.files]);
});

// -- what comes back ---------------------------------------------------------------------------

function play(row) {
  const voice = conversation.voice(row);
  if (voice) player.add(row, voice);
  else notice("The sound of this result is no longer kept here.");
}

const acts = {
  play,
  stop: () => player.stop(),
  again: (row) => conversation.again(row),
  cancel: (row) => conversation.cancel(row),
  canRepeat: (row) => conversation.canRepeat(row),
  isPlaying: (row) => player.current === row,
};

function draw() {
  const shown = conversation.rows.map((row) => ({ ...row, playing: player.current === row }));
  const rowOf = ({ index }) => conversation.rows.find((row) => row.index === index);
  const list = $("#utterances");
  const wasAtEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 80;
  const before = list.childElementCount;
  keep(list, shown, (row) => row.index, (row) => utterance(rowOf(row), acts));
  $("#empty").hidden = shown.length > 0;
  $("#clear").hidden = !shown.some((row) => row.end);
  if (wasAtEnd || list.childElementCount > before) scrollTo({ top: document.documentElement.scrollHeight });
}

conversation.addEventListener("change", draw);
conversation.addEventListener("notice", ({ detail }) => notice(detail));
conversation.addEventListener("state", ({ detail }) => showState(detail));
conversation.addEventListener("result", ({ detail: row }) => {
  $("#said").textContent = `Translated: ${row.translated || row.heard}`;
  if (options.aloud && row.hasVoice) play(row);
});
for (const name of ["begun", "broken"]) player.addEventListener(name, draw);
player.addEventListener("begun", ({ detail: row }) => conversation.playing(row));
player.addEventListener("ended", ({ detail: row }) => conversation.played(row));
player.addEventListener("silenced", ({ detail }) => notice(detail.text));

// -- the connection ------------------------------------------------------------------------------

const STATES = {
  connecting: ["warn", "Connecting…"],
  open: ["good", "Connected"],
  waiting: ["warn", "No connection"],
  elsewhere: ["bad", "Goes on in another tab"],
  refused: ["bad", "Not admitted"],
};

function showState({ name, text }) {
  const [look, label] = STATES[name];
  const chip = $("#connection");
  chip.className = `chip ${look}`;
  chip.dataset.state = name;
  chip.textContent = name === "refused" ? `${label}: ${text}` : label;
  $("#reconnect").hidden = name === "open" || name === "connecting";
  if (name === "open") languages.refresh().catch(() => {});
  else $("#impossible").hidden = true;
}

function countDown() {
  const { name, retryAt } = conversation.state;
  if (name !== "waiting") return;
  const left = Math.max(0, retryAt - Date.now());
  $("#retry-in").textContent = left > 1000 ? `next try in ${duration(left)}` : "";
}

function showPossible() {
  $("#impossible").hidden = languages.possible || conversation.state.name !== "open";
}

$("#reconnect").addEventListener("click", () => conversation.connect());
languages.addEventListener("pairs", showPossible);
languages.addEventListener("chosen", () => {
  showPossible();
  if (options.atScheduler) conversation.renew(); // chunks are in the languages of their session
});
setInterval(countDown, 250);
setInterval(() => conversation.state.name === "open" && languages.refresh().catch(() => {}), 10_000);

// -- the rest --------------------------------------------------------------------------------------

let noticeTimer;
function notice(text) {
  $("#notice").textContent = text;
  $("#notice").hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => ($("#notice").hidden = true), 8000);
}

for (const [name, id] of [["aloud", "#aloud"], ["listenOn", "#listen-on"], ["atScheduler", "#at-scheduler"]]) {
  $(id).checked = options[name];
  $(id).addEventListener("change", ({ target }) => {
    if (name === "atScheduler") {
      finishSpeaking();
      options[name] = target.checked;
      conversation.renew();
    }
    options[name] = target.checked;
    localStorage.setItem(OPTIONS, JSON.stringify(options));
  });
}
// The open options lie over the utterances: they go when somebody turns to something else.
addEventListener("pointerdown", ({ target }) => $(".options").contains(target) || closeOptions());
$(".options").addEventListener("focusout", ({ relatedTarget }) => relatedTarget && !$(".options").contains(relatedTarget) && closeOptions());
$(".options").addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  closeOptions();
  $(".options summary").focus();
});

function closeOptions() {
  $(".options").open = false;
}

$("#speak").addEventListener("click", toggleMicrophone);
$("#clear").addEventListener("click", () => conversation.clear());

draw();
conversation.connect();
