// @ts-check
/** A conversation on the screen: what is loaded, what is shown, and what comes in. */

import { call, Problem } from "../../core/api.js";
import { button, element } from "../../core/dom.js";
import { onResync, onRun } from "../../core/events.js";
import { firstLine } from "../../core/format.js";
import { isCoarse } from "../../core/keys.js";
import { models } from "../../core/models.js";
import { moveWaiting } from "../../core/outbox.js";
import { here, settleAddress } from "../../core/router.js";
import { markSeen } from "../../core/seen.js";
import { Composer } from "../composer/composer.js";
import { setTitle } from "../frame/frame.js";
import { problemBox } from "../problem.js";
import { Branches, isOver } from "./branches.js";
import { Loading } from "./loading.js";
import { Pending } from "./pending.js";
import { Scroll } from "./scroll.js";
import { Sending } from "./sending.js";
import { talkKeys } from "./talk_keys.js";
import { talkMenu } from "./talk_menu.js";
import { Turn } from "./turn.js";
import { Turns } from "./turns.js";
import { loadText } from "./written.js";

/** @typedef {import("./branches.js").Run} Run */

/** How near to an end of what is loaded more is loaded, in px. */
const NEAR = 1500;

/** What shows one conversation. */
export class Talk {
  branches = new Branches();
  turns = new Turns((run) => new Turn(this.branches.get(run.id) ?? run, this.doing));
  composer = new Composer({
    send: (sent) => this.sending.send(sent),
    stop: () => this.#stop(),
    editLast: () => this.sending.editLast(),
    leave: () => this.sending.leave(),
  });
  pending = new Pending((entry) =>
    this.composer.put(entry.body.prompt, { images: entry.body.images })
  );
  #greeting = element("div", {});
  #latest = button("Latest ↓", () => this.latest(), { class: "latest edge", hidden: true });
  #content = element(
    "div",
    { class: "content" },
    this.#greeting,
    this.turns.node,
    this.pending.node,
  );
  log = element(
    "div",
    { class: "log", tabindex: "0", role: "region", "aria-label": "Turns" },
    this.#content,
  );
  node = element("div", { class: "conversation" }, this.log, this.#latest, this.composer.node);
  scroll = new Scroll(this.log, this.#content, (isAtEnd) => this.#scrolled(isAtEnd));
  title = "New conversation";
  /** Turns name the models that they have. Without the list, the server's default answers. */
  models = models().catch(passing);
  /** @type {(() => void)[]} */
  #ends = [];
  #isClosed = false;
  /** @type {Promise<unknown>} What is heard before its end waits: it may be beyond a gap. */
  #opening = Promise.resolve();

  /** @param {string} id Empty for a new one. */
  constructor(id) {
    this.id = id;
    /** @type {import("./turn.js").Doing} */
    this.doing = {
      again: (run) => this.sending.again(run),
      edit: (run) => this.sending.edit(run),
      show: (run) => this.choose(run),
      changed: (run) => this.take(run),
    };
    this.sending = new Sending(this);
    this.loading = new Loading(id, (runs) => this.#loaded(runs));
    this.#ends.push(
      onRun((run) => this.#heard(run)),
      onResync(() => this.#resync()),
      talkKeys(this),
    );
    this.composer.open(id);
    this.pending.show(id);
  }

  /** @returns {import("../../core/router.js").Shown} */
  shown() {
    return {
      node: this.node,
      title: this.title,
      actions: [talkMenu(this)],
      focus: isCoarse() || this.#marked ? undefined : this.composer.field,
      opened: () => this.#opened(),
      close: () => this.close(),
    };
  }

  /** @type {Turn | undefined} The turn that the address names. */
  #marked;

  #opened() {
    if (this.#marked) {
      this.scroll.toTurn(this.#marked.node);
      this.#marked.node.focus({ preventScroll: true });
    } else this.scroll.toEnd();
    loadText();
  }

  /**
   * Load the end, or what is around a run.
   *
   * @param {string} run Its id, or nothing.
   */
  async load(run) {
    const loading = run
      ? this.loading.around(run).catch(() => this.loading.end())
      : this.loading.end();
    this.#opening = loading.catch(() => null);
    await loading;
    if (run && this.branches.get(run)) this.choose(run);
    this.composer.bar.setModel(this.branches.last?.model ?? "");
    this.#marked = run ? this.turns.turn(run) : undefined;
    this.#marked?.node.classList.add("marked");
    if (!this.loading.hasNewer && !this.branches.isChosen) this.sending.opened();
    markSeen(this.id);
  }

  /** @param {Node} node */
  greet(node) {
    this.#greeting.replaceChildren(node);
  }

  /** @param {Run[]} runs */
  async #loaded(runs) {
    await this.models;
    this.branches.put(...runs);
    this.render();
  }

  /** Show what the branches say, without moving what is on the screen. */
  render() {
    if (this.#isClosed) return;
    const path = this.branches.path();
    const anchor = this.turns.turns.find(({ node }) => node.getBoundingClientRect().bottom > 0);
    this.scroll.keep(anchor?.node ?? null, () => this.turns.show(path));
    for (const turn of this.turns.turns) turn.setVersions(this.branches.versions(turn.run));
    this.composer.bar.show({ isWriting: path.some((run) => !isOver(run)) });
    if (path.length) this.#greeting.replaceChildren();
  }

  /**
   * Take what is new of a run that is stored.
   *
   * @param {Run} run
   */
  take(run) {
    if (this.#isClosed) return;
    const isNew = !this.branches.get(run.id);
    this.branches.put(run);
    const known = this.branches.get(run.id) ?? run;
    if (!isNew) this.turns.update(known);
    this.render();
    if (isOver(known)) this.sending.ended(known);
    if (isOver(known) && !document.hidden) markSeen(this.id);
  }

  /**
   * Take an event about a run, which has no more than the beginnings of its texts.
   *
   * @param {any} run
   */
  async #heard(run) {
    await this.#opening;
    if (run.isDeleted) {
      this.branches.remove(run.run);
      this.render();
      return;
    }
    if (run.conversation_id !== this.id || this.loading.hasNewer) return;
    const known = this.branches.get(run.id);
    const isEnd = known && isOver(run) && !isOver(known);
    if (!known || isEnd) {
      await call("GET", `history/${run.id}`).then((whole) => this.take(whole), passing);
      return;
    }
    // What it says of texts and positions is not all that is shown.
    const { prompt: _, response: __, system_prompt: ___, position: ____, ...facts } = run;
    this.take(facts);
  }

  async #resync() {
    await this.#opening;
    if (!this.id || this.loading.hasNewer) return;
    // The stream begins when the page does: most of the time nothing has changed.
    const query = { conversation_id: this.id, limit: 20, text: 0 };
    const page = await call("GET", "history/", { query }).catch(passing);
    for (const run of page?.history.reverse() ?? []) {
      if (this.branches.get(run.id)?.status !== run.status) await this.#heard(run);
    }
  }

  /**
   * Show another version.
   *
   * @param {string} run
   */
  choose(run) {
    this.branches.choose(run);
    this.render();
  }

  /** Make a new conversation the one of its first run. @param {Run} run */
  adopt(run) {
    this.id = run.conversation_id;
    this.loading = new Loading(this.id, (runs) => this.#loaded(runs));
    this.composer.move(this.id, run.model);
    moveWaiting(this.id);
    this.title = firstLine(run.prompt) || "Conversation";
    // The user may have gone on to another view, which is not shown yet.
    if (here.value !== "") return;
    setTitle(this.title);
    settleAddress(`c/${this.id}`);
  }

  /** Go to the newest turn. */
  async latest() {
    if (this.loading.hasNewer) await this.loading.end();
    this.scroll.toEnd();
  }

  /** @param {boolean} isAtEnd */
  #scrolled(isAtEnd) {
    this.#latest.hidden = isAtEnd && !this.loading.hasNewer;
    const { scrollTop, scrollHeight, clientHeight } = this.log;
    if (scrollTop < NEAR) this.loading.older().catch(passing);
    if (scrollHeight - clientHeight - scrollTop < NEAR) this.loading.newer().catch(passing);
  }

  async #stop() {
    const writing = this.turns.turns.filter(({ run }) => !isOver(run));
    try {
      await Promise.all(writing.map((turn) => turn.stop()));
    } catch (error) {
      this.composer.say(problemBox(error, { retry: () => this.#stop() }));
    }
  }

  /** End what it listens to and watches. */
  close() {
    this.#isClosed = true;
    for (const end of this.#ends) end();
    this.sending.close();
    this.turns.close();
    this.pending.close();
    this.scroll.close();
    this.composer.close();
  }
}

/** @param {unknown} error */
function passing(error) {
  // What could not be asked for now is asked for when the connection is back.
  if (!(error instanceof Problem)) throw error;
  return null;
}
