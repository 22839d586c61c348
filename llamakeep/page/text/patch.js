// @ts-check
/** Makes nodes like others by as few changes as it can, so that what is selected stays selected. */

/**
 * @param {Element} node
 * @param {DocumentFragment | Element} wanted it is used up
 */
export function patchChildren(node, wanted) {
  const kept = [...node.childNodes];
  const made = [...wanted.childNodes];
  made.forEach((child, index) => {
    if (index < kept.length) patch(kept[index], child);
    else node.append(child);
  });
  for (const child of kept.slice(made.length)) child.remove();
}

/**
 * @param {ChildNode} kept
 * @param {ChildNode} wanted
 */
function patch(kept, wanted) {
  if (kept.isEqualNode(wanted)) return;
  if (isText(kept) && isText(wanted)) setText(kept, wanted.data, 0);
  else if (isElement(kept) && isElement(wanted) && isAlike(kept, wanted)) {
    patchElement(kept, wanted);
  } else kept.replaceWith(wanted);
}

/**
 * @param {Element} kept
 * @param {Element} wanted
 */
function patchElement(kept, wanted) {
  for (const name of wanted.getAttributeNames()) {
    kept.setAttribute(name, wanted.getAttribute(name) ?? "");
  }
  patchChildren(kept, wanted);
}

/**
 * Make a text an element's only child.
 *
 * @param {Element} node
 * @param {string} text
 * @param {number} same how many characters are known to be the same
 */
export function patchText(node, text, same) {
  const { firstChild } = node;
  if (firstChild !== null && isText(firstChild)) setText(firstChild, text, same);
  else if (text !== "") node.append(text);
}

/**
 * @param {Text} node
 * @param {string} text
 * @param {number} same
 */
function setText(node, text, same) {
  const before = node.data.slice(same);
  const after = text.slice(same);
  if (after.startsWith(before)) node.appendData(after.slice(before.length));
  else node.replaceData(same, before.length, after);
}

/**
 * @param {ChildNode} node
 * @returns {node is Text}
 */
function isText(node) {
  return node.nodeType === 3;
}

/**
 * @param {Element} one
 * @param {Element} other
 */
function isAlike(one, other) {
  return one.tagName === other.tagName &&
    one.getAttributeNames().join() === other.getAttributeNames().join();
}

/**
 * @param {ChildNode | null} node
 * @returns {node is Element & ChildNode}
 */
export function isElement(node) {
  return node?.nodeType === 1;
}
