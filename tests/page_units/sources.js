// @ts-check
/** The page's modules, as they are written. */

export const FOLDER = new URL("../../llamakeep/page/", import.meta.url);

/**
 * Return the modules of a folder and of those in it, by their names.
 *
 * @param {URL} [folder]
 * @returns {Generator<[string, string]>}
 */
export function* sources(folder = FOLDER) {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (isDirectory) yield* sources(new URL(`${name}/`, folder));
    else if (name.endsWith(".js")) yield [name, Deno.readTextFileSync(new URL(name, folder))];
  }
}
