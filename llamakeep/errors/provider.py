"""Errors of providers."""

from http import HTTPStatus

from llamakeep.errors.base import LlamaKeepError


class ProviderError(LlamaKeepError):
    """The provider failed, for a reason without a class of its own."""

    status = HTTPStatus.BAD_GATEWAY
    code = "provider-error"
    title = "The model provider failed."

    answer_may_exist: bool = False
    """
    Whether the provider may be answering, so that another request could be paid twice:
    `SearchableProvider.find` or `ReattachableProvider.resume` finds out.
    """

    was_connected: bool = True
    """Whether there was a connection: without one, a retry costs nothing."""

    was_tried: bool = True
    """Whether a request was attempted; if not, this says nothing about the provider."""


class ProviderUnavailable(ProviderError):
    """The provider is down, cannot be reached, or broke off its answer."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "provider-unavailable"
    title = "The model provider cannot be reached."


class ProviderTimeout(ProviderError):
    """The provider was silent, or not done, for longer than the settings allow."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    code = "provider-timeout"
    title = "The model provider took too long."


class ProviderRateLimited(ProviderError):
    """The provider answered 429."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "provider-rate-limited"
    title = "The model provider wants us to slow down."


class ProviderUnauthenticated(ProviderError):
    """The provider does not accept the credentials in the settings."""

    code = "provider-unauthenticated"
    title = "The model provider does not accept this server's credentials."


class ProviderOutOfCredit(ProviderError):
    """The account that pays for the prompts has no money left."""

    code = "provider-out-of-credit"
    title = "This server's account with the model provider has no credit left."


class AnswerExpired(ProviderError):
    """The provider has erased the answer; the text that had arrived is kept."""

    status = HTTPStatus.GONE
    code = "answer-expired"
    title = "The model provider has erased the answer."


class ProviderAnswerInvalid(ProviderError):
    """The provider's answer cannot be read."""

    code = "provider-answer-invalid"
    title = "The model provider's answer cannot be read."
