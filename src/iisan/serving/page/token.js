// The token of the service, kept until the tab is closed and sent with nothing but additions and removals.

const KEY = "iisan-token";

export const keptToken = () => sessionStorage.getItem(KEY) ?? "";

export function keepToken(token) {
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
}
