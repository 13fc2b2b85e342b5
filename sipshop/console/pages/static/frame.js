// What every page shares: sending a change, and telling what came of it.

const token = document.querySelector('meta[name="csrf"]').content;
const toasts = document.getElementById("toasts");
const SHOWN_MS = 6000;
const MOST_TOASTS = 4;

/** Send a change. Gives "" when it is done, else the sentence that says why not. */
export async function send(path, fields) {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST",
      body: new URLSearchParams(fields),
      headers: { "X-CSRF-Token": token, Accept: "application/json" },
      redirect: "error",
    });
  } catch {
    return text("t-failed");
  }
  if (answer.ok) return "";
  if (answer.status === 401) location.assign("/login");
  try {
    return (await answer.json()).message;
  } catch {
    return text("t-failed");
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
