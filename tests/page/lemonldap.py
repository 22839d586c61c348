"""LemonLDAP::NG from Debian's packages, as an OpenID Connect provider on loopback."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from joserfc.jwk import RSAKey

from tests.acceptance.processes import outside_variables
from tests.debian import debian_program

PACKAGES = (
    "liblemonldap-ng-portal-perl lemonldap-ng-fastcgi-server libplack-perl "
    "libio-string-perl libstring-random-perl"
)
SHARED = "/usr/share/lemonldap-ng/portal"
SECRET = "not-a-secret-of-anybody"

# Its own captcha wants Perl modules that draw, whether it is used or not.
PORTAL = f"""
package NoCaptcha;
use Mouse;
extends 'Lemonldap::NG::Portal::Main::Plugin';
sub init {{ 1 }}
$INC{{'NoCaptcha.pm'}} = 1;
package main;
use Plack::Builder;
use Lemonldap::NG::Portal::Main;
builder {{
    enable 'Static', path => qr{{^/static/}}, root => '{SHARED}/htdocs';
    Lemonldap::NG::Portal::Main->run({{}});
}};
"""
INI = """
[all]
logLevel = warn
[configuration]
type = File
dirName = {folder}/conf
[portal]
staticPrefix = /static
templateDir = {shared}/templates
languages = en
"""


@contextmanager
def running_lemonldap(folder: Path, port: int, client: str) -> Iterator[None]:
    """
    Serve its portal, with the users of its demonstration (`dwho`, `rtyler`).

    Args:
        folder: For its files.
        port: Where it listens on 127.0.0.1.
        client: The address of the server that users sign in to.
    """
    debian_program("llng-fastcgi-server", package=PACKAGES)
    plackup = debian_program("plackup", package=PACKAGES)
    for name in ("conf", "cache", "sessions/lock", "psessions/lock"):
        (folder / name).mkdir(parents=True)
    conf = json.dumps(configuration(folder, port, client))
    (folder / "conf" / "lmConf-1.json").write_text(conf)
    ini = folder / "lemonldap-ng.ini"
    ini.write_text(INI.format(folder=folder, shared=SHARED))
    (folder / "portal.psgi").write_text(PORTAL)
    command = [plackup, "--no-default-middleware", "--host", "127.0.0.1"]
    command += ["--port", str(port), str(folder / "portal.psgi")]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            command,
            env=outside_variables() | {"LLNG_DEFAULTCONFFILE": str(ini)},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()


def configuration(folder: Path, port: int, client: str) -> dict[str, object]:
    key = RSAKey.generate_key(2048)
    sessions, lasting = (
        {"Directory": f"{folder}/{name}", "LockDirectory": f"{folder}/{name}/lock"}
        for name in ("sessions", "psessions")
    )
    return {
        "cfgNum": 1,
        "cfgDate": 1,
        "portal": f"http://127.0.0.1:{port}/",
        "domain": "127.0.0.1",
        "securedCookie": 0,
        "key": "no secret of anybody",
        "authentication": "Demo",
        "userDB": "Same",
        "passwordDB": "Demo",
        "registerDB": "Null",
        "captcha": "NoCaptcha",
        # Its defaults are those of a first start, which it cannot read itself.
        "locationRules": {},
        "exportedHeaders": {},
        "exportedVars": {},
        "applicationList": {},
        "demoExportedVars": {"cn": "cn", "mail": "mail", "uid": "uid"},
        "groups": {"llm-admins": "$uid eq 'dwho'", "staff": "$uid ne 'msmith'"},
        "globalStorage": "Apache::Session::File",
        "globalStorageOptions": sessions,
        "persistentStorage": "Apache::Session::File",
        "persistentStorageOptions": lasting,
        "localSessionStorage": "Cache::FileCache",
        "localSessionStorageOptions": {"cache_root": f"{folder}/cache"},
        "issuerDBOpenIDConnectActivation": 1,
        "oidcServiceKeyIdSig": "first",
        "oidcServicePrivateKeySig": key.as_pem(private=True).decode(),
        "oidcServicePublicKeySig": key.as_pem(private=False).decode(),
        "oidcServiceAllowAuthorizationCodeFlow": 1,
        "oidcRPMetaDataOptions": {
            "llamakeep": {
                "oidcRPMetaDataOptionsClientID": "llamakeep",
                "oidcRPMetaDataOptionsClientSecret": SECRET,
                "oidcRPMetaDataOptionsRedirectUris": f"{client}/login/oidc/callback",
                "oidcRPMetaDataOptionsPostLogoutRedirectUris": f"{client}/",
                "oidcRPMetaDataOptionsIDTokenSignAlg": "RS256",
                "oidcRPMetaDataOptionsRequirePKCE": 1,
                "oidcRPMetaDataOptionsBypassConsent": 1,
            }
        },
        "oidcRPMetaDataOptionsExtraClaims": {"llamakeep": {"groups": "groups"}},
        "oidcRPMetaDataExportedVars": {
            "llamakeep": {
                "preferred_username": "uid",
                "email": "mail",
                "groups": "groups",
            }
        },
    }
