"""Modules and styles of the page, as they are joined for browsers."""

import pytest

from llamakeep.api.page.joined import joined, shortened

STARTS = dict.fromkeys(
    ("main.js", "views/conversation.js", "text/growing.js", "docs/main.js"), ""
)


def test_each_module_runs_once_after_those_that_it_imports() -> None:
    texts = STARTS | {
        "main.js": 'import { two } from "./parts/two.js";\ntwo();\n',
        "views/conversation.js": 'import * as one from "../core/one.js";\none.run();\n',
        "parts/two.js": (
            'import {\n  one as first,\n  run,\n} from "../core/one.js";\n'
            "export async function two() {\n"
            '  return [first, run, await import("./three.js")];\n}\n'
        ),
        "core/one.js": "export const one = 1;\nexport class Run {}\n",
        "parts/three.js": (
            'import { one } from "../core/one.js";\nimport { four } from "./four.js";\n'
            "export default one + four;\n"
        ),
        "parts/four.js": "export const four = 4;\n",
    }

    sent = dict(joined(texts))

    assert sent["main.js"] == (
        "const $core$one = (() => {\n"
        "const one = 1;\n"
        "class Run {}\n"
        "return { one, Run };\n"
        "})();\n"
        "const $parts$two = (() => {\n"
        "const {\none: first,\nrun,\n} = $core$one;\n"
        "async function two() {\n"
        'return [first, run, await import("./parts/three.js")];\n}\n'
        "return { two };\n"
        "})();\n"
        "const { two } = $parts$two;\n"
        "two();\n"
        "export { $core$one, $parts$two };\n"
    )
    assert sent["views/conversation.js"] == (
        'import { $core$one } from "../main.js";\nconst one = $core$one;\none.run();\n'
    )
    assert sent["parts/three.js"] == (
        'import { $core$one } from "../main.js";\nconst { one } = $core$one;\n'
        'import { four } from "./four.js";\nexport default one + four;\n'
    )
    assert sent["parts/four.js"] == texts["parts/four.js"]
    assert "core/one.js" not in sent


def test_a_file_takes_from_those_before_it_what_they_have() -> None:
    texts = STARTS | {
        "main.js": 'import { one } from "./core/one.js";\n',
        "text/growing.js": (
            'import { one } from "../core/one.js";\nimport { two } from "./two.js";\n'
        ),
        "text/two.js": (
            'import { one } from "../core/one.js";\nexport const two = one + one;\n'
        ),
        "docs/main.js": 'import { two } from "../text/two.js";\n',
        "core/one.js": "export const one = 1;\n",
    }

    sent = dict(joined(texts))

    assert sent["text/growing.js"] == (
        'import { $core$one } from "../main.js";\n'
        "const $text$two = (() => {\n"
        "const { one } = $core$one;\n"
        "const two = one + one;\n"
        "return { two };\n"
        "})();\n"
        "const { one } = $core$one;\n"
        "const { two } = $text$two;\n"
        "export { $text$two };\n"
    )
    assert sent["docs/main.js"].startswith("const $core$one = (() => {\n")


@pytest.mark.parametrize(
    "line",
    [
        "export default 1;",
        "export { one };",
        "export let one = 1;",
        'export * from "./two.js";',
        'import one from "./two.js";',
        'import "./two.js";',
        "await one();",
        'import { main } from "../main.js";',
    ],
)
def test_a_module_that_cannot_be_joined_is_refused(line: str) -> None:
    texts = STARTS | {
        "main.js": 'import { one } from "./core/one.js";\n',
        "core/one.js": f"{line}\n",
    }

    with pytest.raises(ValueError, match=r"core/one\.js|cycle"):
        dict(joined(texts))


def test_comments_and_indentation_are_left_out() -> None:
    text = (
        "/** What it is for. */\n\n"
        "/**\n * @param {string} one\n * **Two** /* three.\n */\n"
        "export function say(one) {\n"
        "  // As it is.\n"
        '  const two = /** @type {string} */ (one) + "// /* no comment */";  // why\n'
        "  /** @type {string} */ (two).trim();\n\n"
        "  return 4 / 2 / 1;\n"
        "}\n"
    )

    assert shortened(text) == (
        "export function say(one) {\n"
        'const two = (one) + "// /* no comment */";  // why\n'
        "(two).trim();\n"
        "return 4 / 2 / 1;\n"
        "}\n"
    )


def test_a_style_has_those_that_it_imports_in_their_places() -> None:
    texts = STARTS | {
        "style/index.css": '@import "one.css";\n@import "two.css" print;\nb {}\n',
        "style/one.css": "/* The first. */\na {\n  color: red;\n}\n",
        "style/two.css": "c {}\n",
    }

    assert dict(joined(texts))["style/index.css"] == (
        "a {\ncolor: red;\n}\n@media print {\nc {}\n}\nb {}\n"
    )
