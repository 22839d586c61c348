// @ts-check
/** A conversation, or a new one. */

import { call } from "../core/api.js";
import { state } from "../core/state.js";
import { examples } from "../parts/composer/examples.js";
import { Talk } from "../parts/conversation/talk.js";
import { loadText } from "../parts/conversation/written.js";

/** @type {import("../core/router.js").View} */
export default async function conversation({ parts, hash }) {
  const id = parts[0] ?? "";
  const talk = new Talk(id);
  if (!id) {
    const greet = () => talk.greet(examples((text) => talk.composer.put(text)));
    greet();
    // A prompt can be typed before the models are known.
    talk.models.then(() => state.models.value?.length === 0 && greet());
    return talk.shown();
  }
  try {
    const asking = call("GET", `conversations/${encodeURIComponent(id)}`);
    const [{ title }] = await Promise.all([asking, talk.load(hash), loadText()]);
    talk.title = title;
  } catch (error) {
    talk.close();
    throw error;
  }
  return talk.shown();
}
