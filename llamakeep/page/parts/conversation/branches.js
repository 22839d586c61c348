// @ts-check
/**
 * Which runs of a conversation are on the screen: one, and what its model was given before it.
 *
 * A run that names the run before it follows that; any other one follows all that was answered
 * before it, as the server has it.
 */

/** @typedef {Record<string, any> & {id: string, status: string}} Run */

/** What a run that follows nothing of its conversation has in the place of an id. */
export const NOTHING = "none";

const FINAL = new Set(["succeeded", "failed", "canceled", "expired", "interrupted"]);

/** @param {Run} run */
export const isOver = (run) => FINAL.has(run.status);

/** @param {Run} run */
const isAnswered = (run) => run.status === "succeeded" && run.store !== false;

/** The runs of a conversation that are loaded, and which of them is the last one shown. */
export class Branches {
  /** @type {Run[]} The oldest first. */
  #runs = [];
  /** @type {Map<string, Run>} */
  #byId = new Map();
  /** @type {Map<string, string>} What each run follows. */
  #before = new Map();
  /** @type {string | null} The newest run is shown if nothing was chosen. */
  #chosen = null;

  get runs() {
    return this.#runs;
  }

  get size() {
    return this.#runs.length;
  }

  /** @param {string} id */
  get(id) {
    return this.#byId.get(id);
  }

  /**
   * Add runs, or what is new of them.
   *
   * @param {Run[]} runs
   */
  put(...runs) {
    for (const run of runs) this.#byId.set(run.id, { ...this.#byId.get(run.id), ...run });
    this.#sort();
  }

  /** @param {string} id */
  remove(id) {
    this.#byId.delete(id);
    if (this.#chosen === id) this.#chosen = null;
    this.#sort();
  }

  #sort() {
    this.#runs = [...this.#byId.values()].sort((one, other) => one.id < other.id ? -1 : 1);
    let answered = "";
    for (const run of this.#runs) {
      const before = run.previous_run_id ?? answered;
      this.#before.set(run.id, before === NOTHING ? "" : before);
      if (isAnswered(run)) answered = run.id;
    }
  }

  /**
   * Show the newest run that follows `id`, or that one itself.
   *
   * @param {string | null} id `null` for the newest run of all.
   */
  choose(id) {
    const children = new Map();
    for (const run of this.#runs) children.set(this.followedBy(run), run.id);
    for (let next = id; next; next = children.get(next)) id = next;
    this.#chosen = id === this.#runs.at(-1)?.id ? null : id;
  }

  /** Whether the user looks at another branch than the newest. */
  get isChosen() {
    return this.#chosen !== null;
  }

  /** The last run that is shown. */
  get last() {
    return this.#byId.get(this.#chosen ?? "") ?? this.#runs.at(-1);
  }

  /**
   * Return the id of the run that a run follows; "" if it is the first one, as far as is known.
   *
   * @param {Run} run
   */
  followedBy(run) {
    return this.#before.get(run.id) ?? "";
  }

  /** @param {Run} run */
  #answeredBefore(run) {
    return this.#runs.filter((other) => other.id < run.id && isAnswered(other));
  }

  /** The runs to show, the oldest first. */
  path() {
    /** @type {Run[]} */
    const found = [];
    const known = new Set();
    for (let run = this.last; run && !known.has(run.id);) {
      known.add(run.id);
      found.push(run);
      if (!run.previous_run_id) {
        found.push(...this.#answeredBefore(run).reverse().filter(({ id }) => !known.has(id)));
        break;
      }
      run = this.#byId.get(run.previous_run_id);
    }
    return found.reverse();
  }

  /**
   * Return the runs that follow the same run as this one, the oldest first.
   *
   * @param {Run} run
   */
  versions(run) {
    const before = this.followedBy(run);
    return this.#runs.filter((other) => this.followedBy(other) === before);
  }

  /** What a prompt after all that is shown follows: the last run there that was answered. */
  get answered() {
    return this.path().findLast(isAnswered);
  }
}
