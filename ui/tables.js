// The page for tables: the header's switches. What is done there belongs to the server.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (!button) return;
  if (button.dataset.act === "theme") patchbayLooks.nextTheme();
  if (button.dataset.act === "language") {
    patchbayLooks.choose(button.dataset.language);
    document.getElementById("pb-speak").click(); // labels of Gradio's own parts
  }
});
// The header comes with the page's parts, after the script.
new MutationObserver((_, observer) => {
  if (!document.querySelector("[data-act=language]")) return;
  patchbayLooks.speak();
  observer.disconnect();
}).observe(document.documentElement, { childList: true, subtree: true });
