// What the programs share, as `programs/kit.py` does: a program reads the names of
// scenarios, one a line, and writes for each a line of JSON. With `killed` before the
// name, each call of the tool writes a line, and waits for one.
import { createInterface } from "node:readline";
import { inspect } from "node:util";

export const model = "caller";
export const prompt = "Is Oslo colder than Bergen?";
export const again = "And Bergen alone?";
export const pixel =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
let isKilled = false;
let before = Promise.resolve();

export async function waitIfKilled() {
  if (!isKilled) return;
  before = before.then(async () => {
    console.log("called");
    await lines.next();
  }); // one at a time
  await before;
}

export async function getWeather({ city }) {
  await waitIfKilled();
  return { Oslo: "-3", Bergen: "7" }[city];
}

export async function serve(scenarios) {
  for (let line; !(line = await lines.next()).done;) {
    const [name, killed] = line.value.split(" ").reverse();
    isKilled = killed !== undefined;
    let told;
    try {
      told = { said: await scenarios[name]() };
    } catch (error) {
      told = { failed: inspect(error) };
    }
    console.log(JSON.stringify(told));
  }
}
