// `node run.mjs ORIGIN EMULATOR` reads the name of a scenario from each line, and says what
// became of it in a line: `{"passed": true}`, or `{"failed": why}`. In between it may ask
// for something (`{"wanted": "restart"}`), and waits for an empty line.
import { createInterface } from "node:readline";
import { inspect } from "node:util";
import { createKit, scenarios } from "./kit.mjs";

const [origin, emulator, ...files] = process.argv.slice(2);
for (const file of files) await import(file);

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (what) => console.log(JSON.stringify(what));
const kit = createKit(origin, emulator, async (wanted) => {
  say({ wanted });
  await lines.next();
});

for (let line; !(line = await lines.next()).done;) {
  let timer;
  try {
    const tooLong = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("It takes too long.")), 15_000);
    });
    await Promise.race([scenarios.get(line.value)(kit), tooLong]);
    say({ passed: true });
  } catch (error) {
    say({ failed: inspect(error) });
  } finally {
    clearTimeout(timer);
  }
}
