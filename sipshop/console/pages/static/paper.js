// A receipt that is to be printed: at once where it was asked for, and again by its button.

document.getElementById("print").addEventListener("click", () => window.print());
if (new URLSearchParams(location.search).has("job")) {
  window.addEventListener("load", () => window.print());
}
