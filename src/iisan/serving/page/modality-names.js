// Modalities and parts of a score in words, with the colours that they have everywhere on the page.

const NAMES = { image: "Picture", text: "Text", "own vector": "What people did" };
const TONES = { image: "image", text: "text", "own vector": "own" };
const OTHER_TONES = ["other", "own"];

export function modalityName(name) {
  return NAMES[name] ?? name.charAt(0).toLocaleUpperCase() + name.slice(1).replaceAll("_", " ");
}

/** The name of a colour of the style sheet. */
export function toneOf(name, place = 0) {
  return TONES[name] ?? OTHER_TONES[place % OTHER_TONES.length];
}
