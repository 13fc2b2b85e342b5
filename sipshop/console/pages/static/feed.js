// A stream of events that heals by itself: it goes on after what was heard last, and says at once when it is lost.

const SILENT_MS = 12000; // the server says something every 5 s
const SOON_MS = 300;
const LATEST_MS = 5000;

/** Listen to a path: `heard(kind, data)` for each event, `state("live" | "lost")` as it is, `gone()` where it is over. */
export function listen(path, heard, state, gone = () => location.assign("/")) {
  let place = "";
  let wait = SOON_MS;
  let asked;

  async function once() {
    asked = new AbortController();
    const answer = await fetch(`${path}?after=${place}`, {
      headers: { Accept: "text/event-stream", "X-CSRF-Token": "-" },
      signal: asked.signal,
      cache: "no-store",
    });
    if (answer.status === 401 || answer.status === 404) gone();
    if (!answer.ok) throw new Error(`${answer.status}`);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const timer = setTimeout(() => asked.abort(), SILENT_MS);
      const { value, done } = await reader.read().finally(() => clearTimeout(timer));
      if (done) return;
      state("live");
      wait = SOON_MS;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) tell(event);
    }
  }

  function tell(event) {
    const fields = Object.fromEntries(
      event.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
    );
    if (fields.id) place = fields.id;
    if (fields.event) heard(fields.event, JSON.parse(fields.data));
  }

  async function forever() {
    for (;;) {
      try {
        await once();
      } catch {
        // told below: however it ended, it is lost
      }
      state("lost");
      await new Promise((done) => setTimeout(done, wait));
      wait = Math.min(wait * 1.6, LATEST_MS);
    }
  }

  addEventListener("offline", () => asked?.abort());
  addEventListener("online", () => (wait = SOON_MS));
  forever();
}
