// Two tones, made on the spot: there is no file to load. Browsers let a page sound only after it was touched.

let context;
let isOn = localStorage.getItem("sound") !== "off";

export function isSounding() {
  return isOn;
}

export function switchSound(on) {
  isOn = on;
  localStorage.setItem("sound", on ? "on" : "off");
  if (on) hungUp();
}

/** A call has ended: down. */
export function hungUp() {
  play([[660, 0], [440, 0.13]]);
}

/** Somebody called for help: up and down, until it is seen to. */
export function alarm() {
  play([[880, 0], [1175, 0.16], [880, 0.32], [1175, 0.48]]);
}

function play(tones) {
  if (!isOn) return;
  context ??= new AudioContext();
  if (context.state === "suspended") context.resume();
  for (const [hertz, after] of tones) {
    const begin = context.currentTime + after;
    const tone = context.createOscillator();
    const volume = context.createGain();
    tone.frequency.value = hertz;
    volume.gain.setValueAtTime(0.0001, begin);
    volume.gain.exponentialRampToValueAtTime(0.15, begin + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.0001, begin + 0.15);
    tone.connect(volume).connect(context.destination);
    tone.start(begin);
    tone.stop(begin + 0.16);
  }
}
