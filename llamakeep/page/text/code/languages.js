// @ts-check
/** Families of languages: which words each has, and how its comments and strings look. */

/** @typedef {{ open: string, close: string, escape: string, isLong: boolean }} Quotes */
/**
 * @typedef {object} Family
 * @property {"code" | "markup" | "settings" | "styles" | "diff"} kind
 * @property {Set<string>} words
 * @property {boolean} isCaseless whether words are the same in capitals
 * @property {string[]} lineComments
 * @property {[string, string][]} comments
 * @property {Quotes[]} quotes longer ones first
 */

/**
 * @param {string} open
 * @param {{ close?: string, escape?: string, isLong?: boolean }} [how]
 * @returns {Quotes}
 */
function quotes(open, { close = open, escape = "\\", isLong = false } = {}) {
  return { open, close, escape, isLong };
}

const PLAIN = [quotes('"'), quotes("'")];
const LONG = { isLong: true };

/**
 * @param {Partial<Family>} family
 * @param {...string} words
 * @returns {Family}
 */
function family(family, ...words) {
  return {
    kind: "code",
    words: new Set(words.join(" ").split(" ")),
    isCaseless: false,
    lineComments: ["#"],
    comments: [],
    quotes: PLAIN,
    ...family,
  };
}

const BRACES = family(
  {
    lineComments: ["//"],
    comments: [["/*", "*/"]],
    quotes: [quotes('"""', LONG), ...PLAIN, quotes("`", LONG)],
  },
  "abstract any as async await auto bool boolean break byte case catch chan char class companion",
  "const constexpr continue crate data debugger declare def default defer delete do double dyn else",
  "enum export extends extern false final finally float fn for foreach friend from fun func function",
  "get global go goto guard if impl implements import in infer inline inout instanceof int interface",
  "internal is keyof lambda let long loop map match mod module move mut namespace native new nil none",
  "null nullptr number object of open operator out override package priv private protected protocol",
  "pub public range readonly ref register return sealed self Self set short signed sizeof static",
  "string struct super switch synchronized template this throw throws trait transient true try type",
  "typedef typeof typename uint undefined union unknown unsafe unsigned use using val var virtual void",
  "volatile when where while with yield",
);
/** Its `'` begins the name of a lifetime more often than a character. */
const RUST = { ...BRACES, quotes: [quotes('"', LONG)] };
const PYTHON = family(
  { quotes: [quotes('"""', LONG), quotes("'''", LONG), ...PLAIN] },
  "and as assert async await break case class continue def del elif else except False finally for",
  "from global if import in is lambda match None nonlocal not or pass raise return self True try type",
  "while with yield",
);
const RUBY = family(
  { quotes: [quotes('"""', LONG), ...PLAIN, quotes("`", LONG)] },
  "alias and BEGIN begin break case class def defmodule defp do else elsif END end ensure export",
  "false FALSE for foreach fn function if import in include let local loop macro match module mutable",
  "my my next nil none not NULL or our package proc quote raise receive redo repeat require rescue",
  "retry return self struct sub super then true TRUE undef unless until use using when where while",
  "with yield",
);
const SHELL = family(
  { quotes: [quotes('"', LONG), quotes("'", { escape: "", isLong: true })] },
  "add alias arg begin break case catch cd cmd continue copy declare do done echo elif else",
  "elseif end entrypoint env esac eval exec exit export expose false fi filter finally for foreach from",
  "function if in include label local param process read readonly return run set shift source switch",
  "sudo test then throw trap true try typeset unset until user volume while workdir",
);
const SQL = family(
  {
    isCaseless: true,
    lineComments: ["--"],
    comments: [["/*", "*/"]],
    quotes: [
      quotes("'", { escape: "", isLong: true }),
      quotes('"', { escape: "" }),
      quotes("`", { escape: "" }),
    ],
  },
  "add all alter and any as asc begin between by cascade case cast check column commit conflict",
  "constraint create cross current database default delete desc distinct do drop else end except exists",
  "explain false fetch first for foreign from full function grant group having if in index inner insert",
  "intersect into is join key last lateral left like limit natural not nothing null nulls offset on or",
  "order outer over partition primary procedure recursive references replace returning revoke right",
  "rollback row rows select set table temporary then trigger true truncate union unique update using",
  "values view when where window with",
);
const DASHES = family(
  { lineComments: ["--"], comments: [["--[[", "]]"], ["{-", "-}"]] },
  "and break case class data deriving do else elseif end false for forall foreign function goto if",
  "import in infix instance let local module newtype nil not of or qualified repeat return self then",
  "true type until where while",
);
const LISP = family(
  { lineComments: [";"], comments: [["#|", "|#"]], quotes: [quotes('"', LONG)] },
  "and begin case cond def define defmacro defn defun do fn for if in lambda let loop ns nil or",
  "progn quote recur require set setq throw try unless when while",
);
const STYLES = family({
  kind: "styles",
  lineComments: [],
  comments: [["/*", "*/"]],
});
const MARKUP = family({ kind: "markup", lineComments: [], comments: [["<!--", "-->"]] });
const SETTINGS = family(
  {
    kind: "settings",
    lineComments: ["#", ";"],
    quotes: [quotes('"""', LONG), quotes("'''", LONG), quotes('"'), quotes("'", { escape: "" })],
  },
  "true false null yes no on off",
);
const DIFF = family({ kind: "diff", lineComments: [], quotes: [] });

/** @type {[Family, ...string[]][]} */
const NAMES = [
  [
    BRACES,
    "c h cpp c++ cc cxx hpp objc objective-c cs csharp c# java kotlin kt kts swift scala go golang",
    "js javascript mjs cjs jsx ts typescript tsx json jsonc json5 jsonl dart php groovy gradle",
    "zig v solidity sol proto protobuf graphql glsl wgsl hlsl cuda verilog d haxe actionscript",
    "terraform tf hcl jq",
  ],
  [RUST, "rust rs ocaml ml fsharp f#"],
  [PYTHON, "py python python3 python2 py3 pycon ipython gdscript starlark bazel mojo"],
  [RUBY, "rb ruby elixir ex exs crystal cr julia jl r perl pl nim tcl coffeescript coffee"],
  [
    SHELL,
    "sh bash zsh shell console fish ksh powershell ps1 pwsh bat cmd dockerfile docker make",
    "makefile cmake shellsession shell-session nginx awk sed",
  ],
  [SQL, "sql postgresql postgres psql mysql sqlite sqlite3 plsql plpgsql tsql mariadb duckdb"],
  [DASHES, "lua haskell hs elm ada vhdl applescript purescript"],
  [LISP, "lisp clojure clj cljs scheme racket elisp emacs-lisp common-lisp"],
  [STYLES, "css scss sass less"],
  [MARKUP, "html htm xml svg vue svelte xhtml rss xsl xslt xsd jinja jinja2 django handlebars"],
  [SETTINGS, "yaml yml toml ini conf cfg config properties env dotenv editorconfig systemd"],
  [DIFF, "diff patch udiff"],
];

const FAMILIES = new Map(
  NAMES.flatMap(([family, ...names]) =>
    names.join(" ").split(" ").map((name) => /** @type {const} */ ([name, family]))
  ),
);

/**
 * Find the family of a language by its name, as it stands at a fence.
 *
 * @param {string} name
 * @returns {Family | undefined}
 */
export function familyOf(name) {
  return FAMILIES.get(name.toLowerCase().split(/[:{,;(]/, 1)[0]);
}
