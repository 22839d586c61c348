// @ts-check
/** Pictures that are sent with a prompt: by paste, drop or a button. */

import { button, element } from "../../core/dom.js";
import * as format from "../../core/format.js";
import { modelOf } from "../../core/models.js";
import { state } from "../../core/state.js";
import { notice } from "../announce.js";

const TYPES = ["image/png", "image/jpeg", "image/webp", "image/gif"];
const MOST = 16;

/** The pictures of a prompt that is being typed. */
export class Pictures {
  node = element("div", { class: "pictures", hidden: true });
  /** @type {{url: string, shown: string}[]} */
  #all = [];
  #reading = 0;

  /**
   * @param {HTMLElement} field Where they are pasted and dropped.
   * @param {() => void} changed
   */
  constructor(field, changed) {
    this.changed = changed;
    field.addEventListener("paste", (event) => this.#take(event, event.clipboardData));
    field.addEventListener("drop", (event) => this.#take(event, event.dataTransfer));
  }

  get urls() {
    return this.#all.map(({ url }) => url);
  }

  get isEmpty() {
    return this.#all.length === 0;
  }

  get isReading() {
    return this.#reading > 0;
  }

  /**
   * Return why a model cannot be sent them; "" if it can.
   *
   * @param {string} model
   */
  refusal(model) {
    if (this.isEmpty) return "";
    if (modelOf(model)?.capabilities.images === false) {
      return `${model} cannot see pictures. Choose another model, or take them out. Nothing was sent.`;
    }
    const most = state.about.value?.max_body_size;
    const size = this.urls.reduce((sum, url) => sum + url.length, 0);
    return most && size > most
      ? `The pictures have ${format.bytes(size)}, and this server takes ${
        format.bytes(most)
      }. Nothing was sent.`
      : "";
  }

  /**
   * @param {Event} event
   * @param {DataTransfer | null} data
   */
  #take(event, data) {
    const files = [...(data?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    this.#add(files);
  }

  pick() {
    const input = element("input", { type: "file", accept: TYPES.join(","), multiple: true });
    input.addEventListener("change", () => this.#add([...(input.files ?? [])]));
    input.click();
  }

  /** @param {File[]} files */
  async #add(files) {
    for (const file of files) {
      if (!TYPES.includes(file.type)) {
        notice(`“${file.name}” is no picture that can be sent: PNG, JPEG, WebP or GIF.`, {
          isBad: true,
        });
      } else if (this.#all.length + this.#reading >= MOST) {
        notice(`A prompt may have ${MOST} pictures.`, { isBad: true });
      } else await this.#read(file);
    }
  }

  /** @param {Blob} file */
  async #read(file) {
    this.#reading++;
    try {
      const url = await dataUrl(file);
      this.#all.push({ url, shown: URL.createObjectURL(file) });
    } finally {
      this.#reading--;
      this.#show();
    }
  }

  /** @param {string[]} urls As `data:` URLs, or where a program has said they are. */
  put(urls) {
    this.clear();
    this.#all = urls.map((url) => ({ url, shown: url.startsWith("data:") ? shownAs(url) : "" }));
    this.#show();
  }

  #show() {
    this.node.hidden = this.isEmpty;
    this.node.replaceChildren(
      ...this.#all.map((picture, index) => this.#thumbnail(picture, index)),
    );
    this.changed();
  }

  /**
   * @param {{url: string, shown: string}} picture
   * @param {number} index
   */
  #thumbnail({ url, shown }, index) {
    const click = () => {
      URL.revokeObjectURL(shown);
      this.#all.splice(index, 1);
      this.#show();
    };
    return element(
      "span",
      { class: "thumbnail" },
      shown
        ? element("img", { src: shown, alt: `Picture ${index + 1}` })
        : element("small", {}, `Picture at ${url}`),
      button("×", click, { "aria-label": `Take out picture ${index + 1}` }),
    );
  }

  clear() {
    for (const { shown } of this.#all) URL.revokeObjectURL(shown);
    this.#all = [];
    this.#show();
  }
}

/** @param {string} url A `data:` URL, which the page's policy does not show. */
function shownAs(url) {
  const [head, content] = url.split(",", 2);
  const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: head.slice(5).split(";")[0] }));
}

/**
 * @param {Blob} blob
 * @returns {Promise<string>}
 */
export function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(String(reader.result)));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(blob);
  });
}
