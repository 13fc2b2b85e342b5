// The board: puts in what the server says, counts the seconds between, and sends what the operator does.

import { listen } from "./feed.js";
import { figuresAt } from "./figures.js";
import { draw, enter, letter, liveness, put, say, send, text } from "./frame.js";
import { alarm, hungUp, isSounding, switchSound } from "./sound.js";

const TICK_MS = 200;
const ALARM_EVERY_MS = 3000;
const DIGITS_MS = 700; // between the two digits of a place

const board = document.getElementById("board");
const list = board.querySelector(".booths");
const panel = document.getElementById("panel");
const path = `/board/${board.dataset.shop}`;

/** Each booth by name: its tile as the server told it, when that was, its card and the slots in it. */
const booths = new Map();
let picked = "";
let named = decodeURIComponent(location.hash.slice(1)); // the booth that he comes back from
let keysOn = localStorage.getItem("keys") !== "off";

// What the server says.

const HEARD = {
  tiles({ whole, tiles }) {
    if (whole) {
      const there = new Set(tiles.map((tile) => tile.booth));
      for (const name of booths.keys()) if (!there.has(name)) remove(name);
    }
    for (const tile of tiles) take(tile);
    if (whole) tiles.forEach((tile) => list.append(booths.get(tile.booth).card)); // in the order of the world
    if (whole && booths.has(named)) pick(named);
    named = "";
    arrange();
    showAlarms();
  },
  ended({ text: what, talked }) {
    if (talked) hungUp();
    say(what);
  },
  missed({ text: what }) {
    say(what, "bad");
  },
  till({ text: what, state }) {
    const shown = document.getElementById("till");
    put(shown.querySelector("bdi"), what);
    shown.dataset.till = state;
  },
  ping() {},
};

function take(tile) {
  const known = booths.get(tile.booth) ?? add(tile.booth);
  known.tile = tile;
  known.at = performance.now() - tile.age; // its figures and seconds are as of then
  show(known);
}

function add(name) {
  const card =
    [...list.children].find((each) => each.dataset.booth === name) ??
    document.getElementById("booth").content.firstElementChild.cloneNode(true);
  const slots = Object.fromEntries([...card.querySelectorAll("[data-slot]")].map((each) => [each.dataset.slot, each]));
  const known = {
    card,
    slots,
    phone: card.querySelector(".phone"),
    pick: card.querySelector(".pick"),
    icon: card.querySelector(".badge use"),
  };
  card.dataset.booth = name;
  known.pick.addEventListener("click", () => pick(name));
  booths.set(name, known);
  if (!card.isConnected) list.append(card);
  return known;
}

function remove(name) {
  booths.get(name).card.remove();
  booths.delete(name);
  if (picked === name) pick("");
}

// What is seen.

function show(known) {
  const { card, slots, tile, phone, icon } = known;
  card.dataset.state = tile.state;
  card.dataset.phone = tile.phone;
  card.toggleAttribute("data-alarm", tile.alarm !== "");
  draw(icon, `s-${tile.state}`);
  draw(phone.querySelector("use"), `p-${tile.phone}`);
  phone.setAttribute("aria-label", tile.phoneText);
  phone.title = tile.phoneText;
  for (const name of ["booth", "stateText", "flag", "number", "destination", "note"]) put(slots[name], tile[name]);
  if (tile.suspended) put(slots.stateText, tile.suspended);
  card.toggleAttribute("data-suspended", tile.suspended !== "");
  run(known);
  if (tile.booth === picked) showPanel();
}

/** The figures that hold at this moment. */
function now({ tile, at }) {
  return figuresAt(tile, performance.now() - at);
}

function run(known) {
  const { card, slots } = known;
  const figures = now(known);
  for (const name of ["time", "cost", "total", "left"]) put(slots[name], figures[name]);
  card.toggleAttribute("data-low", figures.low);
  if (known.tile.booth === picked) showFigures(figures);
}

function arrange() {
  list.dataset.size = booths.size > 30 ? "many" : booths.size > 12 ? "some" : "few";
  document.getElementById("empty").hidden = booths.size > 0;
}

setInterval(() => {
  for (const known of booths.values()) if (known.tile?.talk !== null) run(known);
}, TICK_MS);

// The booth that was picked.

const facts = Object.fromEntries([...panel.querySelectorAll("[data-panel]")].map((each) => [each.dataset.panel, each]));
const buttons = [...panel.querySelectorAll("[data-does]")];

function pick(name) {
  booths.get(picked)?.pick.setAttribute("aria-pressed", "false");
  picked = name;
  panel.hidden = name === "";
  board.toggleAttribute("data-picked", name !== "");
  if (name === "") return;
  const { pick: button } = booths.get(name);
  button.setAttribute("aria-pressed", "true");
  if (document.activeElement !== button) button.focus();
  showPanel();
}

function showPanel() {
  const known = booths.get(picked);
  const { tile } = known;
  panel.dataset.state = tile.state;
  put(document.getElementById("panel-title"), tile.booth);
  for (const name of ["phoneText", "number", "flag", "country", "terms", "openedBy", "note"]) put(facts[name], tile[name]);
  put(facts.destination, tile.destination === tile.country ? "" : tile.destination);
  put(facts.stateText, [tile.stateText, tile.suspended, tile.others].filter(Boolean).join(", "));
  put(facts.openedAt, tile.openedAt && clock.format(new Date(tile.openedAt)));
  facts.openedAt.dateTime = tile.openedAt;
  for (const button of buttons) button.hidden = !tile.can.includes(button.dataset.does);
  showFigures(now(known));
}

const clock = new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: "short" });

function showFigures({ time, cost, total, left, low }) {
  for (const [name, what] of Object.entries({ time, cost, total, left })) put(facts[name], what);
  panel.toggleAttribute("data-low", low);
  for (const fact of panel.querySelectorAll(".facts > div")) fact.hidden = !fact.querySelector("dd").textContent.trim();
}

// What is done.

const dialogs = Object.fromEntries(
  ["unlock", "lock", "cut", "topup", "move", "note"].map((does) => [does, document.getElementById(`d-${does}`)]),
);

function act(does) {
  const tile = booths.get(picked)?.tile;
  if (!tile?.can.includes(does)) return;
  if (does === "acknowledge") {
    acknowledge(tile.alarm);
    return;
  }
  if (does === "pay") {
    location.assign(`${path}/booths/${encodeURIComponent(tile.booth)}/bill`);
    return;
  }
  const dialog = dialogs[does];
  const form = dialog.querySelector("form");
  form.reset();
  form.dataset.booth = tile.booth;
  form.dataset.key = crypto.getRandomValues(new Uint32Array(4)).join("-");
  put(dialog.querySelector("[data-about]"), tile.booth);
  dialog.querySelector("[data-why]").hidden = true;
  for (const part of dialog.querySelectorAll("[data-if]")) part.hidden = !tile.can.includes(part.dataset.if);
  if (does === "note") form.elements.note.value = tile.note;
  if (does === "move" && !offerBooths(form.elements.to, tile.booth)) {
    say(text("t-none"), "bad");
    return;
  }
  for (const part of dialog.querySelectorAll("[data-phone]")) part.hidden = tile.phone === "online";
  chooseTerms(form);
  dialog.showModal();
  const first = [...form.querySelectorAll("input:checked, input:not([type=radio]), select, .main")];
  first.find((each) => each.checkVisibility()).focus();
}

/** Booths that are free; false where there is none. */
function offerBooths(select, but) {
  const free = [...booths.values()].filter(({ tile }) => tile.booth !== but && tile.state === "locked");
  select.replaceChildren(
    ...free.map(({ tile }) => {
      const option = document.createElement("option");
      option.value = option.textContent = tile.booth;
      return option;
    }),
  );
  return free.length > 0;
}

function chooseTerms(form) {
  const terms = form.elements.terms?.value;
  if (terms) put(form.querySelector("[type=submit]"), text(terms === "deposit" ? "t-deposit" : "t-unlock"));
  for (const part of form.querySelectorAll("[data-for]")) {
    part.hidden = !part.dataset.for.split(" ").includes(terms);
    for (const input of part.querySelectorAll("input")) input.disabled = part.hidden;
  }
}

for (const dialog of Object.values(dialogs)) {
  const form = dialog.querySelector("form");
  const why = dialog.querySelector("[data-why]");
  const submit = form.querySelector("[type=submit]");
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  form.addEventListener("change", () => chooseTerms(form));
  enter(form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    const fields = new FormData(form);
    fields.set("key", form.dataset.key);
    const problem = await send(`${path}/booths/${encodeURIComponent(form.dataset.booth)}/${form.dataset.action}`, fields);
    submit.disabled = false;
    put(why, problem);
    why.hidden = problem === "";
    if (problem === "") {
      dialog.close();
      booths.get(picked)?.pick.focus();
    }
  });
}

for (const button of buttons) button.addEventListener("click", () => act(button.dataset.does));
document.getElementById("panel-close").addEventListener("click", () => pick(""));

// Alarms.

const alarms = document.getElementById("alarms");
let lastAlarm = -Infinity;

function showAlarms() {
  const open = new Map([...booths.values()].filter(({ tile }) => tile.alarm).map(({ tile }) => [tile.alarm, tile]));
  for (const shown of [...alarms.children]) if (!open.has(shown.dataset.call)) shown.remove();
  const known = new Set([...alarms.children].map((shown) => shown.dataset.call));
  for (const [call, tile] of open) {
    if (known.has(call)) continue;
    const shown = document.getElementById("alarm").content.firstElementChild.cloneNode(true);
    shown.dataset.call = call;
    put(shown.querySelector("[data-text]"), [tile.booth, tile.number].filter(Boolean).join(" → "));
    shown.querySelector("button").addEventListener("click", () => acknowledge(call));
    alarms.append(shown);
  }
  ring();
}

function ring() {
  if (!alarms.childElementCount || performance.now() - lastAlarm < ALARM_EVERY_MS) return;
  lastAlarm = performance.now();
  alarm();
}
setInterval(ring, ALARM_EVERY_MS);

async function acknowledge(call) {
  const problem = await send(`${path}/alarms/${call}/acknowledge`, {});
  if (problem) say(problem, "bad");
}

// Keys.

const KEYS = Object.fromEntries(buttons.map((button) => [button.getAttribute("aria-keyshortcuts"), button.dataset.does]));
let digits = "";
let digitsAt = 0;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches?.("input, select, textarea")) return;
  if (event.key === "Escape") pick("");
  else if (event.key === "Enter") toBill(event);
  else if (event.key.startsWith("Arrow")) go(event);
  else if (!keysOn) return;
  else if (/^[0-9]$/.test(event.key)) goTo(event.key);
  else if (event.key === "?") help();
  else if (letter(event) === "R") location.assign(`/rates/${board.dataset.shop}`);
  else if (letter(event) === "A" && alarms.firstElementChild) acknowledge(alarms.firstElementChild.dataset.call);
  else if (KEYS[letter(event)]) {
    event.preventDefault(); // the letter is not typed into what opens
    act(KEYS[letter(event)]);
  }
});

function go(event) {
  const cards = [...list.children];
  if (!cards.length) return;
  event.preventDefault();
  const columns = getComputedStyle(list).gridTemplateColumns.split(" ").length;
  const forward = document.documentElement.dir === "rtl" ? -1 : 1;
  const step = { ArrowLeft: -forward, ArrowRight: forward, ArrowUp: -columns, ArrowDown: columns }[event.key];
  const at = cards.findIndex((card) => card.dataset.booth === picked);
  const next = at < 0 ? 0 : Math.min(Math.max(at + step, 0), cards.length - 1);
  pick(cards[next].dataset.booth);
}

/** Enter goes on to the bill where that is what comes next. */
function toBill(event) {
  const known = booths.get(picked);
  if (known?.pick !== event.target || known.tile.state !== "unpaid") return;
  event.preventDefault();
  act("pay");
}

function goTo(digit) {
  digits = performance.now() - digitsAt < DIGITS_MS ? digits + digit : digit;
  digitsAt = performance.now();
  const card = list.children[Number(digits) - 1];
  if (card) pick(card.dataset.booth);
}

// The switches at the top.

function help() {
  document.getElementById("d-help").showModal();
}
document.getElementById("help").addEventListener("click", help);

function toggle(id, isOn, change) {
  const button = document.getElementById(id);
  button.setAttribute("aria-pressed", isOn);
  button.addEventListener("click", () => {
    isOn = !isOn;
    button.setAttribute("aria-pressed", isOn);
    change(isOn);
  });
}
toggle("sound", isSounding(), switchSound);
toggle("keys", keysOn, (on) => {
  keysOn = on;
  localStorage.setItem("keys", on ? "on" : "off");
});

for (const card of list.children) add(card.dataset.booth).tile = { talk: null, minutes: null, figures: [[0, "", "", "", false]], can: [], alarm: "" };
arrange();
listen(`${path}/events`, (kind, data) => HEARD[kind]?.(data), liveness(board));
