"""Other people's programs that tests run beside llamakeep, from Debian's packages."""

import os
import shutil

import pytest

AROUND_NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    {file}
}}
"""
"""What nginx needs around its servers, in `file`, to write into one `folder` only."""

SYSTEM = "/usr/sbin"
"""Where Debian puts servers, which is not on every user's PATH."""


def debian_program(name: str, *, package: str | None = None) -> str:
    """
    Return the path of a program, or skip the test where it is not installed.

    With `CI` set the test fails instead: `.ci/run` installs what tests need.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM}")
    if found is not None:
        return found
    reason = f"There is no {name}: apt-get install {package or name}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
