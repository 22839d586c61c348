"""Settings of signing in through an identity provider."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import BaseSettings

from llamakeep.settings.values import Key, Names, is_issuer


def _check_issuer(issuer: str | None) -> str | None:
    if issuer is not None and not is_issuer(issuer):
        raise ValueError(
            "an issuer is https, or http on a loopback address, without a query: "
            "copy it from the provider as it is, with or without the slash at its end"
        )
    return issuer


Issuer = Annotated[str | None, AfterValidator(_check_issuer)]


class SignInSettings(BaseSettings):
    """How users are authenticated other than with passwords."""

    proxy_user_header: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9-]{1,64}$", min_length=1
    )
    """
    The header in which a proxy of `LLAMAKEEP_TRUSTED_PROXIES` says who has signed in at
    it, such as `Remote-User`: they may log in to the page as that. From other addresses
    it is nothing. Without it, no header is; see `docs/deploy/sign-in.md`.
    """

    oidc_issuer: Issuer = None
    """
    The issuer of an OpenID Connect provider, exactly as it names itself: users may sign
    in through it, beside passwords. It wants `pip install 'llamakeep[oidc]'`; see
    `docs/deploy/sign-in.md`.
    """

    oidc_client_id: str | None = Field(default=None, min_length=1, max_length=255)
    """This server's client id at the provider."""

    oidc_client_secret: Key = None
    """This server's secret there. Without it, it is a public client."""

    oidc_name: str | None = Field(default=None, max_length=40)
    """What the page's button calls the provider; by default, its host."""

    oidc_scopes: Names = ("openid", "profile", "email")
    """What the provider is asked for, with commas in between; `openid` is needed."""

    oidc_allowed_domains: Names = ()
    """
    Only users with a verified e-mail address in one of these domains may sign in, with
    commas in between: `example.com,example.org`. Without it, all users
    of the provider.
    """

    oidc_groups_claim: str = Field(default="groups", min_length=1, max_length=255)
    """The claim that lists a user's groups, or roles."""

    oidc_allowed_groups: Names = ()
    """Only members of one of these groups may sign in, with commas in between."""

    oidc_admin_groups: Names = ()
    """
    Members of these groups are administrators, and all others who sign in through the
    provider are not, from their next sign-in on. Without it, administrators decide.
    """

    @model_validator(mode="after")
    def _provider_is_whole(self) -> Self:
        if (self.oidc_issuer is None) != (self.oidc_client_id is None):
            raise ValueError(
                "an OpenID Connect provider has an issuer and a client id: set both "
                "LLAMAKEEP_OIDC_ISSUER and LLAMAKEEP_OIDC_CLIENT_ID, or none"
            )
        if "openid" not in self.oidc_scopes:
            raise ValueError("LLAMAKEEP_OIDC_SCOPES has to have openid among them")
        return self
