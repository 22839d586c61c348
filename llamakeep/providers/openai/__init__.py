"""Any OpenAI-compatible server: requests, streams and errors of chat completions."""
