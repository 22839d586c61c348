"""Signing in through an OpenID Connect provider; imported only with one."""

from typing import TYPE_CHECKING

from llamakeep.errors import SignInUnavailable
from llamakeep.settings import Settings
from llamakeep.sign_in.flow import LONGEST_FLOW, Flow

if TYPE_CHECKING:
    from llamakeep.sign_in.oidc import OpenIdConnect

__all__ = ["LONGEST_FLOW", "Flow", "open_provider"]


def open_provider(settings: Settings) -> "OpenIdConnect | None":
    """
    Return what signs users in, if the settings name a provider; it is not asked yet.

    Raises:
        SignInUnavailable: The library that checks tokens is not installed.
    """
    if settings.oidc_issuer is None:
        return None
    try:
        from llamakeep.sign_in.oidc import OpenIdConnect  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SignInUnavailable(
            "LLAMAKEEP_OIDC_ISSUER is set, and joserfc, which checks tokens, is not "
            "installed. Run `pip install 'llamakeep[oidc]'`."
        ) from error
    return OpenIdConnect(settings)
