// @ts-check
/** Which models a user may ask, as an administrator says. */

import { call } from "../../core/api.js";
import { element } from "../../core/dom.js";
import { models } from "../../core/models.js";
import { boxes, formDialog, group } from "../form.js";

/** @typedef {import("./user_forms.js").User} User */

/** @param {User} user */
export async function changeModels(user) {
  const path = `admin/users/${encodeURIComponent(user.id)}`;
  const [known, { roles }] = await Promise.all([models(), call("GET", "admin/providers/")]);
  const chosen = user.models ?? [];
  const names = known.map(({ model }) => model);
  const wholes = names.filter((name) => name.includes(":"))
    .map((name) => `${name.slice(0, name.indexOf(":"))}:*`);
  const offered = [...new Set([...names, ...wholes, ...chosen])].sort();
  const some = boxes(offered.map((name) => [name, labelOf(name)]), chosen);
  return await formDialog(`Models of ${user.username}`, {
    fields: [
      element("p", {}, roleLine(user, roles)),
      group("Only these models; none for all", ...some.nodes),
    ],
    action: "Save",
    send: () => {
      const models = some.value();
      return call("PATCH", path, { body: { models: models.length ? models : null } });
    },
  });
}

/** @param {string} name */
const labelOf = (name) => name.endsWith(":*") ? `${name} (all of ${name.slice(0, -2)})` : name;

/**
 * @param {User} user
 * @param {Record<string, string[]>} roles
 */
function roleLine({ role }, roles) {
  const whose = role === "admin" ? "Administrators" : "Users";
  return roles[role]
    ? `${whose} may ask ${roles[role].join(", ")}, as llamakeep.toml says; this narrows it.`
    : `${whose} may ask all models: llamakeep.toml has no [roles.${role}].`;
}
