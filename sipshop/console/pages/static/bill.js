// The bill of a booth: shows what the server says, has it reckon what is typed, and sends what the operator does.
// Every word and every amount is the server's.

import { listen } from "./feed.js";
import { figuresAt } from "./figures.js";
import { draw, enter, letter, liveness, post, put, say, text } from "./frame.js";
import { hungUp } from "./sound.js";

const TYPED_MS = 60; // what is typed within this time is asked about once
const PAUSE_MS = 500; // a question is not answered by a key that was on its way already
const TICK_MS = 200;

const bill = document.getElementById("bill");
const path = `/board/${bill.dataset.shop}/booths/${bill.dataset.booth}/bill`;
const lines = document.getElementById("lines");
const pay = document.getElementById("pay");
const take = document.getElementById("take");
const back = document.getElementById("back");
const why = document.getElementById("t-why");
const fields = Object.fromEntries([...pay.querySelectorAll(".tender")].map((each) => [each.dataset.method, each]));

let sheet = JSON.parse(bill.dataset.sheet);
let expected = sheet.alive; // those that he saw going on when he opened it: their end is no news
let tile = { talk: null, minutes: null, figures: [[0, "", "", "", false]], state: "" };
let tileAt = 0;
let asked = 0;
let waits = false; // a payment is on its way
let isOwn = false; // what changes next is what he did
let isTyped = false; // something is typed that the sheet does not know of
let changedAt = -Infinity;

// What the server says of the bill.

/** Ask for the bill as it is, with what is typed reckoned in; the last answer counts. */
async function ask() {
  asked += 1;
  const mine = asked;
  const told = new URLSearchParams({ session: sheet.session, seen: sheet.version, expected, ...typed() });
  let answer;
  try {
    answer = await fetch(`${path}/sheet?${told}`, { headers: { Accept: "application/json", "X-CSRF-Token": "-" } });
  } catch {
    return; // the stream says that the connection is lost
  }
  if (mine !== asked) return;
  if (answer.status === 401) location.assign("/login");
  else if (answer.ok) hear(await answer.json());
}

function hear(told) {
  if (told.gone) {
    if (!waits) location.assign(told.gone);
  } else if (told.session !== sheet.session) {
    location.reload();
  } else if (told.news) {
    question(told);
  } else {
    accept(told);
  }
}

function accept(told) {
  if (told.version !== sheet.version && !isOwn) changedAt = performance.now();
  isTyped = isOwn = false;
  expected = Math.max(0, expected - countCalls(told) + countCalls(sheet));
  sheet = told;
  show();
}

function countCalls({ lines: found }) {
  return found.filter((line) => line.kind === "call").length;
}

const news = document.getElementById("d-news");
let unseen; // the bill with what he has not seen of it
let askedAt = 0;

/** Something came to the bill that he has not seen: he says whether it is to be paid too. */
function question(told) {
  unseen = told;
  put(news.querySelector("[data-text]"), told.news);
  if (document.querySelector("dialog[open]")) return; // it is asked already, or when he is done there
  put(news.querySelector("[data-about]"), [bill.dataset.name, ...told.newsAbout].join(" · "));
  askedAt = performance.now();
  news.showModal();
  news.querySelector(".main").focus();
  hungUp();
}

news.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (performance.now() - askedAt < PAUSE_MS) return;
  accept(unseen);
  news.close();
});

function show() {
  const known = new Map([...lines.children].map((line) => [line.dataset.id, line]));
  const shown = sheet.lines.map((each) => fill(known.get(each.id) ?? blank(), each));
  if (shown.length !== known.size || shown.some((line, place) => line !== lines.children[place])) {
    lines.replaceChildren(...shown); // only then, as it takes the focus from what is in it
  }
  document.getElementById("none").hidden = sheet.lines.length > 0;
  const sums = sheet.sums.map(([label, amount, kind]) => {
    const row = document.createElement("div");
    row.className = kind;
    row.append(document.createElement("dt"), document.createElement("dd"));
    row.firstChild.textContent = label;
    row.lastChild.textContent = amount;
    return row;
  });
  document.getElementById("sums").replaceChildren(...sums);
  put(document.getElementById("due-label"), sheet.dueLabel);
  put(document.getElementById("due"), sheet.due);
  const outcome = document.getElementById("outcome");
  outcome.dataset.kind = sheet.outcome[0];
  put(document.getElementById("outcome-label"), sheet.outcome[1]);
  put(document.getElementById("outcome-amount"), sheet.outcome[2]);
  put(document.getElementById("take-label"), sheet.submit);
  for (const [method, field] of Object.entries(fields)) field.querySelector("input").placeholder = sheet.rest[method] ?? "";
  document.getElementById("tenders").hidden = !sheet.hasToPay;
  pay.toggleAttribute("data-split", Object.values(fields).filter((field) => !field.hidden).length > 1);
  document.getElementById("quick-title").hidden = sheet.quick.length === 0;
  offer();
  refuse(sheet.problem);
  take.disabled = waits || sheet.alive > 0;
  take.setAttribute("aria-disabled", String(!sheet.canPay));
  for (const button of pay.querySelectorAll("[data-adds]")) {
    button.setAttribute("aria-pressed", String(!fields[button.dataset.adds].hidden));
  }
}

function blank() {
  return document.getElementById("line").content.firstElementChild.cloneNode(true);
}

function fill(line, each) {
  line.dataset.id = each.id;
  line.dataset.kind = each.kind;
  line.toggleAttribute("data-off", each.isOff);
  for (const slot of line.querySelectorAll("[data-slot]")) put(slot, each[slot.dataset.slot]);
  draw(line.querySelector(".sign use"), `b-${each.kind}`);
  const button = line.querySelector("button");
  button.hidden = each.does === "";
  button.dataset.does = each.does;
  put(button.querySelector("span"), each.doesText);
  button.setAttribute("aria-label", `${each.doesText}: ${each.title} ${each.amount}`);
  if (each.does) draw(button.querySelector("use"), each.does);
  return line;
}

/** Notes that he is likely to be given: a touch is enough. */
function offer() {
  const quick = document.getElementById("quick");
  const buttons = sheet.quick.map(([value, label]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.value = value;
    button.textContent = label;
    return button;
  });
  if ([...quick.children].map((each) => each.value).join() !== sheet.quick.map(([value]) => value).join()) {
    quick.replaceChildren(...buttons);
  }
}

document.getElementById("quick").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  fields.cash.querySelector("input").value = button.value;
  ask();
  take.focus();
});

// What is typed.

/** The ways to pay that are chosen, with what is typed for each; nothing typed is what is left to pay. */
function typed() {
  const shown = Object.entries(fields).filter(([, field]) => !field.hidden);
  return Object.fromEntries(shown.map(([method, field]) => [method, field.querySelector("input").value]));
}

let typing;
pay.addEventListener("input", () => {
  isTyped = true;
  clearTimeout(typing);
  typing = setTimeout(ask, TYPED_MS);
});

function toggle(method) {
  const field = fields[method];
  const input = field.querySelector("input");
  field.hidden = !field.hidden;
  input.disabled = field.hidden;
  input.value = "";
  (field.hidden ? fields.cash.querySelector("input") : input).focus();
  ask();
}

for (const button of pay.querySelectorAll("[data-adds]")) {
  button.addEventListener("click", () => toggle(button.dataset.adds));
}

function refuse(what) {
  put(why, what);
  why.hidden = what === "";
}

pay.addEventListener("submit", async (event) => {
  event.preventDefault();
  clearTimeout(typing);
  if (waits || performance.now() - changedAt < PAUSE_MS) return;
  if (isTyped) await ask(); // Enter was quicker than the answer
  if (waits || !sheet.canPay || document.querySelector("dialog[open]")) return;
  waits = take.disabled = true;
  const told = { version: sheet.version, session: sheet.session, language: pay.elements.language.value, ...typed() };
  const answer = await post(path, told);
  if (answer.ok) {
    location.assign(answer.data.receipt); // and it waits on: he goes there once
    return;
  }
  waits = take.disabled = false;
  if (answer.code === "stale_bill") {
    say(answer.message, "bad");
    ask();
  } else {
    refuse(answer.message);
  }
});

// What comes to the bill, and goes.

async function change(does, told) {
  const answer = await post(`${path}/${does}`, { ...told, key: key() });
  isOwn = answer.ok;
  if (answer.ok) await ask();
  return answer.ok ? "" : answer.message;
}

function key() {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}

const goods = document.getElementById("goods");
goods.addEventListener("click", async (event) => {
  const name = event.target.closest("[data-good]")?.dataset.good;
  if (name === undefined) return;
  const problem = await change("good", { name, quantity: "1" });
  if (problem) say(problem, "bad");
  else if (!goods.matches(":hover")) toPay();
});

function toPay() {
  const input = Object.values(fields).find((field) => !field.hidden).querySelector("input");
  (input.checkVisibility() ? input : take).focus({ preventScroll: true }); // on a telephone the calls are read first
}

lines.addEventListener("click", (event) => {
  const button = event.target.closest("[data-does]");
  const line = button && sheet.lines.find((each) => each.id === button.closest("li").dataset.id);
  if (line) open(line.does === "void" ? "d-void" : line.does === "putback" ? "d-putback" : "d-takeback", line);
});

const dialogs = Object.fromEntries(
  ["d-good", "d-discount", "d-void", "d-takeback", "d-putback"].map((id) => [id, document.getElementById(id)]),
);

function open(id, line) {
  const dialog = dialogs[id];
  const form = dialog.querySelector("form");
  form.reset();
  dialog.querySelector("[data-why]").hidden = true;
  put(dialog.querySelector("[data-about]"), bill.dataset.name);
  if (id === "d-void" && !offerCalls(form.elements.call, line)) {
    say(text("t-nothing-off"), "bad");
    return;
  }
  if (form.elements.number) {
    form.elements.number.value = line.target;
    put(dialog.querySelector("[data-text]"), `${line.title} ${line.amount}`);
  }
  otherReason(form);
  if (form.elements.unit) form.elements.unit.disabled = false;
  dialog.showModal();
  const first = [...form.querySelectorAll("select, input:not([type=radio]), input:checked, .main")];
  first.find((each) => each.checkVisibility()).focus();
}

/** The calls that may be taken off, the last first; false where there is none. */
function offerCalls(select, line) {
  const found = sheet.lines.filter((each) => each.does === "void").reverse();
  const options = found.map((each) => {
    const option = document.createElement("option");
    option.value = each.target;
    option.textContent = `${each.title} ${each.amount}`;
    return option;
  });
  select.replaceChildren(...options);
  if (line) select.value = line.target;
  return found.length > 0;
}

/** A reason of his own is typed where none of the usual ones is meant. */
function otherReason(form) {
  const other = form.querySelector("[data-other]");
  if (!other) return;
  other.hidden = form.elements.why.value !== "";
  other.querySelector("input").disabled = other.hidden;
}

for (const dialog of [...Object.values(dialogs), news]) {
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    toPay();
    if (dialog !== news || unseen === sheet) ask(); // what is on its way is about the bill as it was seen before
  });
}

for (const dialog of Object.values(dialogs)) {
  const form = dialog.querySelector("form");
  const submit = form.querySelector("[type=submit]");
  form.addEventListener("change", (event) => {
    otherReason(form);
    if (event.target.name === "why" && event.target.value === "") form.elements.reason.focus();
  });
  enter(form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (submit.disabled) return;
    submit.disabled = true;
    const told = Object.fromEntries(new FormData(form));
    if ("why" in told) told.reason = told.why || told.reason;
    const problem = await change(form.dataset.action, told);
    submit.disabled = false;
    put(dialog.querySelector("[data-why]"), problem);
    dialog.querySelector("[data-why]").hidden = problem === "";
    if (problem === "") dialog.close();
  });
}

/** What is on the shop's list has its price from there. */
dialogs["d-good"].addEventListener("input", ({ target, currentTarget }) => {
  if (target.name !== "name") return;
  const { unit } = currentTarget.querySelector("form").elements;
  const listed = [...document.getElementById("g-list").options].find((each) => each.value === target.value);
  unit.disabled = listed !== undefined;
  unit.placeholder = listed?.textContent ?? "";
});

for (const button of document.querySelectorAll("[data-opens]")) {
  button.addEventListener("click", () => open(button.dataset.opens));
}

// The call that is going on.

const live = document.getElementById("live");

function showLive() {
  const { time, cost } = figuresAt(tile, performance.now() - tileAt);
  put(document.getElementById("live-time"), time);
  put(document.getElementById("live-cost"), cost);
}

const HEARD = {
  tiles({ tiles }) {
    const found = tiles.find((each) => each.booth === bill.dataset.name);
    if (!found) return;
    tile = found;
    tileAt = performance.now() - tile.age; // its figures and seconds are as of then
    live.hidden = found.number === "";
    put(document.getElementById("live-state"), [found.stateText, found.others].filter(Boolean).join(", "));
    for (const name of ["flag", "number", "destination"]) put(document.getElementById(`live-${name}`), found[name]);
    document.getElementById("cut").hidden = !found.can.includes("cut");
    put(document.getElementById("note"), found.note);
    showLive();
    ask();
  },
  ended({ booth, talked, text: what }) {
    if (booth !== bill.dataset.name) return;
    if (talked) hungUp();
    else expected = Math.max(0, expected - 1);
    say(what);
  },
};

setInterval(() => tile.talk !== null && showLive(), TICK_MS);

async function cut() {
  const answer = await post(`${path.slice(0, path.lastIndexOf("/"))}/cut`, {});
  if (!answer.ok) say(answer.message, "bad");
}
document.getElementById("cut").addEventListener("click", cut);

// Keys. An amount has no letters, so a letter in one is meant as a key.

const DOES = {
  D: () => open("d-discount"),
  V: () => document.getElementById("void")?.click(),
  G: () => goods.querySelector("button").focus(),
  C: () => live.hidden || cut(),
};
for (const button of pay.querySelectorAll("[data-adds]")) {
  DOES[button.getAttribute("aria-keyshortcuts")] = () => sheet.hasToPay && toggle(button.dataset.adds);
}
document.getElementById("help").addEventListener("click", () => document.getElementById("d-help").showModal());
const keysOn = localStorage.getItem("keys") !== "off";
document.body.toggleAttribute("data-keys-off", !keysOn);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const isAmount = event.target.inputMode === "decimal";
  if (event.target.matches?.("input, select, textarea") && !isAmount) return;
  if (event.key === "Escape") {
    if (goods.contains(document.activeElement)) toPay();
    else back.click();
  } else if (isAmount && !/^\p{L}$/u.test(event.key)) {
    // it is typed
  } else if (keysOn && event.key === "?") {
    document.getElementById("help").click();
  } else if (keysOn && DOES[letter(event)]) {
    event.preventDefault();
    DOES[letter(event)]();
  } else if (/^[0-9]$/.test(event.key)) {
    number(event);
  }
});

/** A digit chooses a good where G was pressed, and begins an amount everywhere else. */
function number(event) {
  if (goods.contains(document.activeElement)) {
    event.preventDefault();
    const buttons = [...goods.querySelectorAll("button")];
    const chosen = event.key === "0" ? buttons.at(-1) : buttons.slice(0, -1)[Number(event.key) - 1];
    chosen?.click();
  } else {
    toPay();
  }
}

show();
toPay();
listen(`/board/${bill.dataset.shop}/events`, (kind, data) => HEARD[kind]?.(data), liveness(bill));
