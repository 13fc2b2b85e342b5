// The page of prices: asks as one types, and puts in what the server says.

import { text } from "./frame.js";

const WAIT_MS = 120; // after the last key
const form = document.getElementById("ask");
const note = document.getElementById("note");
const found = document.getElementById("found");
const rows = found.querySelector("tbody");
const [, lasts, costs] = found.querySelectorAll("thead th");
const template = document.getElementById("line").content.querySelector("tr");

let timer;
let latest = 0;

form.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(ask, WAIT_MS);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(timer);
  ask();
});

async function ask() {
  const mine = ++latest;
  let told;
  try {
    const answer = await fetch(`${form.dataset.path}/found?${new URLSearchParams(new FormData(form))}`, {
      headers: { Accept: "application/json", "X-CSRF-Token": "-" },
      cache: "no-store",
    });
    if (answer.status === 401) location.assign("/login");
    told = await answer.json();
  } catch {
    told = { message: text("t-failed") };
  }
  if (mine === latest) show(told); // an answer that is late is not shown over a later one
}

function show({ lines, note: says, lasts: money, costs: minutes, message }) {
  note.textContent = message ?? says;
  note.hidden = note.textContent === "";
  if (!lines) return;
  lasts.textContent = money;
  costs.textContent = minutes;
  found.hidden = lines.length === 0;
  rows.replaceChildren(...lines.map(row));
}

function row(line) {
  const made = template.cloneNode(true);
  made.toggleAttribute("data-barred", line.why !== "");
  for (const slot of made.querySelectorAll("[data-slot]")) slot.textContent = line[slot.dataset.slot];
  return made;
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.ctrlKey && !event.altKey && !event.metaKey) document.getElementById("back").click();
});
