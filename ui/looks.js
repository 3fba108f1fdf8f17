// Interface language and colours: the browser's own until a visitor chooses, then kept.
const patchbayLooks = (() => {
  const { load, save } = patchbayStore;
  const root = document.documentElement;
  const LANGUAGES = ["en", "zh"];
  const THEMES = ["system", "light", "dark"];
  // What the switch goes through; the first press always changes the colours.
  const order = () => ["system", ...(system.matches ? ["light", "dark"] : ["dark", "light"])];

  function language() {
    const chosen = load("patchbay.language");
    if (LANGUAGES.includes(chosen)) return chosen;
    const wanted = (navigator.languages || [navigator.language]).find((tag) => /^(en|zh)/i.test(tag));
    return wanted && wanted.toLowerCase().startsWith("zh") ? "zh" : "en";
  }

  function speak() {
    const code = language();
    root.lang = code === "zh" ? "zh-CN" : "en";
    root.dataset.language = code;
    for (const element of document.querySelectorAll("[data-words]")) {
      for (const [name, both] of Object.entries(JSON.parse(element.dataset.words))) {
        element.setAttribute(name, both[code]);
      }
    }
    for (const button of document.querySelectorAll("[data-act=language]")) {
      button.setAttribute("aria-pressed", String(button.dataset.language === code));
    }
  }

  function choose(code) {
    save("patchbay.language", code);
    speak();
  }

  const system = matchMedia("(prefers-color-scheme: dark)");

  function paint() {
    const chosen = load("patchbay.theme", "system");
    const dark = chosen === "dark" || (chosen !== "light" && system.matches);
    document.body.classList.toggle("dark", dark);
    root.dataset.theme = THEMES.includes(chosen) ? chosen : "system";
    root.style.colorScheme = dark ? "dark" : "light";
  }

  function nextTheme() {
    const position = order().indexOf(root.dataset.theme);
    save("patchbay.theme", order()[(position + 1) % THEMES.length]);
    paint();
  }

  function start() {
    paint();
    speak();
    system.addEventListener("change", paint);
    // Gradio sets its own colours once, when it has mounted.
    new MutationObserver(() => {
      const dark = root.style.colorScheme === "dark";
      if (document.body.classList.contains("dark") !== dark) paint();
    }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  }

  if (document.body) start();
  else document.addEventListener("DOMContentLoaded", start);

  return { speak, choose, nextTheme };
})();
