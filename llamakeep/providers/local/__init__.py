"""The embedded model: llama.cpp in a process of its own."""
