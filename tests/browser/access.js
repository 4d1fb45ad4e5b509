// What tests/browser/test_access.py asks of a page.

/** Texts whose contrast with what is behind them is less than WCAG AA wants. */
export const faint = () => {
  const rgb = (text) => {
    const found = text.match(/[0-9.]+/g).map(Number);
    return text.startsWith("color(srgb") ? [...found.slice(0, 3).map((part) => part * 255), found[3] ?? 1] : found;
  };
  const over = ([r, g, b, a = 1], under) => [r, g, b].map((part, at) => part * a + under[at] * (1 - a));
  const light = (colour) => {
    const [r, g, b] = colour.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => (element ? over(rgb(getComputedStyle(element).backgroundColor), behind(element.parentElement)) : [255, 255, 255]);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = [];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility({ visibilityProperty: true }) || element.closest(".unseen, noscript, script, option")) continue;
    const style = getComputedStyle(element);
    const ground = behind(element);
    const [one, two] = [light(over(rgb(style.color), ground)), light(ground)].sort((a, b) => b - a);
    const size = Number.parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (one + 0.05) / (two + 0.05);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${text}: ${ratio.toFixed(2)}`);
  }
  return faint;
};

/** What has the focus: whether it can be seen, and whether one can see that it has it. */
export const focused = () => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const shown = element.closest("label") ?? element;
  const box = shown.getBoundingClientRect();
  const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  return {
    what: element.outerHTML.slice(0, 120),
    seen: Boolean(at) && (shown.contains(at) || at.contains(shown)) && box.left >= 0 && box.right <= innerWidth,
    ring: [element, shown].some((each) => getComputedStyle(each).outlineStyle !== "none"),
  };
};
