"""Servers that keep an answer themselves: OpenAI's Responses API, in the background."""
