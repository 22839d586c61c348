// Browsers start no workers from files. A site that was opened as a file searches in a
// hidden frame instead, which the theme's script takes for a worker.

if (location.protocol === "file:") {
  globalThis.Worker = class {
    /** @param {string} url */
    constructor(url) {
      const frame = document.createElement("iframe");
      frame.hidden = true;
      this.frame = frame;
      this.window = new Promise((resolve) => {
        frame.onload = () => {
          const inside = frame.contentWindow;
          inside.postMessage = (data) => this.onmessage?.({ data: structuredClone(data) });
          const script = inside.document.createElement("script");
          script.src = new URL(url, location.href).href;
          script.onload = () => resolve(inside);
          script.onerror = (event) => this.onerror?.(event);
          inside.document.body.append(script);
        };
      });
      document.body.append(frame);
    }

    postMessage(data) {
      const copy = structuredClone(data);
      this.window.then((inside) => inside.onmessage?.({ data: copy }));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
