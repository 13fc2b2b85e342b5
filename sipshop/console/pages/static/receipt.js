// A receipt: Enter goes on to the next customer, P prints it at the desk or, where there is no printer, from here.

import { letter, post, say, text } from "./frame.js";

const PAUSE_MS = 1000; // nobody leaves by the key that paid, nor by pressing it twice: the change is read first

const receipt = document.getElementById("receipt");
const next = document.getElementById("next");
const print = document.getElementById("print");
const inBrowser = document.getElementById("in-browser");
const atOnce = document.getElementById("at-once");

/** Have the printer at the desk print; asked for again by the same key, it is printed once. */
async function send(key) {
  const answer = await post(`${receipt.dataset.path}/print`, { to: "printer", key });
  say(answer.ok ? text("t-sent") : answer.message, answer.ok ? "" : "bad");
}

function newKey() {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}

print?.addEventListener("click", () => send(newKey()));
inBrowser.addEventListener("submit", () => (inBrowser.elements.key.value = newKey()));

if (atOnce) {
  atOnce.checked = localStorage.getItem("print") === "at once";
  atOnce.addEventListener("change", () => localStorage.setItem("print", atOnce.checked ? "at once" : "asked"));
  if (atOnce.checked) send(`at-once${receipt.dataset.path.replace(/[^A-Za-z0-9]/g, ".")}`.slice(-64));
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.repeat || performance.now() < PAUSE_MS)) event.preventDefault();
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  if (event.key === "Escape") next.click();
  if (localStorage.getItem("keys") === "off") return;
  const button = document.querySelector(`.button[aria-keyshortcuts="${letter(event)}"], button[aria-keyshortcuts="${letter(event)}"]`);
  if (letter(event)) button?.click();
});
next.focus();
