// Numbers as people read them.

const whole = new Intl.NumberFormat("en");
const RULES = new Intl.PluralRules("en", { type: "ordinal" });
const ENDINGS = { one: "st", two: "nd", few: "rd", other: "th" };

export const count = (number) => whole.format(number);

export const counted = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export const score = (number) => number.toFixed(2).replace("-", "−");

/** Decimals with which the largest of some numbers has two digits that say something. */
export function digitsFor(numbers) {
  const most = Math.max(...numbers.map(Math.abs), 1e-4);
  return Math.min(Math.max(2, 1 - Math.floor(Math.log10(most))), 5);
}

export const signed = (number, digits = 2) => {
  const text = Math.abs(number).toFixed(digits);
  if (Number(text) === 0) return `±${text}`;
  return (number < 0 ? "−" : "+") + text;
};

export const percent = (share) => (share > 0 && share < 0.005 ? "<1 %" : `${Math.round(share * 100)} %`);

export const ordinal = (number) => count(number) + ENDINGS[RULES.select(number)];
