"""What gradio leaves out for people who use a keyboard, a screen reader or a phone: the scripts of the page."""

# Goes to demo.launch as `head`:
# - the arrows go from tab to tab: https://www.w3.org/WAI/ARIA/apg/patterns/tabs/
# - the choices of one question are one group, which the arrows change; gradio names each input differently
# - a picture of a gallery is named by its caption; gradio calls it "Thumbnail 3 of 7", made anew each time
# - the button within a download link is no second stop
# - what is scrolled sideways can be focused, and then be scrolled by the arrows
KEYBOARD = """<script>
document.addEventListener("keydown", (event) => {
  const tab = event.target.closest?.('[role="tab"]');
  if (!tab) return;
  const tabs = [...tab.closest('[role="tablist"]').querySelectorAll('[role="tab"]:not(:disabled)')];
  const here = tabs.indexOf(tab);
  const steps = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: -1 };
  if (!(event.key in steps)) return;
  event.preventDefault();
  const next = tabs.at(steps[event.key] % tabs.length);
  next.focus();
  next.click();
});
const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries)
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
});
function mend() {
  for (const question of document.querySelectorAll("fieldset:has(input[type=radio])")) {
    question.setAttribute("aria-label", question.querySelector("[data-testid=block-info]")?.textContent ?? "");
    const inputs = question.querySelectorAll("input[type=radio]");
    for (const input of inputs) input.name = inputs[0].name;
  }
  for (const picture of document.querySelectorAll("button.thumbnail-item:has(.caption-label)"))
    picture.setAttribute("aria-label", picture.querySelector(".caption-label").textContent);
  for (const button of document.querySelectorAll("a[download] button")) button.tabIndex = -1;
  for (const table of document.querySelectorAll(".prose table, .scroll")) sizes.observe(table);
}
new MutationObserver(mend).observe(document, { childList: true, subtree: true, characterData: true });
</script>"""

# Runs once an image is answered: where the tabs stand below the picture, as on a phone, nobody would see that
TO_THE_ANSWER = """(image) => {
  const picture = document.querySelector("#picture").getBoundingClientRect();
  const tabs = document.querySelector("#tabs");
  const { top } = tabs.getBoundingClientRect();
  if (image && top >= picture.bottom && top > innerHeight / 2) {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    tabs.scrollIntoView({ behavior: still ? "instant" : "smooth" });
  }
  return [];
}"""
