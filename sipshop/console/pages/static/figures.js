// The figures of a booth at a moment: a page counts seconds, and puts in the money that the server told for each.

/** Those that hold so many milliseconds after the tile was told. */
export function figuresAt(tile, passed) {
  let found = tile.figures[0];
  for (const figures of tile.figures) if (figures[0] <= passed) found = figures;
  const [, cost, total, left, low] = found;
  const time = tile.talk === null ? "" : span(tile.talk + passed);
  return { time, cost, total, left: left || minutes(tile, passed), low };
}

/** What is left of the customer's talk time: it and the time of the call always come to what he paid for. */
function minutes(tile, passed) {
  if (tile.minutes === null) return "";
  const left = Math.max(0, tile.minutes - (tile.talk === null ? 0 : passed));
  return span(Math.ceil(left / 1000) * 1000);
}

/** A span of time as people read it from a clock. */
export function span(ms) {
  const seconds = Math.floor(ms / 1000);
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return hours ? `${hours}:${rest}` : rest.replace(/^0(?=\d:)/, "");
}
