// @ts-check
/** Which models are asked: two to four. */

import { button, element } from "../../core/dom.js";
import { shortName } from "../../core/models.js";
import { state } from "../../core/state.js";
import { menuButton } from "../menu.js";

const [FEWEST, MOST] = [2, 4];

/**
 * Return chips of models, each of which can be another.
 *
 * @param {string[]} chosen
 * @param {(models: string[]) => void} choose
 */
export function modelChips(chosen, choose) {
  const known = (state.models.value ?? []).map(({ model }) => model);
  const items = (
    /** @type {string} */ current,
    /** @type {(model: string) => string[]} */ change,
  ) =>
    known.map((model) => ({
      label: model,
      ...(current ? { isChecked: model === current } : {}),
      run: () => choose(change(model)),
    }));
  const chips = chosen.flatMap((model, index) => {
    const rest = chosen.filter((_, other) => other !== index);
    const chip = menuButton(
      `${shortName(model)} ▾`,
      () => items(model, (other) => chosen.with(index, other)),
      { class: "chip on", "aria-label": `Model ${index + 1}: ${model}` },
    );
    const remove = button("×", () => choose(rest), { "aria-label": `Without model ${index + 1}` });
    return chosen.length > FEWEST ? [chip, remove] : [chip];
  });
  const add = menuButton("Another model ▾", () => items("", (model) => [...chosen, model]), {
    class: "chip",
  });
  return element(
    "div",
    { class: "chips", role: "group", "aria-label": "Models" },
    ...chips,
    chosen.length < MOST ? add : null,
  );
}

/**
 * Return two to four models: those that are named, filled up with others that there are.
 *
 * @param {string[]} named
 */
export function someModels(named) {
  const known = (state.models.value ?? []).map(({ model }) => model);
  const chosen = named.slice(0, MOST);
  for (const model of known) {
    if (chosen.length < FEWEST && !chosen.includes(model)) chosen.push(model);
  }
  while (chosen.length < FEWEST) chosen.push(chosen[0] ?? "");
  return chosen;
}
