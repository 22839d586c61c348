"""A self-hosted prompt API that keeps everything."""

__version__ = "0.1.0"
