// A screen for customers: puts in what the server says, and counts the seconds between.

import { listen } from "./feed.js";
import { figuresAt } from "./figures.js";

const TICK_MS = 200;
const screen = document.getElementById("screen");
const lost = document.getElementById("lost");
const off = document.getElementById("off");

/** Each booth by name: its tile as the server told it, when that was, its card and the slots in it. */
const booths = new Map();

const HEARD = {
  tiles({ whole, tiles }) {
    if (whole) {
      const named = new Set(tiles.map((tile) => tile.booth));
      for (const card of [...screen.children]) if (!named.has(card.dataset.booth)) card.remove();
      for (const name of booths.keys()) if (!named.has(name)) booths.delete(name);
    }
    for (const tile of tiles) take(tile);
    if (whole) tiles.forEach((tile) => screen.append(booths.get(tile.booth).card)); // in the order of the world
  },
};

function take(tile) {
  const known = booths.get(tile.booth) ?? add(tile.booth);
  known.tile = tile;
  known.at = performance.now();
  known.card.dataset.state = tile.state;
  for (const name of ["booth", "stateText", "country", "number"]) put(known.slots[name], tile[name]);
  run(known);
}

function add(name) {
  const card =
    [...screen.children].find((each) => each.dataset.booth === name) ??
    document.getElementById("booth").content.firstElementChild.cloneNode(true);
  const slots = Object.fromEntries([...card.querySelectorAll("[data-slot]")].map((each) => [each.dataset.slot, each]));
  card.dataset.booth = name;
  screen.append(card);
  const known = { card, slots };
  booths.set(name, known);
  return known;
}

function run({ tile, at, card, slots }) {
  const figures = figuresAt(tile, performance.now() - at);
  put(slots.time, figures.time);
  for (const name of ["cost", "total", "left"]) {
    put(slots[name], figures[name]);
    slots[name].parentElement.hidden = figures[name] === "";
  }
  card.toggleAttribute("data-low", figures.low);
}

function put(element, what) {
  if (element.textContent !== what) element.textContent = what;
}

setInterval(() => {
  for (const known of booths.values()) if (known.tile.talk !== null) run(known);
}, TICK_MS);

function connected(state) {
  lost.hidden = state === "live" || !off.hidden;
}

/** The desk has taken the screen away: what it showed last is nobody's business. */
function switchedOff() {
  off.hidden = false;
  lost.hidden = true;
  screen.replaceChildren();
  booths.clear();
}

listen(`${screen.dataset.path}/events`, (kind, data) => HEARD[kind]?.(data), connected, switchedOff);
