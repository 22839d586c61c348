// @ts-check
/** Views for those who are not logged in, which stand alone. */

import { element } from "../../core/dom.js";

/**
 * Take the secret out of the address: it is in no history, and in nothing that is sent.
 *
 * @param {string} hash
 */
export function takeSecret(hash) {
  history.replaceState(null, "", location.pathname + location.search);
  addEventListener("hashchange", () => location.reload());
  return hash;
}

/**
 * @param {string} title
 * @param {...Node} nodes
 */
export function alone(title, ...nodes) {
  document.title = `${title} · llamakeep`;
  const heading = element("h1", {}, title);
  return { node: element("main", { class: "alone" }, heading, ...nodes), title };
}

/**
 * Return a field for a secret that was not in the address.
 *
 * @param {string} secret
 * @param {string} begin How it begins.
 */
export function secretField(secret, begin) {
  const input = element("input", {
    name: "token",
    required: true,
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
    placeholder: `${begin}…`,
  });
  input.value = secret;
  return input;
}
