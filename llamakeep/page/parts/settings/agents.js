// @ts-check
/** The names of browsers and programs. */

/** @type {[RegExp, string][]} */
const BROWSERS = [
  [/Edg\//, "Edge"],
  [/OPR\//, "Opera"],
  [/Firefox\//, "Firefox"],
  [/Chrom(e|ium)\//, "Chrome"],
  [/Safari\//, "Safari"],
];
/** @type {[RegExp, string][]} */
const SYSTEMS = [
  [/iPhone|iPad/, "iOS"],
  [/Android/, "Android"],
  [/Windows/, "Windows"],
  [/Mac OS X/, "macOS"],
  [/Linux|X11/, "Linux"],
];

/**
 * Return what people call a browser or a program.
 *
 * @param {{user_agent: string | null, kind: "token" | "cookie"}} login
 */
export function nameOf({ user_agent: agent, kind }) {
  if (agent === null) return kind === "cookie" ? "A browser" : "A program";
  const terminal = /^llamakeep \((.+)\)$/.exec(agent);
  if (terminal) return `llamakeep of ${terminal[1]}`;
  const found = (/** @type {[RegExp, string][]} */ names) =>
    names.find(([pattern]) => pattern.test(agent))?.[1];
  const [browser, system] = [found(BROWSERS), found(SYSTEMS)];
  if (browser) return system ? `${browser} on ${system}` : browser;
  return agent.split(/[\s/]/)[0] || "A program";
}
