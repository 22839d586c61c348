// @ts-check
/** A conversation, or a new one. */

import { call, Problem } from "../core/api.js";
import { models } from "../core/models.js";
import { examples } from "../parts/composer/examples.js";
import { Talk } from "../parts/conversation/talk.js";
import { loadText } from "../parts/conversation/written.js";

/** @type {import("../core/router.js").View} */
export default async function conversation({ parts, hash }) {
  const id = parts[0] ?? "";
  const asking = id ? call("GET", `conversations/${encodeURIComponent(id)}`) : null;
  const [facts] = await Promise.all([asking, models().catch(ignored)]);
  const talk = new Talk(id, facts?.title ?? "New conversation");
  try {
    if (id) await Promise.all([talk.load(hash), loadText()]);
    else talk.greet(examples((text) => talk.composer.put(text)));
  } catch (error) {
    talk.close();
    throw error;
  }
  return talk.shown();
}

/** @param {unknown} error */
function ignored(error) {
  // Without the list, the server's default model answers.
  if (!(error instanceof Problem)) throw error;
  return null;
}
