// What keeps people from reading or using the page as it is now; a list of each kind, empty where all is well.
() => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (code) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = code;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const light = (tone) => {
    const [r, g, b] = tone.slice(0, 3).map((value) => linear(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  // The first opaque colour behind an element; null on a gradient, whose tones are looked at by people.
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const style = getComputedStyle(one);
      if (style.backgroundImage !== "none") return null;
      const tone = rgba(style.backgroundColor);
      if (tone[3] > 200) return tone;
    }
    return null;
  };

  // Texts whose contrast, after WCAG, is below 4.5.
  const faint = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const words = texts.currentNode.textContent.trim();
    const seen = element.checkVisibility({ visibilityProperty: true }) && element.getBoundingClientRect().width >= 4;
    const tone = words && seen ? behind(element) : null;
    if (!tone) continue;
    const [dark, bright] = [light(rgba(getComputedStyle(element).color)), light(tone)].sort((a, b) => a - b);
    if ((bright + 0.05) / (dark + 0.05) < 4.5) faint.push(words);
  }

  const controls = [...document.querySelectorAll("button, input:not(.hidden)")].filter((one) => one.checkVisibility());
  const side = (one) => Math.min(one.getBoundingClientRect().width, one.getBoundingClientRect().height);
  const named = (one) => one.textContent.trim() || one.getAttribute("aria-label") || one.labels?.length;
  return {
    faint,
    small: controls.filter((one) => side(one) < 24).map((one) => one.outerHTML),
    nameless: controls.filter((one) => !named(one)).map((one) => one.outerHTML),
    wide: document.documentElement.scrollWidth > window.innerWidth ? [document.documentElement.scrollWidth] : [],
  };
}
