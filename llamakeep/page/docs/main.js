// @ts-check
/** Shows the OpenAPI document of this server, and nothing from elsewhere. */

import { element } from "../core/dom.js";
import { textNodes } from "../text/nodes.js";
import { sectionsOf } from "./document.js";
import { operationNode } from "./operation.js";

const status = element("p", { class: "note", role: "status" }, "Reading the API's description…");
const main = element("main", {}, element("h1", {}, "API"), status);
document.body.append(main);

/** @param {import("./document.js").Schema} api */
function show(api) {
  const sections = sectionsOf(api).map(({ title, operations }) => {
    const items = operations.map((operation) => ({
      node: operationNode(operation, api),
      words: `${operation.method} ${operation.path} ${operation.description}`.toLowerCase(),
    }));
    const heading = element("h2", { id: title }, title);
    return {
      title,
      items,
      node: element("section", {}, heading, ...items.map(({ node }) => node)),
    };
  });
  const search = element("input", { type: "search", placeholder: "Find", autocomplete: "off" });
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/);
    let found = 0;
    for (const section of sections) {
      for (const { node, words: text } of section.items) {
        node.hidden = !words.every((word) => text.includes(word));
        found += node.hidden ? 0 : 1;
      }
      section.node.hidden = section.items.every(({ node }) => node.hidden);
    }
    status.textContent = search.value ? `${found} found.` : "";
  });
  main.replaceChildren(
    element("h1", {}, `${api.info.title} ${api.info.version}`),
    element(
      "p",
      {},
      api.info.description,
      " ",
      element("a", { href: "openapi.json" }, "openapi.json"),
    ),
    textNodes(api.components.securitySchemes?.AccessToken?.description ?? ""),
    element("label", { class: "search" }, element("span", {}, "Find an operation"), search),
    status,
    element(
      "nav",
      { "aria-label": "Sections" },
      // Relative to <base>, which is another page.
      ...sections.map(({ title }) =>
        element("a", { href: `docs#${encodeURIComponent(title)}` }, title)
      ),
    ),
    ...sections.map(({ node }) => node),
  );
  status.textContent = "";
  main.addEventListener("toggle", remember, { capture: true });
  addEventListener("hashchange", unfold);
  unfold();
}

/** @param {Event} event Has the address name what was unfolded. */
function remember({ target }) {
  if (target instanceof HTMLDetailsElement && target.open && target.id) {
    history.replaceState(null, "", `docs#${encodeURI(target.id)}`);
  }
}

function unfold() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named instanceof HTMLDetailsElement) named.open = true;
  named?.scrollIntoView();
}

try {
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`The server answered with ${response.status}.`);
  show(await response.json());
} catch (error) {
  const reason = error instanceof Error ? error.message : "";
  status.textContent =
    `The API's description cannot be read. ${reason} Reload the page to try again.`;
}
