// @ts-check
/** The secret that signs a user's webhooks. */

import { call, Problem } from "../../core/api.js";
import { button, element } from "../../core/dom.js";
import { copy } from "../copy.js";
import { formDialog } from "../form.js";
import { problemBox, timeOf } from "../problem.js";

const EDGE = { class: "edge" };

/** Return what shows the secret when it is asked to, and replaces it. */
export function webhookSection() {
  const place = element("div", {}, button("Show the secret", show, EDGE));

  async function show() {
    try {
      put(await call("GET", "me/webhook-secret"));
    } catch (error) {
      place.replaceChildren(problemBox(error, { retry: isThere(error) ? show : undefined }));
    }
  }
  /** @param {{secret: string, previous_until: string | null}} found */
  function put({ secret, previous_until: until }) {
    const pre = element("pre", { tabindex: "0", "aria-label": "The secret" }, secret);
    place.replaceChildren(
      element("div", { class: "secret" }, pre, button("Copy", () => copy(secret), EDGE)),
      until
        ? element("p", { class: "soft" }, "The previous one signs as well, until ", timeOf(until))
        : "",
      element("div", { class: "buttons" }, button("Replace it…", replace, EDGE)),
    );
    pre.focus();
  }
  async function replace() {
    const made = await formDialog("Replace the webhook secret?", {
      fields: [
        element("p", {}, "For a day, webhooks are signed with the old one as well as the new one."),
      ],
      action: "Replace it",
      send: () => call("POST", "me/webhook-secret/rotate"),
    });
    if (made) put(made);
  }
  return element(
    "div",
    {},
    element("p", {}, "Receivers of your webhooks verify with it that they come from this server."),
    place,
  );
}

/** @param {unknown} error */
const isThere = (error) => !(error instanceof Problem && error.status === 404);
