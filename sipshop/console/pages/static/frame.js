// What every page shares: sending a change, telling what came of it, and filling in what the server says.

const token = document.querySelector('meta[name="csrf"]').content;
const toasts = document.getElementById("toasts");
const SHOWN_MS = 6000;
const MOST_TOASTS = 4;

/** Send a change. Gives "" when it is done, else the sentence that says why not. */
export async function send(path, fields) {
  return (await post(path, fields)).message;
}

/** The same, with all that was answered: `ok` and `data`, or `code` and `message` of what was not done. */
export async function post(path, fields) {
  const failed = { ok: false, code: "failed", message: text("t-failed"), data: {} };
  try {
    const answer = await fetch(path, {
      method: "POST",
      body: new URLSearchParams(fields),
      headers: { "X-CSRF-Token": token, Accept: "application/json" },
      redirect: "error",
    });
    const data = await answer.json();
    if (answer.status === 401) location.assign("/login");
    return answer.ok ? { ok: true, code: "", message: "", data } : { ok: false, ...data, data };
  } catch {
    return failed;
  }
}

/** Say something in a corner, to eyes and to screen readers, and take it away again. */
export function say(what, kind = "") {
  const toast = document.createElement("p");
  toast.className = `toast ${kind}`;
  toast.textContent = what;
  toasts.append(toast);
  while (toasts.childElementCount > MOST_TOASTS) toasts.firstElementChild.remove();
  setTimeout(() => toast.remove(), SHOWN_MS);
}

/** A text that the page holds in its reader's language. */
export function text(id) {
  return document.getElementById(id).textContent;
}

/** Put a text in where another one stands. */
export function put(element, what) {
  if (element.textContent !== what) element.textContent = what;
}

/** Have an icon show another symbol of its file. */
export function draw(icon, name) {
  icon.setAttribute("href", icon.getAttribute("href").replace(/#.*/, `#${name}`));
}

/** The letter of a key: where the keyboard writes other letters than Latin ones, that of its place. */
export function letter(event) {
  const found = /^[a-z]$/i.test(event.key) ? event.key : /^Key([A-Z])$/.exec(event.code)?.[1];
  return (found ?? "").toUpperCase();
}

/** Enter sends a form from its lists too, where it would open them instead. */
export function enter(form) {
  form.querySelector("select")?.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    form.requestSubmit();
  });
}

/** What shows whether a page is live: the sign at the top, the warning, and the element that turns grey. */
export function liveness(grey) {
  const link = document.getElementById("link");
  return (state) => {
    if (link.dataset.link === state) return;
    link.dataset.link = grey.dataset.link = state;
    document.getElementById("lost").hidden = state === "live";
  };
}
