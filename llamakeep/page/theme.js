// Before the first paint, so that no other theme is seen.
try {
  const looks = JSON.parse(localStorage.getItem("llamakeep:looks") || "{}");
  if (looks.theme) document.documentElement.setAttribute("data-theme", looks.theme);
} catch (_error) {
  // Without storage, the system's theme is shown.
}
if (!globalThis.CSS || !CSS.supports("color", "light-dark(red, red)")) {
  document.title = "This browser is too old for the page: take one of the last two years.";
}
